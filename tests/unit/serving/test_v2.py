"""The v2 protocol, with the client of Triton as the reference."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests

from furiosa_models.images.read import read_image
from furiosa_models.serving import Batching, Limits, make_app
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet

from .conftest import served

triton = pytest.importorskip("tritonclient.http", reason="the client of Triton is not installed")

LIMITS = Limits(max_bytes=4 << 20, max_memory=64 << 20)
FEW: Any = {"score_threshold": 0.8}
HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def address(detector: SSDMobileNet, classifier: EfficientNetLite0) -> Iterator[str]:
    models: Any = {"street": detector, "lite": classifier}
    app = make_app(models, device="cpu", limits=LIMITS, batching=Batching(max_batch=4))
    with served(app, LIMITS) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    with triton.InferenceServerClient(address, concurrency=4) as client:
        yield client


def encoded(*photos: bytes) -> Any:
    given = triton.InferInput("image", [len(photos)], "BYTES")
    given.set_data_from_numpy(np.array(photos, np.object_))
    return given


def test_server_and_models_are_described(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    for name in ("street", "street.network", "lite", "lite.network"):
        assert client.is_model_ready(name)
        assert client.is_model_ready(name, "1")
    assert not client.is_model_ready("lite", "2")
    assert not client.is_model_ready("nothing")
    server = client.get_server_metadata()
    assert server["name"] == "furiosa-model-zoo"
    assert "binary_tensor_data" in server["extensions"]
    assert client.get_model_metadata("lite") == {
        "name": "lite",
        "versions": ["1"],
        "platform": "onnxruntime",
        "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "class_ids", "datatype": "INT64", "shape": [-1]},
            {"name": "scores", "datatype": "FP32", "shape": [-1]},
            {"name": "count", "datatype": "INT64", "shape": [-1]},
            {"name": "result", "datatype": "BYTES", "shape": [-1]},
        ],
    }
    network = client.get_model_metadata("lite.network")
    assert network["inputs"] == [
        {"name": "image", "datatype": "UINT8", "shape": [-1, 3, 224, 224]}
    ]
    assert network["outputs"] == [{"name": "logits", "datatype": "FP32", "shape": [-1, 1000]}]
    config = client.get_model_config("street")
    assert config["max_batch_size"] == 4
    assert config["input"] == [{"name": "image", "data_type": "TYPE_STRING", "dims": []}]
    names = {each["name"] for each in client.get_model_repository_index()}
    assert names == {"street", "street.network", "lite", "lite.network"}


@pytest.mark.parametrize("binary", [True, False])
def test_encoded_photos_give_the_results_of_predict(
    client: Any, detector: SSDMobileNet, photos: list[Path], binary: bool
) -> None:
    found = [detector.predict(photo, **FEW) for photo in photos[:2]]
    given = encoded(*[photo.read_bytes() for photo in photos[:2]])
    outputs = [
        triton.InferRequestedOutput(name, binary_data=binary)
        for name in ("boxes", "scores", "class_ids", "count", "result")
    ]
    answer = client.infer("street", [given], outputs=outputs, request_id="7", parameters=FEW)
    assert answer.get_response()["id"] == "7"
    assert answer.as_numpy("count").tolist() == [len(each) for each in found]
    np.testing.assert_array_equal(
        answer.as_numpy("boxes"), np.concatenate([each.boxes for each in found])
    )
    np.testing.assert_array_equal(
        answer.as_numpy("class_ids"), np.concatenate([each.class_ids for each in found])
    )
    documents = answer.as_numpy("result").tolist()
    assert [json.loads(each) for each in documents] == [each.to_dict() for each in found]


def test_decoded_photos_give_the_same_results(
    client: Any, classifier: EfficientNetLite0, photos: list[Path]
) -> None:
    pixels = np.ascontiguousarray(read_image(photos[0]).rgb)[None]
    given = triton.InferInput("image", [*pixels.shape], "UINT8")
    given.set_data_from_numpy(pixels)
    answer = client.infer("lite", [given], parameters={"top_k": 3})
    expected = classifier.predict(photos[0], top_k=3)
    assert answer.as_numpy("class_ids").tolist() == expected.class_ids.tolist()
    np.testing.assert_array_equal(answer.as_numpy("scores"), expected.scores)


@pytest.mark.parametrize("binary", [True, False])
def test_network_alone_gives_the_outputs_of_the_runner(
    client: Any, classifier: EfficientNetLite0, photos: list[Path], binary: bool
) -> None:
    tensor, contexts = classifier.preprocess(photos[:2])
    given = triton.InferInput("image", [*tensor.shape], "UINT8")
    given.set_data_from_numpy(tensor, binary_data=binary)
    logits = client.infer("lite.network", [given]).as_numpy("logits")
    steps = classifier.steps(device="cpu")
    np.testing.assert_allclose(logits, steps.run(tensor)[0], rtol=1e-5, atol=1e-6)
    results = classifier.postprocess([logits], contexts)
    assert [str(each) for each in results] == [str(classifier.predict(p)) for p in photos[:2]]


def test_concurrent_requests_are_batched_and_counted(
    client: Any, detector: SSDMobileNet, photos: list[Path]
) -> None:
    before = client.get_inference_statistics("street")["model_stats"][0]
    given = [encoded(photo.read_bytes()) for photo in photos] * 4
    pending = [client.async_infer("street", [each], parameters=FEW) for each in given]
    found = [detector.predict(photo, **FEW) for photo in photos] * 4
    for answer, expected in zip(pending, found, strict=True):
        assert answer.get_result().as_numpy("count").tolist() == [len(expected)]
    after = client.get_inference_statistics("street")["model_stats"][0]
    assert after["inference_count"] - before["inference_count"] == len(given)
    assert 0 < after["execution_count"] - before["execution_count"] <= len(given)


def test_errors_are_those_of_the_protocol(client: Any, photos: list[Path]) -> None:
    good = encoded(photos[0].read_bytes())
    for name, given, options, complaint in (
        ("nothing", good, {}, r"\[404\] unknown model 'nothing'; known: street, street.network"),
        ("lite", encoded(b"no photo"), {}, "image 'image 1' cannot be decoded"),
        ("lite", good, {"parameters": {"top": 1}}, "unknown parameter 'top'; known: top_k"),
        ("lite", good, {"parameters": {"top_k": 0}}, "top_k must be at least 1, got 0"),
        ("lite", good, {"priority": 1}, "unknown parameter 'priority'"),
        (
            "lite",
            good,
            {"outputs": [triton.InferRequestedOutput("boxes")]},
            "unknown output 'boxes'; known: class_ids, scores, count, result",
        ),
        ("lite.network", good, {}, "must be UINT8 of shape .-1, 3, 224, 224., got BYTES of shape"),
    ):
        with pytest.raises(triton.InferenceServerException, match=complaint):
            client.infer(name, [given], **options)
    with pytest.raises(triton.InferenceServerException, match="Not Found"):
        client.load_model("lite")


def test_photos_in_json_are_base64(
    address: str, classifier: EfficientNetLite0, photos: list[Path]
) -> None:
    text = base64.b64encode(photos[0].read_bytes()).decode()
    given = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [text]}
    answer = requests.post(
        f"http://{address}/v2/models/lite/infer", json={"inputs": [given]}, timeout=60
    ).json()
    outputs = {each["name"]: each["data"] for each in answer["outputs"]}
    result = classifier.predict(photos[0])
    assert outputs["class_ids"] == result.class_ids.tolist()
    assert json.loads(outputs["result"][0]) == result.to_dict()


def tensor_of(**fields: Any) -> dict[str, Any]:
    return {"name": "image", "shape": [1], "datatype": "UINT8", "data": [1]} | fields


HOSTILE: list[tuple[bytes, dict[str, str], str]] = [
    (b"", {}, "EOF"),
    (b"[" * 100_000, {}, "recursion"),
    (b'{"inputs": 3}', {}, "inputs: "),
    (b'{"inputs": []}', {}, "expected one input 'image', got none"),
    (b"{}", {HEADER: "3"}, f"{HEADER} must be a number up to 2"),
    (b"{}", {HEADER: "-1"}, f"{HEADER} must be a number"),
    (b"{}", {HEADER: "9" * 5000}, f"{HEADER} must be a number"),
    (b"{}", {"Content-Encoding": "gzip"}, "unsupported Content-Encoding 'gzip'"),
    *[
        (json.dumps({"inputs": [given]}).encode(), {}, complaint)
        for given, complaint in (
            (tensor_of(shape=[-1]), "invalid shape"),
            (tensor_of(shape=[]), "invalid shape"),
            (tensor_of(shape=[1] * 99), "invalid shape"),
            (tensor_of(shape=[1 << 40, 1 << 40]), "needs 1208925819614629174706176 values, got 1"),
            (tensor_of(data=[256]), "out of the range of UINT8"),
            (tensor_of(data=[10**30]), "out of the range of UINT8"),
            (tensor_of(data=[1.5]), "a value that is not an integer"),
            (tensor_of(data=["x"]), "a value that is not of type UINT8"),
            (tensor_of(data=[True]), "a value that is not of type UINT8"),
            (tensor_of(data=[[1], 2]), "flat list, or nested"),
            (tensor_of(data=None), "neither data nor binary_data_size"),
            (tensor_of(datatype="FP99"), "unknown datatype 'FP99'"),
            (tensor_of(datatype="BYTES", data=["?"]), "strings in base64"),
            (tensor_of(datatype="BYTES", data=[3]), "strings in base64"),
            (tensor_of(parameters={"binary_data_size": 1}), "integer up to 0"),
            (tensor_of(parameters={"binary_data_size": True}), "integer up to 0"),
            (tensor_of(), "must be BYTES of shape"),
            (tensor_of(name="tensor"), "expected one input 'image', got tensor"),
        )
    ],
]


@pytest.mark.parametrize(("body", "headers", "complaint"), HOSTILE)
def test_invalid_request_is_explained(
    address: str, body: bytes, headers: dict[str, str], complaint: str
) -> None:
    url = f"http://{address}/v2/models/lite/infer"
    answer = requests.post(url, data=body, headers=headers, timeout=30)
    assert answer.status_code in (400, 415)
    assert complaint in answer.json()["error"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xff\xff\xff",
        b"\x01\x00\x00",
        struct.pack("<I", 5) + b"four",
        struct.pack("<I", 0) * 2,
        struct.pack("<I", 1) + b"ab",
    ],
)
def test_damaged_bytes_are_explained(address: str, data: bytes) -> None:
    given = tensor_of(datatype="BYTES", parameters={"binary_data_size": len(data)})
    del given["data"]
    text = json.dumps({"inputs": [given]}).encode()
    answer = requests.post(
        f"http://{address}/v2/models/lite/infer",
        data=text + data,
        headers={HEADER: str(len(text))},
        timeout=30,
    )
    assert answer.status_code == 400
    assert "are not 1 elements, each after its 4-byte length" in answer.json()["error"]


def test_json_that_would_need_too_much_memory_is_refused(address: str) -> None:
    text = json.dumps({"inputs": [tensor_of(shape=[1 << 20], data=[1] * (1 << 20))]})
    answer = requests.post(f"http://{address}/v2/models/lite/infer", data=text, timeout=30)
    assert answer.status_code == 413
    assert "send binary tensors" in answer.json()["error"]
