"""`furiosa-models info`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ..catalog import open_model
from ..enums import Format
from ..errors import ArtifactNotFound, FuriosaModelsError, WeightsError
from ..frameworks import recognize
from ..manager import ModelManager
from ..model import Model
from ..networks.cost import cost_of
from ..saved import is_saved, read_info
from ..spec import GraphFacts
from . import options
from .table import print_json, short

__all__ = ["command"]

_SHOWN_LABELS = 5


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
        rows = value if isinstance(value, list) else [value]
        for shown, row in zip([name, *[""] * len(rows)], rows, strict=False):
            click.echo(f"  {shown:<{width}}  {row}")


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
    labels = model.labels
    shown = ", ".join(labels[:_SHOWN_LABELS])
    more = ", ..." if len(labels) > _SHOWN_LABELS else ""
    height, width = spec.size
    return {
        "format": graph.format.value,
        **_size(model),
        "inputs": _tensors(graph, "inputs"),
        "outputs": _tensors(graph, "outputs"),
        "class": type(model).__name__,
        "head": type(model.head).__name__,
        "input": f"{height}x{width}, {spec.resize}, {spec.color}",
        "labels": f"{len(labels)}: {shown}{more}",
    }


def _size(model: Model[Any]) -> dict[str, Any]:
    """Return the number of parameters and operations of an ONNX network."""
    if model.format is not Format.ONNX:
        return {}
    cost = cost_of(model.origin)
    gflops = {} if cost.gflops is None else {"gflops": round(cost.gflops, 3)}
    return {"parameters": cost.parameters, **gflops}


def _tensors(graph: GraphFacts, which: str) -> list[str]:
    rows = []
    for tensor in getattr(graph, which):
        shape = ", ".join("n" if size is None else str(size) for size in tensor.shape)
        rows.append(f"{tensor.name} {tensor.dtype} ({shape})")
    return rows


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
    rows = [f"{name} {array.dtype} {array.shape}" for name, array in arrays.items()]
    rest = [f"... {len(rows) - _SHOWN_LABELS} more"] if len(rows) > _SHOWN_LABELS else []
    return {"framework": f"weights ({reader})", "arrays": rows[:_SHOWN_LABELS] + rest}
