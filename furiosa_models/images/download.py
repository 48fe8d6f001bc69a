"""Photos behind HTTP: within a time, a size, and what the environment allows."""

from __future__ import annotations

import re
import threading
import time
from typing import TYPE_CHECKING

from .. import settings
from ..errors import ImageError
from .budget import MAX_ENCODED_BYTES

if TYPE_CHECKING:
    from requests import Response

__all__ = ["DEADLINE_S", "download", "without_password"]

DEADLINE_S = 60.0
"""Seconds that a photo may take, from the look-up of its host to its last byte."""

_TIMEOUT_S = (10.0, 30.0)  # of a connection, and between two pieces of an answer
_CHUNK = 1 << 16
_USER = re.compile(r"//[^/?#@\s]*@")


def without_password(url: str) -> str:
    """The URL, or a text that holds URLs, without the names and passwords of users."""
    return _USER.sub("//", url)


def download(url: str) -> bytes:
    """Return the body behind a URL.

    The work is done in a thread of its own, which nothing waits for once the time is over: a server
    that drips bytes, even those of its header, keeps nobody waiting.

    Raises:
        ImageError: It cannot be had in time, is too large, or the network must not be touched.
    """
    name = without_password(url)
    if settings.is_offline():
        msg = f"image {name} is not fetched: FURIOSA_MODELS_OFFLINE is set"
        raise ImageError(msg)
    work = _Download(url, name)
    thread = threading.Thread(target=work.run, name="furiosa_models.download", daemon=True)
    thread.start()
    thread.join(DEADLINE_S)
    if work.body is not None:
        return work.body
    if work.error is not None:
        raise work.error
    work.stopped = True
    raise ImageError(_too_slow(name))


def _too_slow(name: str) -> str:
    return f"image {name} cannot be fetched: it took longer than {DEADLINE_S:g} seconds"


class _Download:
    """A GET in a thread.

    Attributes:
        body: What came, once all is there.
        error: Why nothing came.
        stopped: Set by whoever does not wait any longer.
    """

    def __init__(self, url: str, name: str) -> None:
        self.body: bytes | None = None
        self.error: ImageError | None = None
        self.stopped = False
        self._url = url
        self._name = name
        self._end = time.monotonic() + DEADLINE_S

    def run(self) -> None:
        """Fetch, and keep what comes of it."""
        import requests

        try:
            with requests.get(self._url, stream=True, timeout=_TIMEOUT_S) as response:
                response.raise_for_status()
                self.body = self._read(response)
        except ImageError as error:
            self.error = error
        except Exception as error:  # requests lets those of urllib3 and of the codecs through
            reason = without_password(str(error)) or type(error).__name__
            self.error = ImageError(f"image {self._name} cannot be fetched: {reason}")
            self.error.__cause__ = None if "@" in self._url else error

    def _read(self, response: Response) -> bytes:
        announced = response.headers.get("Content-Length", "")
        if announced.isascii() and announced.isdigit():
            self._check(int(announced[:18]))
        body, size = [], 0
        for chunk in response.iter_content(_CHUNK):
            if self.stopped or time.monotonic() > self._end:
                raise ImageError(_too_slow(self._name))
            size += len(chunk)
            self._check(size)
            body.append(chunk)
        return b"".join(body)

    def _check(self, size: int) -> None:
        if size > MAX_ENCODED_BYTES:
            msg = f"image {self._name} is larger than {MAX_ENCODED_BYTES} bytes"
            raise ImageError(msg)
