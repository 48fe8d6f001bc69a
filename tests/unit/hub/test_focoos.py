from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from furiosa_models.enums import ModelFamily, ModelStatus, Task
from furiosa_models.errors import FuriosaModelsError, HubError
from furiosa_models.hub import FocoosHUB, FocoosHub, HubSyncLocalTraining, Metrics
from furiosa_models.model_info import ModelInfo, TrainingInfo

from .server import KEY, MODEL, WEIGHTS, FocoosServer, Handler


def info(**changes: object) -> ModelInfo:
    known = {
        "name": "new",
        "model_family": "ssd",
        "classes": ["cat", "dog"],
        "im_size": 300,
        "task": "detection",
        "config": {"a": 1},
    }
    return ModelInfo.from_json({**known, **changes})


def test_both_spellings_are_one_class() -> None:
    assert FocoosHub is FocoosHUB


def test_constructor_reads_the_user(hub: FocoosHUB, server: FocoosServer) -> None:
    assert hub.user_info.email == "ann@example.com"
    assert hub.user_info.quotas is not None
    assert hub.user_info.quotas.max_inferences == 1000
    assert hub.user_info.api_key is not None
    assert hub.user_info.api_key.key == KEY
    assert server.routes() == ["GET /v0/user/"]


def test_models_and_data_sets_are_listed(hub: FocoosHUB) -> None:
    assert [(each.ref, each.name) for each in hub.list_remote_models()] == [("m1", "shelves")]
    assert [each.ref for each in hub.list_remote_datasets()] == ["d1"]
    both = hub.list_remote_datasets(include_shared=True)
    assert [each.ref for each in both] == ["d1", "d2"]
    assert both[0].spec is not None
    assert both[0].spec.train_length == 80


def test_model_tells_about_its_training(hub: FocoosHUB) -> None:
    model = hub.get_remote_model("m1")
    assert model.get_info().name == "shelves" == model.model_info.name
    train = model.train_info()
    assert train is not None
    assert train.main_status == "DONE"
    assert model.train_logs() == ["one", "two"]
    assert model.metrics() == Metrics(iterations=7, valid_metrics=[{"a": 1}])


def test_model_without_training_has_no_figures(hub: FocoosHUB, server: FocoosServer) -> None:
    server.models["m2"] = {**MODEL, "ref": "m2"}
    model = hub.get_remote_model("m2")
    assert (model.train_info(), model.train_logs(), model.metrics()) == (None, [], Metrics())


def test_failing_hub_is_not_a_model_without_training(hub: FocoosHUB, server: FocoosServer) -> None:
    model = hub.get_remote_model("m1")

    def broken(handler: Handler) -> bool:
        handler.send(500, b"oops")
        return True

    server.faults.append(broken)
    for ask in (model.train_info, model.train_logs, model.metrics):
        with pytest.raises(HubError, match="500 oops: try again later"):
            ask()


def test_inference_sends_a_jpeg_of_the_photo(
    hub: FocoosHUB, server: FocoosServer, photos: list[Path]
) -> None:
    found = hub.get_remote_model("m1").infer(photos[0], threshold=0.5, annotate=True)
    assert [(each.label, each.bbox) for each in found] == [("can", [1, 2, 30, 40])]
    assert found.latency is not None
    assert found.latency.inference == 0.012
    photo = np.asarray(Image.open(photos[0]).convert("RGB"))
    sent = np.asarray(Image.open(io.BytesIO(server.files["photo.jpg"])))
    assert sent.shape == photo.shape
    assert np.abs(sent.astype(int) - photo).mean() < 4
    assert isinstance(found.image, np.ndarray)
    assert found.image.shape == photo.shape
    assert (found.image != photo).any()


def test_inference_takes_rgb_arrays(hub: FocoosHUB, server: FocoosServer) -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[..., 0] = 250
    assert len(hub.get_remote_model("m1").infer(photo, threshold=0.1)) == 2
    sent = Image.open(io.BytesIO(server.files["photo.jpg"])).getpixel((5, 5))
    assert isinstance(sent, tuple)
    assert sent[0] > 200
    assert sent[2] < 60


def test_new_model_is_created_once(hub: FocoosHUB, server: FocoosServer) -> None:
    model = hub.new_model(info())
    assert model is not None
    assert model.ref == "m2"
    assert server.models["m2"]["classes"] == ["cat", "dog"]
    with pytest.raises(HubError, match="409 .*already exists.*: choose another name") as caught:
        hub.new_model(info())
    assert caught.value.status == 409
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("given", [{"task": Task.KEYPOINT}, {"model_family": ModelFamily.RTMO}])
def test_models_with_keypoints_are_not_created(
    hub: FocoosHUB, server: FocoosServer, given: dict[str, object]
) -> None:
    assert hub.new_model(info(**given)) is None
    assert list(server.models) == ["m1"]


def test_run_is_synchronized_and_uploaded(
    hub: FocoosHUB, server: FocoosServer, tmp_path: Path
) -> None:
    model = hub.get_remote_model("m1")
    (tmp_path / "model_final.pth").write_bytes(b"weights" * 100_000)
    (tmp_path / "log.txt").write_text("a line")
    state = HubSyncLocalTraining(
        ModelStatus.TRAINING_RUNNING, TrainingInfo("x"), Metrics(iterations=5), 5
    )
    model.sync_local_training_job(state, tmp_path, ["model_final.pth", "log.txt"])
    (sync,) = server.syncs
    assert (sync["status"], sync["iterations"]) == ("TRAINING_RUNNING", 5)
    assert sync["training_info"]["algorithm_name"] == "x"
    assert server.files["m1.pth"] == b"weights" * 100_000
    assert server.files["m1.log.txt"] == b"a line"
    assert server.leaks == []


def test_files_that_the_hub_does_not_take_are_an_error(hub: FocoosHUB, tmp_path: Path) -> None:
    (tmp_path / "net.exe").write_bytes(b"x")
    model = hub.get_remote_model("m1")
    with pytest.raises(HubError, match="takes .pth .pt .onnx .json .txt files, not net.exe"):
        model.upload(tmp_path / "net.exe")
    with pytest.raises(HubError, match="log.txt: No such file"):
        model.upload(tmp_path / "log.txt")


def test_data_set_is_downloaded_and_uploaded(
    hub: FocoosHUB, server: FocoosServer, tmp_path: Path
) -> None:
    dataset = hub.get_remote_dataset("d1")
    assert (dataset.name, dataset.task, dataset.layout) == ("goods", "detection", "roboflow_coco")
    path = dataset.download(tmp_path / "sets")
    assert path == str(tmp_path / "sets" / "d1.zip")
    assert Path(path).read_bytes() == b"PK-zip"
    with pytest.raises(FuriosaModelsError, match="already exists"):
        dataset.download_data(tmp_path / "sets")
    (tmp_path / "mine.zip").write_bytes(b"PK-more")
    spec = dataset.upload(tmp_path / "mine.zip")
    assert spec is not None
    assert spec.size_mb == 1.5
    assert server.files["d1.mine.zip"] == b"PK-more"
    assert server.routes()[-2:] == ["POST /v0/datasets/d1/complete-upload", "GET /v0/datasets/d1"]
    assert server.leaks == []


def test_training_is_watched_until_it_ends(
    hub: FocoosHUB,
    server: FocoosServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 2:
            server.models["m1"]["status"] = "TRAINING_COMPLETED"

    monkeypatch.setattr("furiosa_models.hub.remote_model.time.sleep", sleep)
    server.models["m1"]["status"] = "TRAINING_RUNNING"
    model = hub.get_remote_model("m1")
    with caplog.at_level("INFO", "furiosa_models"):
        model.notebook_monitor_train(interval=30)
    assert naps == [30, 30]
    assert caplog.text.count("TRAINING_RUNNING, iteration 7, {'a': 1}") == 2
    server.models["m1"]["status"] = "TRAINING_RUNNING"
    model.notebook_monitor_train(interval=30, max_runtime=10)
    assert len(naps) == 2
    for wrong in ({"interval": 29}, {"interval": 241}, {"plot_metrics": True}):
        with pytest.raises(ValueError, match="interval must be|plots are not supported"):
            model.notebook_monitor_train(**wrong)


def test_only_zip_files_are_uploaded(hub: FocoosHUB, tmp_path: Path) -> None:
    with pytest.raises(HubError, match="expected a zip file"):
        hub.get_remote_dataset("d1").upload(tmp_path)


def test_pulled_model_is_a_folder_with_its_description(
    hub: FocoosHUB, server: FocoosServer
) -> None:
    folder = hub.pull("m1")
    assert sorted(path.name for path in folder.iterdir()) == ["model_final.pth", "model_info.json"]
    assert (folder / "model_final.pth").read_bytes() == WEIGHTS
    found = ModelInfo.from_json(folder / "model_info.json")
    assert found.name == "shelves"
    assert found.model_family is ModelFamily.DETR
    assert (found.classes, found.im_size) == (["box", "can"], (480, 640))
    assert (found.ref, found.weights_uri) == ("m1", "model_final.pth")
    assert found.val_metrics == {"bbox/AP": 61.5}
    assert server.leaks == []


def test_pulled_model_is_not_pulled_again(hub: FocoosHUB, server: FocoosServer) -> None:
    folder = hub.pull("m1")
    before = len(server.requests)
    assert hub.pull("m1") == folder
    assert hub.download_model_pth("m1") == str(folder / "model_final.pth")
    assert len(server.requests) == before
    server.files["m1.pth"] = b"new weights"
    newer = hub.pull("m1", cache=False)
    assert (newer / "model_final.pth").read_bytes() == b"new weights"
    assert (folder / "model_final.pth").read_bytes() == WEIGHTS  # of a program that still reads it
    assert hub.pull("m1") == newer


def test_saved_model_is_pushed_and_pulled(
    hub: FocoosHUB, server: FocoosServer, tmp_path: Path
) -> None:
    folder = tmp_path / "saved"
    folder.mkdir()
    info(name="old").dump_json(folder / "model_info.json")
    (folder / "model_final.pth").write_bytes(b"state")
    (folder / "model.safetensors").write_bytes(b"not taken")
    pushed = hub.push(folder, "goods-2")
    assert str(pushed) == "hub://m2"
    assert server.models["m2"]["name"] == "goods-2"
    assert server.models["m2"]["status"] == "TRAINING_COMPLETED"
    assert json.loads(server.files["m2.model_info.json"])["name"] == "old"
    assert (hub.pull("m2") / "model_final.pth").read_bytes() == b"state"


def test_push_refuses_what_the_hub_cannot_take(hub: FocoosHUB, tmp_path: Path) -> None:
    with pytest.raises(HubError, match=r"has no model_info\.json"):
        hub.push(tmp_path, "x")
    info().dump_json(tmp_path / "model_info.json")
    with pytest.raises(HubError, match="no file beside"):
        hub.push(tmp_path, "x")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(HubError, match=r"has no model_final\.pth"):
        hub.push(tmp_path, "x")
    (tmp_path / "model_final.pth").write_bytes(b"x")
    with pytest.raises(HubError, match="neither private= nor message="):
        hub.push(tmp_path, "x", private=True)
    with pytest.raises(HubError, match="name of a model must be letters"):
        hub.push(tmp_path, "../x")


@pytest.mark.parametrize("ref", ["", "..", "../m1", "m1/../m2", "m1?x=1", "m1#", "a b", "/etc"])
def test_references_cannot_leave_their_route(
    hub: FocoosHUB, server: FocoosServer, ref: str
) -> None:
    before = len(server.requests)
    for ask in (hub.get_model_info, hub.get_remote_model, hub.get_remote_dataset, hub.pull):
        with pytest.raises(HubError, match="must be letters"):
            ask(ref)
    assert len(server.requests) == before


def test_incomplete_description_is_an_error(hub: FocoosHUB, server: FocoosServer) -> None:
    server.models["m1"]["classes"] = None
    with pytest.raises(HubError, match="does not tell the classes of the model m1"):
        hub.pull("m1")
    server.models["m1"] |= {"classes": ["a"], "im_size": "wide"}
    with pytest.raises(HubError, match="describes the model m1 wrongly: .*im_size"):
        hub.pull("m1")
    del server.models["m1"]["status"]
    with pytest.raises(HubError, match="RemoteModelInfo of a hub has no status"):
        hub.get_model_info("m1")


def test_strange_answers_are_errors(hub: FocoosHUB, server: FocoosServer) -> None:
    model = hub.get_remote_model("m1")

    def strange(handler: Handler) -> bool:
        handler.reply("what")
        return True

    server.faults.append(strange)
    for ask in (hub.list_remote_models, hub.get_user_info, model.train_logs, model.metrics):
        with pytest.raises(HubError, match="expected"):
            ask()
    with pytest.raises(HubError, match="expected detections"):
        model.infer(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(HubError, match="expected its ref"):
        hub.new_model(info())
    with pytest.raises(HubError, match="expected the fields"):
        hub.pull("m1")
