"""The pages of notebooks show what was kept of their outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from notebook_pages import OUTPUTS, ROOT, notebook_page, notebooks


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_outputs_belong_to_the_cells(path: Path) -> None:
    cells = json.loads(path.read_text())["cells"]
    outputs = json.loads((OUTPUTS / f"{path.stem}.json").read_text())
    assert len(outputs) == len(cells), "run: python docs/notebook_outputs.py"
    for cell, shown in zip(cells, outputs, strict=True):
        assert not shown or cell["cell_type"] == "code"
    page = notebook_page(path)
    pictures = re.findall(r"images/notebooks/([\w-]+\.jpg)", page)
    assert pictures
    for name in pictures:
        assert (ROOT / "docs" / "images" / "notebooks" / name).is_file()
    assert "data:image" not in page
