"""Requests of the v2 protocol; `tests/e2e/triton` has those of Triton's client."""

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

from furiosa_models.serving import Batching, Limits, make_app
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet

from .conftest import served

LIMITS = Limits(max_bytes=4 << 20, max_memory=64 << 20, max_photos=8)
HEADER = "Inference-Header-Content-Length"


@pytest.fixture(scope="module")
def address(detector: SSDMobileNet, classifier: EfficientNetLite0) -> Iterator[str]:
    models: Any = {"street": detector, "lite": classifier}
    app = make_app(models, device="cpu", limits=LIMITS, batching=Batching(max_batch=4))
    with served(app, LIMITS) as port:
        yield f"127.0.0.1:{port}"


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


def test_binary_and_json_tensors_give_the_same_outputs(
    address: str, classifier: EfficientNetLite0, photos: list[Path]
) -> None:
    tensor, _ = classifier.preprocess(photos[0])
    expected = classifier.steps(device="cpu").run(tensor)[0]
    url = f"http://{address}/v2/models/lite.network/infer"
    given = tensor_of(shape=[*tensor.shape], data=tensor.ravel().tolist())
    outputs = requests.post(url, json={"inputs": [given]}, timeout=60).json()["outputs"]
    assert outputs[0]["name"] == "logits"
    np.testing.assert_allclose(np.reshape(outputs[0]["data"], outputs[0]["shape"]), expected, 1e-5)
    given |= {"parameters": {"binary_data_size": tensor.nbytes}, "data": None}
    head = json.dumps({"inputs": [given], "parameters": {"binary_data_output": True}}).encode()
    answer = requests.post(
        url, data=head + tensor.tobytes(), headers={HEADER: str(len(head))}, timeout=60
    )
    size = int(answer.headers[HEADER])
    described = json.loads(answer.content[:size])["outputs"][0]
    assert described["parameters"] == {"binary_data_size": len(answer.content) - size}
    found = np.frombuffer(answer.content[size:], np.float32).reshape(described["shape"])
    np.testing.assert_allclose(found, expected, 1e-5)


def test_rows_of_a_tensor_run_in_batches_and_are_limited(
    address: str, classifier: EfficientNetLite0, photos: list[Path]
) -> None:
    tensor, _ = classifier.preprocess(photos)
    expected = classifier.steps(device="cpu").run(tensor)[0]
    url = f"http://{address}/v2/models/lite.network/infer"

    def post(rows: Any) -> requests.Response:
        given = tensor_of(shape=[*rows.shape], parameters={"binary_data_size": rows.nbytes})
        del given["data"]
        head = json.dumps({"inputs": [given]}).encode()
        body = head + rows.tobytes()
        return requests.post(url, data=body, headers={HEADER: str(len(head))}, timeout=60)

    found = post(tensor).json()["outputs"][0]
    assert len(tensor) == 5  # a batch has at most four
    np.testing.assert_allclose(np.reshape(found["data"], found["shape"]), expected, 1e-4, 1e-6)
    refused = post(np.repeat(tensor[:1], LIMITS.max_photos + 1, 0))
    assert refused.status_code == 400
    assert "too many rows: expected at most 8 in a request, got 9" in refused.json()["error"]


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


def test_many_empty_elements_are_refused_at_once(address: str) -> None:
    count = 1_000_000
    given = tensor_of(datatype="BYTES", shape=[count], parameters={"binary_data_size": 4 * count})
    del given["data"]
    text = json.dumps({"inputs": [given]}).encode()
    answer = requests.post(
        f"http://{address}/v2/models/lite/infer",
        data=text + bytes(4 * count),
        headers={HEADER: str(len(text))},
        timeout=30,
    )
    assert answer.status_code == 400
    assert "may have 1024 elements, got 1000000" in answer.json()["error"]


def test_json_that_would_need_too_much_memory_is_refused(address: str) -> None:
    text = json.dumps({"inputs": [tensor_of(shape=[1 << 20], data=[1] * (1 << 20))]})
    answer = requests.post(f"http://{address}/v2/models/lite/infer", data=text, timeout=30)
    assert answer.status_code == 413
    assert "send binary tensors" in answer.json()["error"]
