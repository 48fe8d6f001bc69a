"""Transfers into a store that others can write to, and onto a failing disk."""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from furiosa_models.artifacts import File, Store, transfer
from furiosa_models.errors import ArtifactCorrupted, ArtifactUnavailable
from furiosa_models.progress import progress_bar

DATA = b"weights" * 1000


def make_file(*sources: str, algorithm: str = "sha256") -> File:
    digest = {algorithm: hashlib.new(algorithm, DATA).hexdigest()}
    return File(name="w.bin", size=len(DATA), sources=sources, **digest)


@pytest.fixture
def source(tmp_path: Path) -> str:
    (tmp_path / "w.bin").write_bytes(DATA)
    return str(tmp_path / "w.bin")


def symbolic(partial: Path, victim: Path) -> None:
    partial.symlink_to(victim)


def hard(partial: Path, victim: Path) -> None:
    os.link(victim, partial)


def dangling(partial: Path, victim: Path) -> None:
    partial.symlink_to(victim.with_name("made by the fetch"))


def pipe(partial: Path, _: Path) -> None:
    os.mkfifo(partial)


@pytest.mark.parametrize("link", [symbolic, hard, dangling, pipe])
def test_link_in_place_of_a_partial_file_is_not_written(
    link: Callable[[Path, Path], None], tmp_path: Path, source: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"mine")
    file = make_file(source)
    partial = tmp_path / "store" / "partial" / file.digest
    partial.parent.mkdir(parents=True)
    link(partial, victim)
    path = Store(tmp_path / "store").fetch([file])["w.bin"]
    assert (path.read_bytes(), path.is_symlink()) == (DATA, False)
    assert victim.read_bytes() == b"mine"
    assert not (tmp_path / "made by the fetch").exists()


def test_lock_that_is_a_link_does_not_truncate_its_target(tmp_path: Path) -> None:
    victim, lock = tmp_path / "victim", tmp_path / "locks" / "x.lock"
    victim.write_bytes(b"mine")
    lock.parent.mkdir()
    lock.symlink_to(victim)
    with transfer.best_effort_lock(lock) as held:
        assert held
    assert victim.read_bytes() == b"mine"


HOLD = """
import fcntl, sys, time
file = open(sys.argv[1])
fcntl.flock(file, fcntl.LOCK_EX)
print("held", flush=True)
time.sleep(60)
"""


def test_waiting_for_a_lock_is_logged_and_times_out(
    tmp_path: Path,
    source: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(transfer, "LOCK_WARNING_S", 0.2)
    monkeypatch.setattr(transfer, "LOCK_TIMEOUT_S", 0.6)
    file = make_file(source)
    lock = tmp_path / "store" / "locks" / f"{file.digest}.lock"
    lock.parent.mkdir(parents=True)
    lock.touch(0o644)
    # Every user who can read the file can lock it.
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        start = time.monotonic()
        with caplog.at_level(logging.WARNING):
            path = Store(tmp_path / "store").fetch([file])["w.bin"]
        assert 0.5 < time.monotonic() - start < 5
    finally:
        holder.kill()
        holder.communicate()
    assert path.read_bytes() == DATA
    waiting, going_on = (record.getMessage() for record in caplog.records)
    assert waiting.startswith(f"another process holds {lock}: waiting for it")
    assert going_on.endswith("continuing without it")


def test_unlocked_fetch_leaves_other_partial_files_alone(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def not_held(_: Path) -> Iterator[bool]:
        yield False

    monkeypatch.setattr(transfer, "best_effort_lock", not_held)
    file = make_file(source)
    other = tmp_path / "store" / "partial" / file.digest
    other.parent.mkdir(parents=True)
    other.write_bytes(DATA[:100])
    path = Store(tmp_path / "store").fetch([file])["w.bin"]
    assert path.read_bytes() == DATA
    assert other.read_bytes() == DATA[:100]
    assert list(other.parent.iterdir()) == [other]


def test_changed_sha256_of_an_md5_file_fails_that_source(tmp_path: Path, source: str) -> None:
    file = make_file(source, str(tmp_path / "none"), algorithm="md5")
    pin = tmp_path / "store" / "pins" / file.digest
    pin.parent.mkdir(parents=True)
    pin.write_bytes(b"a" * 64)
    with pytest.raises(ArtifactCorrupted) as caught:
        Store(tmp_path / "store").fetch([file])
    assert f"{source}: expected sha256 " in str(caught.value)
    assert f"remove {pin}" in str(caught.value)
    assert "none: No such file" in str(caught.value)


def test_unwritable_pins_folder_is_reported(tmp_path: Path, source: str) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "pins").write_text("no folder")
    with pytest.raises(ArtifactUnavailable, match="pins.* cannot be written"):
        Store(tmp_path / "store").fetch([make_file(source, algorithm="md5")])


def test_too_large_partial_file_is_not_read(tmp_path: Path, source: str) -> None:
    file = make_file(source)
    partial = tmp_path / "store" / "partial" / file.digest
    partial.parent.mkdir(parents=True)
    with partial.open("wb") as hole:
        hole.truncate(1 << 42)
    start = time.monotonic()
    assert Store(tmp_path / "store").fetch([file])["w.bin"].read_bytes() == DATA
    assert time.monotonic() - start < 5


def test_disk_error_while_rewinding_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full:
        def __getattr__(self, name: str) -> object:
            raise OSError(28, "No space left on device")

    with progress_bar("x", 1) as bar:
        partial = transfer.Partial(tmp_path / "partial" / "x", make_file(), bar)
        partial.write(b"data")
        partial._stream.close()
        monkeypatch.setattr(partial, "_stream", Full())
        with pytest.raises(ArtifactUnavailable, match="No space left"):
            partial.rewind()
        partial.close(keep=False)
    assert list((tmp_path / "partial").iterdir()) == []
