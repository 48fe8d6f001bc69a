from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

LEVELS = (40, 90, 140, 190, 240)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of five red frames, each brighter than the previous one."""
    pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")
    av: Any = importlib.import_module("av")
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for level in LEVELS:
            pixels = np.zeros((48, 64, 3), np.uint8)
            pixels[:, :, 0] = level
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path
