"""A real HTTP server that misbehaves as configured."""

from __future__ import annotations

import gzip
import http.server
import itertools
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

DATA = bytes(range(256)) * 4096  # one MiB


@dataclass
class Visit:
    """One request: its path and its Range header."""

    path: str
    range: str | None


class Handler(http.server.BaseHTTPRequestHandler):
    """A request handler that calls `fault(handler, number of earlier requests)`."""

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
        """Send a complete response; `length` is the declared Content-Length."""
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.send_header("Connection", "close")
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    @property
    def start(self) -> int:
        """Return the start of the requested range."""
        text = self.headers.get("Range", "bytes=0-")
        return int(text.removeprefix("bytes=").partition("-")[0])

    def serve_range(self, data: bytes = DATA, until: int | None = None) -> None:
        """Answer correctly, but close the connection at the byte `until`."""
        start, total = self.start, len(data)
        status = 206 if "Range" in self.headers else 200
        span = {"Content_Range": f"bytes {start}-{total - 1}/{total}"} if status == 206 else {}
        self.answer(data[start:until], status, total - start, **span)

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
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
        pass  # clients disconnect in these tests

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
    """Answer without a fault."""
    handler.serve_range()


def slow(seconds: float) -> Fault:
    """Return a fault that sends the file in 64 pieces over some time."""

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
    """Send the file in an encoding that was not requested."""
    handler.answer(gzip.compress(DATA), Content_Encoding="gzip")


# --- Invalid or hostile HTTP responses ----------------------------------------------------------


def raw(*pieces: bytes, pause: float = 0.0) -> Fault:
    """Return a fault that sends the given bytes, piece by piece, as the whole response."""
    return stream(lambda: iter(pieces), pause)


def stream(pieces: Callable[[], Iterable[bytes]], pause: float = 0.0) -> Fault:
    """Return a fault that sends pieces, of which there may be infinitely many."""

    def fault(handler: Handler, _: int) -> None:
        for piece in pieces():
            handler.wfile.write(piece)
            handler.wfile.flush()
            time.sleep(pause)

    return fault


def headed(*headers: bytes, status: bytes = b"200 OK", body: bytes = DATA) -> Fault:
    """Return a fault that sends these headers and no others."""
    return raw(b"HTTP/1.1 " + status + b"\r\n" + b"\r\n".join([*headers, b"", b""]) + body)


def redirected(location: bytes, body: bytes = b"") -> Fault:
    """Return a fault that redirects."""
    return headed(b"Location: " + location, status=b"302 Found", body=body)


def encoded(name: bytes, body: bytes) -> Fault:
    """Return a fault that sends a body in an encoding."""
    length = b"Content-Length: %d" % len(body)
    return headed(b"Content-Encoding: " + name, length, body=body)


def chunked(body: bytes) -> Fault:
    """Return a fault that sends a chunked body, which may be invalid."""
    return headed(b"Transfer-Encoding: chunked", body=body)


def slow_redirects(handler: Handler, count: int) -> None:
    """Redirect to the next one of a chain of slow redirects."""
    time.sleep(0.2)
    handler.answer(b"", 302, Location=f"/{count}")


def _bomb() -> bytes:
    """Return half a GiB of zeros, compressed."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(512)) + packer.flush()


DIGITS = b"9" * 5000
NUMBERS = {"no digit": b"\xb2", "5,000 digits": DIGITS, "negative": b"-1", "signed": b"+7"}
NUMBERS |= {"none": b"", "a fraction": b"1.5", "hexadecimal": b"0x10", "a word": b"many"}

LOCATIONS = {
    "no host": b"http://[",
    "no port": b"http://127.0.0.1:port/",
    "a port beyond": b"http://127.0.0.1:99999/",
    "a port of odd digits": b"http://127.0.0.1:\xc2\xb2/",
    "a host of no letters": b"http://\xc3\xa4\xcc\x88..\xff/",
    "a long label": b"http://" + b"a" * 70 + b".invalid/",
    "an empty label": b"http://a..b/",
    "a bad punycode": b"http://xn--\xc3\xbc\xc3\xbc/",
    "a star": b"http://*/",
    "control characters": b"http://127.0.0.1\x01\x7f/\x1b[31m",
    "bytes that are no text": b"/\xff\xfe\x80",
    "a file": b"file:///etc/passwd",
    "another scheme": b"ftp://127.0.0.1/x",
    "a script": b"javascript:alert(1)",
    "nothing": b"",
    "itself": b"/w.bin",
    "64 KB": b"/" + b"a" * 60_000,
    "a password": b"ftp://user:hunter2@127.0.0.1/x",
}

HOSTILE: dict[str, Fault] = {
    **{
        f"Retry-After: {name}": headed(b"Retry-After: " + value, status=b"503 No", body=b"")
        for name, value in NUMBERS.items()
    },
    **{
        f"Content-Length: {name}": headed(b"Content-Length: " + value, body=b"x")
        for name, value in NUMBERS.items()
    },
    **{
        f"Content-Range: {name}": headed(
            b"Content-Range: bytes %b-%b/%b" % (value, value, value), status=b"206 Part", body=b"x"
        )
        for name, value in NUMBERS.items()
    },
    **{f"chunk: {name}": chunked(value + b"\r\nx") for name, value in NUMBERS.items()},
    **{f"status: {name}": headed(status=value) for name, value in NUMBERS.items()},
    **{f"redirect: {name}": redirected(value) for name, value in LOCATIONS.items()},
    "redirect: a chain without end": lambda h, count: h.answer(b"", 302, Location=f"/{count}"),
    "redirect: a bomb": headed(
        b"Location: /x", b"Content-Encoding: gzip", status=b"302 Found", body=_bomb()
    ),
    "redirect: a body without end": stream(
        lambda: itertools.chain(
            [b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n"], itertools.repeat(bytes(1 << 16))
        )
    ),
    "two lengths": headed(b"Content-Length: 5", b"Content-Length: 7", body=b"x" * 5),
    "status: 99": headed(status=b"99 Low"),
    "status: 1000": headed(status=b"1000 High"),
    "status: 204": headed(status=b"204 No Content", body=b""),
    "status: 304": headed(status=b"304 Not Modified", body=b""),
    "status: a reason with escapes": headed(status=b"404 \x1b[31m\xff\x07", body=b""),
    "status: a reason of 60 KB": headed(status=b"404 " + b"a" * 60_000, body=b""),
    "status: a line without end": stream(lambda: itertools.repeat(b"HTTP/1.1 200 " + bytes(9999))),
    "status: another version": raw(b"HTTP/9.9 200 OK\r\n\r\n"),
    "status: another protocol": raw(b"SSH-2.0-OpenSSH_9.9\r\n"),
    "status: TLS": raw(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "status: none": raw(b""),
    "status: half a line": raw(b"HTTP/1.1 20"),
    "headers: 500": headed(*[b"X-%d: y" % i for i in range(500)]),
    "headers: 100 KB": headed(b"X: " + b"y" * 100_000),
    "headers: no colon": headed(b"what is this", body=b""),
    "headers: NUL": headed(b"X: \x00", b"Content-\x00Length: 3", body=b""),
    "headers: a break in one": headed(b"X: a\rb", body=b""),
    "headers: without end": stream(
        lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n"], itertools.repeat(b"X: y\r\n"))
    ),
    "encoding: a bomb": encoded(b"gzip", _bomb()),
    "encoding: a bomb of two layers": encoded(b"gzip, gzip", gzip.compress(_bomb())),
    "encoding: no gzip": encoded(b"gzip", DATA),
    "encoding: half a gzip": encoded(b"gzip", gzip.compress(DATA)[:-900]),
    "encoding: no deflate": encoded(b"deflate", b"\xff" * 99),
    "encoding: br": encoded(b"br", b"\x8b\x00\x80"),
    "encoding: zstd": encoded(b"zstd", b"\x28\xb5\x2f\xfd"),
    "encoding: of no name": encoded(b"\xff\x01", DATA),
    "chunks: bytes": chunked(b"\xff\xfe\r\n"),
    "chunks: too large": chunked(b"f" * 300 + b"\r\nx"),
    "chunks: an extension of 100 KB": chunked(b"5;" + b"x" * 100_000 + b"\r\nhello"),
    "chunks: no end": chunked(b"5\r\nhello"),
    "a body without end": stream(
        lambda: itertools.chain([b"HTTP/1.1 200 OK\r\n\r\n"], itertools.repeat(bytes(1 << 16)))
    ),
}
"""Invalid behavior of servers; the next source must be tried soon."""

ENDLESS: dict[str, Fault] = {
    "a body that drips": stream(
        lambda: itertools.chain(
            [b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(DATA)], itertools.repeat(b"x")
        ),
        0.05,
    ),
    "a body that drips in chunks": stream(
        lambda: itertools.chain(
            [b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"],
            itertools.repeat(b"1\r\nx\r\n"),
        ),
        0.05,
    ),
    "a header that drips": stream(
        lambda: itertools.chain([b"HTTP/1.1 200 OK\r\nX: "], itertools.repeat(b"x")), 0.05
    ),
    "a status that drips": stream(lambda: itertools.repeat(b"H"), 0.05),
    "a header that stalls": raw(b"HTTP/1.1 200 OK\r\nX: ", b"", pause=5.0),
    "one moment, please": stream(lambda: itertools.repeat(b"HTTP/1.1 100 Continue\r\n\r\n"), 0.05),
    "a slow chain of redirects": slow_redirects,
    "503 for ever": headed(b"Retry-After: 1", status=b"503 No", body=b""),
}
"""Slow responses that a socket timeout does not stop."""
