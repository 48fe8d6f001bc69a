"""The notebooks run from top to bottom, without a network once the weights are there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

nbclient = pytest.importorskip("nbclient", reason="nbclient is not installed")
nbformat = pytest.importorskip("nbformat", reason="nbformat is not installed")
pytest.importorskip("ipykernel", reason="ipykernel is not installed")

pytestmark = [pytest.mark.notebooks, pytest.mark.usefixtures("use_warm_cache")]

EXAMPLES = Path(__file__).parents[2] / "examples"
NOTEBOOKS = sorted((EXAMPLES / "notebooks").glob("*.ipynb"))
MODELS = (
    *("ssd-mobilenet-v2", "mobilenet-v2"),
    *("deeplabv3-mobilenet-v2", "u2netp", "movenet-multi-pose"),
    *("efficientnet-lite0", "efficientnet-lite1", "efficientnet-lite2"),
)


@pytest.fixture(scope="module")
def weights(warm_cache: Path) -> None:
    """Fetch the weights that the notebooks need."""
    code = "from furiosa_models.cli import main; main()"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FURIOSA_MODELS_CACHE_HOME", str(warm_cache))
        subprocess.run([sys.executable, "-c", code, "fetch", *MODELS], check=True)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def executed(
    request: pytest.FixtureRequest, weights: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A notebook with its outputs."""
    del weights
    folder = tmp_path / "notebooks"
    folder.mkdir()
    shutil.copytree(EXAMPLES / "images", tmp_path / "images")
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{Path('/usr/bin')}:/bin")
    book = nbformat.read(request.param, as_version=4)
    client = nbclient.NotebookClient(
        book, timeout=250, resources={"metadata": {"path": str(folder)}}
    )
    client.execute()
    return book


def test_notebook_runs(executed: Any) -> None:
    outputs = [
        output for cell in executed.cells if cell.cell_type == "code" for output in cell.outputs
    ]
    shown = [output.data for output in outputs if "data" in output]
    assert any("image/png" in data or "<img" in data.get("text/html", "") for data in shown)
    errors = [output.text for output in outputs if output.get("name") == "stderr"]
    assert errors == []


def test_notebooks_are_found_and_have_no_outputs() -> None:
    assert len(NOTEBOOKS) == 7
    for path in NOTEBOOKS:
        book = nbformat.read(path, as_version=4)
        nbformat.validate(book)
        for cell in book.cells:
            assert not cell.get("outputs")
            assert not cell.get("execution_count")
