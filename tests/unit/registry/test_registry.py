from __future__ import annotations

import asyncio
import hashlib
import http.server
import io
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from furiosa_models import registry
from furiosa_models.errors import (
    ArtifactCorrupted,
    ArtifactUnavailable,
    CodeNotTrusted,
    DescriptorError,
    FuriosaModelsError,
    ModelNotFound,
)
from furiosa_models.registry import sync
from furiosa_models.registry.descriptor import parse_descriptor
from tests.s3 import s3_server

SHA = hashlib.sha256(b"new onnx").hexdigest()
DESCRIPTOR = f"""
artifacts:
  # as in furiosa-artifacts
  - name: Net
    family: Nets
    version: v1.1
    location: models/old.onnx
    format: onnx
    metadata:
      description: An old net
      publication:
        url: https://arxiv.org/abs/1512.03385.pdf
  - name: Net
    family: Nets
    version: v1.10
    location: models/new.onnx
    format: onnx
    sha256: {SHA}
    doc: docs/net.md
  - name: Lite
    family: Nets
    description: beside metadata, as the old README has it
    location: models/lite.tflite
    format: tflite
  - name: Made
    family: Nets
    version: v2.0
    location: nets/artifacts.py
    format: code
  - name: made_at_once
    family: Nets
    location: nets/artifacts.py
    format: code
  - name: Broken
    family: Nets
    location: nets/artifacts.py
    format: code
"""

CODE = """
import os
from furiosa_models.registry import Model, loader
from .shared import FAMILY

async def Made(size: int = 1) -> Model:
    return Model(name="made", source=await loader.read("models/old.onnx") * size, doc=FAMILY)

def made_at_once() -> Model:
    where = {"cwd": os.getcwd()}
    return Model(name="x", source=loader.read_sync("models/old.onnx"), compiler_config=where)

def Broken():
    raise RuntimeError("no such luck")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "registry"
    files = {
        "artifacts.yaml": DESCRIPTOR.encode(),
        "models/old.onnx": b"old onnx",
        "models/new.onnx": b"new onnx",
        "models/lite.tflite": b"lite",
        "docs/net.md": b"# Net\n",
        "nets/artifacts.py": CODE.encode(),
        "nets/shared.py": b"FAMILY = 'shared'\n",
    }
    for name, data in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def test_entries_are_listed(folder: Path) -> None:
    entries = sync.list(str(folder))
    assert [entry.name for entry in entries][:3] == ["Net", "Net", "Lite"]
    lite = entries[2].metadata
    assert lite is not None
    assert lite.description == "beside metadata, as the old README has it"


def test_newest_version_is_the_default(folder: Path) -> None:
    model = sync.load(str(folder), "Net")
    assert (model.version, model.source, model.model) == ("v1.10", b"new onnx", b"new onnx")
    assert model.__doc__ == "# Net\n"
    old = sync.load(folder.as_uri(), "Net", "v1.1")
    assert bytes(old) == b"old onnx"
    assert "old onnx" not in repr(old)


def test_help(folder: Path) -> None:
    assert sync.help(str(folder), "Net") == "# Net\n"
    assert sync.help(str(folder), "Net", "v1.1") == "An old net"
    assert "no documentation" in sync.help(str(folder), "Made")


def test_async_versions(folder: Path) -> None:
    async def main() -> tuple[Any, ...]:
        uri = str(folder)
        return (
            await registry.list(uri),
            await registry.load(uri, "Made", size=2, trust_code=True),
            await registry.help(uri, "Net"),
        )

    entries, made, text = asyncio.run(main())
    assert (len(entries), made.source, text) == (6, b"old onnxold onnx", "# Net\n")


def test_error_for_an_unknown_model_lists_the_known_ones(folder: Path) -> None:
    with pytest.raises(ModelNotFound, match=r"it has Net v1\.1, Net v1\.10, Lite"):
        sync.load(str(folder), "Nets")
    with pytest.raises(ModelNotFound, match=r"no model Net v3; it has Net v1\.1, Net v1\.10$"):
        sync.load(str(folder), "Net", "v3")


def test_file_with_a_wrong_hash_is_rejected(folder: Path) -> None:
    (folder / "models" / "new.onnx").write_bytes(b"bad onnx")
    with pytest.raises(ArtifactCorrupted, match=f"expected sha256 {SHA}"):
        sync.load(str(folder), "Net")


def test_file_entry_accepts_no_arguments(folder: Path) -> None:
    with pytest.raises(TypeError, match="takes no arguments"):
        sync.load(str(folder), "Net", None, 3)


def test_code_requires_trust(folder: Path) -> None:
    with pytest.raises(CodeNotTrusted, match="trust_code=True"):
        sync.load(str(folder), "Made")


def test_code_runs_in_the_working_directory(folder: Path) -> None:
    before, path, modules = Path.cwd(), list(sys.path), set(sys.modules)
    model = sync.load(str(folder), "made_at_once", trust_code=True)
    assert (model.compiler_config, model.source) == ({"cwd": str(before)}, b"old onnx")
    made = sync.load(str(folder), "Made", "v2.0", 3, trust_code=True)
    assert (made.source, made.doc) == (b"old onnx" * 3, "shared")
    assert (made.name, made.family, made.version) == ("Made", "Nets", "v2.0")
    assert (Path.cwd(), sys.path) == (before, path)
    assert not [m for m in set(sys.modules) - modules if "registry_" in m]


def test_error_names_the_failing_code(folder: Path) -> None:
    with pytest.raises(FuriosaModelsError, match="code of Broken .*no such luck"):
        sync.load(str(folder), "Broken", trust_code=True)
    (folder / "nets" / "artifacts.py").write_text("nothing = 1")
    with pytest.raises(DescriptorError, match="no function named Made"):
        sync.load(str(folder), "Made", trust_code=True)


def test_changed_code_with_a_hash_is_not_run(folder: Path) -> None:
    text = (folder / "artifacts.yaml").read_text()
    pin = hashlib.sha256(CODE.encode()).hexdigest()
    pinned = text.replace("version: v2.0\n", f"version: v2.0\n    sha256: {pin}\n")
    (folder / "artifacts.yaml").write_text(pinned)
    assert sync.load(str(folder), "Made", trust_code=True).source == b"old onnx"
    with (folder / "nets" / "artifacts.py").open("a") as file:
        file.write("raise SystemExit('I ran')\n")
    with pytest.raises(ArtifactCorrupted, match=pin):
        sync.load(str(folder), "Made", trust_code=True)


def test_registry_over_http(folder: Path, serve: Callable[[Path], str]) -> None:
    url = serve(folder)
    assert sync.load(url, "Net").source == b"new onnx"
    assert sync.help(url, "Net") == "# Net\n"
    with pytest.raises(ArtifactUnavailable, match="HTTP 404"):
        sync.list(f"{url}/elsewhere")


def test_location_can_be_a_url(folder: Path, serve: Callable[[Path], str]) -> None:
    url = f"{serve(folder)}/models/lite.tflite"
    text = (folder / "artifacts.yaml").read_text().replace("models/lite.tflite", url)
    (folder / "artifacts.yaml").write_text(text)
    assert sync.load(str(folder), "Lite").source == b"lite"


@pytest.fixture
def github(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """A fake GitHub with the registry `acme/zoo`; yields the requested paths."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = self.body()
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write(body or b"")

        def body(self) -> bytes | None:
            if self.path == "/acme/zoo/archive/v1.zip":
                buffer = io.BytesIO()
                with zipfile.ZipFile(buffer, "w") as archive:
                    for path in folder.rglob("*.*"):
                        archive.write(path, f"zoo-v1/{path.relative_to(folder)}")
                return buffer.getvalue()
            path = folder / self.path.removeprefix("/acme/zoo/raw/v1/")
            return path.read_bytes() if path.is_file() else None

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("GITHUB_SERVER_URL", f"http://127.0.0.1:{server.server_port}")
    yield asked
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("uri", ["github:acme/zoo@v1", "https://github.com/acme/zoo:v1"])
def test_registry_on_github(github: list[str], uri: str) -> None:
    assert sync.load(uri, "Net").source == b"new onnx"
    assert sync.load(uri, "Made", trust_code=True).source == b"old onnx"
    assert "/acme/zoo/archive/v1.zip" in github


def test_malformed_github_uri_is_rejected() -> None:
    with pytest.raises(ArtifactUnavailable, match="github:OWNER/REPO@REF/PATH"):
        sync.list("github:acme")


@pytest.fixture
def s3(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A real S3 server with the registry; yields its URI."""
    with s3_server(monkeypatch):
        import s3fs

        files = s3fs.S3FileSystem()
        files.mkdir("zoo")
        files.put(str(folder), "zoo/registry", recursive=True)
        yield "s3://zoo/registry"


def test_registry_on_s3(s3: str, tmp_path: Path) -> None:
    from furiosa_models.artifacts import File, Store

    assert sync.load(s3, "Net").source == b"new onnx"
    with pytest.raises(ArtifactUnavailable) as caught:
        sync.list("s3://zoo/nothing")
    assert "hunter2" not in str(caught.value)
    file = File(name="n", size=8, sha256=SHA, sources=(f"{s3}/models/new.onnx",))
    assert Store(tmp_path / "store").fetch([file])["n"].read_bytes() == b"new onnx"


BAD = {
    "an unknown field": ("format: tflite\n", "format: tflite\n    color: red\n", "color: red"),
    "an unknown format": ("format: tflite", "format: pickle", "format: pickle"),
    "a path above": ("models/lite.tflite", "../lite.tflite", "location: ../lite.tflite"),
    "an absolute path": ("models/lite.tflite", "/etc/passwd", "location: /etc/passwd"),
    "a doc above": ("docs/net.md", "../net.md", "doc: ../net.md"),
    "no family": ("    family: Nets\n    description", "    description", "- name: Lite"),
    "a bad hash": (SHA, "abc", "sha256: abc"),
    "a duplicate": ("v1.10", "v1.1", "- name: Net"),
}


@pytest.mark.parametrize(("old", "new", "culprit"), BAD.values(), ids=BAD)
def test_descriptor_error_names_file_and_line(old: str, new: str, culprit: str) -> None:
    text = DESCRIPTOR.replace(old, new)
    lines = text.splitlines()
    line = max(i for i, content in enumerate(lines, 1) if content.strip() == culprit)
    with pytest.raises(DescriptorError) as caught:
        parse_descriptor(text.encode(), "here/artifacts.yaml")
    assert str(caught.value).startswith(f"here/artifacts.yaml, line {line}: ")


def test_code_must_be_inside_the_registry() -> None:
    text = DESCRIPTOR.replace("nets/artifacts.py", "https://x.org/a.py").encode()
    with pytest.raises(DescriptorError, match="leaves the registry"):
        parse_descriptor(text, "here")


@pytest.mark.parametrize(
    "text", [b"", b"[", b"\xff\xfe\x00", b"artifacts: 3", b"- a", b"a: &a [*a]"]
)
def test_invalid_descriptor_is_rejected(text: bytes) -> None:
    with pytest.raises(DescriptorError, match="here"):
        parse_descriptor(text, "here")


@pytest.mark.parametrize("member", ["../out.py", "/abs.py", "zoo/../../x", "a\\b"])
def test_archive_does_not_write_outside_its_folder(tmp_path: Path, member: str) -> None:
    from furiosa_models.registry.transports import _unpack

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(member, b"x")
    target = tmp_path / "target"
    target.mkdir()
    with pytest.raises(ArtifactUnavailable, match="expected a regular file with a relative path"):
        _unpack(buffer, target, "it")
    assert list(tmp_path.rglob("*.py")) == []


def test_link_out_of_the_registry_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (folder / "docs" / "net.md").unlink()
    (folder / "docs" / "net.md").symlink_to(tmp_path / "secret")
    with pytest.raises(ArtifactUnavailable, match="is outside the registry"):
        sync.help(str(folder), "Net")


def test_json_schema_has_every_field() -> None:
    schema = registry.json_schema()
    fields = schema["properties"]["artifacts"]["items"]["properties"]
    assert {"name", "family", "version", "location", "format", "doc", "metadata"} <= set(fields)


def test_file_with_a_hash_is_fetched_once(
    folder: Path, serve: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = serve(folder)
    assert sync.load(url, "Net").source == b"new onnx"
    (folder / "models" / "new.onnx").unlink()
    assert sync.load(url, "Net").source == b"new onnx"  # from the store
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(folder / "another"))
    with pytest.raises(ArtifactUnavailable, match="HTTP 404"):
        sync.load(url, "Net")


def test_file_with_a_wrong_hash_over_http_is_rejected(
    folder: Path, serve: Callable[[Path], str]
) -> None:
    (folder / "models" / "new.onnx").write_bytes(b"bad onnx")
    with pytest.raises(ArtifactCorrupted, match=f"expected sha256 {SHA}"):
        sync.load(serve(folder), "Net")


def test_too_long_text_is_rejected(
    folder: Path, serve: Callable[[Path], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from furiosa_models.registry import transports

    monkeypatch.setattr(transports, "MAX_TEXT_BYTES", 100)
    with pytest.raises(ArtifactUnavailable, match="at most 100 bytes, got more"):
        sync.list(serve(folder))
