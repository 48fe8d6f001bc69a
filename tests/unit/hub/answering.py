"""What the local servers of hubs share."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Answering(http.server.BaseHTTPRequestHandler):
    """Answers a request with bytes or JSON, and logs nothing."""

    protocol_version = "HTTP/1.1"

    def reply(self, document: Any, status: int = 200, **headers: str) -> None:
        """Answer with JSON."""
        known = {name.replace("_", "-"): value for name, value in headers.items()}
        kind = {"Content-Type": "application/json"}
        self.send(status, json.dumps(document).encode(), {**kind, **known})

    def send(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        """Answer."""
        self.send_response(status)
        known = {"Content-Length": str(len(body)), "Connection": "close", **(headers or {})}
        for name, value in known.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def running(server: http.server.ThreadingHTTPServer) -> Iterator[None]:
    """Run a server in a thread."""
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
