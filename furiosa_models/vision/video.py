"""Videos, under the import path of this package's first version."""

from __future__ import annotations

from ..images.video import SUFFIXES, decode_video, frames, is_video

__all__ = ["SUFFIXES", "decode_video", "frames", "is_video"]
