"""Faults of network and machine: a fetch gives the right file or a clear error."""

from __future__ import annotations

import hashlib
import itertools
import multiprocessing
import multiprocessing.process
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from furiosa_models.artifacts import File, Store, maintenance
from furiosa_models.artifacts.sources import http
from furiosa_models.errors import ArtifactCorrupted, ArtifactUnavailable

from .faulty_server import DATA, ENDLESS, HOSTILE, Fault, Handler, good, serve, slow, zipped


@pytest.fixture(autouse=True)
def _short_timeouts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF_S", 0.01)
    monkeypatch.setattr(http, "STALL_TIMEOUT_S", 0.5)


def make_file(*sources: str) -> File:
    digest = hashlib.sha256(DATA).hexdigest()
    return File(name="w.bin", size=len(DATA), sha256=digest, sources=sources)


def stored_files(store: Store) -> list[Path]:
    return [path for path in (store.root / "objects").rglob("*") if path.is_file()]


def truncated(share: float) -> Fault:
    until = int(len(DATA) * share)
    return lambda handler, count: handler.serve_range(until=until if count == 0 else None)


def stalls_once(handler: Handler, count: int) -> None:
    if count:
        handler.serve_range()
        return
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    handler.wfile.write(DATA[:1000])
    handler.wfile.flush()
    time.sleep(1.0)


def resets_once(handler: Handler, count: int) -> None:
    if count:
        handler.serve_range()
        return
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(DATA)))
    handler.end_headers()
    handler.wfile.write(DATA[: len(DATA) // 2])
    handler.reset()


def statuses(*codes: int) -> Fault:
    def fault(handler: Handler, count: int) -> None:
        if count < len(codes):
            handler.answer(b"no", codes[count], Retry_After="0")
        else:
            handler.serve_range()

    return fault


def no_range_support(handler: Handler, count: int) -> None:
    """Close the connection once; do not support ranges."""
    handler.answer(DATA if count else DATA[:500_000], length=len(DATA))


def another_range(handler: Handler, count: int) -> None:
    """Close the connection, then send another range than requested, then answer correctly."""
    if count == 0:
        handler.answer(DATA[:500_000], length=len(DATA))
    elif count == 1:
        handler.answer(DATA[:100], 206, Content_Range=f"bytes 0-99/{len(DATA)}")
    else:
        handler.serve_range()


def lying_range(handler: Handler, count: int) -> None:
    """Close the connection, then send wrong bytes for the range, then answer correctly."""
    wrong = DATA if count != 1 else bytes(len(DATA))
    handler.serve_range(wrong, until=500_000 if count == 0 else None)


def unsatisfiable_range(handler: Handler, count: int) -> None:
    if count == 0:
        handler.answer(DATA[:500_000], length=len(DATA))
    elif count == 1:
        handler.answer(b"", 416)
    else:
        handler.serve_range()


RECOVERABLE = {
    **{f"truncated at {share} %": truncated(share / 100) for share in range(0, 100, 10)},
    "stall": stalls_once,
    "reset": resets_once,
    "429": statuses(429),
    "500, 503": statuses(500, 503),
    "four times 503": statuses(503, 503, 503, 503),
    "no ranges": no_range_support,
    "another range": another_range,
    "lying range": lying_range,
    "unsatisfiable range": unsatisfiable_range,
    "gzip surprise": zipped,
    "slow drip": slow(0.5),
}


@pytest.mark.parametrize("fault", RECOVERABLE.values(), ids=RECOVERABLE)
def test_transient_faults_end_with_the_right_file(fault: Fault, tmp_path: Path) -> None:
    store = Store(tmp_path)
    with serve(fault) as server:
        path = store.fetch([make_file(server.url)])["w.bin"]
    assert path.read_bytes() == DATA
    assert stored_files(store) == [path]
    assert list((tmp_path / "partial").iterdir()) == []


def test_truncated_body_is_resumed(tmp_path: Path) -> None:
    with serve(truncated(0.5)) as server:
        Store(tmp_path).fetch([make_file(server.url)])
    assert [visit.range for visit in server.visits] == [None, f"bytes={len(DATA) // 2}-"]


def always(body: bytes, length: int | None = None) -> Fault:
    return lambda handler, _: handler.answer(body, length=length)


def redirects(handler: Handler, _: int) -> None:
    handler.answer(b"", 302, Location=handler.path)


LASTING = {
    "404": (statuses(*[404] * 9), ArtifactUnavailable, "HTTP 404", 1),
    "403": (statuses(*[403] * 9), ArtifactUnavailable, "HTTP 403", 1),
    "500 for ever": (statuses(*[500] * 9), ArtifactUnavailable, r"HTTP 500.*\(5 attempts\)", 5),
    "redirect loop": (redirects, ArtifactUnavailable, "more than 10 redirects", 11),
    "wrong length": (always(DATA + b"!"), ArtifactUnavailable, "server offers 1048577", 1),
    "wrong bytes": (always(bytes(len(DATA))), ArtifactCorrupted, "expected sha256", 1),
    "cut for ever": (always(DATA[:9], length=len(DATA)), ArtifactUnavailable, "5 attempts", 5),
    "resets for ever": (lambda h, _: h.reset(), ArtifactUnavailable, "ConnectionError", 5),
}


@pytest.mark.parametrize(("fault", "error", "complaint", "visits"), LASTING.values(), ids=LASTING)
def test_permanent_faults_are_clear_errors(
    fault: Fault, error: type[Exception], complaint: str, visits: int, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    with serve(fault) as server, pytest.raises(error, match=complaint):
        store.fetch([make_file(server.url)])
    assert len(server.visits) == visits
    assert stored_files(store) == []


@pytest.mark.parametrize("fault", HOSTILE.values(), ids=HOSTILE)
def test_invalid_http_responses_fail_only_that_source(fault: Fault, tmp_path: Path) -> None:
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serve(fault) as bad, serve(good) as right:
        start = time.monotonic()
        with pytest.raises((ArtifactUnavailable, ArtifactCorrupted)) as caught:
            Store(tmp_path / "one").fetch([make_file(bad.url)])
        assert time.monotonic() - start < 5
        store = Store(tmp_path / "two")
        path = store.fetch([make_file(bad.url, right.url)])["w.bin"]
    assert path.read_bytes() == DATA
    assert stored_files(store) == [path]
    message = str(caught.value)
    reason = message.partition(f"{bad.url}: ")[2].partition("\nCheck the network")[0]
    assert reason, message
    assert reason.isprintable()
    assert len(reason) < 700
    assert "hunter2" not in message
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory < 256 << 10  # KiB


@pytest.mark.parametrize("fault", ENDLESS.values(), ids=ENDLESS)
def test_total_timeout_is_enforced(
    fault: Fault, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "TOTAL_TIMEOUT_S", 0.4)
    monkeypatch.setattr(http, "STALL_TIMEOUT_S", 60.0)
    with serve(fault) as bad, serve(good) as right:
        start = time.monotonic()
        path = Store(tmp_path).fetch([make_file(bad.url, right.url)])["w.bin"]
        assert time.monotonic() - start < 3
        with pytest.raises(ArtifactUnavailable, match=r"not finished after 0\.4 s|HTTP 503"):
            Store(tmp_path / "other").fetch([make_file(bad.url)])
        for thread in threading.enumerate():
            if thread.name == "furiosa_models.fetch":
                thread.join(5)
                assert not thread.is_alive()
    assert path.read_bytes() == DATA


def test_interrupted_fetch_is_resumed_by_the_next(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with serve(lambda h, _: h.serve_range(until=600_000)) as server:
        with pytest.raises(ArtifactUnavailable, match="every source was tried"):
            store.fetch([make_file(server.url)])
        server.fault = good
        store.fetch([make_file(server.url)])
    asked = server.visits[-1].range or ""
    assert 600_000 - http.BODY_CHUNK < int(asked.removeprefix("bytes=").rstrip("-")) <= 600_000


def test_wrong_partial_file_is_discarded(tmp_path: Path) -> None:
    store = Store(tmp_path)
    file = make_file("http://127.0.0.1:9/gone")
    leftover = tmp_path / "partial" / file.digest
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"something else altogether")
    with serve(good) as server:
        path = store.fetch([make_file(server.url)])["w.bin"]
    assert path.read_bytes() == DATA


def test_errors_and_files_contain_no_credentials(tmp_path: Path) -> None:
    with serve(statuses(*[404] * 9)) as server:
        secret = server.url.replace("http://", "http://user:hunter2@") + "?token=hunter2"
        with pytest.raises(ArtifactUnavailable) as caught:
            Store(tmp_path).fetch([make_file(secret, "http://u:hunter2@127.0.0.1:9/x")])
    assert "hunter2" not in str(caught.value)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and b"hunter2" in p.read_bytes()]


FETCH = """
import sys, hashlib
from pathlib import Path
from furiosa_models.artifacts import File, Store
{patch}
size, digest, url, root = sys.argv[1:]
file = File(name="w.bin", size=int(size), sha256=digest, sources=[url])
print(hashlib.sha256(Store(Path(root)).fetch([file])["w.bin"].read_bytes()).hexdigest())
"""


def start_fetch(url: str, root: Path, patch: str = "") -> subprocess.Popen[str]:
    file = make_file(url)
    arguments = [str(file.size), file.digest, url, str(root)]
    return subprocess.Popen(
        [sys.executable, "-c", FETCH.format(patch=patch), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


ENABLE_CONTROL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
"""Background jobs ignore SIGINT, and child processes inherit this."""


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_transfer_interrupted_by_control_c_is_resumed(tmp_path: Path) -> None:
    released = threading.Event()

    def hangs_halfway(handler: Handler, _: int) -> None:
        handler.answer(DATA[:600_000], length=len(DATA))
        handler.wfile.flush()
        released.wait(60)

    with serve(hangs_halfway) as server:
        process = start_fetch(server.url, tmp_path, ENABLE_CONTROL_C)
        partial = tmp_path / "partial" / make_file("x").digest
        while process.poll() is None and not (partial.exists() and partial.stat().st_size > 0):
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGINT
        assert stderr.endswith("KeyboardInterrupt\n")
        assert stored_files(Store(tmp_path)) == []
        released.set()
        server.fault = good
        path = Store(tmp_path).fetch([make_file(server.url)])["w.bin"]
        assert path.read_bytes() == DATA
        assert server.visits[-1].range is not None


NO_LOCKS = """
import errno, filelock
def _refuse(*_, **__): raise OSError(errno.ENOLCK, "No locks available")
filelock.FileLock.acquire = _refuse
"""


@pytest.mark.slow
@pytest.mark.parametrize("patch", ["", NO_LOCKS], ids=["locks", "no locks"])
def test_sixteen_processes_fetch_one_artifact_at_once(tmp_path: Path, patch: str) -> None:
    with serve(slow(0.5)) as server:
        processes = [start_fetch(server.url, tmp_path, patch) for _ in range(16)]
        outputs = [process.communicate(timeout=120) for process in processes]
    right = hashlib.sha256(DATA).hexdigest() + "\n"
    assert [out for out, _ in outputs] == [right] * 16, outputs[0][1]
    if not patch:
        assert len(server.visits) == 1
    assert len(stored_files(Store(tmp_path))) == 1


def fetch_into(url: str, root: Path) -> None:
    Store(root).fetch([make_file(url)])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_kills_leave_no_damaged_file(tmp_path: Path) -> None:
    # The fork server has imported everything: kills hit the transfer and the commit.
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload([__name__, "furiosa_models.artifacts.transfer", "urllib3"])
    randomness = random.Random(0)

    def start(url: str, root: Path) -> multiprocessing.process.BaseProcess:
        process = processes.Process(target=fetch_into, args=(url, root))
        process.start()
        return process

    def fetch_duration(root: Path) -> float:
        with serve(slow(0.2)) as server:
            begin = time.perf_counter()
            process = start(server.url, root)
            process.join()
            assert process.exitcode == 0
            return time.perf_counter() - begin

    # The first one starts the fork server.
    whole = min(fetch_duration(tmp_path / f"whole-{i}") for i in range(4))
    killed, attempts = 0, itertools.count()
    while killed < 200:
        root = tmp_path / str(next(attempts))
        with serve(slow(0.2)) as server:
            process = start(server.url, root)
            time.sleep(randomness.uniform(0, whole))
            process.kill()
            process.join()
            killed += process.exitcode == -signal.SIGKILL
            store = Store(root)
            assert all(path.read_bytes() == DATA for path in stored_files(store))
            server.fault = good
            assert store.fetch([make_file(server.url)])["w.bin"].read_bytes() == DATA
        maintenance.prune(store)
        left = [path.relative_to(root) for path in root.rglob("*") if path.is_file()]
        assert {path.parts[0] for path in left} == {"objects", "stamps"}
        assert [path.name for path in left] == [make_file("x").digest] * 2


@pytest.fixture
def unprivileged_folder() -> Iterator[Path]:
    """A folder for an unprivileged user; root changes to one, to respect file permissions."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    was_root = os.geteuid() == 0
    try:
        if was_root:
            os.seteuid(65534)
        yield folder
    finally:
        if was_root:
            os.seteuid(0)
        for path in [folder, *folder.rglob("*")]:
            path.chmod(0o755)


def test_read_only_cache_is_usable(unprivileged_folder: Path) -> None:
    os.seteuid(0) if os.getuid() == 0 else None
    store = Store(unprivileged_folder / "cache")
    with serve(good) as server:
        file = make_file(server.url)
        store.fetch([file])
        store.derive("ab" * 32, lambda: b"built")
        for path in [store.root, *store.root.rglob("*")]:
            path.chmod(0o555 if path.is_dir() else 0o444)
        os.seteuid(65534) if os.getuid() == 0 else None
        assert store.fetch([file])["w.bin"].read_bytes() == DATA
        assert store.derive("ab" * 32, lambda: b"again").read_bytes() == b"built"
        assert store.derive("cd" * 32, lambda: b"new").read_bytes() == b"new"  # not stored
        other = File(name="o", size=3, sha256=hashlib.sha256(b"abc").hexdigest(), sources=("x",))
        with pytest.raises(ArtifactUnavailable, match="FURIOSA_MODELS_CACHE_HOME"):
            store.fetch([other])


def test_shared_cache_is_the_fallback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(good) as server:
        path = Store(tmp_path / "shared").fetch([make_file(server.url)])["w.bin"]
    monkeypatch.setenv("FURIOSA_MODELS_SHARED_CACHE", str(tmp_path / "shared"))
    store = Store(tmp_path / "own")
    assert store.fetch([make_file("http://127.0.0.1:9/gone")])["w.bin"] == path
    assert stored_files(store) == []


def test_too_little_disk_space_is_reported_before_the_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    with serve(good) as server, pytest.raises(ArtifactUnavailable, match=r"needs 1\.0 MB"):
        Store(tmp_path).fetch([make_file(server.url)])
    assert server.visits == []


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
"""


def test_full_disk_is_reported_and_the_fetch_can_be_repeated(tmp_path: Path) -> None:
    with serve(good) as server:
        process = start_fetch(server.url, tmp_path, FULL)
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 1
        assert "CacheNotWritable" in errors
        assert "cannot be written (File too large)" in errors
        assert stored_files(Store(tmp_path)) == []
        assert Store(tmp_path).fetch([make_file(server.url)])["w.bin"].read_bytes() == DATA


def test_flipped_bit_is_found_and_repaired(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with serve(good) as server:
        file = make_file(server.url)
        path = store.fetch([file])["w.bin"]
        path.chmod(0o644)
        path.write_bytes(DATA[:-1] + bytes([DATA[-1] ^ 1]))
        assert [entry.digest for entry in maintenance.verify(store)] == [file.digest]
        assert path.exists()
        maintenance.verify(store, remove_damaged=True)
        assert store.fetch([file])["w.bin"].read_bytes() == DATA
    assert maintenance.verify(store) == []


OFFLINE = """
import socket, sys
def refuse(*_, **__): raise RuntimeError("a socket was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
from furiosa_models.errors import ArtifactUnavailable
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet
print(EfficientNetLite0(weights="random").predict(sys.argv[1], device="cpu").label)
try:
    SSDMobileNet().predict(sys.argv[1])
except ArtifactUnavailable as error:
    print(str(error).count("FURIOSA_MODELS_OFFLINE is set"))
"""


def test_offline_mode_opens_no_socket(photos: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    command = [sys.executable, "-c", OFFLINE, str(photos[0])]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "3"  # two URLs and one package
