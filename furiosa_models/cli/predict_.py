"""`furiosa-models predict`."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from ..catalog import get_model
from ..errors import ImageError
from ..images.sources import count
from ..tasks.base import Result
from . import options
from .table import print_json

__all__ = ["command"]

_TASK_OPTIONS = ("score_threshold", "iou_threshold", "top_k")
_FRAME = re.compile(r"(?P<video>.+)#(?P<index>\d+)")


@click.command("predict")
@click.argument("model")
@click.argument("images", nargs=-1, required=True)
@click.option(
    "-o",
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write an annotated picture and a JSON file per photo into this folder.",
)
@options.weights
@click.option("--score-threshold", type=float, help="Least score of a detection, 0 to 1.")
@click.option("--iou-threshold", type=float, help="Largest overlap of two detections, 0 to 1.")
@click.option("--top-k", type=click.IntRange(min=1), help="Number of classes of a photo.")
@options.draft
@options.device
@options.postprocess
@options.json_output
def command(
    model: str,
    images: tuple[str, ...],
    output: Path | None,
    weights: str | None,
    postprocess: str,
    as_json: bool,
    **arguments: Any,
) -> None:
    """Run a MODEL on IMAGES: files, videos, folders, globs or URLs.

    A photo that cannot be read is reported, the others are still run, and the exit code is 1.
    """
    report = _Report(output, as_json=as_json)
    task_options = {name: arguments.pop(name) for name in _TASK_OPTIONS}
    with get_model(model, weights=weights, postprocessor_type=postprocess) as network:
        given = {name: value for name, value in task_options.items() if value is not None}
        if unknown := given.keys() - {*network.vision_task.options}:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(unknown))
            msg = f"{type(network).__name__} has no {names}: its task is {network.vision_task.name}"
            raise click.UsageError(msg)
        results = network.predict(
            images,
            stream=True,
            on_error=report.tell,
            progress=_shows_progress(images, as_json=as_json),
            **arguments,
            **given,
        )
        for result in results:
            report.add(result)
        if as_json:
            facts = {"model": type(network).__name__, "weights": network.weights}
            print_json({**facts, "photos": report.entries})
    sys.exit(1 if report.failed else 0)


class _Report:
    """What becomes of the results: files, lines, or entries of a document.

    Attributes:
        entries: The results, for JSON.
        failed: Whether there was a photo that could not be read.
    """

    def __init__(self, output: Path | None, *, as_json: bool) -> None:
        self.entries: list[dict[str, Any]] = []
        self.failed = False
        self._output = output
        self._as_json = as_json
        self._taken: Counter[str] = Counter()

    def tell(self, _: object, error: ImageError) -> None:
        """Report a photo that cannot be read."""
        click.echo(f"Error: {error}", err=True)
        self.failed = True

    def add(self, result: Result) -> None:
        """Write and print a result, or keep it for the document."""
        # A frame of a video and what a URL gives are kept decoded, and have a name.
        image: Any = result.image
        name = str(image if isinstance(image, Path) else image.name)
        files = self._write(result, name)
        entry = {"image": name, "results": result.to_dict(), "files": files}
        if self._as_json:
            self.entries.append(entry)
        else:
            _print(name, list(result.describe()), files)

    def _write(self, result: Result, name: str) -> list[str]:
        """Write the annotated photo and its JSON; two photos of one name do not share files."""
        if self._output is None:
            return []
        self._output.mkdir(parents=True, exist_ok=True)
        stem = _stem(name)
        self._taken[stem] += 1
        if self._taken[stem] > 1:
            stem += f"-{self._taken[stem]}"
        return [str(result.save(self._output / f"{stem}{suffix}")) for suffix in (".jpg", ".json")]


def _shows_progress(images: tuple[str, ...], *, as_json: bool) -> bool:
    """Whether a bar is of use: for many photos, and where it does not mix with printed results."""
    return (as_json or not sys.stdout.isatty()) and count(images) != 1


def _stem(name: str) -> str:
    """Name of the files for a photo, or for a frame of a video."""
    frame = _FRAME.fullmatch(name)
    if frame is None:
        return Path(name).stem
    return f"{Path(frame['video']).stem}-frame{int(frame['index']):06d}"


def _print(name: str, lines: Sequence[str], files: Sequence[str]) -> None:
    click.secho(name, bold=True)
    for line in lines or ["nothing found"]:
        click.echo(f"  {line}")
    for file in files:
        click.echo(f"  -> {file}")
