from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models.errors import ExtraRequired, ImageError
from furiosa_models.images import video
from furiosa_models.images.read import RecentPixels
from furiosa_models.images.sources import expand_sources
from furiosa_models.images.video import decode_video, frames, is_video
from furiosa_models.vision import SSDMobileNet

from .conftest import LEVELS


def test_frames_are_bgr_arrays_in_order(clip: Path) -> None:
    found = list(frames(clip))
    assert [frame.shape for frame in found] == [(48, 64, 3)] * 5
    for frame, level in zip(found, LEVELS, strict=True):
        np.testing.assert_allclose(frame.mean(axis=(0, 1)), (0, 0, level), atol=12)


def test_predict_returns_a_result_for_each_frame(clip: Path) -> None:
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


def test_damaged_video_raises_image_error(tmp_path: Path, clip: Path) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_bytes(clip.read_bytes()[:100])
    with pytest.raises(ImageError, match=r"bad\.mp4"):
        next(frames(bad))
    told: list[object] = []
    model = SSDMobileNet(weights="random")
    found = model.predict([bad, clip], device="cpu", on_error=lambda photo, _: told.append(photo))
    assert (len(found), told) == (5, [bad])


def test_missing_camera_or_file_raises_image_error(clip: Path) -> None:
    with pytest.raises(ImageError, match="camera 61"):
        next(frames(61))
    with pytest.raises(ImageError, match=r"none\.mp4"):
        next(frames(clip.with_name("none.mp4")))


def test_video_without_pyav_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").write_bytes(b"")
    with pytest.raises(ExtraRequired, match=r"pip install 'av>="):
        next(frames("clip.mp4"))
    with pytest.raises(ExtraRequired):
        SSDMobileNet(weights="random").predict(tmp_path / "clip.mp4")


def test_is_video_by_suffix_of_an_existing_file(tmp_path: Path) -> None:
    for name in ("a.MP4", "b.webm", "c.jpg"):
        (tmp_path / name).write_bytes(b"")
    assert [is_video(tmp_path / name) for name in ("a.MP4", "b.webm", "c.jpg", "d.mp4")] == [
        True,
        True,
        False,
        False,
    ]
    assert not is_video(3)


QUARTERS = {
    (0, 0): (200, 30, 60),
    (0, 1): (20, 160, 220),
    (1, 0): (240, 240, 240),
    (1, 1): (0, 0, 0),
}


def picture() -> npt.NDArray[np.uint8]:
    pixels = np.zeros((48, 64, 3), np.uint8)
    for (row, column), color in QUARTERS.items():
        pixels[row * 24 : row * 24 + 24, column * 32 : column * 32 + 32] = color
    return pixels


def write(path: Path, *, matrix: tuple[int, ...] | None = None, count: int = 1) -> Path:
    av: Any = pytest.importorskip("av")
    with av.open(f"file:{path}", "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.bit_rate = 4_000_000
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for _ in range(count):
            frame = av.VideoFrame.from_ndarray(picture(), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


ONE = 1 << 16
SHOWN: dict[tuple[int, int, int, int], Any] = {
    (1, 0, 0, 1): lambda p: p,
    (-1, 0, 0, 1): np.fliplr,
    (1, 0, 0, -1): np.flipud,
    (-1, 0, 0, -1): lambda p: np.rot90(p, 2),
    (0, 1, -1, 0): lambda p: np.rot90(p, -1),
    (0, -1, 1, 0): np.rot90,
    (0, 1, 1, 0): lambda p: p.swapaxes(0, 1),
    (0, -1, -1, 0): lambda p: np.rot90(p.swapaxes(0, 1), 2),
}


@pytest.mark.parametrize("turn", SHOWN)
def test_display_matrix_is_applied(turn: tuple[int, int, int, int], tmp_path: Path) -> None:
    a, b, c, d = (part * ONE for part in turn)
    path = write(tmp_path / "a.mp4", matrix=(a, b, 0, c, d, 0, 0, 0, 1 << 30))
    expected = SHOWN[turn](picture())
    (frame,) = frames(path)
    (image,) = decode_video(path)
    for pixels in (frame[:, :, ::-1], image.rgb):
        assert pixels.shape == expected.shape
        rows, columns = expected.shape[0] // 4, expected.shape[1] // 4
        np.testing.assert_allclose(
            pixels[rows :: 2 * rows, columns :: 2 * columns].astype(int),
            expected[rows :: 2 * rows, columns :: 2 * columns],
            atol=24,
        )


@pytest.mark.parametrize(
    "name", ["2026-05-01T12:30:15.mp4", "%d.mp4", "-i.mp4", "a b#c?d.mp4", "[x].mp4", "日本.mp4"]
)
def test_unusual_file_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "plain.mp4").rename(tmp_path / name)
    assert is_video(name)
    assert [image.name for image in decode_video(name)] == [f"{name}#0"]
    assert len(list(frames(name))) == 1
    assert len(list(expand_sources(name))) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_file_name_that_is_not_valid_utf8(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/\xff.mp4"
    write(tmp_path / "plain.mp4").rename(os.fsdecode(name))
    (image,) = decode_video(os.fsdecode(name))
    assert image.pixels.shape == (48, 64, 3)


SPACES = {1: (0.2126, 0.0722), 5: (0.299, 0.114), 9: (0.2627, 0.0593)}


@pytest.mark.parametrize("space", SPACES)
@pytest.mark.parametrize("full", [False, True])
def test_color_space_tags_are_applied(space: int, full: bool, tmp_path: Path) -> None:
    av: Any = pytest.importorskip("av")
    y, u, v = 120, 90, 180
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.colorspace = space
        stream.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame(64, 48, "yuv420p")
        for plane, value in zip(frame.planes, (y, u, v), strict=True):
            plane.update(bytes([value]) * plane.buffer_size)
        frame.colorspace, frame.color_range = space, 2 if full else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    red, blue = SPACES[space]
    luma = y / 255 if full else (y - 16) / 219
    cb, cr = ((part - 128) / (255 if full else 224) for part in (u, v))
    expected_red, expected_blue = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    green = (luma - red * expected_red - blue * expected_blue) / (1 - red - blue)
    expected = np.clip([expected_red, green, expected_blue], 0, 1) * 255
    (found,) = decode_video(path)
    np.testing.assert_allclose(found.rgb[20, 20], expected, atol=2)
    (found_bgr,) = frames(path)
    np.testing.assert_allclose(found_bgr[20, 20, ::-1], expected, atol=2)


def test_playlist_with_a_video_suffix_is_rejected(tmp_path: Path, clip: Path) -> None:
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{clip}\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{clip}'\n",
    ):
        path = tmp_path / "list.mp4"
        path.write_text(text)
        with pytest.raises(ImageError, match=r"list\.mp4"):
            list(decode_video(path))


def test_video_results_keep_no_pixels(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video, "_recent", RecentPixels(1))
    model = SSDMobileNet(weights="random")
    found: list[Any] = list(model.predict(clip, stream=True, device="cpu", score_threshold=1.0))
    kept: list[Any] = [result.image for result in found]
    assert not any(hasattr(one, "pixels") for one in kept)
    expected = list(decode_video(clip))
    for one, image in zip(kept, expected, strict=True):
        assert one._pixels() is None or one is kept[-1]
        np.testing.assert_array_equal(one.rgb, image.rgb)
        again = pickle.loads(pickle.dumps(one))
        np.testing.assert_array_equal(again.rgb, image.rgb)
    assert found[3].plot().size == (64, 48)
    clip.unlink()
    with pytest.raises(ImageError, match=r"clip\.mp4"):
        found[0].plot()


def test_latest_frames_stay_in_memory(clip: Path) -> None:
    model = SSDMobileNet(weights="random")
    found: list[Any] = list(model.predict(clip, stream=True, device="cpu", score_threshold=1.0))
    clip.unlink()
    assert [result.plot().size for result in found] == [(64, 48)] * 5
