"""Progress bars: shown on a terminal, silent without a terminal or stream."""

from __future__ import annotations

import io
import logging
import sys
from typing import Any

import numpy as np
import pytest

from furiosa_models.progress import progress_bar
from furiosa_models.vision import SSDMobileNet


class MinimalStream:
    """A stream replacement, as of loggers, that only has `write` and `flush`."""

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
    "write and flush only": MinimalStream(),
    "closed": closed(),
    "broken": Broken(),
    "text": io.StringIO(),
}


@pytest.mark.parametrize("name", STREAMS)
def test_no_progress_bar_without_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FURIOSA_MODELS_PROGRESS", raising=False)
    monkeypatch.setattr(sys, "stderr", STREAMS[name])
    with progress_bar("work", 3) as bar:
        bar.update()
    photos = [np.zeros((8, 8, 3), np.uint8)] * 3
    with SSDMobileNet(weights="random") as model:
        assert len(model.predict(photos, device="cpu", score_threshold=1.0)) == 3


def test_progress_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.delenv("FURIOSA_MODELS_PROGRESS", raising=False)
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    with progress_bar("work", 3) as bar:
        bar.update()
    assert "work" in stream.getvalue()


def test_log_messages_do_not_stop_the_progress_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("furiosa_models.images.pipeline")
    for stream in (None, MinimalStream(), closed(), Broken()):
        handler = logging.StreamHandler(stream if stream is not None else MinimalStream())
        handler.stream = stream  # type: ignore[assignment]
        monkeypatch.setattr(sys, "stderr", stream)
        logger.addHandler(handler)
        try:
            with SSDMobileNet(weights="random") as model:
                photos: list[Any] = [b"no photo", np.zeros((8, 8, 3), np.uint8)]
                options: Any = {"device": "cpu", "score_threshold": 1.0, "on_error": "skip"}
                assert len(model.predict(photos, **options)) == 1
        finally:
            logger.removeHandler(handler)
