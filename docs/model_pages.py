"""The page of each model: what it does, how good and fast it is, and what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

from charts import scatter
from models_table import TASKS, at_once, best, cost_by_name, milliseconds, models_table
from pictures import PHOTOS, picture_of
from records import accuracy_of, metric_of, photos_of, points, speed_of

from furiosa_models import get_model, list_models
from furiosa_models.artifacts import Artifact
from furiosa_models.enums import Task
from furiosa_models.model import Model
from furiosa_models.networks import signature

__all__ = ["model_page", "models_page", "page_name"]

ROOT = Path(__file__).parents[1]
CHARTS = {
    "image_classification": "Classifiers by accuracy and speed",
    "object_detection": "Detectors by accuracy and speed",
}
MIN_POINTS = 3
"""Fewer models make no chart."""


def page_name(model: str) -> str:
    """Return the file name of a model's page."""
    return f"{model.lower()}.md"


def models_page() -> str:
    """Return the page that helps to choose a model: charts, and the tables of all models."""
    table = models_table(lambda name: f"[`{name}`]({page_name(name)})")
    rows = ["---", "hide: [toc]", "---", "", "# Models", "", table, ""]
    for task, title in CHARTS.items():
        rows += [f"## {title}", "", *chart_of(task)]
    rows += ["## Weights", "", "| model | weights | what it is |", "|---|---|---|"]
    for name in list_models():
        model = get_model(name)
        sets = ", ".join(f"`{weights}`" for weights in model.available_weights())
        rows.append(f"| [`{name}`]({page_name(name)}) | {sets} | {summary(model)} |")
    return "\n".join([*rows, ""])


def model_page(name: str) -> str:
    """Return a model's page: an example first, then its figures, and then the details."""
    model = get_model(name, weights="random")
    sections = {
        "Accuracy and speed": figures(name),
        "Weights": weights(model),
        "License": license_terms(model),
        "Input": inputs(model),
        "Outputs": outputs(model),
        "Classes": classes(model),
        "In three steps": three_steps(name),
    }
    lines = [f"# {name}", "", inspect.cleandoc(type(model).__doc__ or ""), ""]
    lines += [*facts(model), *predict_first(name), *publication(model)]
    for title, section in sections.items():
        found = [*section]
        lines += [f"## {title}", "", *found, ""] if found else []
    return "\n".join(lines)


def facts(model: Model[Any]) -> Iterator[str]:
    """Yield a line of what a user compares models by."""
    name = type(model).__name__
    cost, artifact, time = cost_by_name(name), best(model), milliseconds(name)
    height, width = model.input.size
    shown = [
        TASKS[model.vision_task.name],
        f"{len(model.labels)} classes" if _has_classes(model) else "",
        f"{width}x{height} pixels",
        f"{cost.parameters / 1e6:.1f} M parameters",
        "" if cost.gflops is None else f"{cost.gflops:.1f} GFLOPs",
        f"{time} on a CPU" if time else "",
        f"weights under {artifact.license.origin}" if artifact else "",
        f"at once: {at_once(model)}",
    ]
    yield " · ".join(each for each in shown if each)
    yield ""


def predict_first(name: str) -> Iterator[str]:
    """Yield the code of a first prediction, and the picture that it draws."""
    model, path = get_model(name), picture_of(name)
    artifact = best(model)
    if artifact is None:
        arguments = '"your_weights.onnx"'
    else:
        is_default = next(iter(model.catalog().values())) is artifact
        arguments = "" if is_default else f'"{artifact.weights}"'
    photo = PHOTOS.get(model.vision_task.name, "astronaut.png")
    yield from ["```python", f"from furiosa_models.vision import {name}", ""]
    yield f'result = {name}({arguments}).predict("examples/images/{photo}")'
    yield from ["print(result)", f'result.save("{name.lower()}.jpg")', "```", ""]
    if path is not None:
        yield from [f"![What {name} finds](../images/models/{path.name})", ""]


def figures(name: str) -> Iterator[str]:
    """Yield the recorded accuracy and speed in each precision, and a chart beside other models."""
    rows = [*figure_rows(name)]
    if not rows:
        return
    yield "| precision | accuracy | one photo | 99 of 100 | photos/s | load | peak memory |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    yield from rows
    yield ""
    record = speed_of(name)
    if record is not None:
        yield (
            f"Measured on {record['threads']} threads of {record['hardware']} with "
            f"{record['backend']} ({record['date'][:10]}): *one photo* is the network alone, "
            "*photos/s* a stream of photos with decoding."
        )
        yield ""
    yield from chart_of(get_model(name).vision_task.name, name)


def figure_rows(name: str) -> Iterator[str]:
    """Yield a row of the table of figures for each precision that was measured."""
    for precision in ("fp32", "int8"):
        speed, accuracy = speed_of(name, precision), accuracy_of(name, precision)
        if speed is None and accuracy is None:
            continue
        cells = [precision]
        if accuracy is None:
            cells.append("-")
        else:
            metric = metric_of(accuracy)
            value = accuracy["figures"][metric]
            cells.append(f"{metric} {value:.3f} on {photos_of(accuracy)}")
        if speed is None:
            cells += ["-"] * 5
        else:
            memory = speed["peak_memory_bytes"]
            cells += [
                f"{speed['run_p50_ms']:.1f} ms",
                f"{speed['run_p99_ms']:.1f} ms",
                f"{speed['streamed_photos_per_second']:.0f}",
                f"{speed['load_ms']:.0f} ms",
                "-" if memory is None else f"{memory / 1e6:.0f} MB",
            ]
        yield f"| {' | '.join(cells)} |"


def chart_of(task: str, name: str = "") -> Iterator[str]:
    """Yield a chart of the accuracy and speed of the models of a task; one of them stands out."""
    found = {p.name: (p.milliseconds, 100 * p.accuracy) for p in points(task)}
    if task not in CHARTS or len(found) < MIN_POINTS or (name and name not in found):
        return
    record = accuracy_of(next(iter(found)))
    assert record is not None
    axes = ("milliseconds of a photo", f"{metric_of(record)} in %")
    yield scatter(f"{CHARTS[task]} {name}", found, axes, highlighted=[name] if name else [])
    yield ""
    yield f"Accuracy on {photos_of(record)}, float32, against the time of the network on a CPU."
    yield ""


def summary(model: Model[Any]) -> str:
    """Return the first line of a model's docstring."""
    return inspect.cleandoc(type(model).__doc__ or "").splitlines()[0]


def publication(model: Model[Any]) -> Iterator[str]:
    """Yield lines about the publication of the network, if known."""
    found = model.metadata.publication if model.metadata else None
    if found is not None:
        text = found.title or found.url or ""
        yield f"Published: [{text}]({found.url})." if found.url else f"Published: {text}."
        yield ""


def inputs(model: Model[Any]) -> Iterator[str]:
    """Yield lines about the input of the network, from the model's specification."""
    spec = model.input
    height, width = spec.size
    how = {
        "stretch": f"stretched to {width}x{height}",
        "letterbox": f"fitted into {width}x{height}, padded with {spec.pad_value}",
        "crop": f"shorter side to {spec.resize_to}, then the center {width}x{height}",
    }[spec.resize]
    yield "| | `preprocess(...)` | `preprocess(..., with_scaling=True)` |"
    yield "|---|---|---|"
    yield "| for | `model_source()` | `origin` |"
    yield f"| shape | (n, 3, {height}, {width}) | (n, 3, {height}, {width}) |"
    yield "| dtype | uint8 | float32 |"
    shifted = f"(x - {numbers(spec.mean)})" if any(spec.mean) else "x"
    scaled = shifted if {*spec.std} == {1.0} else f"{shifted} / {numbers(spec.std)}"
    yield f"| values | 0 to 255 | {scaled} |"
    yield f"| channels | {spec.color.upper()} | {spec.color.upper()} |"
    yield ""
    yield f"A photo is {how} ({spec.interpolation.replace('_', ' ')})."


def numbers(values: tuple[float, ...]) -> str:
    """Format values per channel: one number if all are equal, else a list."""
    same = len(set(values)) == 1
    return f"{values[0]:g}" if same else "[" + ", ".join(f"{v:g}" for v in values) + "]"


def outputs(model: Model[Any]) -> Iterator[str]:
    """Yield a table of the network's outputs, read from its graph."""
    yield "| output | shape | dtype |"
    yield "|---|---|---|"
    for tensor in signature(model.origin)[1]:
        shape = ", ".join("n" if isinstance(size, str) else str(size) for size in tensor.shape)
        yield f"| `{tensor.name}` | ({shape}) | {tensor.dtype} |"


def weights(model: Model[Any]) -> Iterator[str]:
    """Yield a table of the model's sets of weights."""
    yield "In order of preference; `weights=` chooses one."
    yield ""
    yield "| set | accuracy | measured on, by | size | license: origin / carrier | from |"
    yield "|---|---|---|---|---|---|"
    for artifact in model.catalog().values():
        yield weights_row(artifact)


def weights_row(artifact: Artifact) -> str:
    """Return the table row of a set of weights."""
    figures = "<br>".join(f"{a.metric} {a.value:.4f}" for a in artifact.accuracy) or "not measured"
    where = "<br>".join(f"{a.dataset}, {a.measured_by}" for a in artifact.accuracy) or "-"
    size = f"{artifact.size / 1e6:.1f} MB"
    found = artifact.license
    terms = f"{found.origin} / {found.carrier or '-'}"
    note = f"<br>{found.note}" if found.note else ""
    row = [f"`{artifact.weights}`", figures, where, size, terms + note, f"`{artifact.location}`"]
    return f"| {' | '.join(row)} |"


def license_terms(model: Model[Any]) -> Iterator[str]:
    """Yield what the licenses of the weights mean for a user."""
    terms = {each.license.origin: each.license.terms for each in model.catalog().values()}
    for name, text in terms.items():
        yield f"**{name}**: {text}"
        yield ""
    if terms:
        yield "This is no legal advice; the license itself counts."


def classes(model: Model[Any]) -> Iterator[str]:
    """Yield the names of the classes, folded; the outputs are in this order."""
    if not _has_classes(model):
        return
    names = ", ".join(escape(name) for name in model.labels)
    yield f"<details><summary>{len(model.labels)} classes</summary>{names}</details>"


def _has_classes(model: Model[Any]) -> bool:
    """Return whether results say one of several classes; poses are of people only."""
    return len(model.labels) > 1 and model.vision_task.task is not Task.KEYPOINT


def three_steps(name: str) -> Iterator[str]:
    """Yield the example files that run the model as in furiosa-models 0.10."""
    for path in sorted((ROOT / "examples").glob("*.py")):
        text = path.read_text()
        if f"import {name}\n" in text and "runner" in text:
            yield from [f"`examples/{path.name}`:", "", "```python", text.rstrip(), "```", ""]
