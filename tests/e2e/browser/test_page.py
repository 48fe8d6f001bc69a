"""The page of a server in a browser: `make test-browser`."""

from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from furiosa_models import get_model
from furiosa_models.ops.rle import compress_rle

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MODELS = ("SSDMobileNet", "EfficientNetLite0")
PHONE = {"width": 390, "height": 844}
DROP = """async ([data, name, kind]) => {
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const file = new File([bytes], name, { type: "image/jpeg" });
  const transfer = new DataTransfer();
  transfer.items.add(file);
  const options = { bubbles: true, cancelable: true };
  document.body.dispatchEvent(kind === "drop"
    ? new DragEvent("drop", { ...options, dataTransfer: transfer })
    : new ClipboardEvent("paste", { ...options, clipboardData: transfer }));
}"""


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server with random weights; `test_real_boxes_are_drawn` has one with real weights."""
    yield from running(*MODELS, weights="random")


def running(*models: str, weights: str | None = None) -> Iterator[str]:
    code = (
        "import sys; from furiosa_models import get_model;"
        "from furiosa_models.serving import make_app; from furiosa_models.serving.server import *;"
        "s = listen('127.0.0.1', 0); weights = sys.argv[1] or None;"
        "app = make_app({n: get_model(n, weights) for n in sys.argv[2:]}, device='cpu');"
        "print(s.getsockname()[1], flush=True); run(app, s)"
    )
    command = [sys.executable, "-c", code, weights or "", *models]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (on Debian: apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", *fake]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any, url: str) -> Iterator[Any]:
    """The page of the server with random weights; no error may be in the console."""
    yield from opened(browser, url)


def opened(browser: Any, url: str, **options: Any) -> Iterator[Any]:
    context = browser.new_context(accept_downloads=True, **options)
    page = context.new_page()
    problems: list[str] = []
    asked: list[str] = []

    def read_console(line: Any) -> None:
        if line.type == "error":
            problems.append(line.text)

    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("console", read_console)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    page.wait_for_selector("#model option", state="attached")
    yield page
    context.close()
    assert problems == []
    assert all(each.startswith((url, "blob:", "data:")) for each in asked)


def give(page: Any, photo: Path, kind: str = "drop") -> None:
    page.evaluate(DROP, [base64.b64encode(photo.read_bytes()).decode(), photo.name, kind])
    page.wait_for_selector("#save-json:not([disabled])", timeout=60_000)


def pixels(page: Any) -> np.ndarray[Any, Any]:
    text = page.evaluate("document.getElementById('canvas').toDataURL('image/png')")
    with Image.open(io.BytesIO(base64.b64decode(text.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def edges_drawn(page: Any, photo: Path, box: list[float]) -> float:
    """Return the share of the pixels on the edges of a box that differ from the photo."""
    drawn = pixels(page)
    with Image.open(photo) as picture:
        original = np.asarray(picture.convert("RGB")).astype(int)
    assert drawn.shape == original.shape
    height, width = drawn.shape[:2]
    left, top, right, bottom = (round(edge) for edge in box)
    right, bottom = min(right, width - 1), min(bottom, height - 1)
    left, top = max(left, 0), max(top, 0)
    changed = np.abs(drawn - original).max(axis=2) > 24
    lines = [
        changed[top:bottom, left],
        changed[top:bottom, right],
        changed[top, left:right],
        changed[bottom, left:right],
    ]
    return float(np.concatenate(lines).mean())


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_given_photo_shows_the_boxes_of_the_server(
    page: Any, url: str, photos: list[Path], kind: str
) -> None:
    photo = photos[3]
    page.select_option("#model", index=0)
    give(page, photo, kind)
    asked = f"{url}/models/SSDMobileNet/predict?score_threshold=0.05"
    found = requests.post(asked, data=photo.read_bytes(), timeout=60).json()["result"]
    best = found[0]
    page.fill("#threshold", str(round(best["score"] - 0.005, 2)))
    rows = page.locator("#table tbody tr")
    assert rows.first.locator("td").all_inner_texts()[:2] == [best["label"], f"{best['score']:.3f}"]
    assert edges_drawn(page, photo, best["box"]) > 0.8
    assert "inference" in page.inner_text("#timing")


def test_threshold_filters_and_downloads_follow_it(page: Any, photos: list[Path]) -> None:
    give(page, photos[3])
    counts = []
    for value in ("0.05", "0.7", "0.95"):
        page.fill("#threshold", value)
        counts.append(page.locator("#table tbody tr").count())
    assert counts[0] >= counts[1] >= counts[2]
    assert counts[0] > 0
    page.fill("#threshold", "0.05")
    with page.expect_download() as saved:
        page.click("#save-json")
    document = json.loads(Path(saved.value.path()).read_text())
    assert document["model"] == "SSDMobileNet"
    assert len(document["result"]) == counts[0]
    with page.expect_download() as saved:
        page.click("#save-picture")
    assert saved.value.suggested_filename == f"{photos[3].stem}-results.png"
    with Image.open(saved.value.path()) as picture, Image.open(photos[3]) as original:
        assert picture.size == original.size


def test_keyboard_alone_gives_a_result(page: Any) -> None:
    page.focus("#samples button:first-child")
    page.keyboard.press("Enter")
    page.wait_for_selector("#save-json:not([disabled])", timeout=60_000)
    page.focus("#model")
    page.keyboard.press("ArrowDown")
    page.wait_for_selector("#status:has-text('Lite0')", timeout=60_000)
    assert page.locator("#table tbody tr").count() == 5
    assert not page.is_visible("#threshold-row")


def test_joints_and_limbs_are_drawn(browser: Any, url: str, photos: list[Path]) -> None:
    """With the answer of a pose estimator in place of the server's."""
    points = {
        name: {"x": 20.0 * i + 30, "y": 200.0, "confidence": 0.9} for i, name in enumerate("abc")
    }
    points["b"]["confidence"] = 0.1
    person = {"score": 0.9, "box": [10, 20, 300, 400], "keypoints": points}
    described = {"name": "pose", "task": "pose", "limbs": [[0, 1], [0, 2]]}
    facts = {"models": [described | {"parameters": [{"name": "score_threshold"}]}], "samples": []}
    context = browser.new_context()
    page = context.new_page()
    page.route("**/page/models.json", lambda route: route.fulfill(json=facts))
    page.route("**/predict*", lambda route: route.fulfill(json={"result": [person]}))
    page.goto(url)
    page.wait_for_selector("#model option", state="attached")
    give(page, photos[3])
    with Image.open(photos[3]) as picture:
        changed = (
            np.abs(pixels(page) - np.asarray(picture.convert("RGB")).astype(int)).max(axis=2) > 24
        )
    assert changed[200, 35:65].mean() > 0.8  # the limb from a to c; b is not seen
    assert changed[198:203, 28:33].mean() > 0.8
    assert changed[195:205, 48:53].mean() < 0.7
    context.close()


def test_masks_are_drawn_where_they_are(browser: Any, url: str, photos: list[Path]) -> None:
    """With the answer of a segmentation in place of the server's."""
    with Image.open(photos[3]) as picture:
        original = np.asarray(picture.convert("RGB")).astype(int)
    height, width = original.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    mask = (rows - 200) ** 2 + (columns - 150) ** 2 < 90**2
    mask[:40, -7:] = True  # runs that end at the bottom, and touch an edge
    region = {"label": "cat", "index": 8, "fraction": float(mask.mean()), "box": [60, 0, 500, 290]}
    region["mask"] = compress_rle(mask)
    facts = {"models": [{"name": "m", "task": "segmentation", "parameters": []}], "samples": []}
    context = browser.new_context()
    page = context.new_page()
    page.route("**/page/models.json", lambda route: route.fulfill(json=facts))
    page.route("**/predict*", lambda route: route.fulfill(json={"result": [region]}))
    page.goto(url)
    page.wait_for_selector("#model option", state="attached")
    give(page, photos[3])
    changed = np.abs(pixels(page) - original).max(axis=2) > 12
    free = np.ones_like(mask)
    free[:30, 55:200] = False  # the caption
    assert changed[mask & free].mean() > 0.9
    assert changed[~mask & free].mean() < 0.01
    share = f"{100 * mask.mean():.1f} %"
    assert page.locator("#table tbody tr td").all_inner_texts()[:2] == ["cat", share]
    context.close()


def test_camera_takes_a_photo(page: Any) -> None:
    page.select_option("#model", index=1)
    page.click("#camera")
    while not page.evaluate("document.querySelector('video').videoWidth"):
        time.sleep(0.05)
    page.click("#shoot")
    page.wait_for_selector("#save-json:not([disabled])", timeout=60_000)
    assert page.locator("#table tbody tr").count() == 5


def test_damaged_photo_is_explained(browser: Any, url: str, tmp_path: Path) -> None:
    photo = tmp_path / "bad.jpg"
    photo.write_bytes(b"no photo")
    context = browser.new_context()
    page = context.new_page()
    page.goto(url)
    page.wait_for_selector("#model option", state="attached")
    page.evaluate(DROP, [base64.b64encode(photo.read_bytes()).decode(), photo.name, "drop"])
    page.wait_for_selector("#status.error")
    assert "cannot be decoded" in page.inner_text("#status")
    context.close()


def test_page_fits_a_phone(browser: Any, url: str, photos: list[Path]) -> None:
    for page in opened(browser, url, viewport=PHONE, is_mobile=True, has_touch=True):
        give(page, photos[3])
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= PHONE["width"]


@pytest.mark.network
@pytest.mark.usefixtures("use_warm_cache")
def test_real_boxes_are_drawn(browser: Any, photos: list[Path]) -> None:
    """With real weights; writes screenshots for the documentation if a folder is given."""
    folder = os.environ.get("PAGE_SCREENSHOTS")
    name = "SSDMobileNetV2"
    found = get_model(name).predict(photos[3], device="cpu", score_threshold=0.5)
    assert "person" in found.labels
    for url in running(name):
        for view, options in {"desktop": {}, "phone": {"viewport": PHONE}}.items():
            for page in opened(browser, url, **options):
                give(page, photos[3])
                page.fill("#threshold", "0.5")
                assert page.locator("#table tbody tr").count() == len(found)
                assert edges_drawn(page, photos[3], found.boxes[0].tolist()) > 0.8
                time.sleep(0.2)
                if folder:
                    page.screenshot(path=Path(folder) / f"page-{view}.png", full_page=True)
