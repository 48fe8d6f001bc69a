"""Photos from HTTP: the time limit, the size limit, and no passwords in messages."""

from __future__ import annotations

import io
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from PIL import Image

from furiosa_models.errors import ImageError
from furiosa_models.images import download
from furiosa_models.images.read import EncodedPhoto, buffer_source, read_image
from furiosa_models.vision import MobileNetV2

Serve = Callable[[Path], str]
Answer = Callable[[socket.socket], None]


def png() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 4), "red").save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def start_server() -> Iterator[Callable[[Answer], str]]:
    """Return a function that starts a server with the given handler of connections."""
    servers: list[socket.socket] = []

    def start(answer: Answer) -> str:
        server = socket.create_server(("127.0.0.1", 0))
        servers.append(server)

        def run() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client, suppress(OSError):
                    client.recv(1 << 16)
                    answer(client)

        threading.Thread(target=run, daemon=True).start()
        return f"http://127.0.0.1:{server.getsockname()[1]}/photo.png"

    yield start
    for server in servers:
        server.close()


def drip(head: bytes) -> Answer:
    def answer(client: socket.socket) -> None:
        client.sendall(head)
        with suppress(OSError):  # endless: a client without a time limit would wait forever
            while True:
                client.sendall(b"x")
                time.sleep(0.05)

    return answer


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", b"HTTP/1.1 200 "]
)
def test_slow_server_hits_the_time_limit(
    head: bytes, start_server: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "DEADLINE_S", 0.3)
    url = start_server(drip(head))
    with pytest.raises(ImageError, match=r"photo\.png cannot be fetched: it took longer than 0\.3"):
        read_image(url)


def test_too_large_body_is_not_read(
    start_server: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "MAX_ENCODED_BYTES", 1000)
    announced = start_server(drip(b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n"))
    with pytest.raises(ImageError, match="larger than the limit of 1000 bytes"):
        read_image(announced)
    silent = start_server(lambda client: client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + bytes(99_999)))
    with pytest.raises(ImageError, match="larger than the limit of 1000 bytes"):
        read_image(silent)


def test_offline_mode_fetches_nothing(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "photo.png").write_bytes(png())
    url = f"{serve(tmp_path)}/photo.png"
    assert read_image(url).pixels.shape == (4, 6, 3)
    assert read_image(url.replace("http", "HTTP", 1)).pixels.shape == (4, 6, 3)
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    with pytest.raises(ImageError, match="FURIOSA_MODELS_OFFLINE is set"):
        read_image(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pw-secret@127.0.0.1:9/a.png",
        "http://user:pw-secret@[bad/a.png",
        "http://user:pw-secret@host:port/a.png",
        "https://user:pw-secret@127.0.0.1:9/a.png?x=1",
    ],
)
def test_passwords_are_not_in_messages(url: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(url)
    shown = "".join(map(str, (caught.value, caught.value.__cause__)))
    assert "pw-secret" not in shown
    assert "a.png" in shown


def test_passwords_are_not_in_names(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png())
    url = f"{serve(tmp_path)}/photo.png".replace("//", "//user:pw-secret@")
    kept = buffer_source(url)
    assert isinstance(kept, EncodedPhoto)
    assert "pw-secret" not in kept.name
    assert "pw-secret" not in repr(kept)
    with pytest.raises(ImageError, match="404") as caught:
        read_image(url + ".none")
    assert "pw-secret" not in str(caught.value)


def test_results_keep_the_downloaded_bytes(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_bytes(png())
    url = f"{serve(tmp_path)}/photo.png"
    found = MobileNetV2(weights="random").predict(url, device="cpu")
    assert isinstance(found.image, EncodedPhoto)
    assert (found.image.data, found.image.name) == (png(), url)
    (tmp_path / "photo.png").unlink()
    assert found.plot().size == (6, 4)


@pytest.mark.parametrize(
    ("head", "complaint"),
    [
        (b"302 Found\r\nLocation: file:///etc/passwd", "only http: and https: are followed"),
        (b"302 Found\r\nLocation: http://[", "which is not a URL"),
        (b"302 Found\r\nLocation: /photo.png", "more than 10 redirects"),
        (b"302 Found\r\nLocation: http://a:pw-secret@a..b/", "cannot be fetched"),
        (b"200 OK\r\nContent-Encoding: gzip, gzip", "Content-Encoding"),
        (b"200 OK\r\nContent-Encoding: gzip", "cannot be fetched"),
        (b"\xb2 OK", "cannot be fetched"),
        (b"200 OK\r\nTransfer-Encoding: chunked", "cannot be fetched"),
    ],
)
def test_invalid_http_responses_raise_image_error(
    head: bytes, complaint: str, start_server: Callable[[Answer], str]
) -> None:
    body = bytes(1 << 20)

    def answer(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 " + head + b"\r\n\r\n")
        for _ in range(64):  # the body of a redirect is not read
            client.sendall(body)

    with pytest.raises(ImageError, match=complaint) as caught:
        read_image(start_server(answer))
    assert "pw-secret" not in str(caught.value)


def test_download_thread_ends_after_the_time_limit(
    start_server: Callable[[Answer], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "DEADLINE_S", 0.2)
    before = threading.active_count()
    url = start_server(drip(b"HTTP/1.1 200 "))
    with pytest.raises(ImageError, match="took longer"):
        read_image(url)
    end = time.monotonic() + 2
    while threading.active_count() > before + 1 and time.monotonic() < end:
        time.sleep(0.02)
    assert threading.active_count() == before + 1  # the thread of the server


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pw@pw-secret@127.0.0.1:9/a.png",
        "http://user:pw/pw-secret@127.0.0.1:9/a.png",
        "http://127.0.0.1:9/a.png?X-Amz-Signature=pw-secret",
    ],
)
def test_passwords_of_malformed_urls_are_not_in_messages(url: str) -> None:
    with pytest.raises(ImageError) as caught:
        read_image(url)
    assert "pw-secret" not in "".join(map(str, (caught.value, caught.value.__cause__)))
