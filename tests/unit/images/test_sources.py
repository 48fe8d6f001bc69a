from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from furiosa_models.errors import ExtraRequired, ImageError
from furiosa_models.images import formats
from furiosa_models.images.read import DecodedImage, read_image
from furiosa_models.images.sources import count, expand_sources, is_single
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet

RGB = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_folders_globs_and_sequences_are_expanded(png: Path) -> None:
    folder = png.parent
    (folder / "notes.txt").write_text("no photo")
    (folder / "sub").mkdir()
    Image.fromarray(RGB).save(folder / "sub" / "b.JPG")
    everything = [str(png), str(folder / "sub" / "b.JPG")]
    assert list(expand_sources(folder)) == everything
    assert list(expand_sources(str(folder / "*.png"))) == [str(png)]
    assert list(expand_sources([png, folder])) == [png, *everything]
    assert len(list(expand_sources(np.stack([RGB, RGB])))) == 2
    assert len(list(expand_sources(RGB))) == 1
    assert len(list(expand_sources(RGB[:, :, 0]))) == 1


def test_is_single_distinguishes_one_photo_from_many(png: Path) -> None:
    for source in (png, str(png), png.read_bytes(), RGB, RGB[:, :, 0], Image.new("L", (1, 1))):
        assert is_single(source)
    assert is_single(read_image(png))
    assert is_single("no-such-clip.mp4")  # reading it raises ImageError
    (png.parent / "clip.mp4").write_bytes(b"")
    assert not is_single(png.parent / "clip.mp4")
    for sources in ([png], (), png.parent, str(png.parent / "*"), np.stack([RGB]), iter([png])):
        assert not is_single(sources)


def test_file_name_that_looks_like_a_glob(tmp_path: Path) -> None:
    path = tmp_path / "photo[1].png"
    Image.fromarray(RGB).save(path)
    assert is_single(path)
    assert list(expand_sources(path)) == [path]


def test_empty_folder_raises_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="contains no image"):
        list(expand_sources(tmp_path))


def test_photos_of_a_source_are_counted(png: Path) -> None:
    folder = png.parent
    assert [count(b"x"), count([png, "a"]), count(folder), count(iter("a"))] == [1, 2, 1, None]
    assert [count([folder, [png]]), count(str(folder / "*.png")), count(np.stack([RGB] * 3))] == [
        2,
        1,
        3,
    ]
    (folder / "empty").mkdir()
    assert count([png, folder / "empty"]) == 2  # the empty folder counts as one error
    (folder / "clip.mp4").write_bytes(b"")
    assert [count(folder), count([png, folder / "clip.mp4"])] == [None, None]


def names(photos: Any) -> list[str]:
    return [Path(p.name if isinstance(p, DecodedImage) else p).name for p in photos]


def test_folders_and_globs_include_the_frames_of_videos(png: Path, clip: Path) -> None:
    frames = [f"clip.mp4#{i}" for i in range(5)]
    assert names(expand_sources(png.parent)) == ["a.png", *frames]
    assert names(expand_sources(str(clip.parent / "*.mp4"))) == frames
    assert names(expand_sources([clip, png])) == [*frames, "a.png"]


def test_failed_sources_keep_their_place(png: Path, clip: Path) -> None:
    (clip.parent / "b.mp4").write_bytes(b"no video")
    (clip.parent / "none").mkdir()

    def bad(source: Any, error: Exception) -> str:
        assert isinstance(error, ImageError)
        return f"bad {Path(source).name}"

    found = names(expand_sources([png.parent, png.parent / "none"], failed=bad))
    assert found == ["a.png", "bad b.mp4", *(f"clip.mp4#{i}" for i in range(5)), "bad none"]


def test_predict_and_preprocess_accept_a_folder_with_a_video(png: Path, clip: Path) -> None:
    model = SSDMobileNet(weights="random")
    few: dict[str, Any] = {"score_threshold": 0.95, "device": "cpu"}
    found = model.predict(png.parent, **few)
    assert [Path(getattr(result.image, "name", "")).name for result in found] == [
        "a.png",
        *(f"clip.mp4#{i}" for i in range(5)),
    ]
    assert found == [model.predict(png, **few), *model.predict(clip, **few)]
    tensor, contexts = model.preprocess(png.parent)
    assert (len(tensor), len(contexts)) == (6, 6)
    np.testing.assert_array_equal(tensor[1:], model.preprocess(clip)[0])


def test_classifier_preprocesses_every_frame_of_a_video(clip: Path) -> None:
    tensor, contexts = EfficientNetLite0(weights="random").preprocess(clip)
    assert contexts is not None
    assert len(tensor) == len(contexts) == 5


def test_folder_with_a_video_needs_pyav(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (png.parent / "clip.mp4").write_bytes(b"")
    with pytest.raises(ExtraRequired, match=r"pip install 'av>="):
        list(expand_sources(png.parent))


def photo(path: Path, kind: str | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RGB).save(path, kind)
    return path


links = pytest.mark.skipif(sys.platform == "win32", reason="links need rights on Windows")


@links
def test_linked_photos_are_listed_once(tmp_path: Path) -> None:
    first = photo(tmp_path / "folder" / "a.png")
    outside = photo(tmp_path / "outside" / "b.png")
    folder = first.parent
    (folder / "self").symlink_to(".")
    (folder / "up").symlink_to("..")
    (folder / "link.png").symlink_to("a.png")
    (folder / "0.png").symlink_to(folder / "a.png")
    (folder / "far.png").symlink_to(outside)
    (folder / "more").symlink_to(outside.parent)
    (folder / "again").symlink_to(outside.parent)
    (folder / "gone.png").symlink_to("nowhere.png")
    found = [os.path.relpath(str(path), folder) for path in expand_sources(folder)]
    assert found.count("a.png") == 1
    assert "0.png" not in found
    assert "link.png" not in found
    reals = [os.path.realpath(str(path)) for path in expand_sources(folder)]
    assert len(reals) == len(set(reals))
    assert os.path.realpath(outside) in reals
    assert count(folder) == len(reals)
    for pattern in ("**/*.png", "**", "*/**/*.png"):
        globbed = [os.path.realpath(str(p)) for p in expand_sources(str(folder / pattern))]
        assert len(globbed) == len(set(globbed))


def test_recursive_globs(tmp_path: Path) -> None:
    for name in ("a.png", "x/b.png", "x/y/c.png", "x/y/d.jpg", ".hidden/e.png", "x/.f.png"):
        photo(tmp_path / name)

    def found(pattern: str) -> list[str]:
        paths = expand_sources(str(tmp_path / pattern))
        return [Path(str(path)).relative_to(tmp_path).as_posix() for path in paths]

    assert found("**/*.png") == ["a.png", "x/b.png", "x/y/c.png"]
    assert found("**") == ["a.png", "x/b.png", "x/y/c.png", "x/y/d.jpg"]
    assert found("x/**/*.png") == ["x/b.png", "x/y/c.png"]
    assert found("*/**/[cd].*") == ["x/y/c.png", "x/y/d.jpg"]
    assert found("**/y/*") == ["x/y/c.png", "x/y/d.jpg"]
    assert found("*.png") == ["a.png"]
    assert found("**/.hidden/*.png") == [".hidden/e.png"]


def test_glob_relative_to_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(tmp_path / "x" / "b.png")
    monkeypatch.chdir(tmp_path)
    assert list(expand_sources("**/*.png")) == ["x/b.png"]


def test_folder_lists_every_format_and_logs_skipped_files(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds = {"jpg": "JPEG", "jfif": "JPEG", "JPE": "JPEG", "ppm": "PPM", "tga": "TGA"}
    kinds |= {"bmp": "BMP", "webp": "WEBP", "sgi": "SGI", "pcx": "PCX", "tiff": "TIFF"}
    for suffix, kind in kinds.items():
        photo(tmp_path / f"photo.{suffix}", kind)
    for name in ("phone.heic", "raw.CR2", "layers.psd", "notes.txt", "data.csv"):
        (tmp_path / name).write_bytes(b"")
    monkeypatch.setattr(formats, "heif_module", lambda: None)
    formats._problem.cache_clear()
    formats.suffixes.cache_clear()
    with caplog.at_level(logging.WARNING):
        found = list(expand_sources(tmp_path))
        assert count(tmp_path) == len(kinds)
    formats._problem.cache_clear()
    formats.suffixes.cache_clear()
    assert {Path(str(path)).suffix[1:] for path in found} == set(kinds)
    assert len(caplog.records) == 1
    (line,) = (record.getMessage() for record in caplog.records)
    assert "left out 3 in unsupported formats" in line
    assert all(name in line for name in ("phone.heic", "raw.CR2", "layers.psd"))
    assert "notes" not in line
    for path in found:
        read_image(path)


def test_long_list_of_skipped_files_is_shortened(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    photo(tmp_path / "a.png")
    for i in range(9):
        (tmp_path / f"{i}.psd").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        list(expand_sources(tmp_path))
    assert "and 4 more" in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_unreadable_folder_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photo(tmp_path / "a.png")
    (tmp_path / "closed").mkdir(mode=0)
    with caplog.at_level(logging.WARNING):
        assert len(list(expand_sources(tmp_path))) == 1
    assert "closed" in caplog.text
