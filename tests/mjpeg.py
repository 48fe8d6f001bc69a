"""A camera on the network: an HTTP server of Motion JPEG, which can break off and come back."""

from __future__ import annotations

import http.server
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from PIL import Image

RATE = 50  # frames per second


class Camera(http.server.ThreadingHTTPServer):
    """The server; each connection gives `limit` frames, whose red level is their number.

    Attributes:
        limit: Number of frames of a connection; None for no limit.
        is_broken: Whether connections are refused with an error of the server.
        visits: Number of connections so far.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.limit: int | None = None
        self.is_broken = False
        self.visits = 0
        self.sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/stream.mjpg"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Camera

    def do_GET(self) -> None:
        self.server.visits += 1
        if self.server.is_broken:
            self.send_error(503)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        count = 0
        with suppress(OSError):  # the client is gone
            while self.server.limit is None or count < self.server.limit:
                photo = io.BytesIO()
                Image.new("RGB", (64, 48), (self.server.sent % 256, 0, 0)).save(photo, "JPEG")
                data = photo.getvalue()
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")
                count += 1
                self.server.sent += 1
                time.sleep(1 / RATE)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def camera() -> Iterator[Camera]:
    """Run a camera on a free port of this machine."""
    server = Camera()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
