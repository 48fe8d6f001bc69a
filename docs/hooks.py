"""Hooks of MkDocs that generate pages: models, command line, performance and changelog."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from layers import layers_table
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from models_table import best, models_table
from performance import performance_page
from pictures import PHOTOS, picture_of

from furiosa_models import get_model, list_models
from furiosa_models.artifacts import Artifact
from furiosa_models.cli import COMMANDS, cli
from furiosa_models.model import Model
from furiosa_models.networks import signature
from furiosa_models.registry import json_schema

ROOT = Path(__file__).parents[1]

_TEXTS: dict[str, tuple[str, str]] = {}
"""Title and Markdown of each page by its path."""


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add a page for every model and notebook to the navigation."""
    models, books = (
        next(part[title] for part in config.nav or [] if title in part)
        for title in ("Models", "Notebooks")
    )
    models += [{name: f"models/{page_name(name)}"} for name in list_models()]
    books += [f"notebooks/{path.stem}.md" for path in notebooks()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    pages = {
        "index.md": (ROOT / "README.md").read_text().replace("](docs/", "]("),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "artifacts.schema.json": json.dumps(json_schema(), indent=2),
        "guide/cli.md": cli_page(),
        "guide/performance.md": performance_page(ROOT / "benchmarks" / "results"),
        "models/index.md": models_page(),
        **{f"models/{page_name(name)}": model_page(name) for name in list_models()},
        **{f"notebooks/{path.stem}.md": notebook_page(path) for path in notebooks()},
        **{f"notebooks/{path.name}": path.read_text() for path in notebooks()},
    }
    for path, content in pages.items():
        files.append(File.generated(config, path, content=content))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Insert generated tables, and keep the text of a page for `llms.txt`."""
    del config, files
    text = markdown.replace("<!-- layers -->", layers_table())
    _TEXTS[page.file.src_uri] = (str(page.title or page.file.name), text)
    return text


def on_post_build(config: MkDocsConfig) -> None:
    """Write every page as Markdown, too, and `llms.txt`, which lists them."""
    site = Path(config.site_dir)
    lines = [f"# {config.site_name}", "", f"> {config.site_description}", ""]
    for path, (title, text) in sorted(_TEXTS.items()):
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text, encoding="utf-8")
        lines.append(f"- [{title}]({path})")
    (site / "llms.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")


def notebooks() -> list[Path]:
    """Return the notebooks among the examples."""
    return sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def notebook_page(path: Path) -> str:
    """Return the cells of a notebook as Markdown, without outputs."""
    parts = []
    for cell in json.loads(path.read_text())["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    parts.insert(1, f"[Download the notebook]({path.name}), and run it in `examples/notebooks`.")
    return "\n\n".join([*parts, ""])


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


def cli_page() -> str:
    """Return the page with the help of every command."""
    context = click.Context(cli, info_name="furiosa-models")
    lines = ["# Command line", "", "```text", cli.get_help(context), "```", ""]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        if command is not None:
            inner = click.Context(command, info_name=name, parent=context)
            lines += [f"## {name}", "", "```text", command.get_help(inner), "```", ""]
    return "\n".join(lines)
