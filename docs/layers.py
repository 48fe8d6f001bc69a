"""The order of layers, which a test holds, and its table in the documentation."""

from __future__ import annotations

import ast
from pathlib import Path

__all__ = ["LAYERS", "layers_table"]

PACKAGE = Path(__file__).parents[1] / "furiosa_models"

LAYERS = (
    "errors enums _native",
    "settings progress _lazy output",
    "spec labels processors",
    "ops artifacts",
    "networks",
    "frameworks runtime",
    "images",
    "data focoos tasks tracking tiles",
    "heads quantization",
    "saved exported weights resized",
    "programs",
    "evaluation benchmark training export model_info",
    "model",
    "task_models",
    "catalog",
    "zoo",
    "registry hub",
    "model_registry overrides focoos_families described manager",
    "compressor integrations serving",
    "types quantizer vision __init__",
    "cli client __main__",
)
"""A component imports only components on the lines above, or to its left on its line."""


def layers_table() -> str:
    """Return the components of each layer, with what they say about themselves, as Markdown."""
    rows = ["| layer | component | contents |", "|---|---|---|"]
    for number, components in enumerate(LAYERS, 1):
        for name in components.split():
            shown = "`__init__.py`" if name == "__init__" else f"`{name}`"
            rows.append(f"| {number} | {shown} | {_summary(name)} |")
    return "\n".join(rows)


def _summary(component: str) -> str:
    """Return the first sentence of a component's docstring."""
    if component == "_native":
        return "The native module, in Rust."
    folder = PACKAGE / component
    path = folder / "__init__.py" if folder.is_dir() else PACKAGE / f"{component}.py"
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.split("\n\n")[0].replace("\n", " ").replace("|", r"\|")
