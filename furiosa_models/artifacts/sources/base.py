"""What every source shares: where its bytes go, how it fails, and what it must not say."""

from __future__ import annotations

import os
import re
from typing import Protocol
from urllib.parse import unquote

__all__ = [
    "CHUNK",
    "Sink",
    "SourceError",
    "cause_chain",
    "describe_error",
    "redact",
    "redact_message",
    "without_password",
]

CHUNK = 1 << 20

_MAX_MESSAGE = 500  # characters of an error: a server chooses some of them
_MAX_SEARCHED = 1 << 13  # characters that are searched for URLs, which takes long in a long text
_MIN_SECRET = 4  # characters of a password that is looked for alone: a shorter one is anywhere

# A password may hold an `@`, so the last one before the path ends it; and unescaped even a slash,
# which shows where a host's port would be no number.
_USER_INFO = re.compile(r"//(?:[^/?#\s]*|[^/?#\s:]*:(?![0-9]*(?:[/?#\s]|$))[^\s@]*)@")
_USER_INFO_OF_URI = re.compile(
    r"^([A-Za-z][\w+.-]*://)(?:[^/?#]*|[^/?#:]*:(?![0-9]*(?:[/?#]|$))[^@]*)@"
)
_SECRET = re.compile(
    r"([?&][^=&#\s]*(?:auth|credential|key|pass|secret|sig|token)[^=&#\s]*=)[^&#\s]+", re.IGNORECASE
)
_QUERY = re.compile(r"^(https?:[^?#]*)(?:(\?)[^#]*)?(?:#.*)?$", re.IGNORECASE | re.DOTALL)


class Sink(Protocol):
    """Where a source writes what it reads."""

    @property
    def position(self) -> int:
        """How many bytes are there."""

    @property
    def size(self) -> int | None:
        """How many bytes there are to be, where that is known."""

    def write(self, data: bytes) -> object:
        """Take the next bytes."""

    def resume(self) -> None:
        """Learn that what comes next continues what is there."""

    def rewind(self) -> None:
        """Drop what is there, to begin again."""


class SourceError(Exception):
    """A source cannot deliver; the store tries the next one and reports all reasons."""


def redact(uri: str) -> str:
    """Return the URI without credentials: no user, no password, no signed query.

    Whatever the text is, something is returned: it goes into messages of what is wrong with it.
    """
    bare = _USER_INFO_OF_URI.sub(r"\1", uri)
    return _printable(_QUERY.sub(lambda found: found[1] + ("?..." if found[2] else ""), bare))


def without_password(text: str) -> str:
    """Return a URL, or a text that holds URLs, without users, passwords and secrets in queries."""
    return _SECRET.sub(r"\1...", _USER_INFO.sub("//", text))


def redact_message(text: str, uri: str) -> str:
    """Return what went wrong with a URI, in one line that repeats no credentials.

    Libraries repeat the URI, parts of it, and proxies, in forms of their own.
    """
    if uri:
        text = text.replace(uri, redact(uri))
    for secret in _secrets(uri):
        text = text.replace(secret, "...")
    return _printable(without_password(text[:_MAX_SEARCHED]))


def describe_error(error: BaseException, uri: str) -> str:
    """Return what an error says, by its root: it names what failed, the others only wrap it."""
    *_, root = cause_chain(error)
    try:
        detail = str(root)
    except Exception:  # that of a plugin may be unable to say what it is
        detail = ""
    name = type(error).__name__
    return redact_message(f"{name}: {detail}" if detail else name, uri)


def cause_chain(error: BaseException) -> list[BaseException]:
    """Return the error, and what led to it, down to the root."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and not any(each is cause for each in found):
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _secrets(uri: str) -> list[str]:
    """What must not be said: of the URI, and of the proxies, the longest first."""
    proxies = [value for name, value in os.environ.items() if name.lower().endswith("_proxy")]
    found = set()
    for each in (uri, *proxies):
        if match := _USER_INFO_OF_URI.match(each):
            user = match[0].removeprefix(match[1])
            password = user.removesuffix("@").partition(":")[2]
            found |= {user, password, unquote(password)}
    if (match := _QUERY.match(uri)) and match[2]:
        found.add(uri[match.end(2) :].partition("#")[0])
    return sorted((text for text in found if len(text) >= _MIN_SECRET), key=len, reverse=True)


def _printable(text: str) -> str:
    """A text without what moves a terminal's cursor, and not longer than one reads."""
    shown = "".join(each if each.isprintable() else "?" for each in text[:_MAX_MESSAGE])
    return shown if len(text) <= _MAX_MESSAGE else f"{shown}..."
