"""Run the notebooks, and keep what they show for the documentation.

`python docs/notebook_outputs.py` needs the extra `notebooks` and the weights. It writes pictures
into `docs/images/notebooks`, and the outputs of each cell into `docs/notebooks/outputs`.
"""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from notebook_pages import OUTPUTS, notebooks

__all__ = ["outputs_of"]

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images" / "notebooks"
WIDEST = 640
DATA_URL = re.compile(r'src="data:image/\w+;base64,([^"]+)"')


def main() -> None:
    """Write the outputs of all notebooks."""
    shutil.rmtree(PICTURES, ignore_errors=True)
    PICTURES.mkdir(parents=True)
    OUTPUTS.mkdir(exist_ok=True)
    for path in notebooks():
        found = [[*outputs_of(cell, path.stem)] for cell in executed(path)["cells"]]
        text = json.dumps(found, indent=1, ensure_ascii=False)
        (OUTPUTS / f"{path.stem}.json").write_text(f"{text}\n", encoding="utf-8")


def executed(path: Path) -> dict[str, Any]:
    """Return a notebook with its outputs; it runs in a copy of its folder."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder) / "examples" / "notebooks"
        shutil.copytree(path.parents[1], here.parent)
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": here}}
        ).execute()
    found: dict[str, Any] = notebook
    return found


def outputs_of(cell: dict[str, Any], stem: str) -> Iterator[str]:
    """Yield the outputs of a cell as Markdown, and write their pictures.

    Args:
        cell: The executed cell.
        stem: Beginning of the names of pictures.
    """
    for output in cell.get("outputs", ()):
        data = output.get("data", {})
        if "text/html" in data:
            # MkDocs leaves paths in HTML as they are, from the folder that a page becomes.
            html = DATA_URL.sub(
                lambda found: f'src="../{picture(found[1], stem)}"', data["text/html"]
            )
            html = html.replace(' border="1" class="dataframe"', "")  # of pandas
            yield re.sub(r"\s*\n\s*", "", html)
        elif image := data.get("image/png") or data.get("image/jpeg"):
            yield f"![]({picture(image, stem)})"
        else:
            text = output.get("text") or data.get("text/plain", "")
            yield f"```text\n{text.rstrip()}\n```"


def picture(encoded: str, stem: str) -> str:
    """Write a picture, and return its path from the page of the notebook."""
    from PIL import Image

    image = Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB")
    image.thumbnail((WIDEST, WIDEST))
    number = sum(1 for _ in PICTURES.glob(f"{stem}-*.jpg")) + 1
    path = PICTURES / f"{stem}-{number}.jpg"
    image.save(path, quality=80)
    return f"../images/notebooks/{path.name}"


if __name__ == "__main__":
    main()
