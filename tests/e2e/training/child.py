"""A training run in a process of its own: `python -m tests.e2e.training.child JSON`."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from .scenes import args, classifier, squares


def main(text: str) -> None:
    # A job in the background of a shell ignores Ctrl-C; so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    given: dict[str, Any] = json.loads(text)
    torch.set_num_threads(1)
    photos = squares(Path(given["data"]), given.get("count", 1))
    run = args(Path(given["folder"]), given["iterations"], **given.get("values", {}))
    classifier().train(run, photos, photos)


if __name__ == "__main__":
    main(sys.argv[1])
