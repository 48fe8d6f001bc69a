"""The v2 protocol, with Triton's client as the reference: `make test-triton`.

The client pins versions of other packages that differ from ours, and so needs an environment of its
own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models.images.read import read_image
from furiosa_models.serving import Batching, make_app
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet
from tests.unit.serving.conftest import served

triton = pytest.importorskip("tritonclient.http", reason="Triton's client is not installed")
pytestmark = pytest.mark.triton

FEW: Any = {"score_threshold": 0.8}
GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "serving.md"


@pytest.fixture(scope="module")
def classifier() -> EfficientNetLite0:
    return EfficientNetLite0(weights="random")


@pytest.fixture(scope="module")
def detector() -> SSDMobileNet:
    return SSDMobileNet(weights="random")


@pytest.fixture(scope="module")
def client(detector: SSDMobileNet, classifier: EfficientNetLite0) -> Iterator[Any]:
    models: Any = {"street": detector, "lite": classifier}
    app = make_app(models, device="cpu", batching=Batching(max_batch=4))
    with (
        served(app) as port,
        triton.InferenceServerClient(f"127.0.0.1:{port}", concurrency=8) as client,
    ):
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
    assert network["inputs"] == [{"name": "image", "datatype": "UINT8", "shape": [-1, 3, 224, 224]}]
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


def test_code_of_the_guide_runs(
    detector: SSDMobileNet,
    photos: list[Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (code,) = re.findall(r"^```py\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "street.jpg").write_bytes(photos[3].read_bytes())
    monkeypatch.chdir(tmp_path)
    with served(make_app({"SSDMobileNetV2": detector}, device="cpu")) as port:
        exec(code.replace("localhost:8000", f"localhost:{port}"), {})
    assert capsys.readouterr().out.startswith("[[")
