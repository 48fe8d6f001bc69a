"""User-defined models, tasks and backends work everywhere, without changes to the package."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
import uvicorn

from furiosa_models import catalog, get_model, list_models
from furiosa_models.benchmark import benchmark
from furiosa_models.evaluation import evaluate
from furiosa_models.runtime import backends
from furiosa_models.runtime.sync import create_runner
from furiosa_models.serving import make_app
from furiosa_models.tasks import Detections
from furiosa_models.vision import SSDMobileNet

MODULE = "tests.e2e.extension.my_zoo"
ROOT = Path(__file__).parents[2]
NAMES = ("Negative", "Traffic", "WarmNet")


def command(*arguments: str, code: int = 0) -> str:
    """Return the output of the command, run with the user's module imported."""
    run = [sys.executable, "-m", "furiosa_models", "--import", MODULE, *arguments]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module", autouse=True)
def my_zoo() -> Iterator[Any]:
    """Import the user's module; its models and backend are hidden from other tests."""
    tables: list[dict[str, Any]] = [catalog._registered, backends._registered]
    before = [{*table} for table in tables]
    yield importlib.import_module(MODULE)
    del sys.modules[MODULE]
    for table, names in zip(tables, before, strict=True):
        for name in table.keys() - names:
            del table[name]


@pytest.fixture(scope="module")
def expected(photos: list[Path]) -> Detections:
    """Detect the best object in the inverted photo with the 0.10 steps."""
    base = SSDMobileNet("random")
    tensor, contexts = base.preprocess([photos[0]])
    with create_runner(base, device="cpu") as runner:
        found = base.postprocess(runner.run(255 - tensor), contexts)[0]
    assert len(found) > 0
    return found[:1]


def test_user_models_are_listed_and_described() -> None:
    assert set(NAMES) <= set(list_models())
    assert list_models(task="warm") == ["WarmNet"]
    rows = {row["model"]: row for row in json.loads(command("list", "--json"))}
    assert rows["WarmNet"]["task"] == "warmth_estimation"
    assert rows["WarmNet"]["description"] == "Says how warm a photo looks."
    assert "Traffic" in command("list", "detect")
    described = json.loads(command("desc", "traffic", "--json"))
    assert described["name"] == "Traffic"
    assert (described["input"]["height"], described["input"]["resize"]) == (320, "letterbox")
    assert "320x320" in command("desc", "Traffic")


def test_network_variant_has_its_own_labels_and_no_base_weights(photos: list[Path]) -> None:
    model: Any = get_model("traffic")
    assert model.labels == ("car", "bus", "bicycle")
    assert model.available_weights() == []
    found = model.predict(photos[0], device="cpu", score_threshold=0.5)
    assert set(found.labels) <= {"car", "bus", "bicycle"}
    assert len(found) > 0


def test_user_defined_task(my_zoo: Any, photos: list[Path], tmp_path: Path) -> None:
    model: Any = get_model("warm-net")
    one = model.predict(photos[0], device="cpu")
    assert isinstance(one, my_zoo.Warmth)
    assert one.image == photos[0]
    many = model(photos[:3], device="cpu", gain=2.0)
    assert many[0].value == pytest.approx(2 * one.value)
    assert [*model.predict(photos[:3], stream=True, device="cpu", gain=2.0)] == many
    columns = model.run_batch(photos[:2], device="cpu")
    assert [*columns] == ["value"]
    assert model.task == "warmth_estimation"
    assert model.task_type is None
    with pytest.raises(TypeError, match="the options of warmth_estimation are gain"):
        model.predict(photos[0], top_k=3)

    labels = tmp_path / "warmth.csv"
    rows = [
        f"{photo.name},{found.value / 2 + 1}" for photo, found in zip(photos, many, strict=False)
    ]
    labels.write_text("\n".join(["file,warmth", *rows]))
    measured = evaluate(model, photos[0].parent, labels, device="cpu")
    assert measured.figures["error"] == pytest.approx(1.0, abs=1e-3)
    arguments = ("verify", "WarmNet", "--images", str(photos[0].parent), "--labels", str(labels))
    assert "error" in command(*arguments, "--precision", "fp32")


def test_overridden_steps_are_used_everywhere(
    photos: list[Path], expected: Detections, tmp_path: Path
) -> None:
    model: Any = get_model("negative")
    assert model.predict(photos[0], device="cpu") == expected
    assert model.predict([photos[0]] * 3, batch_size=2, device="cpu") == [expected] * 3
    assert next(model.predict([photos[0]], stream=True, device="cpu")) == expected
    (columns,) = model.run_batch([photos[0]], device="cpu")["boxes"]
    np.testing.assert_array_equal(columns, expected.boxes)
    with pytest.raises(ValueError, match="has a preprocess of its own"):
        model.predict(photos[0], draft=True)

    report = benchmark(model, photos[:1], device="cpu")
    assert report.model == "Negative"

    class Empty(type(model)):  # type: ignore[misc]  # a class that is known only at run time
        def postprocess(self, model_outputs: Any, contexts: Any, **options: Any) -> Any:
            del model_outputs, options
            return [
                SSDMobileNet("random").predict(np.zeros((9, 9, 3), np.uint8))[:0] for _ in contexts
            ]

    labels = tmp_path / "instances.json"
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9], "area": 81, "iscrowd": 0}
    document = {
        "images": [{"id": 1, "file_name": photos[0].name}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "person"}],
    }
    labels.write_text(json.dumps(document))
    measured = evaluate(Empty("random"), photos[0].parent, labels, device="cpu")
    assert measured.figures == {"mAP": 0.0, "mAP50": 0.0}


def test_postprocess_with_too_few_results_is_an_error(photos: list[Path]) -> None:
    class Loses(SSDMobileNet):
        def postprocess(self, model_outputs: Any, contexts: Any, **options: Any) -> Any:  # type: ignore[override]
            return super().postprocess(model_outputs, contexts, **options)[1:]

    with pytest.raises(ValueError, match="postprocess gave 0 results for 1 photos"):
        Loses("random").predict(photos[0], device="cpu")


def test_postprocess_set_on_an_instance_is_used(photos: list[Path]) -> None:
    model: Any = SSDMobileNet("random")
    model.postprocess = lambda _, contexts: ["found something"] * len(contexts)
    assert model.predict(photos[0], device="cpu") == "found something"


def test_user_models_are_served(photos: list[Path], expected: Detections) -> None:
    config = uvicorn.Config(
        make_app(get_model("negative"), device="cpu"), port=0, log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    photo = {"image": photos[0].read_bytes()}
    infer, predict = (
        requests.post(f"http://127.0.0.1:{port}/{path}", files=photo, timeout=30).json()["result"]
        for path in ("infer", "predict")
    )
    server.should_exit = True
    thread.join()
    assert predict == expected.to_dict()
    assert [item["label"] for item in infer[0]] == [item.label for item in expected]


def test_user_defined_backend(photos: list[Path]) -> None:
    counting: Any = backends.find_backend("counting")
    before = counting.runs
    expected = SSDMobileNet("random").predict(photos[0], device="cpu")
    assert SSDMobileNet("random").predict(photos[0], device="counting") == expected
    assert counting.runs == before + 1
    arguments = ("predict", "SSDMobileNet", "--weights", "random", "--device", "counting")
    found = json.loads(command(*arguments, "--json", str(photos[0])))
    assert found["photos"][0]["results"] == expected.to_dict()


def test_duplicate_model_names_are_rejected(my_zoo: Any) -> None:
    with pytest.raises(ValueError, match="another model named 'resnet50'"):
        catalog.register(name="resnet50")(my_zoo.WarmNet)
    with pytest.raises(TypeError, match="subclass of Model that has a spec"):
        catalog.register(dict)  # type: ignore[type-var]
    assert catalog.register(my_zoo.WarmNet) is my_zoo.WarmNet  # a reloaded module


def test_missing_module_is_a_usage_error() -> None:
    run = [sys.executable, "-m", "furiosa_models", "--import", "no_such_zoo", "list"]
    done = subprocess.run(run, capture_output=True, text=True, cwd=ROOT, timeout=120)
    assert done.returncode == 2
    assert "module 'no_such_zoo' cannot be imported" in done.stderr
