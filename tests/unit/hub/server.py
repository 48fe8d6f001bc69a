"""A local hub with the routes of Focoos, over real HTTP."""

from __future__ import annotations

import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email import message_from_bytes
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .answering import Answering, running

KEY = "canary-0123456789abcdef"
MODEL = {
    "ref": "m1",
    "name": "shelves",
    "is_managed": False,
    "owner_ref": "u1",
    "focoos_model": "fai-detr-m-coco",
    "task": "detection",
    "created_at": "2026-01-01T00:00:00Z",
    "updated_at": "2026-01-02T00:00:00Z",
    "status": "TRAINING_COMPLETED",
    "description": "Finds goods on shelves",
    "config": {"num_classes": 2},
    "model_family": "fai_detr",
    "metrics": {"best_valid_metric": {"bbox/AP": 61.5}},
    "classes": ["box", "can"],
    "im_size": [480, 640],
    "training_info": {"main_status": "TRAINING_COMPLETED"},
    "hyperparameters": {"learning_rate": 1e-4},
}
USER = {
    "email": "ann@example.com",
    "created_at": "2026-01-01",
    "updated_at": "2026-01-01",
    "company": None,
    "api_key": {"key": KEY},
    "quotas": {"total_inferences": 3, "max_inferences": 1000, "unknown": 1},
}
DATASET = {
    "ref": "d1",
    "name": "goods",
    "task": "detection",
    "layout": "roboflow_coco",
    "description": None,
    "spec": {"train_length": 80, "valid_length": 20, "size_mb": 1.5},
}
WEIGHTS = bytes(range(256)) * 4096

Fault = Callable[["Handler"], bool]
"""Answers a request and returns True; or returns False for the usual answer."""


class Handler(Answering):
    """Answers one request."""

    server: FocoosServer

    def do_GET(self) -> None:
        self._handle()

    def do_POST(self) -> None:
        self._handle()

    def do_PATCH(self) -> None:
        self._handle()

    def _handle(self) -> None:
        self.close_connection = True
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        self.route = f"{self.command} {parts.path}"
        with self.server.lock:
            self.server.requests.append((self.route, dict(self.headers)))
        if any(fault(self) for fault in self.server.faults):
            return
        if parts.path.startswith("/storage/"):
            self._storage(parts.path)
        elif self.headers.get("X-API-Key") != KEY:
            self.reply({"detail": "Invalid API key"}, 401)
        else:
            self._api(self.route.replace("/v0", "", 1))

    def _api(self, route: str) -> None:
        for pattern, answer in ROUTES.items():
            if match := re.fullmatch(pattern, route):
                answer(self, *match.groups())
                return
        self.reply({"detail": "Not Found"}, 404)

    def _storage(self, path: str) -> None:
        """Serve and take files, as an object store does: it refuses foreign headers."""
        if "X-API-Key" in self.headers:
            self.server.leaks.append(path)
        if self.command == "POST":
            form = multipart(self)
            name = form["key"].decode()
            self.server.files[name] = form["file"]
            self.send(204, b"")
            return
        self.send_file(self.server.files.get(path.removeprefix("/storage/")))

    def send_file(self, data: bytes | None, until: int | None = None) -> None:
        """Answer with a file, or the part that is asked for; break off at the byte `until`."""
        if data is None:
            self.send(404, b"no such key")
            return
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(span[1]) if span and self.headers.get("If-Range", etag) == etag else 0
        headers = {"ETag": etag, "Content-Length": str(len(data) - start)}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        self.server.ranges.append(start)
        self.send(206 if start else 200, data[start:until], headers)


def multipart(handler: Handler) -> dict[str, bytes]:
    """Return the contents of the parts of a form by name."""
    head = f"Content-Type: {handler.headers['Content-Type']}\r\n\r\n".encode()
    parts: Any = message_from_bytes(head + handler.body).get_payload()
    named = {part.get_param("name", header="content-disposition"): part for part in parts}
    return {name: part.get_payload(decode=True) for name, part in named.items()}


class FocoosServer(http.server.ThreadingHTTPServer):
    """A hub with one model, one data set, and what clients add."""

    daemon_threads = True

    def __init__(self) -> None:
        self.models: dict[str, dict[str, Any]] = {"m1": dict(MODEL)}
        self.files: dict[str, bytes] = {"m1.pth": WEIGHTS, "d1.zip": b"PK-zip"}
        self.syncs: list[dict[str, Any]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.leaks: list[str] = []
        self.ranges: list[int] = []
        self.faults: list[Fault] = []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def root(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        """URL of the hub."""
        return f"{self.root}/v0"

    def routes(self) -> list[str]:
        """Return the requests so far: `GET /v0/user/`."""
        return [route for route, _ in self.requests]

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients disconnect in these tests


def model(handler: Handler, ref: str) -> dict[str, Any] | None:
    found = handler.server.models.get(ref)
    if found is None:
        handler.reply({"detail": "Model not found"}, 404)
    return found


def show_model(handler: Handler, ref: str) -> None:
    if found := model(handler, ref):
        handler.reply(found)


def create_model(handler: Handler) -> None:
    given = json.loads(handler.body)
    fields = {"name", "focoos_model", "description", "config", "task", "classes", "im_size"}
    assert set(given) == fields | {"train_args", "focoos_version"}
    if any(each["name"] == given["name"] for each in handler.server.models.values()):
        handler.reply({"detail": "Model already exists"}, 409)
        return
    ref = f"m{len(handler.server.models) + 1}"
    own = {"ref": ref, "status": "CREATED", "model_family": given["focoos_model"]}
    handler.server.models[ref] = {**MODEL, **given, **own}
    handler.reply({"ref": ref}, 201)


def sync(handler: Handler, ref: str) -> None:
    given = json.loads(handler.body)
    handler.server.syncs.append({"ref": ref, **given})
    handler.server.models[ref]["status"] = given["status"]
    handler.reply({"ok": True})


def target(handler: Handler, _kind: str, ref: str) -> None:
    given = json.loads(handler.body)
    assert given["file_size_bytes"] > 0
    suffix = "pth" if given["file_name"] == "model_final.pth" else given["file_name"]
    key = f"{ref}.{suffix}"
    handler.reply({"url": f"{handler.server.root}/storage/", "fields": {"key": key}})


def inference(handler: Handler, _ref: str) -> None:
    photo = multipart(handler)["file"]
    threshold = float(handler.query["confidence_threshold"][0])
    handler.server.files["photo.jpg"] = photo
    rows: list[dict[str, Any]] = [
        {"bbox": [1.9, 2, 30, 40], "conf": 0.9, "cls_id": 1, "label": "can"},
        {"bbox": [5, 6, 20, 20], "conf": 0.4, "cls_id": 0, "label": "box"},
    ]
    kept = [row for row in rows if row["conf"] > threshold]
    handler.reply({"detections": kept, "latency": {"inference": 0.012, "preprocess": 0.001}})


def download(handler: Handler, kind: str, ref: str) -> None:
    name = f"{ref}.pth" if kind == "models" else f"{ref}.zip"
    if kind == "models":
        assert handler.query == {"format": ["pth"]}
    handler.reply({"download_uri": f"{handler.server.root}/storage/{name}?signature=s3cr3t"})


ROUTES: dict[str, Callable[..., None]] = {
    r"GET /user/": lambda h: h.reply(USER),
    r"GET /models/": lambda h: h.reply([*h.server.models.values()]),
    r"POST /models/local-model": create_model,
    r"GET /models/([^/]+)": show_model,
    r"GET /(models|datasets)/([^/]+)/download": download,
    r"GET /models/m1/train/status": lambda h: h.reply({"main_status": "DONE", "new": 1}),
    r"GET /models/m1/train/logs": lambda h: h.reply(["one", "two"]),
    r"GET /models/m1/metrics": lambda h: h.reply({"iterations": 7, "valid_metrics": [{"a": 1}]}),
    r"POST /models/([^/]+)/inference": inference,
    r"PATCH /models/([^/]+)/sync-local-training": sync,
    r"POST /(models|datasets)/([^/]+)/generate-upload-url": target,
    r"POST /datasets/d1/complete-upload": lambda h: h.reply({}),
    r"GET /datasets/": lambda h: h.reply([DATASET]),
    r"GET /datasets/shared": lambda h: h.reply([{**DATASET, "ref": "d2"}]),
    r"GET /datasets/d1": lambda h: h.reply(DATASET),
}


@contextmanager
def serve() -> Iterator[FocoosServer]:
    """Run a hub."""
    server = FocoosServer()
    with running(server):
        yield server
