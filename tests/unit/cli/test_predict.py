from __future__ import annotations

import json
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from furiosa_models.cli.predict_ import _shows_progress, command
from furiosa_models.images.video import decode_video
from furiosa_models.images.video_writer import VideoWriter
from tests.damaged import write_damaged_video

OPTIONS = ["--weights=random", "--score-threshold=0.9", "--device=cpu"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, ["ssd-mobilenet", *OPTIONS, *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with two photos, another file, and an unreadable photo."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for name, level in (("a.png", 90), ("c.jpg", 200)):
        Image.new("RGB", (64, 48), (level, 0, 0)).save(photos / name)
    (photos / "b.png").write_bytes(b"no photo")
    (photos / "notes.txt").write_text("no photo either")
    return photos


@pytest.fixture
def clip(folder: Path) -> Path:
    """A video of three frames in the folder of the photos."""
    av: Any = pytest.importorskip("av", reason="videos need PyAV (the extra `video`)")
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return folder / "clip.mp4"


def test_folder_with_a_bad_photo_gives_the_others_and_exit_code_1(folder: Path) -> None:
    result = run(folder)
    assert result.exit_code == 1
    assert "b.png' cannot be decoded" in result.stderr
    printed = [line for line in result.stdout.splitlines() if line.startswith(str(folder))]
    assert printed == [str(folder / "a.png"), str(folder / "c.jpg")]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_video_gives_an_annotated_video_and_its_results(
    folder: Path, clip: Path, tmp_path: Path
) -> None:
    (folder / "b.png").unlink()
    out = tmp_path / "out"
    result = run(folder, "-o", out, "--score-threshold=0.9")
    assert result.exit_code == 0, result.output
    assert names(out) == ["a.jpg", "a.json", "c.jpg", "c.json", "clip.json", "clip.mp4"]
    assert f"{clip}\n  3 frames\n  -> {out / 'clip.mp4'}\n  -> {out / 'clip.json'}" in result.stdout
    assert f"{clip}#" not in result.stdout
    drawn = [image.rgb for image in decode_video(out / "clip.mp4")]
    assert [pixels.shape for pixels in drawn] == [(48, 64, 3)] * 3
    document = json.loads((out / "clip.json").read_text())
    assert document["video"] == str(clip)
    assert [(row["index"], row["time"]) for row in document["frames"]] == [
        (0, 0.0),
        (1, 0.04),
        (2, 0.08),
    ]
    kept: list[Any] = [image.kept for image in decode_video(out / "clip.mp4")]
    assert [frame.time for frame in kept] == [Fraction(i, 25) for i in range(3)]


def test_results_are_drawn_onto_the_video(folder: Path, clip: Path, tmp_path: Path) -> None:
    del folder
    arguments = ["efficientnet-lite0", str(clip), "--weights=random", "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(command, [*arguments, "--device=cpu", "--json"])
    assert result.exit_code == 0, result.output
    photos = json.loads(result.stdout)["photos"]
    assert [photo["time"] for photo in photos] == [0.0, 0.04, 0.08]
    assert [photo["image_size"] for photo in photos] == [[64, 48]] * 3
    files = [str(tmp_path / "out" / name) for name in ("clip.mp4", "clip.json")]
    assert [photo["files"] for photo in photos] == [files] * 3
    frames = json.loads((tmp_path / "out" / "clip.json").read_text())["frames"]
    assert [frame["results"] for frame in frames] == [photo["results"] for photo in photos]
    for image in decode_video(tmp_path / "out" / "clip.mp4"):
        assert image.rgb.max() > 150  # the clip is black


def test_videos_with_the_same_name_do_not_overwrite_each_other(
    folder: Path, clip: Path, tmp_path: Path
) -> None:
    before = clip.read_bytes()
    other = tmp_path / "other" / "clip.mp4"
    other.parent.mkdir()
    other.write_bytes(before)
    result = run(clip, other, clip, "-o", folder)
    assert result.exit_code == 0, result.output
    made = {name for name in names(folder) if name.startswith("clip")}
    expected = {f"clip-{i}{suffix}" for i in (2, 3, 4) for suffix in (".mp4", ".json")}
    assert made == {"clip.mp4", *expected}
    assert clip.read_bytes() == before
    sources = [json.loads((folder / f"clip-{i}.json").read_text())["video"] for i in (2, 3, 4)]
    assert sources == [str(clip), str(other), str(clip)]
    assert run(clip, "-o", folder, "--overwrite").exit_code == 0
    assert clip.read_bytes() == before
    assert {name for name in names(folder) if name.startswith("clip")} == made


def test_interruption_keeps_the_earlier_video(
    folder: Path, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del folder
    out = tmp_path / "out"
    assert run(clip, "-o", out).exit_code == 0
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    write = VideoWriter.write
    seen: list[object] = []

    def interrupted(self: VideoWriter, picture: Any, **options: Any) -> None:
        if seen:
            raise KeyboardInterrupt
        seen.append(picture)
        write(self, picture, **options)
        assert len(names(out)) > 2

    monkeypatch.setattr(VideoWriter, "write", interrupted)
    for arguments in ((), ("--overwrite",)):
        seen.clear()
        result = run(clip, "-o", out, *arguments)
        assert result.exit_code != 0
        assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_damaged_video_is_reported_and_its_good_frames_written(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    write_damaged_video(clip, 30)
    result = run(clip, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["errors"]
    assert "cannot be read after frame" in document["errors"][0]["error"]
    written = json.loads((tmp_path / "out" / "clip.json").read_text())["frames"]
    assert 15 < len(written) == len(document["photos"]) < 30
    assert len(list(decode_video(tmp_path / "out" / "clip.mp4"))) == len(written)


def test_option_frames_needs_an_output_folder(clip: Path) -> None:
    result = run(clip, "--frames")
    assert result.exit_code == 2
    assert "--frames needs --output" in result.stderr


def test_video_among_photos_gives_its_frames(folder: Path, clip: Path, tmp_path: Path) -> None:
    (folder / "b.png").unlink()
    out = tmp_path / "out"
    result = run(folder, "--json", "--frames", "-o", out)
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


def test_background_color_of_transparent_photos(tmp_path: Path) -> None:
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
    assert "background='mud' is not a color: expected a name, '#rrggbb'" in wrong.output


def test_empty_folder_is_reported(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = run(tmp_path / "empty", folder / "a.png")
    assert result.exit_code == 1
    assert "contains no image" in result.stderr
    assert str(folder / "a.png") in result.stdout


@pytest.mark.parametrize(("on_terminal", "as_json", "shown"), [(1, 0, 0), (1, 1, 1), (0, 0, 1)])
def test_progress_bar_does_not_mix_with_results(
    on_terminal: bool,
    as_json: bool,
    shown: bool,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: bool(on_terminal))
    assert _shows_progress((str(folder),), silent=bool(as_json)) == shown
    assert not _shows_progress((str(folder / "a.png"),), silent=True)


def predict(*arguments: object) -> Result:
    return CliRunner().invoke(command, [*map(str, arguments), "--weights=random", "--device=cpu"])


def test_masks_are_written_beside_the_pictures(folder: Path, tmp_path: Path) -> None:
    (folder / "b.png").unlink()
    Image.new("RGB", (64, 48)).save(folder / "a-mask.jpg")  # its picture has the name of a mask
    out = tmp_path / "out"
    result = predict("deeplabv3-mobilenet-v2", folder, "-o", out, "--save-masks")
    assert result.exit_code == 0, result.output
    pictures = {"a.jpg", "a-mask.jpg", "c.jpg"}
    masks = {"a-mask.png", "a-mask-mask.png", "c-mask.png"}
    assert {name for name in names(out) if not name.endswith(".json")} == pictures | masks
    with Image.open(out / "a-mask.png") as mask:
        assert (mask.mode, mask.size) == ("P", (64, 48))
    rows = json.loads((out / "a.json").read_text())
    assert all(row["mask"]["size"] == [48, 64] for row in rows)


def test_mattes_are_written_as_cutouts(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = predict("selfie-segmentation", folder / "c.jpg", "-o", out, "--save-masks")
    assert result.exit_code == 0, result.output
    assert sorted(names(out)) == ["c-mask.png", "c.json", "c.png"]
    with Image.open(out / "c.png") as cutout, Image.open(out / "c-mask.png") as mask:
        assert (cutout.mode, mask.mode) == ("RGBA", "L")
        np.testing.assert_array_equal(np.asarray(cutout)[:, :, 3], np.asarray(mask))


def test_masks_need_a_folder_and_a_model_that_has_them(folder: Path, tmp_path: Path) -> None:
    photo = folder / "a.png"
    alone = predict("u2netp", photo, "--save-masks")
    assert (alone.exit_code, "--save-masks needs --output" in alone.stderr) == (2, True)
    detector = predict("ssd-mobilenet", photo, "-o", tmp_path / "out", "--save-masks")
    assert detector.exit_code == 2
    assert "--save-masks does not apply to SSDMobileNet" in detector.stderr
    matte = predict("u2netp", photo, "--score-threshold=0.5")
    assert matte.exit_code == 2
    assert "--score-threshold does not apply to U2NetP" in matte.stderr


def test_objects_of_a_video_are_tracked(folder: Path, clip: Path, tmp_path: Path) -> None:
    del folder
    out = tmp_path / "out"
    result = run(clip, clip, "-o", out, "--track", "--overwrite", "--score-threshold=0.78")
    assert result.exit_code == 0, result.output
    for name in ("clip.json", "clip-2.json"):  # the same video twice has the same tracks
        frames = json.loads((out / name).read_text())["frames"]
        ids = [[row["track_id"] for row in frame["results"]] for frame in frames]
        assert ids[0][0] == 1
        assert sorted(ids[0]) == sorted(ids[1]) == sorted(ids[2])


def test_classes_cannot_be_tracked(folder: Path) -> None:
    arguments = ["efficientnet-lite0", str(folder), "--weights=random", "--track"]
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2
    assert "--track does not apply to EfficientNetLite0" in result.output
