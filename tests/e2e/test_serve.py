"""`furiosa-models serve` as a separate process: its shutdown and its memory."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

import pytest
import requests
from PIL import Image

from furiosa_models import get_model

pytestmark = pytest.mark.usefixtures("random_cache")

ENABLE_CONTROL_C = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from furiosa_models.cli import main; sys.exit(main())"
)
COMMAND = [sys.executable, "-c", ENABLE_CONTROL_C, "serve"]
"""Enables Ctrl-C even if the tests run in the background, where processes ignore it."""
RANDOM = ["efficientnet-lite0", "--weights", "random", "--device", "cpu"]
UPLOAD = (
    b"POST /infer HTTP/1.1\r\nHost: here\r\nContent-Type: image/png\r\nContent-Length: 99999\r\n"
)


class Server:
    """A running server.

    Attributes:
        process: The process.
        lines: Its standard error.
        port: The port on which it listens.
        url: Its URL.
    """

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, *arguments, "--port", "0"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.lines: list[str] = []
        errors: IO[str] = self.process.stderr  # type: ignore[assignment]
        self._reader = threading.Thread(target=lambda: self.lines.extend(errors), daemon=True)
        found = None
        for line in errors:  # several processes log before all are ready
            self.lines.append(line)
            found = re.search(r"\w+ (?:is|are) served at (http://127\.0\.0\.1:(\d+))\b", line)
            if found:
                break
        assert found is not None, self.lines
        self._reader.start()
        self.url, self.port = found[1], int(found[2])
        while True:
            try:
                requests.get(f"{self.url}/v2/health/ready", timeout=60).raise_for_status()
            except requests.ConnectionError:
                time.sleep(0.05)
            else:
                break

    def end(self, number: int) -> tuple[int, float, str]:
        """Send a signal; return the exit code, the seconds until the end, and the output."""
        since = time.monotonic()
        self.process.send_signal(number)
        code = self.process.wait(60)
        self.read_to_end()
        return code, time.monotonic() - since, "".join(self.lines)

    def read_to_end(self) -> None:
        """Read the rest of the output; all processes of the server must have ended."""
        self._reader.join()

    @property
    def peak(self) -> int:
        """Return its peak memory in bytes."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(*arguments: str) -> Server:
        servers.append(Server(*arguments))
        return servers[-1]

    yield start
    for server in servers:
        server.process.kill()
        server.process.wait()
        server.process.stderr.close()  # type: ignore[union-attr]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_signals_shut_the_server_down(serve: Callable[..., Server], number: int, code: int) -> None:
    ended, seconds, written = serve(*RANDOM).end(number)
    assert ended == code
    assert seconds < 10
    assert "Traceback" not in written


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, -15)])
def test_stalled_clients_do_not_delay_shutdown(
    serve: Callable[..., Server], number: int, code: int
) -> None:
    server = serve(*RANDOM, "--shutdown-timeout", "2")
    with ExitStack() as stack:
        address = "127.0.0.1", server.port
        clients = [
            stack.enter_context(socket.create_connection(address, timeout=30)) for _ in range(80)
        ]
        for client in clients[:60]:
            client.sendall(UPLOAD + b"\r\nhalf")
        for client in clients[60:70]:
            client.sendall(UPLOAD)  # half of the headers
        requests.get(f"{server.url}/v2/health/live", timeout=30)  # now all of these have been read
        ended, seconds, written = server.end(number)
        assert ended == code
        assert seconds < 12
        assert "Traceback" not in written
        for client in clients[:60]:
            assert client.recv(1 << 16).startswith(b"HTTP/1.1 503 ")


def test_request_in_progress_is_completed_at_shutdown(
    serve: Callable[..., Server], photos: list[Path]
) -> None:
    server = serve(*RANDOM)
    data = photos[0].read_bytes()
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(UPLOAD.replace(b"99999", str(len(data)).encode()) + b"\r\n" + data[:-1])
        requests.get(f"{server.url}/v2/health/live", timeout=30)
        server.process.terminate()
        time.sleep(0.5)
        client.sendall(data[-1:])
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 200 ")
    assert server.process.wait(30) == -15


class Client(threading.Thread):
    """A client that sends one request after the other on a connection until it is closed.

    Attributes:
        statuses: Statuses of the responses.
        lost: Errors of requests that were sent without getting a response.
    """

    def __init__(self, port: int, data: bytes) -> None:
        super().__init__(daemon=True)
        self.statuses: list[int] = []
        self.lost: list[str] = []
        self._port = port
        head = UPLOAD.replace(b"99999", str(len(data)).encode())
        self._request = head + b"\r\n" + data

    def run(self) -> None:
        while True:
            try:
                client = socket.create_connection(("127.0.0.1", self._port), timeout=60)
            except OSError:  # the server accepts no more connections
                return
            with client:
                try:
                    while self._ask(client):
                        pass
                except (OSError, IndexError) as error:
                    self.lost.append(repr(error))
                    return

    def _ask(self, client: socket.socket) -> bool:
        """Send a request; return whether the connection stays open."""
        client.sendall(self._request)
        data = b""
        while (end := data.find(b"\r\n\r\n") + 4) < 4:
            data += client.recv(1 << 16) or self._closed()
        head = data[:end].lower()
        length = int(head.partition(b"content-length: ")[2].split()[0])
        while len(data) < end + length:
            data += client.recv(1 << 16) or self._closed()
        self.statuses.append(int(data.split()[1]))
        return b"connection: close" not in head

    def _closed(self) -> bytes:
        raise OSError("the connection was closed without a response")


@pytest.mark.parametrize(
    "options", [[], ["--max-batch", "4", "--max-wait", "5"], ["--workers", "2"]]
)
def test_shutdown_under_load_loses_no_request(
    serve: Callable[..., Server], photos: list[Path], options: list[str]
) -> None:
    server = serve(*RANDOM, *options)
    data = photos[3].read_bytes()
    clients = [Client(server.port, data) for _ in range(12)]
    for client in clients:
        client.start()
    while not all(client.statuses for client in clients):
        time.sleep(0.01)
    code, seconds, written = server.end(signal.SIGTERM)
    for client in clients:
        client.join(60)
    assert code == -15
    assert seconds < 12
    assert "Traceback" not in written
    assert [client.lost for client in clients] == [[]] * len(clients)
    assert {status for client in clients for status in client.statuses} == {200}


def test_several_processes_serve_and_are_replaced(
    serve: Callable[..., Server], photos: list[Path]
) -> None:
    server = serve(*RANDOM, "--workers", "2", "--log-format", "json")
    data = photos[0].read_bytes()
    for _ in range(6):
        assert requests.post(f"{server.url}/infer", data=data, timeout=60).ok
    text = requests.get(f"{server.url}/metrics", timeout=30).text
    assert 'furiosa_models_batch_size_sum{model="EfficientNetLite0"} 6.0' in text
    first = processes(server)
    assert len(first) == 2
    os.kill(first[0], signal.SIGKILL)
    while len(processes(server)) < 3:
        time.sleep(0.05)
    assert requests.post(f"{server.url}/infer", data=data, timeout=60).ok
    code, _, written = server.end(signal.SIGINT)
    assert code == 130
    lines = [line for line in written.splitlines() if line not in ("", "interrupted")]
    for line in lines:
        json.loads(line)
    assert sum('"path": "/infer"' in line for line in lines) == 7
    assert sum("ended with code -9 and is replaced" in line for line in lines) == 1


def processes(server: Server) -> list[int]:
    """Return the processes that have started to serve."""
    found = re.findall(r"Started server process \[(\d+)\]", "".join(server.lines))
    return [int(each) for each in found]


def test_processes_end_with_their_parent(serve: Callable[..., Server]) -> None:
    server = serve(*RANDOM, "--workers", "2")
    server.process.kill()
    server.process.wait()
    end = time.monotonic() + 60
    while is_alive(server):
        assert time.monotonic() < end
        time.sleep(0.05)
    server.read_to_end()


def is_alive(server: Server) -> bool:
    try:
        return requests.get(f"{server.url}/v2/health/live", timeout=30).ok
    except requests.ConnectionError:
        return False


def test_process_that_cannot_start_is_reported_in_one_line() -> None:
    written = output_of_failed_start(*RANDOM[:3], "--device", "nowhere", "--workers", "2")
    assert "'nowhere' is not a device" in written
    assert "a server process could not start, and ended with code 1; see above" in written


def test_several_models_are_served_by_name(
    serve: Callable[..., Server], tmp_path: Path, photos: list[Path]
) -> None:
    path = tmp_path / "best-1.onnx"
    path.write_bytes(get_model("EfficientNetLite0", weights="random").origin)
    server = serve(str(path), f"second={path}", "--device", "cpu")
    for name in ("best-1", "second"):
        url = f"{server.url}/models/{name}/infer"
        assert requests.post(url, data=photos[0].read_bytes(), timeout=60).ok
    listed = requests.get(f"{server.url}/models", timeout=30).json()["models"]
    assert [each["name"] for each in listed] == ["best-1", "second"]
    written = output_of_failed_start(str(path), str(path), code=2)
    assert "two models have the name 'best-1': choose another one with NAME=" in written
    written = output_of_failed_start(str(path), f"b={path}", "--labels", "coco80", code=2)
    assert "--labels applies to one model" in written


def output_of_failed_start(*arguments: str, code: int = 1) -> str:
    """Return the output of a server that does not start."""
    done = subprocess.run(
        [*COMMAND, *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


def test_startup_failure_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        written = output_of_failed_start(*RANDOM, "--port", port)
        assert written == (
            f"Error: cannot listen on 127.0.0.1, port {port}: Address already in use; choose "
            "another --host or --port [FuriosaModelsError]\n"
        )
        written = output_of_failed_start(*RANDOM, "--host", "no.such.host.invalid")
        assert written.startswith("Error: cannot listen on no.such.host.invalid, port 8000: ")
        assert len(written.splitlines()) == 1
        monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
        written = output_of_failed_start("SSDMobileNet", "--port", port)  # fails before listening
        assert "Error: " in written
        assert "listen" not in written
        assert len([line for line in written.splitlines() if not line.startswith("Warning: ")]) == 1
    assert "there is no such device" not in output_of_failed_start(
        *RANDOM[:3], "--device", "nowhere"
    )
    assert "'mud' is not a color" in output_of_failed_start(*RANDOM, "--background", "mud", code=2)
    written = output_of_failed_start(*RANDOM, "--max-request", "64", "--max-memory", "255", code=2)
    assert "at least four times" in written


def test_limits_are_set_by_options(serve: Callable[..., Server]) -> None:
    server = serve(*RANDOM, "--max-request", "1", "--background", "white")
    answer = requests.post(f"{server.url}/infer", data=bytes((1 << 20) + 1), timeout=30)
    assert answer.status_code == 413
    with socket.create_connection(("127.0.0.1", server.port), timeout=30) as client:
        client.sendall(UPLOAD[:20])
        server.end(signal.SIGTERM)


def encoded(kind: str, size: tuple[int, int], **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (90, 60, 30)).save(file, kind, **options)
    return file.getvalue()


WORST: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encoded("PNG", (8200, 8200)),
    "WebP": lambda: encoded("WEBP", (5100, 5100)),
    "TIFF": lambda: encoded("TIFF", (8200, 8100), compression="tiff_lzw"),
    "JPEG": lambda: encoded("JPEG", (7000, 6700), progressive=True, subsampling=0),
}
"""Photos whose decoding takes nearly the maximum memory."""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="memory is read from /proc")
@pytest.mark.parametrize("kind", WORST)
def test_eight_expensive_photos_at_once_stay_within_memory(
    serve: Callable[..., Server], kind: str, photos: list[Path]
) -> None:
    server = serve(*RANDOM)
    worst = WORST[kind]()
    statuses: list[int] = []

    def upload() -> None:
        files = {"image": worst}
        answer = requests.post(f"{server.url}/infer", files=files, timeout=200)
        statuses.append(answer.status_code)

    uploads = [threading.Thread(target=upload) for _ in range(8)]
    for thread in uploads:
        thread.start()
    small = 0
    while any(thread.is_alive() for thread in uploads):
        answer = requests.post(f"{server.url}/infer", data=photos[0].read_bytes(), timeout=30)
        assert answer.status_code == 200
        small += 1
    assert {200} <= {*statuses} <= {200, 503}
    assert small > 8  # a small request, which did not wait for the large ones
    assert server.peak < 1_500_000_000
