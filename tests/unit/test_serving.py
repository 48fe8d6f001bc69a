import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile

import numpy as np
import pytest
import requests
import uvicorn
from fastapi import File, UploadFile

from furiosa_models.errors import ExtraRequired
from furiosa_models.serving import ServeAPI, ServeModel, as_in_0_10, make_app, synchronous
from furiosa_models.tasks import Detections, Poses
from furiosa_models.vision import EfficientNetLite0


@pytest.fixture(scope="module")
def model() -> EfficientNetLite0:
    return EfficientNetLite0(weights="random")


@pytest.fixture
def url(model: EfficientNetLite0) -> Iterator[str]:
    config = uvicorn.Config(make_app(model, device="cpu"), port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/infer"
    server.should_exit = True
    thread.join()


def test_a_photo_in_results_out(url: str, model: EfficientNetLite0, photos: list[Path]) -> None:
    with photos[0].open("rb") as file:
        answer = requests.post(url, files={"image": file}, timeout=30)
    assert answer.status_code == 200
    result = model.predict(photos[0])
    assert answer.json() == {"result": result.label}
    with photos[0].open("rb") as file:
        richer = requests.post(url.replace("infer", "predict"), files={"image": file}, timeout=30)
    assert richer.json() == {"result": result.to_dict()}


def test_the_answers_of_0_10() -> None:
    one, box = np.ones(1, np.float32), np.array([[1, 2, 3, 4]], np.float32)
    found = as_in_0_10(Detections(box, one, np.zeros(1, np.int64), ("cat",)))
    place = {"left": 1.0, "top": 2.0, "right": 3.0, "bottom": 4.0}
    assert found == [[{"boundingbox": place, "score": 1.0, "label": "cat", "index": 0}]]
    ((person,),) = as_in_0_10(Poses(box, one, np.zeros((1, 17, 3), np.float32)))
    assert person["bounding_box"] == [1.0, 2.0, 3.0, 4.0]
    assert person["nose"] == {"x": 0.0, "y": 0.0, "confidence": 0.0}
    assert as_in_0_10({"a user's": 1}) == {"a user's": 1}
    assert as_in_0_10(Poses(box[:0], one[:0], np.zeros((0, 17, 3), np.float32))) == [[]]


def test_what_is_no_photo_is_the_clients_fault(url: str) -> None:
    answer = requests.post(url, files={"image": b"no photo"}, timeout=30)
    assert answer.status_code == 422
    assert "cannot be decoded" in answer.json()["detail"]
    assert requests.post(url, timeout=30).status_code == 422


def test_a_missing_extra_is_said(model: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "fastapi", None)
    with pytest.raises(ExtraRequired, match="pip install"):
        make_app(model)


def test_an_application_as_the_tutorial_of_0_10_writes_it(photos: list[Path]) -> None:
    network = EfficientNetLite0(weights="random")
    serve_api = ServeAPI()
    with NamedTemporaryFile() as file:
        file.write(network.model_source())
        served: ServeModel = synchronous(serve_api.model("furiosart"))("Net", location=file.name)

    @served.post("/infer")
    async def infer(image: UploadFile = File(...)) -> dict[str, str]:  # noqa: B008 - FastAPI's way
        with NamedTemporaryFile() as file:
            file.write(await image.read())
            tensors, _ = network.preprocess(file.name)
        return {"result": network.postprocess(await served.predict(tensors))}

    config = uvicorn.Config(serve_api.app, port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with photos[0].open("rb") as photo:
        answer = requests.post(f"http://127.0.0.1:{port}/infer", files={"image": photo}, timeout=30)
    server.should_exit = True
    thread.join()
    assert answer.json() == {"result": network.predict(photos[0]).label}
