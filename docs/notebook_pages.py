"""The page of each notebook."""

from __future__ import annotations

import json
from pathlib import Path

__all__ = ["notebook_page", "notebooks"]

ROOT = Path(__file__).parents[1]


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
