"""The page of each model: what it does, how good and fast it is, and what it takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from models_table import best, models_table
from pictures import PHOTOS, picture_of

from furiosa_models import get_model, list_models
from furiosa_models.artifacts import Artifact
from furiosa_models.model import Model
from furiosa_models.networks import signature

__all__ = ["model_page", "models_page", "page_name"]

ROOT = Path(__file__).parents[1]


def page_name(model: str) -> str:
    """Return the file name of a model's page."""
    return f"{model.lower()}.md"


def models_page() -> str:
    """Return the page with the tables of all models."""
    table = models_table(lambda name: f"[`{name}`]({page_name(name)})")
    rows = ["# Models", "", table, "", "| model | weights | what it is |", "|---|---|---|"]
    for name in list_models():
        model = get_model(name)
        sets = ", ".join(f"`{weights}`" for weights in model.available_weights())
        rows.append(f"| [`{name}`]({page_name(name)}) | {sets} | {summary(model)} |")
    return "\n".join([*rows, ""])


def model_page(name: str) -> str:
    """Return a model's page: description, inputs, outputs, weights and an example."""
    model = get_model(name, weights="random")
    return "\n".join(
        [
            f"# {name}",
            "",
            inspect.cleandoc(type(model).__doc__ or ""),
            "",
            *picture(name),
            *publication(model),
            "## Inputs",
            "",
            *inputs(model),
            "",
            "## Outputs",
            "",
            *outputs(model),
            "",
            "## Weights",
            "",
            *weights(model),
            "",
            "## Example",
            "",
            *example(name),
            "",
        ]
    )


def picture(name: str) -> Iterator[str]:
    """Yield a picture of the model's results, and the code that makes it."""
    path = picture_of(name)
    artifact = best(get_model(name))
    if path is None or artifact is None:
        return
    photo = PHOTOS[get_model(name).vision_task.name]
    is_default = next(iter(get_model(name).catalog().values())) is artifact
    arguments = "" if is_default else f'"{artifact.weights}"'
    yield from ["```python", f"from furiosa_models.vision import {name}", ""]
    yield f'{name}({arguments}).predict("examples/images/{photo}").save("{name.lower()}.jpg")'
    yield from ["```", "", f"![What {name} finds](../images/models/{path.name})", ""]


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
    yield f"| values | 0 to 255 | (x - {numbers(spec.mean)}) / {numbers(spec.std)} |"
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


def example(name: str) -> Iterator[str]:
    """Yield the model's example files, or else a generic example."""
    texts = {path.name: path.read_text() for path in sorted((ROOT / "examples").glob("*.py"))}
    examples = {file: t for file, t in texts.items() if f"import {name}\n" in t and "runner" in t}
    for file, text in examples.items():
        yield from [f"`examples/{file}`:", "", "```python", text.rstrip(), "```", ""]
    if not examples:
        yield from ["```python", f"from furiosa_models.vision import {name}", ""]
        yield from [f'print({name}().predict("examples/images/coffee.png"))', "```", ""]
