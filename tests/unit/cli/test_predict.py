from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from furiosa_models.cli.predict_ import _shows_progress, command

OPTIONS = ["--weights=random", "--score-threshold=0.9", "--device=cpu"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["ssd-mobilenet", *OPTIONS, *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos, something else, and a photo that cannot be read."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, level in (("a.png", 90), ("c.jpg", 200)):
        Image.new("RGB", (64, 48), (level, 0, 0)).save(photos / name)
    (photos / "b.png").write_bytes(b"no photo")
    (photos / "notes.txt").write_text("no photo either")
    return photos


@pytest.fixture
def clip(folder: Path) -> Path:
    """A video of three frames among the photos."""
    av: Any = pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return folder / "clip.mp4"


def test_a_folder_with_a_bad_photo_gives_the_others_and_fails(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 1
    assert "b.png' cannot be decoded" in result.stderr
    printed = [line for line in result.stdout.splitlines() if line.startswith(str(folder))]
    assert printed == [str(folder / "a.png"), str(folder / "c.jpg")]


def test_a_video_among_photos_gives_its_frames(folder: Path, clip: Path, tmp_path: Path) -> None:
    (folder / "b.png").unlink()
    out = tmp_path / "out"
    result = run(folder, "--json", "-o", out)
    assert result.exit_code == 0, result.output
    photos = json.loads(result.stdout)["photos"]
    frames = [f"{clip}#{i}" for i in range(3)]
    assert [photo["image"] for photo in photos] == [
        str(folder / "a.png"),
        str(folder / "c.jpg"),
        *frames,
    ]
    assert photos[3]["files"] == [
        str(out / "clip-frame000001.jpg"),
        str(out / "clip-frame000001.json"),
    ]
    with Image.open(out / "clip-frame000001.jpg") as drawn:
        assert drawn.size == (64, 48)


def test_a_color_under_alpha(tmp_path: Path) -> None:
    photo = tmp_path / "clear.png"
    Image.new("RGBA", (64, 48), (0, 0, 0, 0)).save(photo)
    found = {
        color: run(photo, "--json", "--score-threshold=0.8", *options).stdout.partition("timing")[0]
        for color, options in (
            ("none", []),
            ("black", ["--background", "black"]),
            ("white", ["--background", "#ffffff"]),
        )
    }
    assert found["none"] == found["black"] != found["white"]
    wrong = run(photo, "--background", "mud")
    assert wrong.exit_code == 2
    assert "background='mud' is no color: expected a name, '#rrggbb'" in wrong.output


def test_an_empty_folder_is_reported(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty", folder / "a.png")
    assert result.exit_code == 1
    assert "holds no image" in result.stderr
    assert str(folder / "a.png") in result.stdout


@pytest.mark.parametrize(("on_terminal", "as_json", "shown"), [(1, 0, 0), (1, 1, 1), (0, 0, 1)])
def test_a_bar_does_not_mix_with_results(
    on_terminal: bool,
    as_json: bool,
    shown: bool,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: bool(on_terminal))
    assert _shows_progress((str(folder),), as_json=as_json) == shown
    assert not _shows_progress((str(folder / "a.png"),), as_json=True)
