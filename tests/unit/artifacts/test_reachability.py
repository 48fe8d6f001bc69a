"""Unreachable files are not requested again soon, unless the settings changed."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from furiosa_models.artifacts import File, Store, reachability

FILE = File(name="w.bin", size=1, sha256="a" * 64, sources=("http://127.0.0.1:9/x",))


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store in which the file is noted as unreachable; the user has an empty home folder."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    noted = Store(tmp_path / "store")
    noted.note_unreachable([FILE])
    assert noted.was_unreachable([FILE])
    return noted


def write(name: str) -> Callable[[], object]:
    return lambda: (Path.home() / name).write_text("registry = 'https://index.example'")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("FURIOSA_MODELS_MIRROR", "/mnt/mirror"),
        ("FURIOSA_MODELS_OFFLINE", "0"),
        ("HTTPS_PROXY", "http://user:pw-secret@proxy:3128"),
        ("https_proxy", "http://proxy:3128"),
        ("ALL_PROXY", "socks5://proxy"),
        ("no_proxy", "*"),
        ("PIP_INDEX_URL", "https://index.example/simple"),
        ("npm_config_registry", "https://index.example"),
        ("REQUESTS_CA_BUNDLE", "/etc/ca.pem"),
        ("AWS_PROFILE", "other"),
        ("HF_TOKEN", "\udc80 of no encoding"),
    ],
)
def test_changed_setting_invalidates_the_note(
    store: Store, name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as changed:
        changed.setenv(name, value)
        assert not store.was_unreachable([FILE])
        store.note_unreachable([FILE])
        assert store.was_unreachable([FILE])
    assert not store.was_unreachable([FILE])
    kept = (store.root / "unreachable" / FILE.digest).read_bytes()
    assert b"secret" not in kept


@pytest.mark.parametrize("name", [".npmrc", ".netrc"])
def test_changed_settings_file_invalidates_the_note(store: Store, name: str) -> None:
    write(name)()
    assert not store.was_unreachable([FILE])


def test_newly_installed_client_invalidates_the_note(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "npm").write_text("#!/bin/sh\n")
    (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert not store.was_unreachable([FILE])


def test_unrelated_setting_does_not_invalidate_the_note(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDITOR", "ed")
    assert store.was_unreachable([FILE])


@pytest.mark.parametrize("seconds", [-reachability.NOTE_LIFETIME_S - 1, 60.0, 1e9])
def test_note_that_is_old_or_in_the_future_is_ignored(store: Store, seconds: float) -> None:
    then = time.time() + seconds
    os.utime(store.root / "unreachable" / FILE.digest, (then, then))
    assert not store.was_unreachable([FILE])


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"a" * 64])
def test_note_with_other_content_is_ignored(store: Store, text: bytes) -> None:
    path = store.root / "unreachable" / FILE.digest
    path.unlink()
    path.write_bytes(text)
    assert not store.was_unreachable([FILE])


def test_notes_follow_no_links_and_tolerate_a_missing_folder(store: Store, tmp_path: Path) -> None:
    path, victim = store.root / "unreachable" / FILE.digest, tmp_path / "victim"
    victim.write_text("mine")
    path.unlink()
    path.symlink_to(victim)
    store.note_unreachable([FILE])
    assert victim.read_text() == "mine"
    assert store.was_unreachable([FILE])
    path.unlink()
    path.mkdir()
    assert not store.was_unreachable([FILE])
    store.note_unreachable([FILE])
    assert not store.was_unreachable([FILE])
