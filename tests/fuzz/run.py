"""Fuzz one target with coverage guidance: `python -m tests.fuzz.run TARGET [SECONDS] [FOLDER]`.

Needs atheris (`pip install atheris`). Inputs that crash are left in the working directory; move
them into `tests/fuzz/corpus/TARGET/`, where the tests run them for ever after.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["furiosa_models", "tarfile", "zipfile", "yaml"]):
    from tests.fuzz.seeds import SEEDS
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Fuzz until the time is over or an input crashes."""
    name = sys.argv[1]
    seconds = int(sys.argv[2]) if len(sys.argv) > 2 else 60
    folder = Path(sys.argv[3]) if len(sys.argv) > 3 else Path(tempfile.mkdtemp())
    for index, seed in enumerate(SEEDS[name]):
        (folder / f"seed-{index}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-rss_limit_mb=2048", "-timeout=10"]
    atheris.Setup([sys.argv[0], str(folder), *options, "-print_final_stats=1"], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
