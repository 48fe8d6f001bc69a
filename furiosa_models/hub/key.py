"""The API key of a hub, which is shown nowhere."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import NoReturn

from .. import settings
from ..errors import HubError

__all__ = ["ApiKey", "find_key"]

_HIDDEN = "..."
_BEGINNING = 8  # characters of a key that are a secret
_KEY = re.compile(r"[!-~]{4,1024}")
_MAX_FILE = 4096


class ApiKey:
    """An API key whose text only `reveal` returns: not `str`, `repr`, or a pickle.

    Args:
        text: The key.
        origin: Where it is from, for messages.

    Raises:
        HubError: It cannot be a key.
    """

    __slots__ = ("__text", "origin")

    def __init__(self, text: str, origin: str = "api_key") -> None:
        if not isinstance(text, str) or not _KEY.fullmatch(text):
            msg = f"{origin} is not an API key: expected 4 to 1024 letters, digits and signs"
            raise HubError(msg)
        self.__text = text
        self.origin = origin

    def reveal(self) -> str:
        """Return the text of the key."""
        return self.__text

    def hide(self, text: str) -> str:
        """Return a text with the key, and beginnings of it, replaced by dots.

        A text that was shortened may end within the key.
        """
        for length in range(len(self.__text), min(_BEGINNING, len(self.__text)) - 1, -1):
            text = text.replace(self.__text[:length], _HIDDEN)
        return text

    def __repr__(self) -> str:
        return "ApiKey(...)"

    def __reduce__(self) -> NoReturn:
        msg = "an API key is not pickled: open the hub in each process"
        raise TypeError(msg)


def find_key(given: str | ApiKey | None = None) -> ApiKey:
    """Return the key that was given, or that of `FOCOOS_API_KEY`, or of the key file.

    Raises:
        HubError: There is none, or others than its owner may read the file.
    """
    if isinstance(given, ApiKey):
        return given
    if given is not None:
        return ApiKey(given)
    if text := settings.focoos_key():
        return ApiKey(text.strip(), "FOCOOS_API_KEY")
    path, is_named = settings.focoos_key_file()
    if is_named or path.exists():
        return ApiKey(_read(path), str(path))
    msg = (
        "the hub needs an API key: pass api_key=, set FOCOOS_API_KEY, or write the key to "
        f"{path} with mode 0600"
    )
    raise HubError(msg)


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                msg = (
                    f"{path} has the mode {stat.S_IMODE(mode):04o}, with which others can use the "
                    f"key: chmod 600 {path}"
                )
                raise HubError(msg)
            return file.read(_MAX_FILE).decode("ascii", errors="replace").strip()
    except OSError as error:
        msg = f"the key file {path} cannot be read: {error.strerror or error}"
        raise HubError(msg) from error
