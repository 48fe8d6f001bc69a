"""Runs that are reported to a local hub with the routes of Focoos."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from furiosa_models.artifacts.sources import http
from furiosa_models.errors import HubError, TrainingError
from furiosa_models.hub import FocoosHUB

from ...unit.hub.server import KEY, FocoosServer, Handler, serve
from .scenes import args, classifier, squares

pytestmark = pytest.mark.torch


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FocoosServer]:
    monkeypatch.setattr(http, "BACKOFF_S", 0.001)
    with serve() as running:
        yield running


@pytest.fixture
def hub(server: FocoosServer) -> FocoosHUB:
    return FocoosHUB(KEY, server.url)


def test_run_appears_on_the_hub(hub: FocoosHUB, server: FocoosServer, tmp_path: Path) -> None:
    photos, folder = squares(tmp_path / "photos"), tmp_path / "run"
    model = classifier()
    model.train(args(folder, 2, sync_to_hub=True), photos, photos, hub=hub)
    assert server.models["m2"]["name"] == folder.name
    assert server.models["m2"]["classes"] == list(photos.classes)
    assert server.models["m2"]["config"]["num_classes"] == len(photos.classes)
    statuses = list(dict.fromkeys(sync["status"] for sync in server.syncs))
    assert statuses == ["TRAINING_STARTING", "TRAINING_RUNNING", "TRAINING_COMPLETED"]
    last = server.syncs[-1]
    entries = json.loads((folder / "metrics.json").read_text())
    assert last["metrics"]["train_metrics"] == [e for e in entries if "total_loss" in e]
    assert last["metrics"]["valid_metrics"] == [e for e in entries if "total_loss" not in e]
    assert last["iterations"] == 2
    assert server.files["m2.pth"] == (folder / "model_final.pth").read_bytes()
    uploaded = {name.removeprefix("m2.") for name in server.files if name.startswith("m2.")}
    assert {"model.onnx", "model_info.json", "metrics.json", "log.txt", "pth"} <= uploaded
    assert not [name for name in uploaded if name.startswith("model_0") or name == "hub.json"]
    assert server.leaks == []
    pulled = hub.pull("m2")
    assert (pulled / "model_final.pth").read_bytes() == server.files["m2.pth"]


def test_resumed_run_keeps_its_model(hub: FocoosHUB, server: FocoosServer, tmp_path: Path) -> None:
    photos, folder = squares(tmp_path / "photos"), tmp_path / "run"
    classifier().train(args(folder, 1, sync_to_hub=True), photos, photos, hub=hub)
    again = args(folder, 2, sync_to_hub=True, resume=True)
    classifier().train(again, photos, photos, hub=hub)
    assert sorted(server.models) == ["m1", "m2"]
    assert {sync["ref"] for sync in server.syncs} == {"m2"}
    assert server.syncs[-1]["iterations"] == 2
    with serve() as other:
        elsewhere = FocoosHUB(KEY, other.url)
        with pytest.raises(HubError, match="was reported to .*, not to"):
            classifier().train(again, photos, photos, hub=elsewhere)


def test_hub_that_dies_does_not_stop_the_run(
    hub: FocoosHUB, server: FocoosServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def dying(handler: Handler) -> bool:
        if len(server.syncs) < 2:
            return False
        handler.connection.close()
        return True

    server.faults.append(dying)
    photos, folder = squares(tmp_path / "photos"), tmp_path / "run"
    with caplog.at_level(logging.WARNING):
        trained = classifier().train(args(folder, 3, sync_to_hub=True), photos, photos, hub=hub)
    assert trained.iterations == 3
    assert (folder / "model_final.pth").is_file()
    assert "the run is not reported to the hub" in caplog.text
    assert KEY not in caplog.text


def test_failed_run_is_an_error_on_the_hub(
    hub: FocoosHUB, server: FocoosServer, tmp_path: Path
) -> None:
    photos = squares(tmp_path / "photos")
    wild = args(tmp_path / "run", 50, sync_to_hub=True, learning_rate=1e30, clip_gradients=0.0)
    with pytest.raises(TrainingError, match="not finite"):
        classifier().train(wild, photos, photos, hub=hub)
    assert server.syncs[-1]["status"] == "TRAINING_ERROR"
    assert "not finite" in server.syncs[-1]["training_info"]["failure_reason"]


def test_run_that_the_hub_refuses_leaves_no_trace(
    hub: FocoosHUB, server: FocoosServer, tmp_path: Path
) -> None:
    photos, folder = squares(tmp_path / "photos"), tmp_path / "run"
    server.models["m1"]["name"] = folder.name
    with pytest.raises(HubError, match="409"):
        classifier().train(args(folder, 1, sync_to_hub=True), photos, photos, hub=hub)
    server.models["m1"]["name"] = "free"
    classifier().train(args(folder, 1, sync_to_hub=True), photos, photos, hub=hub)
    assert server.syncs[-1]["status"] == "TRAINING_COMPLETED"
