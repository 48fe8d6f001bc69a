from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from furiosa_models.artifacts import File, Store
from furiosa_models.artifacts import store as store_module
from furiosa_models.errors import ArtifactCorrupted, ArtifactUnavailable

DATA = b"weights" * 1000


def make_file(*sources: str, data: bytes = DATA, algorithm: str = "sha256") -> File:
    digest = {algorithm: hashlib.new(algorithm, data).hexdigest()}
    return File(name="w.bin", size=len(data), sources=sources, **digest)


def leftover_files(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and ".part-" in path.name]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_file_over_http_is_verified_and_stored(
    tmp_path: Path, serve: Callable[[Path], str], algorithm: str
) -> None:
    served = tmp_path / "served"
    served.mkdir()
    (served / "w.bin").write_bytes(DATA)
    file = make_file(f"{serve(served)}/w.bin", algorithm=algorithm)
    store = Store(tmp_path / "store")

    path = store.fetch([file])["w.bin"]

    assert path.read_bytes() == DATA
    assert path.name == file.digest
    assert not path.stat().st_mode & stat.S_IWUSR
    (served / "w.bin").unlink()
    assert store.fetch([file])["w.bin"] == path  # from the store
    assert leftover_files(tmp_path) == []


@pytest.mark.parametrize(
    ("served", "complaint"),
    [
        (DATA[:-1], "expected 7000 bytes, got 6999"),
        (DATA + b"!", "expected 7000 bytes, got more"),
        (DATA[:-1] + b"!", "expected sha256"),
    ],
)
def test_wrong_bytes_are_rejected_and_not_stored(
    tmp_path: Path, served: bytes, complaint: str
) -> None:
    (tmp_path / "w.bin").write_bytes(served)
    store = Store(tmp_path / "store")
    file = make_file(str(tmp_path / "w.bin"))

    with pytest.raises(ArtifactCorrupted, match=complaint):
        store.fetch([file])

    assert not store.has(file)
    assert leftover_files(tmp_path) == []


def test_the_next_source_is_tried(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"not the weights")
    (tmp_path / "good").write_bytes(DATA)
    sources = [str(tmp_path / "none"), str(tmp_path / "bad"), (tmp_path / "good").as_uri()]

    path = Store(tmp_path / "store").fetch([make_file(*sources)])["w.bin"]

    assert path.read_bytes() == DATA


def test_error_for_an_unreachable_file_names_every_source(
    tmp_path: Path, serve: Callable[[Path], str]
) -> None:
    url = f"{serve(tmp_path)}/none.bin"
    file = make_file(url, str(tmp_path / "absent"), "http://127.0.0.1:9/closed")

    with pytest.raises(ArtifactUnavailable) as caught:
        Store(tmp_path / "store").fetch([file])

    message = str(caught.value)
    assert f"{url}: HTTP 404" in message
    assert "absent: No such file" in message
    assert "http://127.0.0.1:9/closed: ConnectionError" in message
    assert "FURIOSA_MODELS_MIRROR" in message


def test_offline_mode_makes_no_requests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    (tmp_path / "w.bin").write_bytes(DATA)
    store = Store(tmp_path / "store")
    remote = ["http://127.0.0.1:9/x", "pypi:a==1/x", "npm:a@1.0.0/x"]

    with pytest.raises(ArtifactUnavailable) as caught:
        store.fetch([make_file(*remote)])
    assert str(caught.value).count("not asked: FURIOSA_MODELS_OFFLINE is set") == 3

    assert store.fetch([make_file(*remote, str(tmp_path / "w.bin"))])["w.bin"].is_file()


@pytest.mark.parametrize("over_http", [False, True])
def test_objects_of_a_store_are_usable_as_a_mirror(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    serve: Callable[[Path], str],
    over_http: bool,
) -> None:
    (tmp_path / "w.bin").write_bytes(DATA)
    first = Store(tmp_path / "first")
    first.fetch([make_file(str(tmp_path / "w.bin"))])
    objects = tmp_path / "first" / "objects"
    monkeypatch.setenv("FURIOSA_MODELS_MIRROR", serve(objects) if over_http else str(objects))

    path = Store(tmp_path / "second").fetch([make_file(str(tmp_path / "absent"))])["w.bin"]

    assert path.read_bytes() == DATA


def test_unwritable_cache_names_the_environment_variable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    (tmp_path / "w.bin").write_bytes(DATA)

    with pytest.raises(ArtifactUnavailable, match="FURIOSA_MODELS_CACHE_HOME"):
        Store(tmp_path / "file").fetch([make_file(str(tmp_path / "w.bin"))])


def test_derived_files_are_built_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    calls: list[int] = []

    def build() -> bytes:
        calls.append(1)
        return DATA

    assert store.derived("ab12") is None
    first, second = store.derive("ab12", build), store.derive("ab12", build)

    assert first == second == store.derived("ab12")
    assert first.read_bytes() == DATA
    assert len(calls) == 1


def test_missing_built_file_is_rebuilt(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.derive("ab12", lambda: DATA).unlink()

    assert store.derive("ab12", lambda: DATA).read_bytes() == DATA


def store_with_file(tmp_path: Path, algorithm: str = "sha256") -> tuple[Store, File, Path]:
    """Make a store with a fetched file whose source has been deleted."""
    source = tmp_path / "source.bin"
    source.write_bytes(DATA)
    store, file = Store(tmp_path / "store", shared=()), make_file(str(source), algorithm=algorithm)
    path = store.fetch([file])["w.bin"]
    source.unlink()
    return store, file, path


def damage(path: Path, how: str) -> None:
    stat, elsewhere = path.stat(), path.with_suffix(".elsewhere")
    path.chmod(0o644)
    if how == "same size and time":
        path.write_bytes(DATA[:-1] + b"!")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    elif how == "link":
        path.unlink()
        elsewhere.write_bytes(b"secret")
        path.symlink_to(elsewhere)
    elif how == "folder":
        path.unlink()
        path.mkdir()
    else:
        path.write_bytes({"empty": b"", "longer": DATA + b"!", "other": b"other"}[how])


DAMAGES = ["empty", "longer", "other", "same size and time", "link", "folder"]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_files_are_never_returned(tmp_path: Path, how: str, algorithm: str) -> None:
    store, file, path = store_with_file(tmp_path, algorithm)
    damage(path, how)

    with pytest.raises(ArtifactUnavailable, match="No such file"):  # its source was deleted
        store.fetch([file])

    if how != "folder":
        (tmp_path / "source.bin").write_bytes(DATA)
        assert store.fetch([file])["w.bin"].read_bytes() == DATA  # fetched again
        assert not path.is_symlink()


def test_file_is_hashed_only_if_it_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, file, path = store_with_file(tmp_path)
    hashed: list[Path] = []
    hash_file = store_module.hash_file

    def counted(path: Path, algorithm: str) -> str:
        hashed.append(path)
        return hash_file(path, algorithm)

    monkeypatch.setattr(store_module, "hash_file", counted)
    store.fetch([file])
    assert hashed == []
    shutil.copytree(store.root, tmp_path / "copy")  # as in a container image
    copy = Store(tmp_path / "copy", shared=())
    copy.fetch([file])
    copy.fetch([file])
    assert hashed == [copy.path(file)]
    shared = Store(tmp_path / "own", shared=[tmp_path / "copy"])
    assert shared.fetch([file])["w.bin"] == copy.path(file)
    assert len(hashed) == 1
    assert path.is_file()


@pytest.mark.parametrize("how", DAMAGES)
def test_damaged_shared_cache_is_skipped(tmp_path: Path, how: str) -> None:
    shared, file, path = store_with_file(tmp_path)
    damage(path, how)
    (tmp_path / "source.bin").write_bytes(DATA)
    store = Store(tmp_path / "own", shared=[shared.root])
    found = store.fetch([file])["w.bin"]
    assert found.read_bytes() == DATA
    assert found.is_relative_to(tmp_path / "own")


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"../../etc/passwd", b"0" * 63, b"0" * 65])
def test_damaged_note_of_a_built_file_is_ignored(tmp_path: Path, note: bytes) -> None:
    store = Store(tmp_path, shared=())
    store.derive("ab12", lambda: DATA)
    path = tmp_path / "derived" / "ab" / "ab12"
    path.chmod(0o644)
    path.write_bytes(note)
    assert store.digest("ab12") is None
    assert store.derived("ab12") is None
    assert store.derive("ab12", lambda: DATA).read_bytes() == DATA


def test_damaged_built_file_is_rebuilt(tmp_path: Path) -> None:
    store = Store(tmp_path, shared=())
    damage(store.derive("ab12", lambda: DATA), "same size and time")
    assert store.derived("ab12") is None
    assert store.derive("ab12", lambda: DATA).read_bytes() == DATA


def test_unwritable_cache_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder")
    for key in ("ab12", "cd34"):
        store = Store(tmp_path / "file", shared=())
        assert store.derive(key, lambda: DATA).read_bytes() == DATA
        store.note(key, "ab" * 32)
    assert caplog.text.count("nothing is cached. Set FURIOSA_MODELS_CACHE_HOME") == 1


def test_files_are_built_once_with_an_unwritable_cache(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    store = Store(tmp_path / "file", shared=())
    path = store.derive("ab12", lambda: DATA)
    assert store.derive("ab12", lambda: pytest.fail("built twice")) == path
    assert store.derived("ab12") == path
    folder = path.parents[3]
    del store
    gc.collect()
    assert not folder.exists()


def test_unreachable_file_is_noted(tmp_path: Path) -> None:
    store, file = Store(tmp_path), make_file("http://127.0.0.1:9/x")
    assert not store.was_unreachable([file])
    store.note_unreachable([file])
    assert store.was_unreachable([file])


def _fetch(root: Path, source: Path) -> bytes:
    return Store(root).fetch([make_file(str(source))])["w.bin"].read_bytes()


def test_many_processes_fetch_one_file(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(DATA)
    context = multiprocessing.get_context("spawn")
    with context.Pool(4) as pool:
        results = pool.starmap(_fetch, [(tmp_path / "store", tmp_path / "w.bin")] * 8)
    assert results == [DATA] * 8
    assert leftover_files(tmp_path) == []
