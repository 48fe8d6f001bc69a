"""A local server with the routes of Hugging Face that its real client uses."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .answering import Answering, running

TOKEN = "hf_canary0123456789"
LARGE = (".onnx", ".safetensors", ".pth")
"""Extensions of files that are stored by their SHA-256, as Git LFS."""


@dataclass
class Repo:
    """A repository: its commits, newest last."""

    is_private: bool = False
    commits: list[tuple[str, dict[str, bytes]]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str = "") -> str:
        """Add files; return the commit."""
        before = self.commits[-1][1] if self.commits else {}
        oid = hashlib.sha1(f"{len(self.commits)} {message}".encode()).hexdigest()
        self.commits.append((oid, {**before, **files}))
        self.messages.append(message)
        return oid

    def find(self, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """Return the commit of a revision."""
        if revision == "main":
            return self.commits[-1] if self.commits else (hashlib.sha1(b"").hexdigest(), {})
        return next((each for each in self.commits if each[0] == revision), None)


def etag(name: str, data: bytes) -> str:
    """Return the hash that a file is stored by."""
    if name.endswith(LARGE):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Handler(Answering):
    """Answers one request."""

    server: HfServer

    def do_GET(self) -> None:
        self._handle()

    do_HEAD = do_POST = do_PUT = do_GET

    def _handle(self) -> None:
        self.close_connection = True
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = unquote(urlsplit(self.path).path)
        self.route = f"{self.command} {path}"
        with self.server.lock:
            self.server.requests.append(self.route)
        if any(fault(self) for fault in self.server.faults):
            return
        for pattern, answer in ROUTES.items():
            if match := re.fullmatch(pattern, self.route):
                answer(self, *match.groups())
                return
        self.reply({"error": f"no route {self.route}"}, 404)

    @property
    def is_known(self) -> bool:
        """Whether the request has the token."""
        return self.headers.get("Authorization") == f"Bearer {TOKEN}"

    def repo(self, name: str) -> Repo | None:
        """Return a repository that the user may read, or answer with 404."""
        found = self.server.repos.get(name)
        if found is None or (found.is_private and not self.is_known):
            self.reply({"error": "Repository not found"}, 404, X_Error_Code="RepoNotFound")
            return None
        return found

    def send_file(self, data: bytes, headers: dict[str, str], until: int | None = None) -> None:
        """Answer with a file, or the part that is asked for; break off at the byte `until`."""
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        start = int(span[1]) if span else 0
        if start:
            headers = {**headers, "Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
        if self.command == "GET":
            self.server.ranges.append(start)
        length = {"Content-Length": str(len(data) - start)}
        self.send(206 if start else 200, data[start:until], {**headers, **length})


class HfServer(http.server.ThreadingHTTPServer):
    """A server without repositories."""

    daemon_threads = True

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.ranges: list[int] = []
        self.faults: list[Callable[[Handler], bool]] = []
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients disconnect in these tests


def create(handler: Handler) -> None:
    given = json.loads(handler.body)
    name = f"{given['organization']}/{given['name']}"
    if not handler.is_known:
        handler.reply({"error": "Invalid username or password."}, 401)
    elif name in handler.server.repos:
        there = {"error": "You already created this model repo", "name": name}
        handler.reply({**there, "url": f"{handler.server.url}/{name}"}, 409)
    else:
        is_private = given.get("visibility") == "private" or bool(given.get("private"))
        handler.server.repos[name] = Repo(is_private)
        handler.reply({"url": f"{handler.server.url}/{name}", "name": name})


def show(handler: Handler, name: str, revision: str | None = None) -> None:
    if (repo := handler.repo(name)) is None:
        return
    found = repo.find(revision or "main")
    if found is None:
        handler.reply({"error": "Invalid rev id"}, 404, X_Error_Code="RevisionNotFound")
        return
    files = [{"rfilename": each} for each in found[1]]
    document = {"id": name, "modelId": name, "sha": found[0], "private": repo.is_private}
    handler.reply({**document, "siblings": files, "tags": [], "downloads": 0, "likes": 0})


def preupload(handler: Handler, _name: str, _revision: str) -> None:
    rows = [
        {
            "path": each["path"],
            "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
            "shouldIgnore": False,
        }
        for each in json.loads(handler.body)["files"]
    ]
    handler.reply({"files": rows})


def batch(handler: Handler, _name: str) -> None:
    rows = [
        {
            "oid": each["oid"],
            "size": each["size"],
            "actions": {"upload": {"href": f"{handler.server.url}/lfs/{each['oid']}"}},
        }
        for each in json.loads(handler.body)["objects"]
    ]
    handler.reply({"transfer": "basic", "objects": rows})


def store(handler: Handler, oid: str) -> None:
    assert hashlib.sha256(handler.body).hexdigest() == oid
    handler.server.objects[oid] = handler.body
    handler.send(200, b"")


def commit(handler: Handler, name: str, _revision: str) -> None:
    if not handler.is_known:
        handler.reply({"error": "Unauthorized"}, 403)
        return
    files: dict[str, bytes] = {}
    message = ""
    for line in handler.body.splitlines():
        row = json.loads(line)
        value = row["value"]
        if row["key"] == "header":
            message = value["summary"]
        elif row["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif row["key"] == "lfsFile":
            files[value["path"]] = handler.server.objects[value["oid"]]
    oid = handler.server.repos[name].commit(files, message)
    url = f"{handler.server.url}/{name}/commit/{oid}"
    handler.reply({"success": True, "commitOid": oid, "commitUrl": url})


def resolve(handler: Handler, name: str, revision: str, path: str) -> None:
    if (repo := handler.repo(name)) is None:
        return
    found = repo.find(revision)
    if found is None or path not in found[1]:
        handler.reply({"error": "Entry not found"}, 404, X_Error_Code="EntryNotFound")
        return
    data = found[1][path]
    digest = etag(path, data)
    headers = {"X-Repo-Commit": found[0], "ETag": f'"{digest}"'}
    if not path.endswith(LARGE):
        handler.send_file(data, headers)
        return
    handler.server.objects.setdefault(digest, data)
    linked = {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(data))}
    elsewhere = handler.server.url.replace("127.0.0.1", "localhost")  # as that of a CDN
    place = {"Location": f"{elsewhere}/lfs/{digest}"}
    handler.send(302, b"", {**headers, **linked, **place})


def serve_object(handler: Handler, oid: str) -> None:
    handler.send_file(handler.server.objects[oid], {"ETag": f'"{oid}"'})


_REPO = r"/api/models/([\w.-]+/[\w.-]+)"
ROUTES: dict[str, Callable[..., None]] = {
    r"POST /api/repos/create": create,
    r"POST /api/validate-yaml": lambda h: h.reply({"errors": [], "warnings": []}),
    rf"GET {_REPO}": show,
    rf"GET {_REPO}/revision/(.+)": show,
    rf"POST {_REPO}/preupload/(.+)": preupload,
    rf"POST {_REPO}/commit/(.+)": commit,
    r"POST /([\w.-]+/[\w.-]+)\.git/info/lfs/objects/batch": batch,
    r"PUT /lfs/(\w+)": store,
    r"(?:GET|HEAD) /lfs/(\w+)": serve_object,
    r"(?:GET|HEAD) /([\w.-]+/[\w.-]+)/resolve/([^/]+)/(.+)": resolve,
}


@contextmanager
def serve() -> Iterator[HfServer]:
    """Run a server."""
    server = HfServer()
    with running(server):
        yield server
