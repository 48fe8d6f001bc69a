"""Generate the sources of the documentation into `build/docs`, for MkDocs or another generator.

`python docs/generate.py` writes all pages as Markdown: those of this folder, and those about
models, notebooks, commands and performance; `llms.txt`, which lists them; and `build/mkdocs.yml`,
the configuration of MkDocs with a navigation of all pages.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import click
import yaml
from layers import layers_table
from model_pages import model_page, models_page, page_name
from notebook_pages import notebook_page, notebooks
from performance import performance_page
from records import cluster_table, int8_table

from furiosa_models import list_models
from furiosa_models.cli import COMMANDS, cli
from furiosa_models.registry import json_schema

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BUILD = ROOT / "build"
_WIDE = "---\nhide: [toc]\n---\n\n"
"""Front matter of a page whose tables need the width of the table of contents."""


def main() -> None:
    """Write the pages and the configuration into `build`."""
    folder = BUILD / "docs"
    shutil.rmtree(folder, ignore_errors=True)
    ignored = shutil.ignore_patterns("*.py", "__pycache__", "outputs")
    shutil.copytree(DOCS, folder, ignore=ignored)
    for path, text in generated().items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    tables = {"<!-- layers -->": layers_table(), "<!-- int8 -->": int8_table()}
    tables["<!-- cluster -->"] = cluster_table()
    for page in folder.rglob("*.md"):
        text = page.read_text()
        for marker, table in tables.items():
            text = text.replace(marker, table)
        page.write_text(text)
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text())
    (folder / "llms.txt").write_text(index(folder, config), encoding="utf-8")
    own = {"INHERIT": "../mkdocs.yml", "docs_dir": "docs", "site_dir": "../site"}
    (BUILD / "mkdocs.yml").write_text(yaml.safe_dump({**own, "nav": navigation(config["nav"])}))


def generated() -> dict[str, str]:
    """Return the texts of the generated files by path."""
    return {
        "index.md": _WIDE + (ROOT / "README.md").read_text().replace("](docs/", "]("),
        "changelog.md": (ROOT / "CHANGELOG.md").read_text(),
        "artifacts.schema.json": json.dumps(json_schema(), indent=2),
        "guide/cli.md": cli_page(),
        "guide/performance.md": performance_page(ROOT / "benchmarks" / "results"),
        "models/index.md": models_page(),
        **{f"models/{page_name(name)}": model_page(name) for name in list_models()},
        **{f"notebooks/{path.stem}.md": notebook_page(path) for path in notebooks()},
        **{f"notebooks/{path.name}": path.read_text() for path in notebooks()},
    }


def navigation(nav: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the navigation with a page for every model and notebook."""
    more = {
        "Models": [{name: f"models/{page_name(name)}"} for name in list_models()],
        "Notebooks": [f"notebooks/{path.stem}.md" for path in notebooks()],
    }
    return [
        {title: pages + more[title] if title in more else pages}
        for part in nav
        for title, pages in part.items()
    ]


def index(folder: Path, config: dict[str, Any]) -> str:
    """Return `llms.txt`: the title of every page, with a link to its Markdown."""
    lines = [f"# {config['site_name']}", "", f"> {config['site_description']}", ""]
    for page in sorted(folder.rglob("*.md")):
        title = re.search(r"^# (.+)$", page.read_text(), re.MULTILINE)
        path = page.relative_to(folder).as_posix()
        lines.append(f"- [{title[1] if title else path}]({path})")
    return "\n".join([*lines, ""])


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


if __name__ == "__main__":
    main()
