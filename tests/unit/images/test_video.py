from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models.errors import ExtraRequired, ImageError
from furiosa_models.images.video import decode_video, frames, is_video
from furiosa_models.vision import SSDMobileNet

from .conftest import LEVELS


def test_frames_are_bgr_arrays_in_order(clip: Path) -> None:
    found = list(frames(clip))
    assert [frame.shape for frame in found] == [(48, 64, 3)] * 5
    for frame, level in zip(found, LEVELS, strict=True):
        np.testing.assert_allclose(frame.mean(axis=(0, 1)), (0, 0, level), atol=12)


def test_a_video_file_is_many_photos(clip: Path) -> None:
    model = SSDMobileNet(weights="random")
    few: dict[str, Any] = {"score_threshold": 0.95, "device": "cpu"}
    found = list(model.predict(str(clip), stream=True, batch_size=2, **few))
    assert len(found) == 5
    images: list[Any] = [result.image for result in found]
    assert [Path(image.name).name for image in images] == [f"clip.mp4#{i}" for i in range(5)]
    by_hand = model.predict(frames(clip), **few)
    assert by_hand == found
    assert model.predict([clip, clip], color="rgb", **few) == [*found, *found]


def test_closing_early_closes_the_file(clip: Path) -> None:
    images = decode_video(clip)
    assert next(images).name.endswith("clip.mp4#0")
    images.close()
    clip.unlink()


def test_a_damaged_video(tmp_path: Path, clip: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(clip.read_bytes()[:100])
    with pytest.raises(ImageError, match=r"bad\.mp4"):
        next(frames(bad))
    told: list[object] = []
    model = SSDMobileNet(weights="random")
    found = model.predict([bad, clip], device="cpu", on_error=lambda photo, _: told.append(photo))
    assert (len(found), told) == (5, [bad])


def test_no_such_camera_or_file(clip: Path) -> None:
    with pytest.raises(ImageError, match="camera 61"):
        next(frames(61))
    with pytest.raises(ImageError, match=r"none\.mp4"):
        next(frames(clip.with_name("none.mp4")))


def test_without_pyav(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(ExtraRequired, match=r"pip install 'av>="):
        next(frames("clip.mp4"))
    with pytest.raises(ExtraRequired):
        SSDMobileNet(weights="random").predict(tmp_path / "clip.mp4")


def test_what_is_a_video(tmp_path: Path) -> None:
    for name in ("a.MP4", "b.webm", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert [is_video(tmp_path / name) for name in ("a.MP4", "b.webm", "c.jpg", "d.mp4")] == [
        True,
        True,
        False,
        False,
    ]
    assert not is_video(3)
