"""Limits of third-party registries: the URLs they can access, and trusted code."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import json
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

from furiosa_models import registry
from furiosa_models.errors import (
    ArtifactUnavailable,
    CodeNotTrusted,
    DescriptorError,
    FuriosaModelsError,
    ModelNotFound,
)
from furiosa_models.registry import client, sync
from furiosa_models.registry.model import DESCRIPTION_KEY
from furiosa_models.registry.transports import transport_for

SHA = hashlib.sha256(b"secret").hexdigest()


class Site:
    """A web server of files by path; content that begins with `->` is a redirect."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        site = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                site.asked.append(self.path)
                body = site.files.get(self.path)
                moved = body is not None and body.startswith(b"->")
                self.send_response(404 if body is None else 302 if moved else 200)
                if moved and body is not None:
                    self.send_header("Location", body[2:].decode())
                    body = None
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, format: str, *args: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def describe(self, location: str, **fields: str) -> None:
        """Write a descriptor with one entry, `Net`."""
        entry = {"name": "Net", "family": "Nets", "location": location, "format": "onnx", **fields}
        self.files["/zoo/artifacts.yaml"] = json.dumps({"artifacts": [entry]}).encode()


@pytest.fixture
def sites() -> Iterator[Callable[[], Site]]:
    made: list[Site] = []

    def make() -> Site:
        made.append(Site())
        return made[-1]

    yield make
    for site in made:
        site.server.shutdown()
        site.server.server_close()


@pytest.fixture
def site(sites: Callable[[], Site]) -> Site:
    return sites()


@pytest.fixture
def other(sites: Callable[[], Site]) -> Site:
    found = sites()
    found.files = {"/secret": b"secret", "/artifacts.yaml": b"artifacts: []"}
    return found


@pytest.mark.parametrize("pin", [{}, {"sha256": SHA}], ids=["not pinned", "pinned"])
@pytest.mark.parametrize("place", ["file", "FILE", "host", "scheme", "user", "bucket"])
def test_location_outside_the_registry_is_rejected(
    site: Site, other: Site, tmp_path: Path, place: str, pin: dict[str, str]
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    own = site.url.removeprefix("http://")
    location = {
        "file": (tmp_path / "secret").as_uri(),
        "FILE": f"FILE://{tmp_path}/secret",
        "host": f"{other.url}/secret",
        "scheme": f"https://{own}/secret",
        "user": f"http://{own}@{other.url.removeprefix('http://')}/secret",
        "bucket": "s3://bucket/secret",
    }[place]
    site.describe(location, **pin)
    assert len(sync.list(f"{site.url}/zoo")) == 1
    with pytest.raises(ArtifactUnavailable, match="is outside the registry"):
        sync.load(f"{site.url}/zoo", "Net")
    assert other.asked == []


def test_url_of_the_same_host_is_allowed(site: Site) -> None:
    site.describe(f"{site.url}/elsewhere/net.onnx")
    site.files["/elsewhere/net.onnx"] = b"net"
    assert sync.load(f"{site.url}/zoo", "Net").source == b"net"
    site.files["/elsewhere/net.onnx"] = b"->/moved"
    site.files["/moved"] = b"moved net"
    assert sync.load(f"{site.url}/zoo", "Net").source == b"moved net"


@pytest.mark.parametrize("pin", [{}, {"sha256": SHA}], ids=["not pinned", "pinned"])
@pytest.mark.parametrize("target", ["host", "file"])
def test_redirect_to_another_host_is_rejected(
    site: Site, other: Site, tmp_path: Path, target: str, pin: dict[str, str]
) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    to = f"{other.url}/secret" if target == "host" else (tmp_path / "secret").as_uri()
    site.describe("net.onnx", doc="net.md", **pin)
    for path in ("/zoo/net.onnx", "/zoo/net.md"):
        site.files[path] = f"->{to}".encode()
    with pytest.raises(
        ArtifactUnavailable, match="redirects to .*away from" if target == "host" else "only http"
    ):
        sync.load(f"{site.url}/zoo", "Net")
    with pytest.raises(ArtifactUnavailable, match="redirects to"):
        sync.help(f"{site.url}/zoo", "Net")
    assert other.asked == []


def test_redirects_of_descriptor_and_code_are_rejected(site: Site, other: Site) -> None:
    site.files["/zoo/artifacts.yaml"] = f"->{other.url}/artifacts.yaml".encode()
    with pytest.raises(ArtifactUnavailable, match="redirects to"):
        sync.list(f"{site.url}/zoo")
    site.describe("net.py", format="code")
    site.files["/zoo/net.py"] = f"->{other.url}/secret".encode()
    with pytest.raises(ArtifactUnavailable, match="redirects to"):
        sync.load(f"{site.url}/zoo", "Net", trust_code=True)
    assert other.asked == []


def test_mirror_of_the_user_can_redirect_anywhere(
    site: Site, other: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = Site()
    try:
        mirror.files[f"/sha256/{SHA[:2]}/{SHA}"] = f"->{other.url}/secret".encode()
        monkeypatch.setenv("FURIOSA_MODELS_MIRROR", mirror.url)
        site.describe("net.onnx", sha256=SHA)
        assert sync.load(f"{site.url}/zoo", "Net").source == b"secret"
    finally:
        mirror.server.shutdown()
        mirror.server.server_close()


def test_registry_code_reads_no_files_outside_the_registry(site: Site) -> None:
    site.files["/secret"] = b"secret"
    site.files["/zoo/net.py"] = b"""
from furiosa_models.registry import Model, loader

def Net(path) -> Model:
    return Model(name="net", source=loader.read_sync(path))
"""
    site.describe("net.py", format="code")
    site.files["/zoo/in"] = b"inside"
    assert sync.load(f"{site.url}/zoo", "Net", None, "in", trust_code=True).source == b"inside"
    for path in ("../secret", "%2e%2e/secret", "a/../../secret", "..%2fsecret"):
        with pytest.raises(FuriosaModelsError, match="the registry"):
            sync.load(f"{site.url}/zoo", "Net", None, path, trust_code=True)
    assert "/secret" not in "".join(site.asked)


@pytest.mark.parametrize(
    ("uri", "location", "is_own"),
    [
        ("s3://bucket/zoo", "s3://bucket/x", True),
        ("s3://bucket/zoo", "s3://other/x", False),
        ("s3://bucket/zoo", "https://bucket/x", False),
        ("hf://owner/repo", "gs://owner/repo", False),
        ("http://zoo.org/a", "https://zoo.org/x", True),
        ("https://zoo.org/a", "http://zoo.org/x", False),
        ("https://zoo.org/a", "https://zoo.org:444/x", False),
        ("https://zoo.org/a", "https://zoo.org:port/x", False),
        ("https://zoo.org/a", "https://[/x", False),
        ("github:acme/zoo", "https://github.com/acme/other/raw/main/x", True),
        ("github:acme/zoo", "https://evil.org/x", False),
        ("github:acme/zoo", "file:/etc/passwd", False),
    ],
)
def test_locations_inside_the_registry_are_accepted(uri: str, location: str, is_own: bool) -> None:
    transport = transport_for(uri)
    if is_own:
        assert transport.locate(location) == location
    else:
        with pytest.raises(ArtifactUnavailable, match="is outside the registry"):
            transport.locate(location)


@pytest.mark.parametrize("uri", ["http://[/zoo", "http://zoo:port/", "a\0b", "file:///a\0b"])
def test_invalid_uri_is_rejected(uri: str) -> None:
    with pytest.raises(ArtifactUnavailable, match="is not a (folder|valid URL)"):
        sync.list(uri)


def test_pipe_as_a_descriptor_is_rejected(tmp_path: Path) -> None:
    import os

    os.mkfifo(tmp_path / "artifacts.yaml")
    with pytest.raises(ArtifactUnavailable, match="a device or a pipe"):
        sync.list(str(tmp_path))


def test_errors_contain_no_passwords(site: Site) -> None:
    uri = site.url.replace("//", "//user:hunter2@") + "/zoo"
    site.describe("file:///etc/passwd", format="onnx")
    site.files["/bad/artifacts.yaml"] = b"artifacts: 3"
    calls: list[Callable[[], object]] = [
        lambda: sync.load(uri, "Net"),
        lambda: sync.load(uri, "Other"),
        lambda: sync.list(uri.replace("zoo", "bad")),
        lambda: sync.list(uri.replace("zoo", "none")),
        lambda: sync.list(uri.replace("http:", "nope:")),
        lambda: sync.list("s3://user:hunter2@bucket/zoo"),
    ]
    for call in calls:
        with pytest.raises(FuriosaModelsError) as caught:
            call()
        assert "hunter2" not in "".join(traceback.format_exception(caught.value)[-1:])
        assert "hunter2" not in str(caught.value.__cause__)


# --- Trust ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("trust", ["no", "yes", 1, 1.0, None, [True], object()])
def test_only_true_is_trust_in_every_function(tmp_path: Path, trust: Any) -> None:
    (tmp_path / "net.py").write_text("raise SystemExit('the code ran')")
    entry = {"name": "Net", "family": "f", "location": "net.py", "format": "code"}
    (tmp_path / "artifacts.yaml").write_text(json.dumps({"artifacts": [entry]}))
    uri = str(tmp_path)
    for load in (sync.load, lambda *a, **k: asyncio.run(registry.load(*a, **k)),
                 lambda *a, **k: asyncio.run(client.load(*a, **k))):  # fmt: skip
        with pytest.raises(TypeError, match="trust_code must be True or False"):
            load(uri, "Net", trust_code=trust)
        with pytest.raises(CodeNotTrusted):
            load(uri, "Net")
        with pytest.raises(CodeNotTrusted):
            load(uri, "Net", trust_code=False)
        with pytest.raises(FuriosaModelsError, match="the code ran"):
            load(uri, "Net", trust_code=True)
    assert [entry.name for entry in sync.list(uri)] == ["Net"]
    assert [entry.name for entry in asyncio.run(registry.list(uri))] == ["Net"]
    assert "no documentation" in sync.help(uri, "Net")
    assert "no documentation" in asyncio.run(registry.help(uri, "Net"))


def test_invalid_versions_can_be_sorted(tmp_path: Path) -> None:
    versions = ["9" * 5000, "v1.2", "nonsense", ""]
    entries = [
        {"name": "Net", "family": "f", "location": f"{i}", "format": "onnx", "version": version}
        for i, version in enumerate(versions)
    ]
    (tmp_path / "artifacts.yaml").write_text(json.dumps({"artifacts": entries}))
    (tmp_path / "1").write_bytes(b"net")
    assert sync.load(str(tmp_path), "Net").source == b"net"


SAYINGS: dict[str, tuple[str, type[Exception], str]] = {
    "no JSON": ("{", DescriptorError, "is not valid JSON"),
    "too deep": ("[" * 100_000, DescriptorError, "is not valid JSON"),
    "a list": ("[]", DescriptorError, "must be an object"),
    "no model": ("{}", DescriptorError, "must be an object"),
    "a model that is a number": ('{"model": 3}', DescriptorError, "must be an object"),
    "an argument of another kind": (
        '{"model": "ResNet50", "weights": "random"}', DescriptorError, "must be an object"),
    "a head that is a word": ('{"model": "ResNet50", "head": "x"}', DescriptorError, "an object"),
    "a file of labels": (
        '{"model": "ResNet50", "labels": "/etc/passwd"}', DescriptorError, "unknown labels"),
    "another model": ('{"model": "NoNet"}', ModelNotFound, "NoNet"),
}  # fmt: skip


@pytest.mark.parametrize(("said", "error", "complaint"), SAYINGS.values(), ids=SAYINGS)
def test_metadata_of_a_file_is_checked(said: str, error: type[Exception], complaint: str) -> None:
    with pytest.raises(error, match=complaint):
        registry.Model(name="net", source=program({DESCRIPTION_KEY: said})).to_model()


def test_unknown_task_is_rejected() -> None:
    with pytest.raises(DescriptorError, match="unknown task 'juggle'"):
        registry.Model(name="net", source=program({"task": "juggle"})).to_model()


def program(metadata: dict[str, str]) -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n"])
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"])
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value], [out])
    proto: onnx.ModelProto = helper.make_model(graph)
    helper.set_model_props(proto, metadata)
    data: bytes = proto.SerializeToString()
    return data
