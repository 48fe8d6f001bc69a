"""Clients that send too much, too slowly, or not what they declared."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests

from furiosa_models.serving import Limits, make_app
from furiosa_models.vision import SSDMobileNet

from .conftest import served

LIMITS = Limits(
    max_bytes=8 << 20,
    max_memory=64 << 20,
    header_timeout=1.0,
    body_timeout=2.0,
    queue_timeout=1.0,
)
HEAD = b"POST /infer HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
PIECE = bytes(1 << 20)


@pytest.fixture(scope="module")
def port(detector: SSDMobileNet) -> Iterator[int]:
    with served(make_app(detector, device="cpu", limits=LIMITS), LIMITS) as port:
        yield port


@pytest.fixture
def client(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        yield client


def answer(client: socket.socket) -> tuple[int, dict[str, str]]:
    """Return status and document of a response; status 0 if the connection just closes."""
    data = b""
    while (end := data.find(b"\r\n\r\n") + 4) < 4 or len(data) < end + length_of(data[:end]):
        try:
            piece = client.recv(1 << 16)
        except ConnectionError:
            piece = b""
        if not piece:
            return 0, {}
        data += piece
    return int(data.split()[1]), json.loads(data[end : end + length_of(data[:end])])


def length_of(head: bytes) -> int:
    return int(head.lower().partition(b"content-length: ")[2].split()[0])


def pieces(client: socket.socket) -> Iterator[bytes]:
    """Yield received bytes until the connection is closed."""
    with suppress(ConnectionError):
        while piece := client.recv(1 << 20):
            yield piece


def is_closed(client: socket.socket) -> bool:
    return answer(client) == (0, {})


def is_responsive(port: int, photos: list[Path]) -> bool:
    url = f"http://127.0.0.1:{port}/infer?score_threshold=0.9"
    return requests.post(url, data=photos[0].read_bytes(), timeout=30).status_code == 200


@pytest.mark.parametrize("expects", [b"", b"Expect: 100-continue\r\n"])
def test_declared_length_is_checked_before_reading(client: socket.socket, expects: bytes) -> None:
    client.sendall(HEAD + expects + b"Content-Length: 1073741824\r\n\r\n")
    status, document = answer(client)
    assert status == 413
    assert document["detail"] == (
        "the body is too large: expected at most 8388608 bytes, got 1073741824 bytes; send smaller "
        "or fewer photos"
    )


def test_length_of_many_digits_is_too_large(client: socket.socket) -> None:
    client.sendall(HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n")
    assert client.recv(1 << 16).split()[1] in (b"400", b"413")


@pytest.mark.parametrize("form", [False, True])
def test_too_large_upload_gets_a_413_response(port: int, form: bool) -> None:
    data = bytes(LIMITS.max_bytes + 1)
    given = {"files": {"image": data}} if form else {"data": data}
    response = requests.post(f"http://127.0.0.1:{port}/infer", timeout=30, **given)
    assert response.status_code == 413


def test_size_of_chunked_body_is_limited(client: socket.socket) -> None:
    client.sendall(CHUNKED)
    for _ in range(8):
        client.sendall(b"100000\r\n" + PIECE + b"\r\n")
    client.sendall(b"1\r\n1\r\n")  # without the end
    status, document = answer(client)
    assert status == 413
    assert "expected at most 8388608 bytes, got more" in document["detail"]


def test_length_with_chunks_does_not_smuggle_a_request(client: socket.socket) -> None:
    """A proxy that uses the length would treat the second request as a part of the body."""
    smuggled = b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\n"
    length = f"Content-Length: {len(smuggled) + 5}\r\n\r\n".encode()
    client.sendall(CHUNKED[:-2] + length + b"0\r\n\r\n" + smuggled)
    status, document = answer(client)
    assert status == 400
    assert "a Content-Length and a Transfer-Encoding" in document["detail"]
    assert is_closed(client)


def test_chunks_within_the_limit_are_read(client: socket.socket) -> None:
    client.sendall(CHUNKED)
    for _ in range(8):
        client.sendall(b"100000\r\n" + PIECE + b"\r\n")
    client.sendall(b"0\r\n\r\n")
    status, document = answer(client)
    assert status == 422
    assert "image '<body>' cannot be decoded" in document["detail"]


def test_body_shorter_than_declared_times_out(client: socket.socket) -> None:
    client.sendall(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
    status, document = answer(client)
    assert status == 408
    assert document["detail"] == "the body did not arrive within 2 seconds"
    assert is_closed(client)


def test_excess_body_is_not_a_second_request(client: socket.socket) -> None:
    client.sendall(HEAD + b"Content-Length: 3\r\n\r\nabc and more than that\r\n\r\n")
    assert answer(client)[0] == 422


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"\xb2", b"1\r\nContent-Length: 2"])
def test_invalid_length_is_a_bad_request(client: socket.socket, length: bytes) -> None:
    client.sendall(HEAD + b"Content-Length: " + length + b"\r\n\r\nabc")
    data = client.recv(1 << 16)
    assert data.startswith(b"HTTP/1.1 400 ")


def drip(client: socket.socket, piece: bytes) -> float:
    """Send a piece every 0.1 s until the connection is closed; return the elapsed seconds."""
    since = time.monotonic()
    client.settimeout(0.1)
    while time.monotonic() < since + 30:
        try:
            if not client.recv(1 << 16):
                break
        except TimeoutError:
            client.sendall(piece)
        except ConnectionError:
            break
    return time.monotonic() - since


def test_slow_body_times_out(client: socket.socket) -> None:
    client.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
    assert LIMITS.body_timeout - 0.5 < drip(client, b"x") < 20


@pytest.mark.parametrize(
    "start",
    [b"", b"POST /inf", HEAD, b"GET /v2/health/live HTTP/1.1\r\nHost: here\r\n\r\nGET /v2"],
    ids=["nothing", "a line", "headers", "a second request"],
)
@pytest.mark.parametrize("piece", [b"", b"x"], ids=["stalls", "drips"])
def test_endless_headers_close_the_connection(
    client: socket.socket, start: bytes, piece: bytes
) -> None:
    client.sendall(start)
    if start.startswith(b"GET"):
        client.recv(1 << 16)
    assert drip(client, piece) < 20


def test_data_after_a_rejected_body_closes_the_connection(client: socket.socket) -> None:
    client.sendall(HEAD + b"Content-Length: 1073741824\r\n\r\n")
    assert answer(client)[0] == 413
    assert drip(client, b"x") < 20


def test_unread_response_closes_the_connection(port: int) -> None:
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(30)
        client.connect(("127.0.0.1", port))
        script = b"GET /static-offline-docs/swagger-ui-bundle.js HTTP/1.1\r\nHost: here\r\n\r\n"
        client.sendall(script * 9)  # more than the socket buffers hold
        time.sleep(LIMITS.body_timeout + 1)
        assert sum(len(piece) for piece in pieces(client)) < 9 * 1_500_000


def test_connection_is_kept_alive(port: int, photos: list[Path]) -> None:
    with requests.Session() as session:
        for _ in range(3):
            url = f"http://127.0.0.1:{port}/infer?score_threshold=0.9"
            assert session.post(url, data=photos[0].read_bytes(), timeout=30).status_code == 200
            assert session.post(url, data=b"no photo", timeout=30).status_code == 422


def test_stalled_uploads_do_not_block_others(port: int, photos: list[Path]) -> None:
    clients = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(14)]
    for client in clients:  # they request seven times the memory for bodies
        client.sendall(HEAD + b"Content-Length: 8388608\r\n\r\nx")
    assert is_responsive(port, photos)
    assert all(answer(client)[0] == 408 for client in clients)
    for client in clients:
        client.close()


def test_large_uploads_queue_and_then_get_a_503_response(port: int) -> None:
    statuses: list[int] = []

    def upload() -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
            client.sendall(HEAD + b"Content-Length: 8388608\r\n\r\n" + PIECE * 2)
            statuses.append(answer(client)[0])  # it never sends the rest

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {*statuses} == {408, 503}
