"""`furiosa-models info`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..catalog import open_model
from ..enums import Format
from ..errors import ArtifactNotFound, ConversionError, FuriosaModelsError, WeightsError
from ..frameworks import recognize
from ..manager import ModelManager
from ..model import Model
from ..networks.cost import cost_of
from ..saved import is_saved, read_info
from ..spec import GraphFacts
from . import options
from .table import print_json, short

__all__ = ["command"]

_SHOWN = 5


@click.command("info")
@click.argument("path", type=click.Path(path_type=Path))
@options.json_output
def command(path: Path, as_json: bool) -> None:
    """Tell what PATH is: its framework, inputs, outputs, and the head and labels recognized."""
    if not path.exists():
        msg = f"there is no file or folder {str(path)!r}"
        raise ArtifactNotFound(msg)
    facts: dict[str, Any] = {"path": str(path), "bytes": _bytes(path)}
    facts |= _description(path)
    facts |= _as_model(path)
    if as_json:
        print_json(facts)
        return
    click.secho(str(path), bold=True)
    width = max(map(len, facts))
    for name, value in facts.items():
        rows = _rows(name, value)
        for shown, row in zip([name, *[""] * len(rows)], rows, strict=False):
            click.echo(f"  {shown:<{width}}  {row}")


def _rows(name: str, value: Any) -> list[str]:
    """Return the lines of text of a fact."""
    if name == "labels":
        return [f"{len(value)}: {', '.join(_shortened(value))}"]
    if name == "input":
        return [f"{value['height']}x{value['width']}, {value['resize']}, {value['color']}"]
    if isinstance(value, list):
        rows = [*map(_line, value)]
        return _shortened(rows) if name == "arrays" else rows
    return [str(value)]


def _shortened(rows: list[str]) -> list[str]:
    more = len(rows) - _SHOWN
    return [*rows[:_SHOWN], f"... {more} more"] if more > 0 else rows


def _line(tensor: dict[str, Any] | str) -> str:
    """Return a line about a tensor, or its name if nothing else is known."""
    if isinstance(tensor, str):
        return tensor
    shape = ", ".join("n" if size is None else str(size) for size in tensor["shape"])
    return f"{tensor['name']} {tensor['dtype']} ({shape})"


def _bytes(path: Path) -> int:
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
    return sum(file.stat().st_size for file in files)


def _description(path: Path) -> dict[str, Any]:
    """Return what the `model_info.json` of a folder says."""
    if not is_saved(path):
        return {}
    info = read_info(path)
    names = ("name", "model_family", "task", "description", "val_metrics", "status", "updated_at")
    found = {name: info[name] for name in names if info.get(name) not in (None, "")}
    config = info.get("config")
    if isinstance(config, dict) and config.get("license"):
        found["license"] = config["license"]
    return found


def _as_model(path: Path) -> dict[str, Any]:
    """Return facts about the network, and about the model that it makes."""
    try:
        model = ModelManager.get(path) if path.is_dir() else open_model(str(path))
        return _facts(model.fitted())
    except FuriosaModelsError as error:
        return {**_framework(path), "problem": short(error)}


def _facts(model: Model[Any]) -> dict[str, Any]:
    spec, graph = model.input, model._weights.graph
    height, width = spec.size
    return {
        "format": graph.format.value,
        **_size(model),
        "inputs": _tensors(graph, "inputs"),
        "outputs": _tensors(graph, "outputs"),
        "model": type(model).__name__,
        "head": type(model.head).__name__,
        "input": {"height": height, "width": width, "resize": spec.resize, "color": spec.color},
        "labels": [*model.labels],
    }


def _size(model: Model[Any]) -> dict[str, Any]:
    """Return the number of parameters and operations of an ONNX network."""
    if model.format is not Format.ONNX:
        return {}
    try:
        cost = cost_of(model.origin)
    except ConversionError:  # an exported program
        return {}
    gflops = {} if cost.gflops is None else {"gflops": round(cost.gflops, 3)}
    return {"parameters": cost.parameters, **gflops}


def _tensors(graph: GraphFacts, which: str) -> list[dict[str, Any]]:
    return [
        {"name": tensor.name, "dtype": str(tensor.dtype), "shape": [*tensor.shape]}
        for tensor in getattr(graph, which)
    ]


def _framework(path: Path) -> dict[str, Any]:
    """Return the framework of a file that is no model by itself."""
    try:
        found = recognize(path)
    except FuriosaModelsError as error:
        weights = _arrays(path)  # without a network
        return weights or {"framework": f"unknown ({short(error)})"}
    if found is None:
        return _arrays(path) or {"framework": "not recognized"}
    names = {"inputs": found.input_names, "outputs": found.output_names}
    return {"framework": found.framework, **names}


def _arrays(path: Path) -> dict[str, Any]:
    """Return the names and shapes of the arrays in a file of weights."""
    from ..frameworks.checkpoints import READERS
    from ..networks import read_weights

    reader = READERS.get(path.suffix.lower())
    if reader is None or not path.is_file():
        return {}
    try:
        arrays = read_weights(reader, {path.name: path.read_bytes()})
    except WeightsError as error:
        return {"framework": f"{reader}, which cannot be read ({short(error)})"}
    rows = [
        {"name": name, "dtype": str(array.dtype), "shape": [*array.shape]}
        for name, array in arrays.items()
    ]
    return {"framework": f"weights ({reader})", "arrays": rows}
