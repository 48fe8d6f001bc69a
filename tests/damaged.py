"""Files that are damaged in the middle."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from furiosa_models.images.video_writer import VideoWriter

__all__ = ["write_damaged_video"]


def write_damaged_video(path: Path, frames: int) -> None:
    """Write a video of noise, some of whose packets cannot be decoded."""
    noise = np.random.default_rng(0)
    with VideoWriter(path, rate=25) as writer:
        for _ in range(frames):
            writer.write(noise.integers(0, 255, (48, 64, 3), np.uint8))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + (len(data) - data.index(b"mdat")) // 2
    data[start : start + 6000] = noise.integers(0, 255, 6000, np.uint8).tobytes()
    path.write_bytes(data)
