from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from furiosa_models.artifacts import File, Store, maintenance, zoo
from furiosa_models.artifacts.descriptor import object_path
from furiosa_models.cli import cli
from furiosa_models.errors import ArtifactCorrupted, ArtifactUnavailable, CacheNotWritable

DATA = b"weights" * 1000


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store with a file by sha256, one by md5 and a built one."""
    source = tmp_path / "w.bin"
    source.write_bytes(DATA)
    store = Store(tmp_path / "store", shared=())
    by_sha = hashlib.sha256(DATA).hexdigest()
    by_md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    store.fetch([File(name="a", size=len(DATA), sha256=by_sha, sources=(str(source),))])
    store.fetch([File(name="b", size=len(DATA), md5=by_md5, sources=(str(source),))])
    store.derive("ab" * 32, lambda: b"built")
    return store


def names(store: Store) -> list[str]:
    return sorted(
        p.relative_to(store.root).as_posix() for p in store.root.rglob("*") if p.is_file()
    )


def test_store_is_exported_and_imported(store: Store, tmp_path: Path) -> None:
    count = maintenance.export_to(store, tmp_path / "cache.tar")
    other = Store(tmp_path / "other", shared=())
    assert maintenance.import_from(other, tmp_path / "cache.tar") == count == 2
    assert maintenance.verify(other) == []
    assert len(maintenance.entries(other)) == 2
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    assert (other.root / "pins" / md5).read_text() == hashlib.sha256(DATA).hexdigest()
    assert other.derive("ab" * 32, lambda: b"again").read_bytes() == b"again"  # a built file
    assert maintenance.import_from(other, tmp_path / "cache.tar") == count  # again


def tamper(source: Path, target: Path, name: str, data: bytes) -> None:
    """Copy a tar file, but replace the first member."""
    with tarfile.open(target, "w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))
        with tarfile.open(source) as old:
            for member in list(old)[1:]:
                tar.addfile(member, old.extractfile(member))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("../outside", "no place in an export"),
        ("/etc/passwd", "no place in an export"),
        ("objects/sha256/aa/../../x", "no place in an export"),
        (f"objects/sha256/aa/{'ab' * 32}", "no place in an export"),
        (f"objects/sha256/ab/{'ab' * 32}", "expected sha256 abab"),
        (f"derived/ab/{'ab' * 32}/x", "no place in an export"),
        (f"stamps/sha256/{'ab' * 32}", "no place in an export"),
    ],
)
def test_tampered_export_is_rejected(
    store: Store, tmp_path: Path, name: str, complaint: str
) -> None:
    maintenance.export_to(store, tmp_path / "cache.tar")
    tamper(tmp_path / "cache.tar", tmp_path / "bad.tar", name, b"evil")
    other = Store(tmp_path / "other", shared=())
    with pytest.raises(ArtifactCorrupted, match=complaint):
        maintenance.import_from(other, tmp_path / "bad.tar")
    assert maintenance.entries(other) == []
    assert not (tmp_path / "outside").exists()


def test_notes_in_an_old_export_are_skipped(store: Store, tmp_path: Path) -> None:
    evil = b"foreign weights"
    with tarfile.open(tmp_path / "old.tar", "w") as tar:
        for name, data in (
            (object_path("sha256", hashlib.sha256(evil).hexdigest()), evil),
            (f"derived/ab/{'ab' * 32}", hashlib.sha256(evil).hexdigest().encode()),
            (f"pins/{'ab' * 16}", b"0" * 64),
        ):
            info = tarfile.TarInfo(f"objects/{name}" if data == evil else name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    assert maintenance.import_from(store, tmp_path / "old.tar") == 1
    assert store.derive("ab" * 32, lambda: b"again").read_bytes() == b"built"
    other = Store(tmp_path / "other", shared=())
    assert maintenance.import_from(other, tmp_path / "old.tar") == 1
    assert other.derive("ab" * 32, lambda: b"right").read_bytes() == b"right"
    assert not (other.root / "pins").exists()


def test_foreign_files_in_the_store_are_ignored(store: Store) -> None:
    folder = store.root / "objects" / "sha256" / "ab"
    (folder / ("ab" * 32)).mkdir(parents=True)
    (folder / "notes.txt").write_bytes(b"x")
    (folder / os.fsdecode(b"\xff")).write_bytes(b"x")
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    for note, text in (
        (store.root / "derived" / "ab" / ("ab" * 32), b"\xff\xfe"),
        (store.root / "pins" / md5, b"0" * 64),
    ):
        note.chmod(0o644)
        note.write_bytes(text)
    assert [entry.algorithm for entry in maintenance.verify(store)] == ["md5"]  # its pin differs
    maintenance.prune(store)
    maintenance.prune(store, built=True)
    assert store.derive("ab" * 32, lambda: b"again").read_bytes() == b"again"
    assert (folder / "notes.txt").read_bytes() == b"x"


def test_links_in_an_export_are_rejected(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        info = tarfile.TarInfo(f"objects/sha256/ab/{'ab' * 32}")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(ArtifactCorrupted, match="no place"):
        maintenance.import_from(Store(tmp_path / "s"), tmp_path / "bad.tar")


def test_file_that_is_not_an_export_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no tar file")
    with pytest.raises(ArtifactCorrupted, match="damaged"):
        maintenance.import_from(Store(tmp_path / "s"), tmp_path / "text")
    with pytest.raises(ArtifactUnavailable, match="cannot be read"):
        maintenance.import_from(Store(tmp_path / "s"), tmp_path / "none")


def test_damaged_store_is_not_exported(store: Store, tmp_path: Path) -> None:
    path = maintenance.entries(store)[0].path
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.raises(ArtifactCorrupted, match="verify the cache first"):
        maintenance.export_to(store, tmp_path / "cache.tar")


def test_prune_removes_leftovers_only(store: Store) -> None:
    before = [name for name in names(store) if not name.startswith("locks/")]
    for leftover in ("partial/abc", "unreachable/abc", "objects/sha256/ab/.part-xyz"):
        path = store.root / leftover
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1234")
    assert maintenance.prune(store) == 12
    assert names(store) == before
    store.note("cd" * 32, "ef" * 32)  # note of a built file that is not stored
    maintenance.prune(store)
    assert store.digest("cd" * 32) == "ef" * 32
    maintenance.prune(store, built=True)
    assert store.digest("cd" * 32) is None
    assert len(maintenance.entries(store)) == 2
    assert store.derived("ab" * 32) is None


def test_md5_file_is_pinned_to_its_first_sha256(store: Store, tmp_path: Path) -> None:
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    file = File(name="b", size=len(DATA), md5=md5, sources=(str(tmp_path / "w.bin"),))
    pin = store.root / "pins" / md5
    assert pin.read_text() == hashlib.sha256(DATA).hexdigest()
    store.path(file).unlink()
    pin.chmod(0o644)
    pin.write_text("0" * 64)  # as if another file with this MD5 had been fetched first
    with pytest.raises(ArtifactCorrupted, match="as seen before"):
        store.fetch([file])
    assert not store.has(file)


@pytest.mark.parametrize("pinned", [b"", b"\xff\xfe", b"0" * 63, b"g" * 64])
def test_damaged_pin_is_ignored(store: Store, tmp_path: Path, pinned: bytes) -> None:
    """Before, such a file could never be fetched again."""
    md5 = hashlib.md5(DATA, usedforsecurity=False).hexdigest()
    (tmp_path / "w.bin").write_bytes(DATA)
    file = File(name="b", size=len(DATA), md5=md5, sources=(str(tmp_path / "w.bin"),))
    pin = store.root / "pins" / md5
    pin.chmod(0o644)
    pin.write_bytes(pinned)
    assert maintenance.verify(store) == []
    store.path(file).unlink()
    assert store.fetch([file])["b"].read_bytes() == DATA
    assert pin.read_text() == hashlib.sha256(DATA).hexdigest()


def test_export_with_wrong_bytes_is_rejected(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", shared=())
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        info = tarfile.TarInfo(f"objects/sha256/ab/{'ab' * 32}")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"evil"))
    with pytest.raises(ArtifactCorrupted, match=r"bad\.tar.*abab.*got.*export the cache again"):
        maintenance.import_from(store, tmp_path / "bad.tar")
    assert [*(store.root / "partial").iterdir()] == []


def test_sparse_files_in_an_export_are_not_expanded(tmp_path: Path) -> None:
    name = f"objects/sha256/ab/{'ab' * 32}"
    with tarfile.open(tmp_path / "bad.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        info = tarfile.TarInfo(name)
        info.size = 512
        version = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": name}
        info.pax_headers = {**version, "GNU.sparse.realsize": str(1 << 30)}
        tar.addfile(info, io.BytesIO(b"1\n0\n0\n".ljust(512, b"\0")))
    store = Store(tmp_path / "s", shared=())
    with pytest.raises(ArtifactCorrupted, match="no place in an export"):
        maintenance.import_from(store, tmp_path / "bad.tar")
    assert not store.root.exists()


def test_cache_of_another_user_raises_cache_not_writable(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(CacheNotWritable, match="cannot be removed .Permission denied."):
        maintenance.prune(store, built=True)
    monkeypatch.setattr(Path, "is_file", refuse)
    file = File(name="b", size=len(DATA), sha256="ab" * 32, sources=("nowhere",))
    assert not store.has(file)


def test_remove_deletes_the_files_of_a_set(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", shared=())
    artifact = zoo()["SSDMobileNet"].sets["depth075"]
    path = store.path(artifact.files[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"12345")
    assert maintenance.entries(store)[0].name == "SSDMobileNet/depth075 mobilenetv1.tflite"
    assert maintenance.remove(store, [artifact]) == 5
    assert maintenance.entries(store) == []


def test_cache_command(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(store.root))

    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(cli, ["cache", *arguments])
        assert result.exit_code == code, result.output
        return result.output

    assert run("dir").strip() == str(store.root)
    assert "3 files" in run("ls")
    assert run("ls", "--json").count('"digest"') == 3
    assert "all files are intact" in run("verify")
    assert "2 files written" in run("export", str(tmp_path / "cache.tar"))
    assert "2 files imported" in run("import", str(tmp_path / "cache.tar"))
    path = maintenance.entries(store)[0].path
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    assert "damaged" in run("verify", code=1)
    assert "removed" in run("verify", "--remove", code=1)
    assert "all files are intact" in run("verify")
    assert "freed" in run("prune", "--built")
    assert "0.0 MB freed" in run("rm", "SSDMobileNet")
