from __future__ import annotations

import gzip
import http.server as http_server
import io
import os
import stat
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from furiosa_models.artifacts.sources import SourceError, http, open_sources
from furiosa_models.artifacts.sources.archives import copy_tar_member, copy_zip_member
from furiosa_models.artifacts.sources.remote import parse_github


class Sink(io.BytesIO):
    """A sink in memory, of a file of four bytes."""

    size = 4

    @property
    def position(self) -> int:
        return len(self.getvalue())

    def resume(self) -> None:
        pass

    def rewind(self) -> None:
        self.seek(0)
        self.truncate()


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF_S", 0.0)


def copy(uri: str) -> bytes:
    sink = Sink()
    with open_sources() as sources:
        sources.copy(uri, sink)
    return sink.getvalue()


def test_a_path_and_a_file_uri(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(b"x" * 3_000_000)
    assert copy(str(path)) == copy(path.as_uri()) == path.read_bytes()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="directory"):
        copy(str(tmp_path))


@pytest.mark.parametrize(
    "uri",
    [
        "pypi:numpy/x",
        "pypi:--index-url==1/x",
        "pypi:a==1",
        "npm:left-pad/x",
        "npm:--registry@1.0.0/x",
        "npm:a@latest/x",
    ],
)
def test_a_malformed_package_uri_is_refused_before_a_client_runs(uri: str) -> None:
    with pytest.raises(SourceError, match="is not of the form"):
        copy(uri)


def test_a_missing_npm_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not there: install Node"):
        copy("npm:left-pad@1.3.0/package.json")


def test_a_failing_client_gives_its_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'E404 no such package'\nexit 1\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SourceError, match="failed: E404 no such package"):
        copy("npm:left-pad@1.3.0/package.json")


@pytest.mark.network
def test_a_member_of_a_wheel() -> None:
    assert b"Benjamin Peterson" in copy("pypi:six==1.16.0/six.py")


@pytest.mark.network
def test_a_member_of_an_npm_tarball() -> None:
    assert b'"name": "is-number"' in copy("npm:is-number@7.0.0/package.json")


@pytest.mark.network
def test_a_package_that_does_not_exist() -> None:
    with pytest.raises(SourceError, match="`.*pip download.*` failed"):
        copy("pypi:furiosa-no-such-package-here==1.0/x")


def test_zip_members_are_found_by_their_exact_name(tmp_path: Path) -> None:
    archive = tmp_path / "a.whl"
    with zipfile.ZipFile(archive, "w") as zipped:
        zipped.writestr("pkg/w.bin ", b"data")
    sink = Sink()
    copy_zip_member(archive, "pkg/w.bin ", sink)
    assert sink.getvalue() == b"data"
    with pytest.raises(SourceError, match="no member 'pkg/w.bin'"):
        copy_zip_member(archive, "pkg/w.bin", sink)


def make_tarball(path: Path, link: bool = False) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        info = tarfile.TarInfo("package/models/w.bin")
        if link:
            info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(info)
        else:
            info.size = 4
            tar.addfile(info, io.BytesIO(b"data"))
    return path


def test_tar_members_are_found_below_the_top_folder(tmp_path: Path) -> None:
    sink = Sink()
    copy_tar_member(make_tarball(tmp_path / "a.tgz"), "models/w.bin", sink)
    assert sink.getvalue() == b"data"


def test_a_link_in_a_tarball_is_not_followed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no member"):
        copy_tar_member(make_tarball(tmp_path / "a.tgz", link=True), "models/w.bin", Sink())


@pytest.mark.parametrize("damage", [lambda d: d[:60], lambda _: b"nonsense", lambda _: b""])
def test_a_damaged_archive_is_said(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = make_tarball(tmp_path / "a.tgz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match="damaged|no member"):
        copy_tar_member(path, "models/w.bin", Sink())
    with pytest.raises(SourceError, match="damaged"):
        copy_zip_member(path, "models/w.bin", Sink())


@pytest.fixture
def moody_server() -> Iterator[str]:
    """Answers 503 twice before the file; `/cut` promises more than it sends; `/gzip` zips."""
    visits: dict[str, int] = {}

    class Handler(http_server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            visits[self.path] = visits.get(self.path, 0) + 1
            if self.path == "/moody" and visits[self.path] < 3:
                self.send_error(503)
                return
            body = gzip.compress(b"data") if self.path == "/gzip" else b"data"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body) + (self.path == "/cut")))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http_server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_passing_server_errors_are_retried(moody_server: str) -> None:
    assert copy(f"{moody_server}/moody") == b"data"


def test_a_body_cut_short_is_an_error(moody_server: str) -> None:
    with pytest.raises(SourceError, match="4 bytes|5 attempts|offers 5 bytes"):
        copy(f"{moody_server}/cut")


def test_a_missing_extra_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SourceError, match=r"pip install 'furiosa-model-zoo\[remote\]'"):
        copy("s3://bucket/key")


@pytest.mark.parametrize(
    ("module", "uri"), [("gcsfs", "gs://b/k"), ("huggingface_hub", "hf://o/r/k")]
)
def test_a_missing_client_is_said(monkeypatch: pytest.MonkeyPatch, module: str, uri: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SourceError, match=r"client for (gs|hf): is not installed: pip install"):
        copy(uri)


@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("github:o/r", ("o", "r", "main", "")),
        ("github:o/r@v1.2", ("o", "r", "v1.2", "")),
        ("github:o/r@v1/models/x.onnx", ("o", "r", "v1", "models/x.onnx")),
        ("github:o/r/models/x.onnx", ("o", "r", "main", "models/x.onnx")),
    ],
)
def test_github_uris(uri: str, place: tuple[str, str, str, str]) -> None:
    assert parse_github(uri) == place
