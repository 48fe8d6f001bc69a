from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from furiosa_models.cli import cli
from furiosa_models.errors import FuriosaModelsError, HubError

from ..hub.server import KEY, FocoosServer, serve

INFO = {
    "name": "old",
    "model_family": "ssd",
    "classes": ["a"],
    "im_size": 8,
    "task": "detection",
    "config": {},
    "weights_uri": "model.onnx",
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FocoosServer]:
    with serve() as running:
        monkeypatch.setenv("DEFAULT_HOST_URL", running.url)
        monkeypatch.setenv("FOCOOS_API_KEY", KEY)
        yield running


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "saved"
    found.mkdir()
    (found / "model_info.json").write_text(json.dumps(INFO))
    (found / "model.onnx").write_bytes(b"graph")
    (found / "model_final.pth").write_bytes(b"state")
    return found


def run(*arguments: object) -> str:
    done = CliRunner().invoke(cli, [*map(str, arguments)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_model_is_pushed_and_pulled(folder: Path, tmp_path: Path) -> None:
    place = tmp_path / "zoo" / "shelf"
    assert run("push", folder, f"{place}@1") == f"{folder} -> {place}@1\n"
    pulled = json.loads(run("pull", place, "--json"))
    assert (Path(pulled["folder"]) / "model.onnx").read_bytes() == b"graph"
    said = run("pull", place, "--output", tmp_path / "copy", "--no-cache")
    assert f"furiosa-models predict {tmp_path}/copy PHOTO" in said
    copy = tmp_path / "copy" / "model.onnx"
    copy.write_bytes(b"edited")  # it is neither read-only nor a link into the cache
    assert (Path(pulled["folder"]) / "model.onnx").read_bytes() == b"graph"
    with pytest.raises(FuriosaModelsError, match="already exists"):
        run("pull", place, "--output", tmp_path / "copy")


def test_model_of_focoos_is_pushed_and_pulled(
    server: FocoosServer, folder: Path, tmp_path: Path
) -> None:
    said = json.loads(run("push", folder, "hub://shelf", "--json"))
    assert said == {"ref": "hub://m2", "version": None}
    run("pull", "hub://m2", "-o", tmp_path / "copy")
    assert (tmp_path / "copy" / "model_final.pth").read_bytes() == b"state"
    assert server.leaks == []


def test_options_reach_the_hub(folder: Path, tmp_path: Path) -> None:
    for options in (["--private"], ["--public"], ["--message", "new"]):
        with pytest.raises(HubError, match="neither private= nor message="):
            run("push", folder, tmp_path / "zoo" / "shelf", *options)


@pytest.mark.usefixtures("server")
def test_hub_shows_models_and_data_sets() -> None:
    assert "m1   shelves  detection  TRAINING_COMPLETED" in run("hub", "models")
    assert json.loads(run("hub", "models", "--json"))[0]["ref"] == "m1"
    assert "d1   goods  detection  roboflow_coco  1.5 MB" in run("hub", "datasets")
    shared = json.loads(run("hub", "datasets", "--shared", "--json"))
    assert [each["ref"] for each in shared] == ["d1", "d2"]
    said = run("hub", "info", "hub://m1")
    assert "shelves" in said
    assert "bbox/AP" in said
    assert json.loads(run("hub", "info", "m1", "--json"))["classes"] == ["box", "can"]
