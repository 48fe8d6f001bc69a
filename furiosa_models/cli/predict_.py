"""`furiosa-models predict`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from ..artifacts.progress import progress_bar
from ..catalog import get_model
from ..errors import ImageError
from ..vision.images import expand_sources
from ..vision.results import Classification, Detections
from ..vision.tasks import ImageModel
from . import options
from .table import print_json

__all__ = ["command"]


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
@click.option("--top-k", type=click.IntRange(min=1), default=5, show_default=True)
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
    """Run a MODEL on IMAGES: files, folders, globs or URLs.

    A photo that cannot be read is reported, the others are still run, and the exit code is 1.
    """
    with get_model(model, weights=weights, postprocessor_type=postprocess) as network:
        failed = False
        document: list[dict[str, Any]] = []
        for name, result in _results(network, images, arguments):
            if isinstance(result, ImageError):
                click.echo(f"Error: {result}", err=True)
                failed = True
                continue
            files = _write(result, output, name, {entry["image"] for entry in document})
            document.append({"image": name, "results": result.to_dict(), "files": files})
            if not as_json:
                _print(document[-1])
        if as_json:
            print_json(
                {"model": type(network).__name__, "weights": network.weights, "photos": document}
            )
    sys.exit(1 if failed else 0)


def _results(
    network: ImageModel[Any], images: tuple[str, ...], arguments: dict[str, Any]
) -> Iterator[tuple[str, Detections | Classification | ImageError]]:
    names: list[Any] = []
    for image in images:
        try:
            names += expand_sources(image)
        except ImageError as error:
            yield image, error
    with progress_bar(type(network).__name__, len(names), unit="photo") as bar:
        for name in names:
            try:
                yield name, network.predict(name, **arguments)
            except ImageError as error:
                yield name, error
            bar.update()


def _write(
    result: Detections | Classification, output: Path | None, name: str, taken: set[str]
) -> list[str]:
    """Write the annotated photo and its JSON; two photos of one name do not share files."""
    if output is None:
        return []
    output.mkdir(parents=True, exist_ok=True)
    same = sum(Path(other).stem == Path(name).stem for other in taken)
    stem = Path(name).stem + (f"-{same + 1}" if same else "")
    return [str(result.save(output / f"{stem}{suffix}")) for suffix in (".jpg", ".json")]


def _print(entry: dict[str, Any]) -> None:
    click.secho(entry["image"], bold=True)
    for item in entry["results"]:
        box = ", ".join(f"{edge:.0f}" for edge in item.get("box", ()))
        score = "     -" if item["score"] is None else f"{item['score']:6.3f}"
        click.echo(f"  {score}  {item.get('label', 'person')}" + (box and f"  [{box}]"))
    if not entry["results"]:
        click.echo("  nothing found")
    for file in entry["files"]:
        click.echo(f"  -> {file}")
