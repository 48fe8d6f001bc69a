"""A real HTTP server that misbehaves as it is told."""

from __future__ import annotations

import gzip
import http.server
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

DATA = bytes(range(256)) * 4096  # one MiB


@dataclass
class Visit:
    """One request: its path and its Range header."""

    path: str
    range: str | None


class Handler(http.server.BaseHTTPRequestHandler):
    """What every fault is told through: `fault(handler, how many requests came before)`."""

    protocol_version = "HTTP/1.1"
    server: FaultyServer

    def do_GET(self) -> None:
        with self.server.lock:
            count = len(self.server.visits)
            self.server.visits.append(Visit(self.path, self.headers.get("Range")))
        self.close_connection = True
        self.server.fault(self, count)

    def answer(
        self, body: bytes, status: int = 200, length: int | None = None, **headers: str
    ) -> None:
        """Send a whole answer; `length` is what it claims."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    @property
    def start(self) -> int:
        """Where the asked range begins."""
        text = self.headers.get("Range", "bytes=0-")
        return int(text.removeprefix("bytes=").partition("-")[0])

    def serve_range(self, data: bytes = DATA, until: int | None = None) -> None:
        """Answer as a good server does, up to a byte at which the connection ends."""
        start, total = self.start, len(data)
        status = 206 if "Range" in self.headers else 200
        span = {"Content_Range": f"bytes {start}-{total - 1}/{total}"} if status == 206 else {}
        self.answer(data[start:until], status, total - start, **span)

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        linger = struct.pack("ii", 1, 0)
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.wfile.flush()
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


Fault = Callable[[Handler, int], None]


@dataclass
class FaultyServer(http.server.ThreadingHTTPServer):
    """A server with one fault."""

    fault: Fault
    visits: list[Visit] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    daemon_threads = True

    def __post_init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients go away in these tests

    @property
    def url(self) -> str:
        """URL of the file."""
        return f"http://127.0.0.1:{self.server_port}/w.bin"


@contextmanager
def serve(fault: Fault) -> Iterator[FaultyServer]:
    """Run a server with a fault."""
    server = FaultyServer(fault)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def good(handler: Handler, _: int) -> None:
    """No fault."""
    handler.serve_range()


def slow(seconds: float) -> Fault:
    """The file in 64 pieces over some time."""

    def fault(handler: Handler, _: int) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        piece = len(DATA) // 64
        for i in range(0, len(DATA), piece):
            handler.wfile.write(DATA[i : i + piece])
            time.sleep(seconds / 64)

    return fault


def zipped(handler: Handler, _: int) -> None:
    """The file in an encoding that nobody asked for."""
    handler.answer(gzip.compress(DATA), Content_Encoding="gzip")
