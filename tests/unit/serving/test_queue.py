"""Requests that wait for memory."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from PIL import Image

from furiosa_models.serving import Limits, make_app
from furiosa_models.vision import SSDMobileNet

from .conftest import served

LIMITS = Limits(max_bytes=1 << 20, max_memory=16 << 20, queue_timeout=2.0)
"""12 MiB of it are for photos."""


def photo(side: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side)).save(file, "PNG")
    return file.getvalue()


LARGE, SMALL = photo(1000), photo(64)  # 7 MB, 29 KB


class Slow(SSDMobileNet):
    """A model that processes large photos until it is released."""

    def __init__(self) -> None:
        super().__init__("random")
        self.started, self.stop, self.runs = threading.Event(), threading.Event(), 0

    def postprocess(self, _: Any, contexts: Any, **__: Any) -> Any:  # type: ignore[override]
        if contexts[0].width == 1000:
            self.runs += 1
            self.started.set()
            self.stop.wait(30)
        return [contexts[0].width]


@pytest.fixture
def slow() -> Iterator[tuple[Slow, str]]:
    model = Slow()
    with served(make_app(model, device="cpu", limits=LIMITS), LIMITS) as port:
        yield model, f"http://127.0.0.1:{port}/predict"
        model.stop.set()


def post(url: str, data: bytes) -> requests.Response:
    return requests.post(url, data=data, timeout=60)


def test_small_photos_pass_large_waiting_ones(slow: tuple[Slow, str]) -> None:
    model, url = slow
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, url, LARGE)
        assert model.started.wait(30)
        second = pool.submit(post, url, LARGE)
        assert post(url, SMALL).json() == {"result": 64}
        assert not second.done()
        refused = second.result()  # no memory was released in time
        assert refused.status_code == 503
        assert refused.headers["Retry-After"] == "5"
        assert refused.json() == {
            "detail": "the server is busy with other requests; try again in 5 seconds"
        }
        third = pool.submit(post, url, LARGE)
        model.stop.set()
        assert first.result().json() == third.result().json() == {"result": 1000}


def test_request_of_a_disconnected_client_is_dropped(slow: tuple[Slow, str]) -> None:
    model, url = slow
    port = int(url.split(":")[2].split("/")[0])
    head = b"POST /predict HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\n"
    length = b"Content-Length: %d\r\n\r\n" % len(LARGE)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(post, url, LARGE)
        assert model.started.wait(30)
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(head + length + LARGE)
            assert post(url, SMALL).status_code == 200
            time.sleep(0.2)  # now it waits for memory
        model.stop.set()
        assert first.result().status_code == 200
        assert post(url, LARGE).status_code == 200
    assert model.runs == 2


def test_many_small_requests_are_all_served() -> None:
    with served(make_app(Slow(), device="cpu")) as port, ThreadPoolExecutor(100) as pool:
        url = f"http://127.0.0.1:{port}/predict"
        statuses = [answer.status_code for answer in pool.map(post, [url] * 100, [SMALL] * 100)]
    assert statuses == [200] * 100
