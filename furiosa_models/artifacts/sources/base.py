"""Shared by all sources: the sink protocol, the error, and messages without credentials."""

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

_MAX_MESSAGE = 500  # characters; a server may control part of an error message
_MAX_SEARCHED = 1 << 13  # characters searched for URLs; longer texts take too long
_MIN_SECRET = 4  # characters of a password to redact; shorter ones match ordinary words

# A password may contain an `@`, so it ends at the last `@` before the path. It may even contain an
# unescaped slash; that is the case if the port would not be a number otherwise.
_USER_INFO = re.compile(r"//(?:[^/?#\s]*|[^/?#\s:]*:(?![0-9]*(?:[/?#\s]|$))[^\s@]*)@")
_USER_INFO_OF_URI = re.compile(
    r"^([A-Za-z][\w+.-]*://)(?:[^/?#]*|[^/?#:]*:(?![0-9]*(?:[/?#]|$))[^@]*)@"
)
_SECRET = re.compile(
    r"([?&][^=&#\s]*(?:auth|credential|key|pass|secret|sig|token)[^=&#\s]*=)[^&#\s]+", re.IGNORECASE
)
_QUERY = re.compile(r"^(https?:[^?#]*)(?:(\?)[^#]*)?(?:#.*)?$", re.IGNORECASE | re.DOTALL)


class Sink(Protocol):
    """Destination of the bytes that a source reads."""

    @property
    def position(self) -> int:
        """Number of bytes written so far."""

    @property
    def size(self) -> int | None:
        """Expected total number of bytes, or None if unknown."""

    def write(self, data: bytes) -> object:
        """Append bytes."""

    def resume(self) -> None:
        """Announce that the next bytes continue those already written."""

    def rewind(self) -> None:
        """Discard the bytes written so far and start again."""


class SourceError(Exception):
    """A source cannot deliver a file. The store then tries the next source."""


def redact(uri: str) -> str:
    """Return a URI without credentials: no user, no password, no signed query.

    Never raises, whatever the text is, since the result is used in error messages.
    """
    bare = _USER_INFO_OF_URI.sub(r"\1", uri)
    return _printable(_QUERY.sub(lambda found: found[1] + ("?..." if found[2] else ""), bare))


def without_password(text: str) -> str:
    """Return a text without the users, passwords and secret query values of its URLs."""
    return _SECRET.sub(r"\1...", _USER_INFO.sub("//", text))


def redact_message(text: str, uri: str) -> str:
    """Return an error message as one line without the credentials of the URI.

    Libraries repeat the URI, parts of it, and proxies, each in its own format.
    """
    if uri:
        text = text.replace(uri, redact(uri))
    for secret in _secrets(uri):
        text = text.replace(secret, "...")
    return _printable(without_password(text[:_MAX_SEARCHED]))


def describe_error(error: BaseException, uri: str) -> str:
    """Return a redacted message of the root cause of an error; the outer errors only wrap it."""
    *_, root = cause_chain(error)
    try:
        detail = str(root)
    except Exception:  # the __str__ of a plugin's error may fail
        detail = ""
    name = type(error).__name__
    return redact_message(f"{name}: {detail}" if detail else name, uri)


def cause_chain(error: BaseException) -> list[BaseException]:
    """Return an error followed by its causes, down to the root."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and not any(each is cause for each in found):
        found.append(cause)
        cause = cause.__cause__ or cause.__context__
    return found


def _secrets(uri: str) -> list[str]:
    """Return the secrets in the URI and in the proxy settings, longest first."""
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
    """Return a text truncated and without control characters, which could move the cursor."""
    shown = "".join(each if each.isprintable() else "?" for each in text[:_MAX_MESSAGE])
    return shown if len(text) <= _MAX_MESSAGE else f"{shown}..."
