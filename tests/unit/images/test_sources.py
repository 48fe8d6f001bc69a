from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from furiosa_models.errors import ExtraRequired, ImageError
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


def test_single_or_many(png: Path) -> None:
    for source in (png, str(png), png.read_bytes(), RGB, RGB[:, :, 0], Image.new("L", (1, 1))):
        assert is_single(source)
    assert is_single(read_image(png))
    assert is_single("no-such-clip.mp4")  # and an ImageError when it is read
    (png.parent / "clip.mp4").write_bytes(b"")
    assert not is_single(png.parent / "clip.mp4")
    for sources in ([png], (), png.parent, str(png.parent / "*"), np.stack([RGB]), iter([png])):
        assert not is_single(sources)


def test_a_file_whose_name_looks_like_a_glob(tmp_path: Path) -> None:
    path = tmp_path / "photo[1].png"
    Image.fromarray(RGB).save(path)
    assert is_single(path)
    assert list(expand_sources(path)) == [path]


def test_an_empty_folder_is_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no image"):
        list(expand_sources(tmp_path))


def test_how_many_there_are(png: Path) -> None:
    folder = png.parent
    assert [count(b"x"), count([png, "a"]), count(folder), count(iter("a"))] == [1, 2, 1, None]
    assert [count([folder, [png]]), count(str(folder / "*.png")), count(np.stack([RGB] * 3))] == [
        2,
        1,
        3,
    ]
    (folder / "empty").mkdir()
    assert count([png, folder / "empty"]) == 2  # one of them an error
    (folder / "clip.mp4").write_bytes(b"")
    assert [count(folder), count([png, folder / "clip.mp4"])] == [None, None]


def names(photos: Any) -> list[str]:
    return [Path(p.name if isinstance(p, DecodedImage) else p).name for p in photos]


def test_videos_of_folders_and_globs_give_their_frames(png: Path, clip: Path) -> None:
    frames = [f"clip.mp4#{i}" for i in range(5)]
    assert names(expand_sources(png.parent)) == ["a.png", *frames]
    assert names(expand_sources(str(clip.parent / "*.mp4"))) == frames
    assert names(expand_sources([clip, png])) == [*frames, "a.png"]


def test_what_fails_stands_in_its_place(png: Path, clip: Path) -> None:
    (clip.parent / "b.mp4").write_bytes(b"no video")
    (clip.parent / "none").mkdir()

    def bad(source: Any, error: Exception) -> str:
        assert isinstance(error, ImageError)
        return f"bad {Path(source).name}"

    found = names(expand_sources([png.parent, png.parent / "none"], failed=bad))
    assert found == ["a.png", "bad b.mp4", *(f"clip.mp4#{i}" for i in range(5)), "bad none"]


def test_predict_and_preprocess_take_a_folder_with_a_video(png: Path, clip: Path) -> None:
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


def test_a_video_is_no_single_photo_to_a_classifier(clip: Path) -> None:
    tensor, contexts = EfficientNetLite0(weights="random").preprocess(clip)
    assert contexts is not None
    assert len(tensor) == len(contexts) == 5


def test_a_folder_with_a_video_without_pyav(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (png.parent / "clip.mp4").write_bytes(b"")
    with pytest.raises(ExtraRequired, match=r"pip install 'av>="):
        list(expand_sources(png.parent))
