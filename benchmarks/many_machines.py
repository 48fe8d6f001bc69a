"""A folder of photos through Ray, beside `predict(stream=True)` in one process.

    make test-ray                                        # creates the environment
    build/ray-venv/bin/python benchmarks/many_machines.py PHOTOS MODEL [WEIGHTS]

PHOTOS is a folder of photos, which both read again and again up to `--count`. Ray has as many CPUs
as this process may use. A run of Ray starts a process for the model, so a second, shorter run says
what it reaches without that start. The runs take turns; the figures are medians.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SHARE = 5
"""The longer run has this many times the photos of the shorter one."""


def main() -> None:
    """Measure, and print photos per second."""
    options = _arguments()
    os.environ["FURIOSA_MODELS_PROGRESS"] = "0"
    os.environ["PYTHONPATH"] = str(ROOT)  # for the processes of Ray
    import ray

    from furiosa_models import get_model
    from furiosa_models.data.files import list_photos
    from furiosa_models.runtime.machine import available_cpus

    photos = list_photos(options.photos)
    model = get_model(options.model, weights=options.weights)
    model.predict(photos[0], device="cpu")  # fetches and compiles
    ray.init(num_cpus=available_cpus(), log_to_driver=False, include_dashboard=False)
    logging.disable(logging.WARNING)
    ray.data.DataContext.get_current().enable_progress_bars = False
    stream, whole, running = [], [], []
    part = options.count // SHARE
    with (
        _repeated(photos, options.count) as many,
        _repeated(photos, part) as few,
    ):
        _seconds(options, few)  # the first run starts parts of Ray
        for _ in range(options.rounds):
            start = time.perf_counter()
            for _ in model.predict(sorted(many.iterdir()), stream=True, device="cpu"):
                pass
            stream.append(options.count / (time.perf_counter() - start))
            short, long = _seconds(options, few), _seconds(options, many)
            whole.append(options.count / long)
            running.append((options.count - part) / (long - short))
    ray.shutdown()
    reference = statistics.median(stream)
    print(f"{options.model}, {options.count} photos, {available_cpus()} CPUs; photos per second:")
    for name, found in (
        ("predict(stream=True)", stream),
        ("predict_dataset", whole),
        ("predict_dataset, without its start", running),
    ):
        middle = statistics.median(found)
        print(
            f"{name:36}{middle:8.1f}  {middle / reference:.2f}  {min(found):.1f}-{max(found):.1f}"
        )


def _arguments() -> Any:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("model")
    parser.add_argument("weights", nargs="?", default="random")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    return parser.parse_args()


def _seconds(options: Any, folder: Path) -> float:
    """Return the time that Ray needs for a folder."""
    from furiosa_models.integrations.ray import predict_dataset

    expected = len(list(folder.iterdir()))
    start = time.perf_counter()
    found = predict_dataset(folder, options.model, options.weights, device="cpu")
    count = sum(1 for _ in found.iter_rows())
    if count != expected:
        msg = f"expected {expected} rows, got {count}"
        raise RuntimeError(msg)
    return time.perf_counter() - start


@contextmanager
def _repeated(photos: Sequence[Path], count: int) -> Iterator[Path]:
    """Provide a folder with `count` links to photos."""
    with tempfile.TemporaryDirectory() as name:
        for number, photo in enumerate(islice(cycle(photos), count)):
            (Path(name) / f"{number:06d}{photo.suffix}").symlink_to(photo.resolve())
        yield Path(name)


if __name__ == "__main__":
    main()
