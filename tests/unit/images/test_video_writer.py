from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from furiosa_models.errors import (
    BackendUnavailable,
    ExtraRequired,
    FuriosaModelsError,
    ImageError,
    ShapeError,
)
from furiosa_models.images import video
from furiosa_models.images.read import DecodedImage, RecentPixels
from furiosa_models.images.sources import count, expand_sources
from furiosa_models.images.video import decode_video, frames, video_format
from furiosa_models.images.video_writer import VideoWriter
from tests.damaged import write_damaged_video

av: Any = pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")

IRREGULAR = (0, 3600, 5400, 12345, 12346, 90000)
ONE = 1 << 16
FORMS: dict[str, tuple[str, Any]] = {
    "aac": ("fltp", np.float32),
    "flac": ("s16", np.int16),
    "pcm_u8": ("u8", np.uint8),
}
"""Audio encoders, and their sample formats."""


def picture(level: int = 100, width: int = 64, height: int = 48) -> npt.NDArray[np.uint8]:
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, :, 0] = level
    pixels[:, width // 2 :, 1] = 200
    return pixels


def source(
    path: Path,
    *,
    times: tuple[int, ...] = (0, 3600, 7200),
    size: tuple[int, int] = (64, 48),
    sound: str | None = None,
    matrix: tuple[int, ...] | None = None,
    aspect: Fraction = Fraction(1),
    format: str = "mp4",
) -> Path:
    """Write a video with frames at the given times, in 1/90000 s."""
    with av.open(str(path), "w", format=format) as container:
        stream = container.add_stream("libx264", rate=25, options={"bf": "0", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 90000)
        stream.codec_context.sample_aspect_ratio = aspect
        if matrix:
            stream.set_display_matrix(matrix)
        voice = container.add_stream(sound, rate=44100, layout="mono") if sound else None
        if voice is not None:
            voice.format = FORMS[sound or ""][0]
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(40 * number % 250, *size), format="rgb24")
            frame.pts, frame.time_base, frame.duration = time, Fraction(1, 90000), 3600
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        if voice is not None:
            for number in range(30):
                form, kind = FORMS[sound or ""]
                samples = np.zeros((1, 1024), kind)
                note = av.AudioFrame.from_ndarray(samples, format=form, layout="mono")
                note.sample_rate, note.pts = 44100, 1024 * number
                container.mux(voice.encode(note))
            container.mux(voice.encode())
    return path


def copy_video(path: Path, original: Path) -> Path:
    """Copy the frames of a video with their times."""
    with VideoWriter(path, like=original) as writer:
        for image in decode_video(original):
            kept: Any = image.kept
            writer.write(Image.fromarray(image.rgb), time=kept.time)
    return path


def times(path: Path) -> list[Fraction]:
    with av.open(str(path)) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def audio_packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def file_names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_images_are_written_as_a_playable_video(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with VideoWriter(path, rate=10) as writer:
        for level in (0, 100, 200):
            writer.write(picture(level))
            (partial,) = file_names(tmp_path)
            assert partial.startswith(".out.mp4.")
            assert partial.endswith(".part")
    assert file_names(tmp_path) == {"out.mp4"}
    assert times(path) == [0, Fraction(1, 10), Fraction(2, 10)]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.average_rate, stream.duration * stream.time_base) == (10, Fraction(3, 10))
        assert stream.codec_context.colorspace == 1
    for image, level in zip(decode_video(path), (0, 100, 200), strict=True):
        assert isinstance(image, DecodedImage)
        np.testing.assert_allclose(image.rgb[20, 10], (level, 0, 0), atol=8)
        np.testing.assert_allclose(image.rgb[20, 50], (level, 200, 0), atol=8)
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playable while it is downloaded


@pytest.mark.parametrize("suffix", [".mp4", ".m4v", ".mov", ".mkv"])
def test_times_of_variable_frame_rate_are_kept(suffix: str, tmp_path: Path) -> None:
    original = source(tmp_path / "a.mp4", times=IRREGULAR)
    out = copy_video(tmp_path / f"out{suffix}", original)
    unit = Fraction(1, 1000) if suffix == ".mkv" else Fraction(1, 90000)  # 1 ms in Matroska
    assert len(times(out)) == len(IRREGULAR)
    for found, expected in zip(times(out), IRREGULAR, strict=True):
        assert abs(found - Fraction(expected, 90000)) <= unit / 2
    with av.open(str(out)) as container:
        # The duration of the last frame is unknown: the mean duration is used.
        assert container.duration / 1e6 == pytest.approx(1 + 0.173, abs=0.003)


def test_start_time_is_shifted_to_zero(tmp_path: Path) -> None:
    original = source(tmp_path / "a.ts", times=(900000, 903600, 909000), format="mpegts")
    assert times(original)[0] > 5
    out = copy_video(tmp_path / "out.mp4", original)
    assert times(out) == [0, Fraction(1, 25), Fraction(1, 10)]
    kept: list[Any] = [image.kept for image in decode_video(original)]
    assert [one.time for one in kept] == times(out)
    assert [(one.path, one.index) for one in kept] == [(str(original), i) for i in range(3)]


def test_times_that_do_not_increase_are_corrected(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", rate=10) as writer:
        for time in (0, 0.1, 0.1, 0.05, None):
            writer.write(picture(), time=time)
    found = times(tmp_path / "out.mp4")
    assert found[:2] == [0, Fraction(1, 10)]
    assert found == sorted(set(found))
    assert len(found) == 5


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (33, 31), (1, 1)])
def test_odd_sizes_are_padded_to_even(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    with VideoWriter(tmp_path / "out.mp4", rate=10) as writer:
        for _ in range(3):
            writer.write(picture(180, width, height))
    image = next(frames(tmp_path / "out.mp4"))
    assert image.shape == (height + height % 2, width + width % 2, 3)
    np.testing.assert_allclose(
        image[height // 2, :: max(1, width // 3), 2].astype(int), 180, atol=12
    )


def test_rotated_video_is_written_upright(tmp_path: Path) -> None:
    turn = (0, ONE, 0, -ONE, 0, 0, 0, 0, 1 << 30)
    original = source(tmp_path / "a.mp4", matrix=turn, aspect=Fraction(4, 3))
    assert video_format(original).aspect == Fraction(3, 4)
    out = copy_video(tmp_path / "out.mp4", original)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (48, 64)
        assert stream.sample_aspect_ratio == Fraction(3, 4)
    for before, after in zip(frames(original), frames(out), strict=True):
        np.testing.assert_allclose(
            after[4:-4, 4:-4].mean(axis=(0, 1)), before[4:-4, 4:-4].mean(axis=(0, 1)), atol=6
        )


def test_image_of_another_size_is_scaled(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", rate=10) as writer:
        writer.write(picture())
        writer.write(picture(100, 128, 96))
    assert [frame.shape for frame in frames(tmp_path / "out.mp4")] == [(48, 64, 3)] * 2


def test_audio_is_copied(tmp_path: Path) -> None:
    steps = tuple(range(0, 63000, 3600))
    original = source(tmp_path / "a.mp4", times=steps, sound="aac")
    out = copy_video(tmp_path / "out.mp4", original)
    assert audio_packets(out) == audio_packets(original)
    assert times(out) == times(original)


def test_audio_ends_with_the_frames(tmp_path: Path) -> None:
    original = source(tmp_path / "a.mp4", sound="aac")  # three frames, 30 packets
    out = copy_video(tmp_path / "out.mp4", original)
    sound = audio_packets(original)
    assert 0 < len(audio_packets(out)) < len(sound)


@pytest.mark.parametrize(("codec", "suffix"), [("pcm_u8", ".mp4"), ("flac", ".mov")])
def test_unsupported_audio_is_skipped_with_a_warning(
    codec: str, suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    original = source(tmp_path / "a.mkv", sound=codec, format="matroska")
    with caplog.at_level(logging.WARNING):
        out = copy_video(tmp_path / f"out{suffix}", original)
    assert len(list(frames(out))) == 3
    with av.open(str(out)) as container:
        assert not container.streams.audio
    assert f"{out}: its audio is left out: " in caplog.text
    assert file_names(tmp_path) == {"a.mkv", out.name}


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interruption_leaves_no_partial_file(error: type[BaseException], tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    out.write_bytes(b"of before")
    writer = VideoWriter(out, rate=10)

    def interrupted() -> None:
        with writer:
            writer.write(picture())
            assert len(file_names(tmp_path)) == 2
            raise error

    with pytest.raises(error):
        interrupted()
    assert file_names(tmp_path) == {"out.mp4"}
    assert out.read_bytes() == b"of before"
    with pytest.raises(FuriosaModelsError, match="is closed"):
        writer.write(picture())


def test_no_file_is_written_without_an_image(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "out.mp4", rate=10):
        pass
    assert file_names(tmp_path) == set()


def test_source_video_is_never_overwritten(clip: Path) -> None:
    before = clip.read_bytes()
    link = clip.with_name("link.mp4")
    link.symlink_to(clip)
    for path in (clip, link):
        with pytest.raises(FuriosaModelsError, match="is the source video itself"):
            VideoWriter(path, like=clip)
    assert clip.read_bytes() == before


def test_invalid_arguments_are_rejected(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.mp4"
    with pytest.raises(TypeError, match="needs either"):
        VideoWriter(out)
    with pytest.raises(TypeError, match="needs either"):
        VideoWriter(out, rate=3, like=clip)
    with pytest.raises(ValueError, match="positive number of frames per second, got -1"):
        VideoWriter(out, rate=-1)
    with pytest.raises(ValueError, match=r"cannot write a video as '\.gif'"):
        VideoWriter(tmp_path / "out.gif", rate=3)
    with pytest.raises(ImageError, match=r"none\.mp4"):
        VideoWriter(out, like=tmp_path / "none.mp4")
    with pytest.raises(FuriosaModelsError, match=r"none/out\.mp4 cannot be written: No such file"):
        VideoWriter(tmp_path / "none" / "out.mp4", rate=3).write(picture())
    with VideoWriter(out, rate=3) as writer, pytest.raises(ShapeError, match="got uint8 of shape"):
        writer.write(np.zeros((3, 3), np.uint8))
    monkeypatch.setattr(av, "codecs_available", {"mpeg4"})
    with pytest.raises(BackendUnavailable, match=r"no H\.264 encoder"):
        VideoWriter(out, rate=3).write(picture())
    assert file_names(tmp_path) == {"clip.mp4"}
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ExtraRequired, match=r"pip install 'av>="):
        VideoWriter(out, rate=3)


def test_damaged_frames_are_reported_and_the_others_read(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_damaged_video(path, 60)
    assert count(path) == 60

    errors: list[Exception] = []
    read = [
        item
        for item in expand_sources(path, failed=lambda _, error: errors.append(error))
        if item is not None
    ]
    assert errors
    assert 40 < len(read) < 60
    assert "cannot be read after frame" in str(errors[0])
    assert isinstance(errors[0], ImageError)
    with pytest.raises(ImageError, match="cannot be read after frame"):
        list(frames(path))
    last: Any = read[-1]
    np.testing.assert_array_equal(last.kept._read(), last.rgb)  # a frame after the damage


def test_prefetched_frames_stay_in_memory() -> None:
    recent = RecentPixels(10, min_frames=3)
    held = [np.zeros((100, 100, 3), np.uint8) for _ in range(5)]
    references = [recent.add(pixels) for pixels in held]
    held.clear()
    assert [reference() is not None for reference in references] == [False] * 2 + [True] * 3
    assert video._recent._min_frames > 4


def _large(count: int) -> Iterator[npt.NDArray[np.uint8]]:
    pixels = np.zeros((720, 1280, 3), np.uint8)
    for number in range(count):
        pixels[:, number % 1280] = number % 255
        yield pixels


def test_memory_does_not_grow_with_the_video_length(tmp_path: Path) -> None:
    resource: Any = pytest.importorskip("resource", reason="Windows says it otherwise")

    def peak() -> int:
        most: int = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most

    grown = []
    with VideoWriter(tmp_path / "out.mp4", rate=25) as writer:
        for number, pixels in enumerate(_large(300)):
            writer.write(pixels)
            if number in (60, 299):
                grown.append(peak())
    assert grown[1] - grown[0] < 30_000  # kilobytes; 240 frames are 330 MB of YUV
