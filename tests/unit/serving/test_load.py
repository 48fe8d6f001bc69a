"""Many clients at once: batches, full queues, and several models."""

from __future__ import annotations

import io
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from furiosa_models.serving import Batching, Limits, make_app
from furiosa_models.serving.access import JsonFormatter, log_line
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet

from .conftest import Start, served

FEW: Any = {"score_threshold": 0.8}


def post(url: str, data: bytes, **options: Any) -> requests.Response:
    return requests.post(url, data=data, timeout=60, **options)


def sample(url: str, name: str, **labels: str) -> float:
    text = requests.get(f"{url}/metrics", timeout=30).text
    for line in text.splitlines():
        found = re.fullmatch(rf"furiosa_models_{name}(?:{{(.*)}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    return 0.0


class Held(SSDMobileNet):
    """A model whose inferences wait until they are released."""

    def __init__(self) -> None:
        super().__init__("random")
        self.release, self.started = threading.Event(), threading.Event()

    def postprocess(self, _: Any, contexts: Any, **__: Any) -> Any:  # type: ignore[override]
        self.started.set()
        assert self.release.wait(60)
        return [context.width for context in contexts]


@pytest.fixture
def held() -> Iterator[tuple[Held, str]]:
    model, limits = Held(), Limits(max_queue=3)
    with served(make_app(model, device="cpu", limits=limits), limits) as port:
        yield model, f"http://127.0.0.1:{port}"
        model.release.set()


def test_full_queue_answers_429(held: tuple[Held, str], photos: list[Path]) -> None:
    model, url = held
    data = photos[0].read_bytes()
    with ThreadPoolExecutor() as pool:
        admitted = [pool.submit(post, f"{url}/predict", data) for _ in range(3)]
        assert model.started.wait(30)
        while sample(url, "requests_in_progress", model="Held") < 3:
            pass
        for path in ("predict", "models/Held/infer"):
            refused = post(f"{url}/{path}", data)
            assert refused.status_code == 429
            assert refused.headers["Retry-After"] == "1"
            assert refused.json()["detail"] == (
                "the queue of Held is full, with 3 requests: try again in 1 second"
            )
        assert requests.get(f"{url}/v2/health/ready", timeout=30).ok
        model.release.set()
        assert [each.result().status_code for each in admitted] == [200] * 3
    assert post(f"{url}/predict", data).status_code == 200
    assert sample(url, "requests_in_progress", model="Held") == 0
    assert sample(url, "requests_total", route="/predict", status="429") == 1
    assert sample(url, "batch_size_sum", model="Held") == 4


def test_damaged_photos_hurt_no_others_of_their_batch(
    start: Start, detector: SSDMobileNet, photos: list[Path]
) -> None:
    batching = Batching(max_batch=8, max_wait=0.2)
    url = f"http://127.0.0.1:{start(make_app(detector, device='cpu', batching=batching))}"
    bodies = [*[photo.read_bytes() for photo in photos[:3]], b"no photo", b"\xff\xd8\xff damaged"]
    with ThreadPoolExecutor(10) as pool:
        urls = [f"{url}/predict?score_threshold=0.8"] * 10
        answers = list(pool.map(post, urls, bodies * 2))
    found = [detector.predict(photo, **FEW) for photo in photos[:3]]
    for index, answer in enumerate(answers):
        if index % 5 < 3:
            (boxes, expected) = (answer.json()["result"], found[index % 5].to_dict())
            assert [each["label"] for each in boxes] == [each["label"] for each in expected]
            for each, other in zip(boxes, expected, strict=True):
                assert each["box"] == pytest.approx(other["box"], abs=0.01)
        else:
            assert answer.status_code == 422
            assert "cannot be decoded" in answer.json()["detail"]
    name = type(detector).__name__
    assert sample(url, "batch_size_count", model=name) < sample(url, "batch_size_sum", model=name)
    assert sample(url, "failures_total", model=name) == 4


def test_error_of_a_users_code_hurts_only_its_own_request(start: Start) -> None:
    class Fragile(SSDMobileNet):
        def postprocess(self, _: Any, contexts: Any, **__: Any) -> Any:  # type: ignore[override]
            if any(context.width == 13 for context in contexts):
                raise RuntimeError("a secret")
            return [context.width for context in contexts]

    def photo(width: int) -> bytes:
        file = io.BytesIO()
        Image.new("RGB", (width, 32)).save(file, "PNG")
        return file.getvalue()

    batching = Batching(max_batch=4, max_wait=0.2)
    url = f"http://127.0.0.1:{start(make_app(Fragile('random'), device='cpu', batching=batching))}"
    with ThreadPoolExecutor(4) as pool:
        widths = [11, 12, 13, 14]
        answers = list(pool.map(post, [f"{url}/predict"] * 4, map(photo, widths)))
    assert [answer.status_code for answer in answers] == [200, 200, 500, 200]
    assert [answers[i].json()["result"] for i in (0, 1, 3)] == [11, 12, 14]
    assert "secret" not in answers[2].text


def test_photos_of_one_request_may_share_batches(
    start: Start, classifier: EfficientNetLite0, photos: list[Path]
) -> None:
    batching = Batching(max_batch=4, max_wait=0.1)
    url = f"http://127.0.0.1:{start(make_app(classifier, device='cpu', batching=batching))}"
    parts = [("image", photo.read_bytes()) for photo in photos[:4]]
    answer = requests.post(f"{url}/infer", files=parts, timeout=60)
    assert answer.json()["result"] == [classifier.predict(photo).label for photo in photos[:4]]
    assert sample(url, "batch_size_count", model="EfficientNetLite0") < 4


@pytest.mark.parametrize(("device", "size"), [("cpu", 1), ("openvino", 8)])
def test_default_size_of_batches_depends_on_the_device(
    start: Start, classifier: EfficientNetLite0, photos: list[Path], device: str, size: int
) -> None:
    if device == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is not installed")
    url = f"http://127.0.0.1:{start(make_app(classifier, device=device))}"
    config = requests.get(f"{url}/v2/models/EfficientNetLite0/config", timeout=60).json()
    assert config["max_batch_size"] == size
    assert config["backend"] == ("onnxruntime" if device == "cpu" else "openvino")
    label = classifier.predict(photos[0]).label
    assert post(f"{url}/infer", photos[0].read_bytes()).json() == {"result": label}


def test_several_models_have_routes_of_their_own(
    start: Start, classifier: EfficientNetLite0, detector: SSDMobileNet, photos: list[Path]
) -> None:
    models: Any = {"lite": classifier, "ssd-1": detector}
    url = f"http://127.0.0.1:{start(make_app(models, device='cpu'))}"
    data = photos[0].read_bytes()
    label = classifier.predict(photos[0]).label
    for path in ("infer", "models/lite/infer"):
        assert post(f"{url}/{path}", data).json() == {"result": label}
    found = detector.predict(photos[0], **FEW).to_dict()
    answer = post(f"{url}/models/ssd-1/predict", data, params=FEW)
    assert answer.json() == {"result": found}
    assert post(f"{url}/models/other/predict", data).status_code == 404
    listed = requests.get(f"{url}/models", timeout=30).json()["models"]
    assert [(each["name"], each["task"]) for each in listed] == [
        ("lite", "classification"),
        ("ssd-1", "detection"),
    ]
    paths = requests.get(f"{url}/openapi.json", timeout=30).json()["paths"]
    parameters = paths["/models/ssd-1/predict"]["post"]["parameters"]
    assert parameters[0]["name"] == "score_threshold"
    assert "/v2/models/{name}/infer" in paths


@pytest.mark.parametrize("name", ["", "a/b", "../a", "a.network", "a b"])
def test_names_that_do_not_fit_into_urls_are_refused(
    classifier: EfficientNetLite0, name: str
) -> None:
    with pytest.raises(ValueError, match="invalid name"):
        make_app({name: classifier})
    with pytest.raises(ValueError, match="at least one model"):
        make_app({})


def test_annotated_photo_is_a_jpeg(
    start: Start, detector: SSDMobileNet, photos: list[Path]
) -> None:
    url = f"http://127.0.0.1:{start(make_app(detector, device='cpu'))}/predict"
    asked = {**FEW, "output": "jpeg"}
    answer = post(url, photos[0].read_bytes(), params=asked)
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert answer.content == detector.predict(photos[0].read_bytes(), **FEW).picture(".jpg")
    with Image.open(photos[0]) as original, Image.open(io.BytesIO(answer.content)) as drawn:
        assert drawn.size == original.size
    two = [("image", photo.read_bytes()) for photo in photos[:2]]
    refused = requests.post(url, files=two, params=asked, timeout=60)
    assert refused.status_code == 422
    assert refused.json()["detail"] == "output=jpeg needs one photo in a request, got 2"
    refused = post(url, photos[0].read_bytes(), params={"output": "gif"})
    assert "output='gif': expected one of json, jpeg" in refused.json()["detail"]


def test_result_of_a_users_type_has_no_picture(start: Start, photos: list[Path]) -> None:
    model = Held()
    model.release.set()
    url = f"http://127.0.0.1:{start(make_app(model, device='cpu'))}/predict?output=jpeg"
    answer = post(url, photos[0].read_bytes())
    assert answer.status_code == 422
    assert answer.json()["detail"] == "results of type int cannot be drawn: use output=json"


def test_times_of_the_stages_are_a_header(
    start: Start, classifier: EfficientNetLite0, photos: list[Path]
) -> None:
    url = f"http://127.0.0.1:{start(make_app(classifier, device='cpu'))}/predict"
    timing = post(url, photos[0].read_bytes()).headers["Server-Timing"]
    stages = dict(re.findall(r"(\w+);dur=([\d.]+)", timing))
    assert [*stages] == ["read", "preprocess", "inference", "postprocess"]
    assert float(stages["inference"]) > 0


def test_metrics_count_routes_and_not_paths(
    start: Start, classifier: EfficientNetLite0, photos: list[Path]
) -> None:
    url = f"http://127.0.0.1:{start(make_app(classifier, device='cpu'))}"
    post(f"{url}/predict", photos[0].read_bytes())
    for path in ("secret-1", "secret-2"):
        requests.request("ODD", f"{url}/{path}", timeout=30)
    assert sample(url, "requests_total", route="/predict", method="POST", status="200") == 1
    assert sample(url, "requests_total", route="unknown", method="unknown", status="404") == 2
    assert sample(url, "request_seconds_count", route="/predict") == 1
    assert sample(url, "batch_seconds_sum", model="EfficientNetLite0") > 0
    answer = requests.get(f"{url}/metrics", timeout=30)
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    assert "secret" not in answer.text


def test_log_lines_are_json_without_the_query(
    start: Start, classifier: EfficientNetLite0, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://127.0.0.1:{start(make_app(classifier, device='cpu'))}"
    logger = logging.getLogger("furiosa_models.serving")
    logger.addHandler(caplog.handler)
    try:
        with caplog.at_level(logging.INFO, logger.name):
            requests.get(f'{url}/nothing%0a"here?token=secret', timeout=30)
            while not caplog.records:  # it is logged after the response
                time.sleep(0.01)
    finally:
        logger.removeHandler(caplog.handler)
    record = next(each for each in caplog.records if "/nothing" in each.getMessage())
    line = json.loads(JsonFormatter().format(record))
    assert line["method"] == "GET"
    assert line["path"] == "/nothing%0A%22here"
    assert line["status"] == 404
    assert line["milliseconds"] >= 0
    assert line["level"] == "info"
    assert "secret" not in json.dumps(line)
    assert json.loads(log_line("it is served"))["message"] == "it is served"


def test_log_line_of_an_error_has_the_traceback() -> None:
    try:
        raise ValueError("what happened")
    except ValueError:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "f", 1, "failed", (), __import__("sys").exc_info()
        )
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert "ValueError: what happened" in json.loads(line)["exception"]
