"""Bars where they can be seen, and silence where there is no terminal, or no stream at all."""

from __future__ import annotations

import io
import sys
from typing import Any

import numpy as np
import pytest

from furiosa_models.progress import progress_bar
from furiosa_models.vision import SSDMobileNet


class Plain:
    """What loggers put in the place of a stream: it can be written to, and no more."""

    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def closed() -> io.StringIO:
    stream = io.StringIO()
    stream.close()
    return stream


class Broken(io.StringIO):
    def isatty(self) -> bool:
        raise OSError("bad file descriptor")


STREAMS: dict[str, Any] = {
    "none": None,
    "write and flush only": Plain(),
    "closed": closed(),
    "broken": Broken(),
    "text": io.StringIO(),
}


@pytest.mark.parametrize("name", STREAMS)
def test_without_a_terminal_there_is_no_bar(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FURIOSA_MODELS_PROGRESS", raising=False)
    monkeypatch.setattr(sys, "stderr", STREAMS[name])
    with progress_bar("work", 3) as bar:
        bar.update()
    photos = [np.zeros((8, 8, 3), np.uint8)] * 3
    with SSDMobileNet(weights="random") as model:
        assert len(model.predict(photos, device="cpu", score_threshold=1.0)) == 3


def test_a_terminal_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("FURIOSA_MODELS_PROGRESS", raising=False)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("work", 3) as bar:
        bar.update()
    assert "work" in stream.getvalue()
