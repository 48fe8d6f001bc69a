"""The page of each notebook, with the outputs that `notebook_outputs.py` has kept."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["OUTPUTS", "notebook_page", "notebooks"]

ROOT = Path(__file__).parents[1]
OUTPUTS = ROOT / "docs" / "notebooks" / "outputs"


def notebooks() -> list[Path]:
    """Return the notebooks among the examples."""
    return sorted((ROOT / "examples" / "notebooks").glob("*.ipynb"))


def notebook_page(path: Path) -> str:
    """Return the cells of a notebook and their outputs as Markdown."""
    cells = json.loads(path.read_text())["cells"]
    outputs = json.loads((OUTPUTS / f"{path.stem}.json").read_text(encoding="utf-8"))
    parts = []
    for cell, shown in zip(cells, outputs, strict=True):
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
        parts += shown
    parts.insert(1, f"[Download the notebook]({path.name}), and run it in `examples/notebooks`.")
    return "\n\n".join([*parts, ""])
