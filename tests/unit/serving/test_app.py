"""Responses of a served model."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
import pytest
import requests
from fastapi import File, UploadFile
from PIL import Image

from furiosa_models.errors import ExtraRequired
from furiosa_models.serving import Limits, ServeAPI, ServeModel, as_in_0_10, make_app, synchronous
from furiosa_models.serving.v2.signature import PhotoResult, signatures
from furiosa_models.tasks import Detections, Poses
from furiosa_models.vision import (
    DeepLabV3MobileNetV2,
    EfficientNetLite0,
    SelfieSegmentation,
    SSDMobileNet,
)

from .conftest import Start, served

EXAMPLES = Path(__file__).parents[3] / "examples" / "images"
FEW: Any = {"score_threshold": 0.8}
"""Without it, random weights give tens of thousands of detections."""


@pytest.fixture(scope="module")
def url(detector: SSDMobileNet) -> Iterator[str]:
    with served(make_app(detector, device="cpu")) as port:
        yield f"http://127.0.0.1:{port}"


def post(url: str, *photos: Path, **options: Any) -> requests.Response:
    parts = [("image", (photo.name, photo.read_bytes())) for photo in photos]
    return requests.post(url, files=parts, timeout=60, **options)


def detail(answer: requests.Response) -> str:
    text: str = answer.json()["detail"]
    return text


def test_photos_give_results(
    start: Start, classifier: EfficientNetLite0, photos: list[Path]
) -> None:
    url = f"http://127.0.0.1:{start(make_app(classifier, device='cpu'))}"
    result = classifier.predict(photos[0])
    assert post(f"{url}/infer", photos[0]).json() == {"result": result.label}
    assert post(f"{url}/predict", photos[0]).json() == {"result": result.to_dict()}
    labels = [classifier.predict(photo).label for photo in photos[:3]]
    assert post(f"{url}/infer", *photos[:3]).json() == {"result": labels}
    best = post(f"{url}/predict", photos[0], params={"top_k": 2})
    assert best.json() == {"result": classifier.predict(photos[0], top_k=2).to_dict()}
    none = post(f"{url}/predict", photos[0], params={"top_k": 0})
    assert none.status_code == 422
    assert detail(none) == "top_k must be at least 1, got 0"
    wrong = post(f"{url}/predict", photos[0], params={"score_threshold": 0.5})
    assert wrong.status_code == 422
    assert detail(wrong) == (
        "unknown query parameter 'score_threshold'; known: top_k, draft, background"
    )


def test_several_photos_give_several_results(
    url: str, detector: SSDMobileNet, photos: list[Path]
) -> None:
    found = [detector.predict(photo, **FEW) for photo in photos[:3]]
    answer = post(f"{url}/predict", *photos[:3], params=FEW)
    assert answer.json() == {"result": [result.to_dict() for result in found]}
    one = post(f"{url}/infer", photos[0], params=FEW).json()["result"]
    assert len(one) == 1  # 0.10's list of photos
    three = post(f"{url}/infer", *photos[:3], params=FEW).json()["result"]
    assert three[0] == one[0]
    assert [len(objects) for objects in three] == [len(result) for result in found]


def test_thresholds_are_query_parameters(
    url: str, detector: SSDMobileNet, photos: list[Path]
) -> None:
    for name in ("score_threshold", "confidence_threshold"):
        answer = post(f"{url}/predict", photos[0], params={name: "0.75"})
        found = detector.predict(photos[0], score_threshold=0.75)
        assert answer.json() == {"result": found.to_dict()}
    assert 0 < len(found) < len(detector.predict(photos[0]))


@pytest.mark.parametrize(
    ("query", "complaint"),
    [
        ("top=3", "unknown query parameter 'top'; known: score_threshold, iou_"),
        (
            "score_threshold=high",
            "score_threshold='high': expected a value of type number",
        ),
        ("score_threshold=7", "score_threshold must lie between 0 and 1, got 7.0"),
        ("iou_threshold=nan", "iou_threshold must lie between 0 and 1, got nan"),
        ("draft=perhaps", "draft='perhaps': expected a value of type boolean"),
        ("background=mud", "background='mud' is not a color"),
        ("score_threshold=0.1&conf_thres=0.2", "'score_threshold' occurs twice"),
    ],
)
@pytest.mark.parametrize("route", ["infer", "predict"])
def test_invalid_parameter_is_named(
    url: str, photos: list[Path], route: str, query: str, complaint: str
) -> None:
    answer = post(f"{url}/{route}?{query}", photos[0])
    assert answer.status_code == 422
    assert complaint in detail(answer)


@pytest.mark.parametrize("kind", ["image/jpeg", "image/webp", "application/octet-stream", None])
def test_request_body_can_be_the_photo(
    url: str, detector: SSDMobileNet, photos: list[Path], kind: str | None
) -> None:
    headers = {"Content-Type": kind} if kind else {}
    data = photos[0].read_bytes()
    answer = requests.post(f"{url}/predict", data=data, headers=headers, params=FEW, timeout=60)
    assert answer.json() == {"result": detector.predict(photos[0], **FEW).to_dict()}


def test_form_part_without_a_file_name_is_a_photo(
    url: str, detector: SSDMobileNet, photos: list[Path]
) -> None:
    parts = [("image", (None, photos[0].read_bytes()))]
    answer = requests.post(f"{url}/predict", files=parts, params=FEW, timeout=60)
    assert answer.json() == {"result": detector.predict(photos[0], **FEW).to_dict()}


def test_background_color_of_transparent_photos(start: Start, detector: SSDMobileNet) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save(file, "PNG")
    url = f"http://127.0.0.1:{start(make_app(detector, device='cpu', background='white'))}/predict"
    expected = {
        color: detector.predict(file.getvalue(), background=color, **FEW).to_dict()
        for color in ("white", "black")
    }
    assert expected["white"] != expected["black"]
    answer = requests.post(url, data=file.getvalue(), params=FEW, timeout=60)
    assert answer.json() == {"result": expected["white"]}
    asked = {**FEW, "background": "black"}
    answer = requests.post(url, data=file.getvalue(), params=asked, timeout=60)
    assert answer.json() == {"result": expected["black"]}
    with pytest.raises(ValueError, match="'mud' is not a color"):
        make_app(detector, background="mud")


def test_responses_in_the_format_of_0_10() -> None:
    one, box = np.ones(1, np.float32), np.array([[1, 2, 3, 4]], np.float32)
    found = as_in_0_10(Detections(box, one, np.zeros(1, np.int64), ("cat",)))
    place = {"left": 1.0, "top": 2.0, "right": 3.0, "bottom": 4.0}
    assert found == [[{"boundingbox": place, "score": 1.0, "label": "cat", "index": 0}]]
    ((person,),) = as_in_0_10(Poses(box, one, np.zeros((1, 17, 3), np.float32)))
    assert person["bounding_box"] == [1.0, 2.0, 3.0, 4.0]
    assert person["nose"] == {"x": 0.0, "y": 0.0, "confidence": 0.0}
    assert as_in_0_10({"a user's": 1}) == {"a user's": 1}
    assert as_in_0_10(Poses(box[:0], one[:0], np.zeros((0, 17, 3), np.float32))) == [[]]


def test_invalid_photo_is_a_client_error(url: str, photos: list[Path]) -> None:
    parts = [("image", ("good.jpg", photos[0].read_bytes())), ("image", ("bad.txt", b"no photo"))]
    answer = requests.post(f"{url}/infer", files=parts, timeout=30)
    assert answer.status_code == 422
    assert detail(answer).startswith("image 'bad.txt' cannot be decoded: its format is unknown")
    answer = requests.post(f"{url}/infer", data=b"no photo", timeout=30)
    assert answer.status_code == 422
    assert detail(answer).startswith("image '<body>' cannot be decoded")


@pytest.mark.parametrize(
    ("request_of", "status", "complaint"),
    [
        ({}, 422, "the request has no photo: expected parts named 'image'"),
        ({"files": {"photo": b"x"}}, 422, "unknown form field 'photo': expected 'image'"),
        ({"files": {"image": b"x"}, "data": {"top_k": 1}}, 422, "unknown form field 'top_k'"),
        (
            {"data": {"image": "x"}},
            415,
            "Content-Type 'application/x-www-form-urlencoded': expected",
        ),
        (
            {"json": {"image": "x"}},
            415,
            "Content-Type 'application/json': expected multipart/form-",
        ),
        (
            {"data": b"--x\r\nContent", "headers": {"Content-Type": "multipart/form-data"}},
            422,
            "the multipart/form-data body cannot be read: No boundary given",
        ),
        (
            {
                "data": b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\nhalf',
                "headers": {"Content-Type": "multipart/form-data; boundary=x"},
            },
            422,
            "the multipart/form-data body cannot be read: the closing boundary is missing",
        ),
        (
            {
                "data": b"what is this",
                "headers": {"Content-Type": "multipart/form-data; boundary=x"},
            },
            422,
            "the multipart/form-data body cannot be read: ",
        ),
        ({"files": [("image", b"x")] * 65}, 422, "too many photos: expected at most 64"),
    ],
)
def test_invalid_request_is_explained(
    url: str, request_of: dict[str, Any], status: int, complaint: str
) -> None:
    answer = requests.post(f"{url}/infer", timeout=30, **request_of)
    assert answer.status_code == status
    assert complaint in detail(answer)


def test_photo_that_needs_too_much_memory_is_rejected(start: Start, detector: SSDMobileNet) -> None:
    limits = Limits(max_bytes=1 << 20, max_memory=4 << 20)
    file = io.BytesIO()
    Image.new("RGB", (1000, 1000)).save(file, "PNG")
    url = f"http://127.0.0.1:{start(make_app(detector, device='cpu', limits=limits), limits)}/infer"
    answer = requests.post(url, files={"image": ("big.png", file.getvalue())}, timeout=30)
    assert answer.status_code == 413
    assert detail(answer) == (
        "image 'big.png' needs up to 7 MB to decode; the limit of the server is 3 MB: "
        "send a smaller image"
    )


def test_internal_error_is_logged_but_not_sent(
    photos: list[Path], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(SSDMobileNet):
        def postprocess(self, *_: Any, **__: Any) -> Any:
            raise ValueError("a secret of the server")

    with served(make_app(Broken("random"), device="cpu")) as port:
        monkeypatch.setattr(logging.getLogger("uvicorn"), "propagate", True)
        answer = post(f"http://127.0.0.1:{port}/infer", photos[0], params={"score_threshold": 0.5})
    assert answer.status_code == 500
    assert answer.json() == {"detail": "internal error; see the log of the server"}
    assert "a secret of the server" in caplog.text


def test_overridden_postprocess_is_used(start: Start, photos: list[Path]) -> None:
    class Mine(SSDMobileNet):
        def postprocess(self, _: Any, contexts: Any, **options: Any) -> Any:  # type: ignore[override]
            return [{"mine": sorted(options)} for _ in contexts]

    url = f"http://127.0.0.1:{start(make_app(Mine('random'), device='cpu'))}"
    for route in ("infer", "predict"):
        answer = post(f"{url}/{route}", photos[0], params={"score_threshold": 0.5})
        assert answer.json() == {"result": {"mine": ["score_threshold"]}}
        answer = post(f"{url}/{route}", *photos[:2])
        assert answer.json() == {"result": [{"mine": []}] * 2}


def test_small_responses_are_sent_without_delay(url: str) -> None:
    """Nagle's algorithm would hold them back until the delayed ACK of the client."""
    with requests.Session() as session:
        seconds = []
        for _ in range(20):
            since = time.perf_counter()
            session.get(f"{url}/v2/health/live", timeout=30).raise_for_status()
            seconds.append(time.perf_counter() - since)
    assert min(seconds[1:]) < 0.035


def test_health_endpoints(url: str) -> None:
    assert requests.get(f"{url}/v2/health/live", timeout=30).json() == {"live": True}
    assert requests.get(f"{url}/v2/health/ready", timeout=30).json() == {"ready": True}
    for path in ("live", "ready"):
        asked = requests.head(f"{url}/v2/health/{path}", timeout=30)
        assert (asked.status_code, asked.content) == (200, b"")


def test_docs_page_works_without_internet(url: str) -> None:
    page = requests.get(f"{url}/docs", timeout=30)
    assert "://" not in page.text
    links = [
        part.split('"')[0] for tag in ("src=", "href=") for part in page.text.split(f'{tag}"')[1:]
    ]
    assert len(links) == 3  # script, style and icon
    for link in links:
        found = requests.get(f"{url}{link}", timeout=30)
        assert found.status_code == 200
        assert len(found.content) > 1000
    assert requests.get(f"{url}/redoc", timeout=30).status_code == 404


def test_home_page_works_without_internet(url: str) -> None:
    page = requests.get(url, timeout=30)
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'self'")
    assert "unsafe" not in policy
    found = {page.text}
    for link in ("page/page.css", "page/page.js"):
        assert f'"{link}"' in page.text
        found.add(requests.get(f"{url}/{link}", timeout=30).text)
    assert not any("://" in text for text in found)
    facts = requests.get(f"{url}/page/models.json", timeout=30).json()
    for name in facts["samples"]:
        answer = requests.get(f"{url}/page/samples/{name}", timeout=30)
        assert answer.headers["Content-Type"] == "image/jpeg"
        assert answer.content == (EXAMPLES / name).read_bytes()  # whose provenance is noted there
    for path in ("page/__init__.py", "page/samples/..%2f__init__.py", "page/%2e%2e/app.py"):
        assert requests.get(f"{url}/{path}", timeout=30).status_code == 404


def test_openapi_description(url: str) -> None:
    paths = requests.get(f"{url}/openapi.json", timeout=30).json()["paths"]
    for route in ("/infer", "/predict"):
        described = paths[route]["post"]
        kinds = {item["name"]: item["schema"]["type"] for item in described["parameters"]}
        assert kinds == {
            "score_threshold": "number",
            "iou_threshold": "number",
            "draft": "boolean",
            "background": "string",
            "output": "string",
        }
        assert all(item["description"] for item in described["parameters"])
        assert {*described["requestBody"]["content"]} == {
            *("multipart/form-data", "image/*", "application/octet-stream")
        }


@pytest.mark.parametrize("package", ["fastapi", "fastapi_offline", "python_multipart"])
def test_missing_extra_names_the_pip_command(
    classifier: EfficientNetLite0, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(__import__("sys").modules, package, None)
    with pytest.raises(ExtraRequired, match=rf"serving needs {package}.*pip install"):
        make_app(classifier)


def test_application_of_the_0_10_tutorial(start: Start, photos: list[Path]) -> None:
    network = EfficientNetLite0(weights="random")
    serve_api = ServeAPI(Limits(max_bytes=10_000_000))
    with NamedTemporaryFile() as file:
        file.write(network.model_source())
        served: ServeModel = synchronous(serve_api.model("furiosart"))("Net", location=file.name)

    # FastAPI needs annotations that are objects, because the function is local.
    async def infer(image: Any = File(...)) -> Any:  # noqa: B008 - required by FastAPI
        with NamedTemporaryFile() as file:
            file.write(await image.read())
            tensors, _ = network.preprocess(file.name)
        return {"result": network.postprocess(await served.predict(tensors))}

    infer.__annotations__ = {"image": UploadFile, "return": dict[str, str]}
    served.post("/infer")(infer)
    url = f"http://127.0.0.1:{start(serve_api.app)}/infer"
    assert post(url, photos[0]).json() == {"result": network.predict(photos[0]).label}
    answer = requests.post(url, files={"image": bytes(10_000_000)}, timeout=30)
    assert answer.status_code == 413
    assert "expected at most 10000000 bytes, got 100001" in detail(answer)


@pytest.mark.parametrize("cls", [DeepLabV3MobileNetV2, SelfieSegmentation])
def test_maps_are_answered_with_their_masks(start: Start, cls: Any, photos: list[Path]) -> None:
    model = cls(weights="random")
    url = f"http://127.0.0.1:{start(make_app(model, device='cpu'))}"
    rows = model.predict(photos[0]).to_dict()
    assert all(row["mask"]["counts"] for row in rows)
    for path in ("infer", "predict"):
        found = post(f"{url}/{path}", photos[0]).json()["result"]
        assert (found[0] if found and isinstance(found[0], list) else found) == rows
    picture = post(f"{url}/predict", photos[0], params={"output": "jpeg"})
    with Image.open(io.BytesIO(picture.content)) as image, Image.open(photos[0]) as photo:
        assert (image.format, image.size) == ("JPEG", photo.size)
    taken, _ = signatures(model, "cpu")
    assert [each.name for each in taken.outputs] == ["result"]
    assert PhotoResult.of(model.predict(photos[0])).count is None
