from __future__ import annotations

import asyncio
import contextlib
import gzip
import http.server as http_server
import io
import os
import stat
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from requests import Response
from requests.structures import CaseInsensitiveDict

from furiosa_models.artifacts.sources import (
    Origin,
    SourceError,
    Sources,
    http,
    open_sources,
    redact,
    without_password,
)
from furiosa_models.artifacts.sources.archives import copy_tar_member, copy_zip_member
from furiosa_models.artifacts.sources.base import redact_message
from furiosa_models.artifacts.sources.remote import parse_github
from furiosa_models.artifacts.sources.timeout import ClosableSink, run_with_timeout


class Sink(io.BytesIO):
    """A sink in memory for a file of four bytes."""

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
def _no_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF_S", 0.0)


def copy(uri: str) -> bytes:
    sink = Sink()
    with open_sources() as sources:
        sources.copy(uri, sink)
    return sink.getvalue()


def test_path_and_file_uri_are_copied(tmp_path: Path) -> None:
    path = tmp_path / "a file"
    path.write_bytes(b"x" * 3_000_000)
    assert copy(str(path)) == copy(path.as_uri()) == path.read_bytes()


def test_folder_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="directory"):
        copy(str(tmp_path))


@pytest.mark.parametrize(
    "uri",
    [
        "pypi:numpy/x",
        "pypi:--index-url==1/x",
        "pypi:a==1",
        "pypi:a==1@3.11/x",
        "pypi:a==1@3.11---index-url/x",
        "npm:left-pad/x",
        "npm:--registry@1.0.0/x",
        "npm:a@latest/x",
    ],
)
def test_malformed_package_uri_is_rejected_before_a_client_runs(uri: str) -> None:
    with pytest.raises(SourceError, match="is not of the form"):
        copy(uri)


def test_missing_npm_is_reported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="npm is not there: install Node"):
        copy("npm:left-pad@1.3.0/package.json")


def test_error_contains_the_message_of_the_client(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'E404 no such package'\nexit 1\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(SourceError, match="failed: E404 no such package"):
        copy("npm:left-pad@1.3.0/package.json")


@pytest.mark.network
def test_member_of_a_wheel_is_copied() -> None:
    assert b"Benjamin Peterson" in copy("pypi:six==1.16.0/six.py")


def test_wheel_for_another_platform_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    commands: list[list[str]] = []

    def run(command: list[str], folder: Path, _: str) -> None:
        commands.append(command)
        with zipfile.ZipFile(folder / "a.whl", "w") as wheel:
            wheel.writestr("x", b"content")

    monkeypatch.setattr("furiosa_models.artifacts.sources.packages._run", run)
    assert copy("pypi:a==1@3.11-manylinux_2_28_x86_64/x") == copy("pypi:a==1/x") == b"content"
    (fixed, own) = commands
    assert fixed[-1] == own[-1] == "a==1"
    place = fixed.index("--python-version")
    assert fixed[place : place + 4] == [
        "--python-version",
        "3.11",
        "--platform",
        "manylinux_2_28_x86_64",
    ]
    assert "--platform" not in own


@pytest.mark.network
def test_member_of_an_npm_tarball_is_copied() -> None:
    assert b'"name": "is-number"' in copy("npm:is-number@7.0.0/package.json")


@pytest.mark.network
def test_missing_package_raises_source_error() -> None:
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


def test_link_in_a_tarball_is_not_followed(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no member"):
        copy_tar_member(make_tarball(tmp_path / "a.tgz", link=True), "models/w.bin", Sink())


@pytest.mark.parametrize("damage", [lambda d: d[:60], lambda _: b"nonsense", lambda _: b""])
def test_damaged_archive_is_reported(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = make_tarball(tmp_path / "a.tgz")
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(SourceError, match="damaged"):
        copy_tar_member(path, "models/w.bin", Sink())
    with pytest.raises(SourceError, match="damaged"):
        copy_zip_member(path, "models/w.bin", Sink())


@pytest.fixture
def unreliable_server() -> Iterator[str]:
    """A server that answers `/moody` with 503 twice, truncates `/cut` and compresses `/gzip`."""
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


def test_transient_server_errors_are_retried(unreliable_server: str) -> None:
    assert copy(f"{unreliable_server}/moody") == b"data"


def test_body_of_the_wrong_size_is_an_error(unreliable_server: str) -> None:
    with pytest.raises(SourceError, match="offers 5 bytes, but 4 were published"):
        copy(f"{unreliable_server}/cut")


def test_missing_extra_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(SourceError, match=r"pip install 'furiosa-model-zoo\[remote\]'"):
        copy("s3://bucket/key")


@pytest.mark.parametrize(
    ("module", "uri"), [("gcsfs", "gs://b/k"), ("huggingface_hub", "hf://o/r/k")]
)
def test_missing_client_names_the_pip_command(
    monkeypatch: pytest.MonkeyPatch, module: str, uri: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SourceError, match=f"client for {uri[:2]}: is not installed: pip install"):
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
def test_github_uris_are_parsed(uri: str, place: tuple[str, str, str, str]) -> None:
    assert parse_github(uri) == place


# --- One bad source -----------------------------------------------------------------------------


class Panic(BaseException):
    """An exception like those of clients written in Rust."""


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError


RAISED = [
    ValueError("no"),
    UnicodeError("no"),
    RecursionError("no"),
    MemoryError("no"),
    OSError("no"),
    Silent("no"),
    Panic("no"),
    asyncio.CancelledError("no"),
    SystemExit("no"),
    KeyboardInterrupt("no"),
    GeneratorExit("no"),
]


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_any_exception_of_a_client_becomes_a_source_error(
    error: BaseException, tmp_path: Path
) -> None:
    def fail(*_: object) -> None:
        raise error

    sources = Sources(tmp_path)
    sources._streamed["s3"] = fail
    with pytest.raises(SourceError, match=type(error).__name__):
        sources.copy("s3://bucket/key", Sink())


def test_exception_of_the_sink_is_not_a_source_error(tmp_path: Path) -> None:
    class Full(Sink):
        def write(self, _: bytes) -> int:  # type: ignore[override]
            raise ZeroDivisionError

    def swallow(uri: str, sink: object) -> None:
        try:
            sink.write(b"data")  # type: ignore[attr-defined]
        except ZeroDivisionError as error:
            raise SourceError(uri) from error

    sources = Sources(tmp_path)
    sources._streamed["s3"] = swallow
    with pytest.raises(ZeroDivisionError):
        sources.copy("s3://bucket/key", Full())


def test_nothing_is_written_after_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TOTAL_TIMEOUT_S", 0.1)
    written = threading.Event()

    def late(_: str, sink: object) -> None:
        time.sleep(0.3)
        try:
            sink.write(b"data")  # type: ignore[attr-defined]
        finally:
            written.set()

    sources, sink = Sources(tmp_path), Sink()
    sources._streamed["s3"] = late
    with pytest.raises(SourceError, match=r"not finished after 0\.1 s"):
        sources.copy("s3://bucket/key", sink)
    assert written.wait(5)
    assert sink.getvalue() == b""


def test_run_with_timeout_and_closed_sink() -> None:
    assert run_with_timeout(5, lambda: None) is None
    gate = ClosableSink(Sink())
    gate.close()
    with pytest.raises(TimeoutError, match="nobody waits"):
        gate.rewind()


def test_failing_packages_are_reported_without_passwords(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'http://me:hunter2@x/ says no'\nexit 1\n")
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    with open_sources() as sources:
        for name in ("left-pad@1.3.0", "right-pad@1.3.0", "left-pad@1.3.0"):
            with pytest.raises(SourceError, match="failed: http://x/ says no"):
                sources.copy(f"npm:{name}/x", Sink())


def test_client_that_cannot_be_started_is_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    npm = tmp_path / "npm"
    npm.write_bytes(b"\x7fELF no program")
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match="OSError: .*Exec format"):
        copy("npm:left-pad@1.3.0/x")


@pytest.mark.parametrize("uri", ["ftp://host/x", "http+unix://x/y", "nope://"])
def test_unsupported_scheme_is_rejected(uri: str) -> None:
    with pytest.raises(SourceError, match="nothing reads"):
        copy(uri)


def test_uppercase_schemes_are_accepted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x").write_bytes(b"data")
    assert copy((tmp_path / "x").as_uri().replace("file", "FILE")) == b"data"
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    with pytest.raises(SourceError, match="not asked"):
        copy("HTTP://127.0.0.1:9/x")


def test_pipes_and_devices_are_rejected(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(SourceError, match="a device or a pipe"):
            copy(path)


@pytest.mark.parametrize(
    ("uri", "complaint"),
    [
        ("a\0b", "null byte"),
        ("file:///a%00b", "null byte"),
        ("file://[", "Invalid IPv6 URL"),
        ("x" * 9999, "name too long"),
        ("http://[", "not a valid host"),
    ],
)
def test_invalid_uris_raise_source_error(uri: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        copy(uri)


def test_unrequested_partial_content_is_rejected(
    respond: Callable[[bytes], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Sink, "size", None)
    part = b"HTTP/1.1 206 Part\r\nContent-Length: 2\r\nContent-Range: bytes 0-1/4\r\n\r\nda"
    with pytest.raises(SourceError, match="another range"):
        copy(respond(part))
    whole = part.replace(b"/4", b"/2")
    assert copy(respond(whole)) == b"da"
    cut = b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata"
    with pytest.raises(SourceError, match="attempts"):
        copy(respond(cut))


@pytest.fixture
def respond() -> Iterator[Callable[[bytes], str]]:
    """Return a function that starts a server with a fixed response, and returns its URL."""
    servers: list[http_server.ThreadingHTTPServer] = []

    def start(answer: bytes) -> str:
        class Handler(http_server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.wfile.write(answer)

            def log_message(self, format: str, *args: object) -> None:
                pass

        server = http_server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/w"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


# --- Redirects ----------------------------------------------------------------------------------


def test_redirects_are_limited_to_http_and_the_allowed_origin() -> None:
    def target(location: str, within: Origin | None = None) -> str:
        return http._redirect_target("https://user:pw@zoo.org/a/b", location.encode(), within)

    assert target("c") == "https://user:pw@zoo.org/a/c"
    assert target("https://zoo.org:443/c") == "https://user:pw@zoo.org:443/c"
    assert target("https://cdn.org/c") == "https://cdn.org/c"
    assert target("//cdn.org/c") == "https://cdn.org/c"
    for location in ("http://zoo.org/c", "file:///etc/passwd", "FILE:/x", "data:,x", "ftp://x/"):
        with pytest.raises(SourceError, match="only http: and https:"):
            target(location)
    own = Origin.of("https://zoo.org")
    assert target("/c", own) == "https://user:pw@zoo.org/c"
    for location in ("https://cdn.org/", "https://zoo.org:8443/", "https://zoo.org.evil.org/"):
        with pytest.raises(SourceError, match=r"away from https://zoo\.org"):
            target(location, own)
    assert Origin.of("http://zoo.org").allows(Origin.of("https://ZOO.org./x"))
    assert not Origin.of("http://zoo.org:81").allows(Origin.of("https://zoo.org"))


# --- Redacted text ------------------------------------------------------------------------------

SECRETS = [
    "http://user:hunter2@127.0.0.1:9/x",
    "http://user:p@hunter2@127.0.0.1:9/x",
    "http://user:hun/hunter2@127.0.0.1:9/x",
    "http://user:hunter2@[bad/x",
    "http://user:hunter2@host:port/x",
    "HTTP://user:hunter2@127.0.0.1:9/x?a=hunter2#hunter2",
    "https://127.0.0.1:9/x?token=hunter2",
    "s3://user:hunter2@bucket/key",
    "gs://user:hunter2@bucket/key",
    "ftp://user:hunter2@host/key",
]


@pytest.mark.parametrize("uri", SECRETS)
def test_errors_contain_no_passwords(uri: str) -> None:
    assert "hunter2" not in redact(uri)
    with pytest.raises(SourceError) as caught:
        copy(uri)
    assert "hunter2" not in str(caught.value)


def test_errors_contain_no_proxy_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for proxy in ("http://me:hunter2@127.0.0.1:9", "http://me:hunter2@[", "socks9://me:hunter2@x"):
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        with pytest.raises(SourceError) as caught:
            copy("http://192.0.2.1/x")
        assert "hunter2" not in str(caught.value)


def test_redact_removes_secrets_from_texts() -> None:
    assert redact("https://user:pw@host/a?b=c#d") == "https://host/a?..."
    assert redact("http://host:8080/a@b.png") == "http://host:8080/a@b.png"
    assert redact("hf://owner/repo@main/a") == "hf://owner/repo@main/a"
    assert redact("\x1b[31m\n") == "?[31m?"
    text = "at https://a:b@c/d?id=1&X-Amz-Signature=abc and s3://e:f@g/h"
    assert without_password(text) == "at https://c/d?id=1&X-Amz-Signature=... and s3://g/h"


# --- Any header ---------------------------------------------------------------------------------


def answer(status: int, headers: dict[str, str]) -> Response:
    response = Response()
    response.status_code = status
    response.headers = CaseInsensitiveDict(headers)
    return response


NUMBERS = st.one_of(
    st.text(st.characters(codec="latin-1"), max_size=40),
    st.integers().map(str),
    st.integers(0, 9).map(lambda digit: str(digit) * 5000),
    st.sampled_from(["\xb2", "\u0663", "4", "0", "4 ", "1e3", "4, 4", "٣"]),
)
RANGES = st.one_of(NUMBERS, st.builds("bytes {}-{}/{}".format, NUMBERS, NUMBERS, NUMBERS))


@settings(max_examples=500)
@given(NUMBERS, RANGES, NUMBERS, st.sampled_from([200, 206]), st.integers(0, 4))
def test_any_header_is_read_or_rejected(
    length: str, span: str, encoding: str, status: int, there: int
) -> None:
    headers = {"Content-Length": length, "Content-Range": span, "Retry-After": length}
    response = answer(status, {**headers, "Content-Encoding": encoding})
    sink = Sink(b"data"[:there])
    delay = http.retry_after(response)
    assert delay is None or 0 <= delay <= http.MAX_BACKOFF_S
    with contextlib.suppress(SourceError):
        http.check_encoding(response)
    with contextlib.suppress(SourceError, http.TransientError):
        http._position_sink(response, sink)
    found = http.parse_number(length)
    assert found is None or length.strip("0123456789") == ""


@settings(max_examples=500)
@given(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_any_location_is_followed_or_rejected(location: bytes) -> None:
    for prefix in (b"", b"http://", b"//", b"http://user:pw@", b"file:"):
        found = []
        with contextlib.suppress(SourceError):
            found.append(http._redirect_target("http://zoo.org/a", prefix + location, None))
        assert all(url.startswith(("http://", "https://")) for url in found)


@settings(max_examples=500)
@given(st.text(max_size=200))
def test_any_text_is_redacted(text: str) -> None:
    for said in (redact(text), redact_message(text, text), redact(f"http://{text}")):
        assert said.isprintable()
    assert "hunter2" not in redact(f"http://user:hunter2@{text}")
