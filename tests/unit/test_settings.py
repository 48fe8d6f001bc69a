from __future__ import annotations

from pathlib import Path

import pytest

from furiosa_models import settings


def test_the_cache_moves_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", "~/here")
    assert settings.cache_home() == Path.home() / "here"
    monkeypatch.delenv("FURIOSA_MODELS_CACHE_HOME")
    assert settings.cache_home().name == "furiosa-models"


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("yes", True), ("0", False), ("", False)]
)
def test_flags(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", value)
    assert settings.is_offline() is expected


def test_a_flag_that_is_neither_on_nor_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "perhaps")
    with pytest.raises(ValueError, match="FURIOSA_MODELS_OFFLINE='perhaps'"):
        settings.is_offline()
