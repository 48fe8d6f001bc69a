from __future__ import annotations

from pathlib import Path

import pytest

from furiosa_models import settings


def test_cache_home_follows_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", "~/here")
    assert settings.cache_home() == Path.home() / "here"
    monkeypatch.delenv("FURIOSA_MODELS_CACHE_HOME")
    assert settings.cache_home().name == "furiosa-models"


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("yes", True), ("0", False), ("", False)]
)
def test_boolean_flags_are_parsed(
    monkeypatch: pytest.MonkeyPatch, value: str, expected: bool
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", value)
    assert settings.is_offline() is expected


def test_invalid_flag_is_a_value_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "perhaps")
    with pytest.raises(ValueError, match="FURIOSA_MODELS_OFFLINE='perhaps'"):
        settings.is_offline()


def test_unknown_home_directory_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def expanduser(_: Path) -> Path:
        msg = "Could not determine home directory."
        raise RuntimeError(msg)

    monkeypatch.setattr(Path, "expanduser", expanduser)
    for name, ask in (
        ("CACHE_HOME", settings.cache_home),
        ("SHARED_CACHE", settings.shared_caches),
    ):
        monkeypatch.setenv(f"FURIOSA_MODELS_{name}", "~/here")
        with pytest.raises(ValueError, match="there is no home folder: set it to an absolute path"):
            ask()
