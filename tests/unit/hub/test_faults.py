"""Hubs that refuse, fail, die, or answer nonsense."""

from __future__ import annotations

import base64
import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from furiosa_models.artifacts.sources import http
from furiosa_models.artifacts.store import Store
from furiosa_models.errors import CacheNotWritable, HubError
from furiosa_models.hub import FocoosHUB, client
from furiosa_models.hub import download as downloads

from .server import KEY, WEIGHTS, FocoosServer, Handler, serve


def answering(status: int, body: bytes = b"no", **headers: str) -> Callable[[Handler], bool]:
    """Return a fault that answers every request of the API."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(handler: Handler) -> bool:
        if "/storage/" in handler.path:
            return False
        handler.send(status, body, named)
        return True

    return fault


@pytest.mark.parametrize(
    ("status", "advice"),
    [
        (401, "check the API key, which is from api_key"),
        (403, "check what the API key, which is from api_key, may access"),
        (404, "check the reference"),
        (429, "wait, or ask for a higher quota"),
        (500, "try again later"),
    ],
)
def test_refusal_says_what_to_do(
    hub: FocoosHUB, server: FocoosServer, status: int, advice: str
) -> None:
    server.faults.append(answering(status, b"because"))
    with pytest.raises(HubError, match=f"list the models: .* {status} because: {advice}") as caught:
        hub.list_remote_models()
    assert caught.value.status == status


def test_wrong_key_is_refused_at_once(server: FocoosServer) -> None:
    with pytest.raises(HubError, match="401 .*Invalid API key"):
        FocoosHUB("wrong-key", server.url)
    assert len(server.requests) == 1


def test_failing_requests_are_repeated(hub: FocoosHUB, server: FocoosServer) -> None:
    failures = [503, 429, 500]

    def fault(handler: Handler) -> bool:
        if failures:
            handler.send(failures.pop(), b"", {"Retry-After": "0"})
            return True
        return False

    server.faults.append(fault)
    assert len(hub.list_remote_models()) == 1
    assert server.routes().count("GET /v0/models/") == 4


def test_creating_a_model_is_not_repeated(hub: FocoosHUB, server: FocoosServer) -> None:
    from .test_focoos import info

    def dying(handler: Handler) -> bool:
        handler.connection.close()
        return True

    server.faults.append(dying)
    with pytest.raises(HubError, match="create the model new: .* does not answer"):
        hub.new_model(info())
    assert server.routes().count("POST /v0/models/local-model") == 1
    server.faults[:] = [answering(500)]
    with pytest.raises(HubError, match="500"):
        hub.new_model(info())
    assert server.routes().count("POST /v0/models/local-model") == 2


def test_web_page_is_not_json(hub: FocoosHUB, server: FocoosServer) -> None:
    page = answering(200, b"<html>Welcome</html>", Content_Type="text/html; charset=utf-8")
    server.faults.append(page)
    with pytest.raises(HubError, match="answered HTML rather than JSON .*Welcome.*check the URL"):
        hub.list_remote_models()


@pytest.mark.parametrize(
    "body", [b"{", b"[" * 100_000, b"\xff\xfe", b'{"a": }', b"null", b"7", b'"/etc/passwd"']
)
def test_broken_json_is_an_error(hub: FocoosHUB, server: FocoosServer, body: bytes) -> None:
    server.faults.append(answering(200, body))
    with pytest.raises(HubError):
        hub.list_remote_models()
    with pytest.raises(HubError):
        hub.get_user_info()


def test_unreachable_hub_is_an_error() -> None:
    with serve() as server:
        url = server.url
    with pytest.raises(HubError, match="does not answer"):
        FocoosHUB(KEY, url)


def test_hub_that_stalls_is_an_error(
    hub: FocoosHUB, server: FocoosServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def stalling(_handler: Handler) -> bool:
        release.wait(20)
        return True

    monkeypatch.setattr(http, "STALL_TIMEOUT_S", 0.1)
    server.faults.append(stalling)
    with pytest.raises(HubError, match="does not answer"):
        hub.list_remote_models()
    release.set()


def test_hub_that_answers_slowly_does_not_hold_a_request(
    hub: FocoosHUB, server: FocoosServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()

    def dripping(handler: Handler) -> bool:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        with suppress(OSError):
            while not release.wait(0.05):
                handler.wfile.write(b" ")
                handler.wfile.flush()
        return True

    monkeypatch.setattr(client, "_TIMEOUT_S", 0.5)
    server.faults.append(dripping)
    try:
        with pytest.raises(HubError, match="does not answer"):
            hub.list_remote_models()
    finally:
        release.set()


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("method", ["get", "post"])
def test_key_is_never_sent_to_another_host(
    hub: FocoosHUB, server: FocoosServer, status: int, method: str
) -> None:
    from .test_focoos import info

    with serve() as other:
        server.faults.append(answering(status, b"", Location=f"{other.url}/models/"))
        call = hub.list_remote_models if method == "get" else lambda: hub.new_model(info())
        with pytest.raises(HubError, match="redirects"):
            call()
        assert other.requests == []


def test_redirect_within_the_hub_is_followed(hub: FocoosHUB, server: FocoosServer) -> None:
    def fault(handler: Handler) -> bool:
        if handler.path != "/v0/models/m1":
            return False
        handler.send(307, b"", {"Location": "/v0/datasets/d1"})
        return True

    server.faults.append(fault)
    with pytest.raises(HubError, match="RemoteModelInfo of a hub has no is_managed"):
        hub.get_model_info("m1")


def test_files_are_fetched_without_the_key(hub: FocoosHUB, server: FocoosServer) -> None:
    hub.pull("m1")
    storage = [headers for route, headers in server.requests if "/storage/" in route]
    assert storage
    assert not any("X-API-Key" in headers for headers in storage)


@pytest.mark.parametrize("uri", [None, 7, "", "file:///etc/passwd", "ftp://x/y", "/etc/passwd"])
def test_other_addresses_are_not_downloaded(
    hub: FocoosHUB, server: FocoosServer, uri: object
) -> None:
    def fault(handler: Handler) -> bool:
        if "download" not in handler.path:
            return False
        handler.reply({"download_uri": uri})
        return True

    server.faults.append(fault)
    with pytest.raises(HubError, match="expected a download_uri"):
        hub.pull("m1")


def breaking(at: int, times: int) -> Callable[[Handler], bool]:
    """Return a fault that breaks downloads off."""
    left = [times]

    def fault(handler: Handler) -> bool:
        if "/storage/" not in handler.path or handler.command != "GET" or not left[0]:
            return False
        left[0] -= 1
        handler.send_file(WEIGHTS, until=at)
        return True

    return fault


def test_broken_download_is_resumed(hub: FocoosHUB, server: FocoosServer) -> None:
    server.faults.append(breaking(7 << 16, 1))
    assert (hub.pull("m1") / "model_final.pth").read_bytes() == WEIGHTS
    assert server.ranges == [0, 7 << 16]


def test_next_pull_continues_after_a_hub_that_died(hub: FocoosHUB, server: FocoosServer) -> None:
    server.faults.append(breaking(4 << 16, 99))
    with pytest.raises(HubError, match="try again, and it continues"):
        hub.pull("m1")
    assert not list(Store().root.glob("hub/models/*"))
    assert not list(Store().root.glob("hub/*.json"))
    server.faults.clear()
    server.ranges.clear()
    assert (hub.pull("m1") / "model_final.pth").read_bytes() == WEIGHTS
    assert server.ranges == [4 << 16]
    assert not list(Store().root.glob("partial/*"))


def test_pieces_of_two_versions_are_never_joined(hub: FocoosHUB, server: FocoosServer) -> None:
    server.faults.append(breaking(4 << 16, 99))
    with pytest.raises(HubError):
        hub.pull("m1")
    server.faults.clear()
    server.files["m1.pth"] = bytes(reversed(WEIGHTS))
    assert (hub.pull("m1") / "model_final.pth").read_bytes() == bytes(reversed(WEIGHTS))


def test_server_that_ignores_if_range_is_noticed(hub: FocoosHUB, server: FocoosServer) -> None:
    server.faults.append(breaking(4 << 16, 99))
    with pytest.raises(HubError):
        hub.pull("m1")
    server.faults.clear()
    other = bytes(reversed(WEIGHTS))

    def ignoring(handler: Handler) -> bool:
        if "/storage/" not in handler.path:
            return False
        start = int(handler.headers.get("Range", "bytes=0-")[6:-1])
        tag = {"ETag": '"other"', "Content-Length": str(len(other) - start)}
        if start:
            tag["Content-Range"] = f"bytes {start}-{len(other) - 1}/{len(other)}"
        handler.send(206 if start else 200, other[start:], tag)
        return True

    server.faults.append(ignoring)
    assert (hub.pull("m1") / "model_final.pth").read_bytes() == other


def test_file_of_unknown_length_is_an_error(hub: FocoosHUB, server: FocoosServer) -> None:
    def fault(handler: Handler) -> bool:
        if "/storage/" not in handler.path:
            return False
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + WEIGHTS[:999])
        return True

    server.faults.append(fault)
    with pytest.raises(HubError, match="does not say how long the file is"):
        hub.pull("m1")


@pytest.mark.parametrize("name", ["x-amz-checksum-sha256", "x-goog-hash", "Repr-Digest"])
@pytest.mark.parametrize("is_right", [True, False])
def test_stated_hash_is_checked(
    hub: FocoosHUB, server: FocoosServer, name: str, is_right: bool
) -> None:
    algorithm = "md5" if "goog" in name else "sha256"
    data = WEIGHTS if is_right else b"other"
    text = base64.b64encode(hashlib.new(algorithm, data).digest()).decode()
    forms = {"x-goog-hash": f"crc32c=AAAAAA==,md5={text}", "Repr-Digest": f"sha-256=:{text}:"}

    def fault(handler: Handler) -> bool:
        if "/storage/" not in handler.path:
            return False
        handler.send(200, WEIGHTS, {name: forms.get(name, text)})
        return True

    server.faults.append(fault)
    if is_right:
        assert (hub.pull("m1") / "model_final.pth").read_bytes() == WEIGHTS
        return
    with pytest.raises(HubError, match=f"the server states the {algorithm} "):
        hub.pull("m1")
    assert not list(Store().root.glob("hub/*.json"))


def test_endless_file_is_an_error(
    hub: FocoosHUB, server: FocoosServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_BYTES", 1 << 16)
    assert len(server.files["m1.pth"]) > 1 << 16
    with pytest.raises(HubError, match="larger than"):
        hub.pull("m1")


def test_full_disk_is_an_error(
    hub: FocoosHUB, server: FocoosServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = downloads._Partial.write

    def full(sink: downloads._Partial, data: bytes) -> None:
        if sink.position > 1 << 18:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(sink, data)

    monkeypatch.setattr(downloads._Partial, "write", full)
    with pytest.raises(CacheNotWritable, match="cannot be written: No space left"):
        hub.pull("m1")
    monkeypatch.undo()
    assert len(server.ranges) == 1  # it is not tried again


def test_empty_file_is_an_error(hub: FocoosHUB, server: FocoosServer) -> None:
    server.files["m1.pth"] = b""
    with pytest.raises(HubError, match=r"model_final\.pth is empty"):
        hub.pull("m1")


def test_damaged_copy_in_the_cache_is_pulled_again(hub: FocoosHUB, server: FocoosServer) -> None:
    path = hub.pull("m1") / "model_final.pth"
    path.chmod(0o600)
    path.write_bytes(WEIGHTS[:1000])
    assert (hub.pull("m1") / "model_final.pth").read_bytes() == WEIGHTS
    assert server.ranges == [0, 0]


def test_offline_only_the_cache_is_used(
    hub: FocoosHUB, server: FocoosServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = hub.pull("m1")
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    before = len(server.requests)
    assert hub.pull("m1") == folder
    with pytest.raises(HubError, match="m2, which is not in the cache: FURIOSA_MODELS_OFFLINE"):
        hub.pull("m2")
    with pytest.raises(HubError, match="FURIOSA_MODELS_OFFLINE"):
        hub.list_remote_models()
    assert len(server.requests) == before


PULL = """
import sys
from furiosa_models.hub import FocoosHUB, client
print(FocoosHUB(sys.argv[1], sys.argv[2]).pull("m1"))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_next_pull_continues_after_a_process_that_was_killed(
    hub: FocoosHUB, server: FocoosServer
) -> None:
    received = threading.Event()

    def stalling(handler: Handler) -> bool:
        if "/storage/" not in handler.path:
            return False
        etag = f'"{hashlib.md5(WEIGHTS).hexdigest()}"'
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(WEIGHTS)))
        handler.send_header("ETag", etag)
        handler.end_headers()
        handler.wfile.write(WEIGHTS[: 8 << 16])
        handler.wfile.flush()
        received.wait(60)
        return True

    server.faults.append(stalling)
    running = subprocess.Popen([sys.executable, "-c", PULL, KEY, server.url])
    partial = Store().root / "partial"
    deadline = time.monotonic() + 60
    while sum(path.stat().st_size for path in partial.glob("hub-*")) < 6 << 16:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    running.send_signal(signal.SIGKILL)
    running.wait(60)
    received.set()
    server.faults.clear()
    assert (hub.pull("m1") / "model_final.pth").read_bytes() == WEIGHTS
    assert server.ranges[-1] >= 6 << 16


def test_two_processes_pull_a_model_once(server: FocoosServer) -> None:
    gate = threading.Barrier(2)

    def together(handler: Handler) -> bool:
        if handler.route == "GET /v0/user/":
            gate.wait(60)
        return False

    server.faults.append(together)
    command = [sys.executable, "-c", PULL, KEY, server.url]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    folders = {process.communicate(timeout=100)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    (folder,) = folders
    assert (Path(folder) / "model_final.pth").read_bytes() == WEIGHTS
    assert server.ranges == [0]
