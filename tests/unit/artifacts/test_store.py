from __future__ import annotations

import hashlib
import multiprocessing
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from furiosa_models.artifacts import File, Store
from furiosa_models.errors import ArtifactCorrupted, ArtifactUnavailable

DATA = b"weights" * 1000


def make_file(*sources: str, data: bytes = DATA, algorithm: str = "sha256") -> File:
    digest = {algorithm: hashlib.new(algorithm, data).hexdigest()}
    return File(name="w.bin", size=len(data), sources=sources, **digest)


def litter(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and ".part-" in path.name]


@pytest.mark.parametrize("algorithm", ["sha256", "md5"])
def test_a_file_over_http_is_verified_and_kept(
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
    assert litter(tmp_path) == []


@pytest.mark.parametrize(
    ("served", "complaint"),
    [
        (DATA[:-1], "expected 7000 bytes, got 6999"),
        (DATA + b"!", "more than the published 7000 bytes"),
        (DATA[:-1] + b"!", "expected sha256"),
    ],
)
def test_wrong_bytes_are_refused_and_not_kept(
    tmp_path: Path, served: bytes, complaint: str
) -> None:
    (tmp_path / "w.bin").write_bytes(served)
    store = Store(tmp_path / "store")
    file = make_file(str(tmp_path / "w.bin"))

    with pytest.raises(ArtifactCorrupted, match=complaint):
        store.fetch([file])

    assert not store.has(file)
    assert litter(tmp_path) == []


def test_the_next_source_is_tried(tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"not the weights")
    (tmp_path / "good").write_bytes(DATA)
    sources = [str(tmp_path / "none"), str(tmp_path / "bad"), (tmp_path / "good").as_uri()]

    path = Store(tmp_path / "store").fetch([make_file(*sources)])["w.bin"]

    assert path.read_bytes() == DATA


def test_an_unreachable_file_names_every_source(
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


def test_offline_asks_no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    (tmp_path / "w.bin").write_bytes(DATA)
    store = Store(tmp_path / "store")
    remote = ["http://127.0.0.1:9/x", "pypi:a==1/x", "npm:a@1.0.0/x"]

    with pytest.raises(ArtifactUnavailable) as caught:
        store.fetch([make_file(*remote)])
    assert str(caught.value).count("not asked: FURIOSA_MODELS_OFFLINE is set") == 3

    assert store.fetch([make_file(*remote, str(tmp_path / "w.bin"))])["w.bin"].is_file()


@pytest.mark.parametrize("over_http", [False, True])
def test_the_objects_of_one_store_are_the_mirror_of_another(
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


def test_an_unwritable_cache_names_the_variable_that_moves_it(tmp_path: Path) -> None:
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


def test_a_lost_derived_object_is_built_again(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.derive("ab12", lambda: DATA).unlink()

    assert store.derive("ab12", lambda: DATA).read_bytes() == DATA


def test_an_unreachable_file_is_remembered(tmp_path: Path) -> None:
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
    assert litter(tmp_path) == []
