"""Fonts of labels: letters of every script, and a warning for letters without a font."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import FuriosaModelsError
from furiosa_models.tasks import fonts
from furiosa_models.tasks.detection import Detections

NAMES = {
    "Latin": ("car", "bus"),
    "accents": ("mélange", "mêlange"),
    "Cyrillic": ("кот", "дом"),
    "Greek": ("γάτα", "λύκο"),
    "Chinese": ("汽车", "火车"),
    "Korean": ("고양이", "강아지"),
    "Arabic": ("قطة", "كلب"),
    "Thai": ("แมว", "หมา"),
    "emoji": ("🐱", "🐶"),
    "mixed": ("cat 汽", "cat 火"),
}


def forget() -> None:
    for function in (
        fonts._path_for,
        fonts._missing_letters,
        fonts._system_fonts,
        fonts._warn_missing,
    ):
        function.cache_clear()


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("FURIOSA_MODELS_FONT", raising=False)
    forget()
    yield
    forget()


@pytest.fixture
def without_fonts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Simulate a system without fonts."""
    monkeypatch.setattr(fonts, "_folders", lambda: iter([str(tmp_path)]))


def drawn(name: str) -> npt.NDArray[np.uint8]:
    box = np.array([[20, 60, 180, 180]], np.float32)
    found = Detections(box, np.array([0.9], np.float32), np.array([0]), [name])
    return np.asarray(found.plot(np.zeros((200, 200, 3), np.uint8)))


@pytest.mark.parametrize("script", NAMES)
def test_different_names_are_drawn_differently(script: str) -> None:
    one, other = NAMES[script]
    assert not np.array_equal(drawn(one), drawn(other))


@pytest.mark.usefixtures("without_fonts")
@pytest.mark.parametrize("script", [name for name in NAMES if name != "Latin"])
def test_letters_without_a_font_are_logged(script: str, caplog: pytest.LogCaptureFixture) -> None:
    one, other = NAMES[script]
    with caplog.at_level(logging.WARNING):
        assert not np.array_equal(drawn(one), drawn(other))
        drawn(one)
    if not caplog.records:
        pytest.skip("the font of this Pillow has the letters")
    letter = next(char for char in one if char in fonts._missing_letters(frozenset(one), None))
    assert sum(letter in record.getMessage() for record in caplog.records) == 1
    assert "FURIOSA_MODELS_FONT" in caplog.text
    told = fonts._missing_letters(frozenset(one), None)
    assert fonts.fitting(one, 20)[1] == "".join(
        char if char not in told else f"\\u{ord(char):04x}" for char in one
    )


def test_ascii_letters_need_no_other_font(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise AssertionError

    monkeypatch.setattr(fonts, "_folders", refuse)
    for text in ("car", "hot dog 0.93"):
        assert fonts.fitting(text, 20) == (fonts.plain(20), text)


def system_font() -> str:
    for path in fonts._system_fonts():
        if not fonts._missing_letters(frozenset("кот"), path):
            return path
    pytest.skip("no font here has Cyrillic letters")


def test_font_of_the_environment_variable_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = system_font()
    monkeypatch.setattr(fonts, "_folders", lambda: iter([str(tmp_path)]))
    forget()
    monkeypatch.setenv("FURIOSA_MODELS_FONT", path)
    font, text = fonts.fitting("кот", 20)
    assert (getattr(font, "path", None), text) == (path, "кот")
    assert not np.array_equal(drawn("кот"), drawn("дом"))


def test_invalid_font_is_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bad = tmp_path / "bad.ttf"
    bad.write_bytes(b"no font")
    for path in (bad, tmp_path / "none.ttf"):
        forget()
        monkeypatch.setenv("FURIOSA_MODELS_FONT", os.fspath(path))
        with pytest.raises(FuriosaModelsError, match=r"FURIOSA_MODELS_FONT=.*cannot be read"):
            drawn("кот")


def test_damaged_system_font_is_skipped(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "bad.ttf").write_bytes(b"no font")
    monkeypatch.setattr(fonts, "_folders", lambda: iter([str(tmp_path)]))
    assert fonts.fitting("кот", 20)[1] == "\\u043a\\u043e\\u0442"
