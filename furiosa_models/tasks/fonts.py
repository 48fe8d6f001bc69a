"""Fonts for labels: Pillow's own, or one of the system or user for letters that it lacks."""

from __future__ import annotations

import logging
import os
import sys
import unicodedata
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TypeAlias

from PIL import ImageFont

from .. import settings
from ..errors import FuriosaModelsError
from ..progress import log_warning

__all__ = ["fitting", "plain"]

logger = logging.getLogger(__name__)

Font: TypeAlias = "ImageFont.FreeTypeFont | ImageFont.ImageFont"

_NO_LETTER = "\uffff"  # guaranteed noncharacter; shows how a font draws missing letters
_WITHOUT_INK = frozenset({"Cc", "Cf", "Mn", "Me", "Zs", "Zl", "Zp"})
_SIZE = 32  # font size for comparisons
_TRIED = 300  # maximum number of system fonts to try
_PREFERRED = (
    *("notosanscjk", "sourcehansans", "notosans-regular", "dejavusans.", "arialuni", "unifont"),
    *("msyh", "malgun", "yugoth", "segoeui.", "arial.", "tahoma.", "nirmala", "leelawui"),
    *("pingfang", "hiragino", "applesdgothic", "geezapro", "droidsansfallback", "wqy", "freesans."),
)


@cache
def plain(size: int) -> Font:
    """Return Pillow's own font."""
    return ImageFont.load_default(size=size)


def fitting(text: str, size: int) -> tuple[Font, str]:
    r"""Return a font for a text, and the text.

    The font is `FURIOSA_MODELS_FONT`, Pillow's own, or the system font that has the most letters.
    Letters that the font lacks are written as `\uXXXX`, so that different texts never look the
    same, and are logged.

    Args:
        text: The text.
        size: Height of the font in pixels.

    Raises:
        FuriosaModelsError: The user's font cannot be read.
    """
    if text.isascii():
        return plain(size), text
    letters = frozenset(text) - _with_ink_nowhere(text)
    path = _path_for(letters, settings.font())
    missing = _missing_letters(letters, path)
    if missing:
        _warn_missing(frozenset(missing))
        text = "".join(_escaped(char) if char in missing else char for char in text)
    return (plain(size) if path is None else _loaded(path, size)), text


def _with_ink_nowhere(text: str) -> frozenset[str]:
    return frozenset(char for char in text if unicodedata.category(char) in _WITHOUT_INK)


@cache
def _path_for(letters: frozenset[str], named: str | None) -> str | None:
    """Return the font that has the most letters; None for Pillow's own."""
    best: str | None = named
    min_missing = len(_missing_letters(letters, named))
    for path in (None, *_system_fonts()) if min_missing else ():
        missing = len(_missing_letters(letters, path))
        if missing < min_missing:
            best, min_missing = path, missing
        if not min_missing:
            break
    return best


@cache
def _missing_letters(letters: frozenset[str], path: str | None) -> frozenset[str]:
    """Return the letters that a font lacks; all of them if the file is not a font."""
    try:
        font = plain(_SIZE) if path is None else _loaded(path, _SIZE)
        if not isinstance(font, ImageFont.FreeTypeFont):
            return frozenset(char for char in letters if ord(char) > 255)
        nothing = _drawn(font, _NO_LETTER)
        return frozenset(char for char in letters if _drawn(font, char) == nothing)
    except OSError:
        if path is not None and path == settings.font():
            msg = f"FURIOSA_MODELS_FONT={path!r} cannot be read: set it to a TrueType file"
            raise FuriosaModelsError(msg) from None
        return letters


def _drawn(font: ImageFont.FreeTypeFont, char: str) -> tuple[object, ...]:
    mask = font.getmask(char)
    return (*mask.size, bytes(mask))


@cache
def _loaded(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)


@cache
def _system_fonts() -> tuple[str, ...]:
    """Return the fonts of the system, those with many scripts first."""
    found = {
        os.path.join(folder, file)  # noqa: PTH118
        for root in _folders()
        for folder, _, files in os.walk(root)
        for file in files
        if file.lower().endswith((".ttf", ".ttc", ".otf"))
    }

    def rank(path: str) -> tuple[int, str]:
        name = Path(path).name.lower()
        places = (i for i, start in enumerate(_PREFERRED) if name.startswith(start))
        return next(places, len(_PREFERRED)), name

    return tuple(sorted(found, key=rank)[:_TRIED])


def _folders() -> Iterator[str]:
    home = os.path.expanduser("~")  # noqa: PTH111 - unchanged if there is no home
    if sys.platform == "win32":
        yield os.path.join(os.environ.get("WINDIR", "C:\\Windows"), "Fonts")  # noqa: PTH118
        yield os.path.join(os.environ.get("LOCALAPPDATA", home), "Microsoft/Windows/Fonts")  # noqa: PTH118
    elif sys.platform == "darwin":
        yield from ("/System/Library/Fonts", "/Library/Fonts", f"{home}/Library/Fonts")
    else:
        yield os.environ.get("XDG_DATA_HOME", f"{home}/.local/share") + "/fonts"
        shared = os.environ.get("XDG_DATA_DIRS") or "/usr/local/share:/usr/share"
        yield from (f"{folder}/fonts" for folder in shared.split(":"))


def _escaped(char: str) -> str:
    return f"\\u{ord(char):04x}"


@cache
def _warn_missing(letters: frozenset[str]) -> None:
    """Log the letters, once."""
    log_warning(
        logger,
        "no font has the letters %s of labels: set FURIOSA_MODELS_FONT to a font that has them",
        " ".join(f"{char} ({_escaped(char)})" for char in sorted(letters)),
    )
