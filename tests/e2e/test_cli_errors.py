"""Errors of the command: one line, an exit code, and no lost data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from furiosa_models.vision import EfficientNetLite0, SSDMobileNet
from tests.unit.runtime.tiny import make_model

pytestmark = pytest.mark.usefixtures("random_cache")

COMMAND = [sys.executable, "-m", "furiosa_models"]


def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=120
    )


def one_line(result: subprocess.CompletedProcess[bytes], code: int = 1) -> str:
    assert result.returncode == code, result.stderr
    (line,) = [
        row for row in result.stderr.decode().splitlines() if not row.startswith("Warning: ")
    ]
    return line


@pytest.fixture
def own_cache(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Path:
    """An empty cache."""
    request.getfixturevalue("random_cache")  # before this one, which replaces it
    folder = tmp_path / "cache"
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photos" / "a.jpg"
    path.parent.mkdir()
    Image.new("RGB", (64, 48), (200, 30, 30)).save(path)
    return path


LITE = ["predict", "efficientnet-lite0", "--weights=random", "--device=cpu"]
SSD = ["predict", "SSDMobileNet", "--weights=random", "--device=cpu", "--score-threshold=0.999"]


@pytest.mark.parametrize("model", ["SSDMobileNet", "SSDResNet34", "YOLOv7w6Pose", "YOLOv5n"])
def test_unavailable_model_is_a_one_line_error(
    model: str, photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    line = one_line(run("predict", model, photo))
    assert line.startswith("Error: ")
    assert len(line) < 240
    monkeypatch.setenv("FURIOSA_MODELS_TRACEBACK", "1")
    whole = run("predict", model, photo).stderr.decode()
    assert "Traceback (most recent call last)" in whole


def test_unusable_output_folders_and_ports_are_errors(photo: Path) -> None:
    assert "cannot create the folder" in one_line(run(*LITE, photo, "-o", photo / "out"))
    assert "cannot create the folder" in one_line(run(*LITE, photo, "-o", "/proc/nothing"))
    for port in ("99999", "-1", "http"):
        result = run("serve", "efficientnet-lite0", "--weights=random", "--port", port)
        assert result.returncode == 2
        assert b"Traceback" not in result.stderr


def test_error_for_an_unwritable_cache_names_the_variable(
    photo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(photo / "cache"))
    result = run("fetch", "EfficientNetLite0")
    assert b"Traceback" not in result.stderr
    line = one_line(run("predict", "EfficientNetLite0", photo))
    assert "set FURIOSA_MODELS_CACHE_HOME to a writable folder" in line


def test_json_output_contains_the_errors(photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = photo.with_name("bad.png")
    bad.write_text("no photo")
    result = run(*LITE, photo, bad, photo.with_name("none.jpg"), "--json")
    document = json.loads(result.stdout)
    assert result.returncode == 1
    assert [entry["image"] for entry in document["photos"]] == [str(photo)]
    assert [Path(entry["image"]).name for entry in document["errors"]] == ["bad.png", "none.jpg"]
    assert "cannot be decoded" in document["errors"][0]["error"]
    timing = document["timing"]
    assert timing["photos_per_second"] == pytest.approx(1 / timing["predict_s"])
    assert document["precision"] == "fp32"
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    failed = run("predict", "SSDResNet34", photo, "--json")
    error = json.loads(failed.stdout)["error"]
    assert error["type"] == "ArtifactUnavailable"
    assert "no set of weights of SSDResNet34" in error["message"]


def test_photo_is_read_from_standard_input(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    result = run(*LITE, "-", "--json", "-o", out, stdin=photo.read_bytes())
    (entry,) = json.loads(result.stdout)["photos"]
    assert entry["image"] == "stdin"
    assert sorted(path.name for path in out.iterdir()) == ["stdin.jpg", "stdin.json"]
    direct = json.loads(run(*LITE, photo, "--json").stdout)["photos"][0]
    assert entry["results"] == direct["results"]
    assert "'stdin' cannot be decoded" in one_line(run(*LITE, "-", stdin=b"no photo"))


def test_photos_are_never_overwritten(photo: Path) -> None:
    before = photo.read_bytes()
    other = photo.with_name("b.jpg")  # a photo that is not an input of the run
    other.write_bytes(before)
    photo.with_name("b.json").write_text("mine")
    second = photo.with_name("b.png")
    Image.new("RGB", (8, 8)).save(second)
    for extra in ([], ["--overwrite"]):
        result = run(*SSD, photo, second, "-o", photo.parent, *extra)
        assert result.returncode == 0, result.stderr
        assert photo.read_bytes() == before
    names = {path.name for path in photo.parent.iterdir()}
    assert {"a-2.jpg", "a-2.json", "b-2.jpg", "b-2.json"} <= names


def test_results_are_replaced_with_the_option_overwrite(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for extra, count in (([], 2), ([], 4), (["--overwrite"], 4)):
        assert run(*SSD, photo, "-o", out, *extra).returncode == 0
        assert len([*out.iterdir()]) == count
    linked = out / "linked.jpg"
    linked.symlink_to(photo)
    (out / "linked.json").write_text("mine")
    source = tmp_path / "linked.jpg"
    source.symlink_to(photo)
    before = photo.read_bytes()
    assert run(*SSD, source, "-o", out, "--overwrite").returncode == 0
    assert photo.read_bytes() == before


def test_concurrent_processes_write_separate_files(photo: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    command = [*COMMAND, *SSD, str(photo), "-o", str(out)]
    runs = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [process.wait(120) for process in runs] == [0, 0, 0]
    assert len([*out.iterdir()]) == 6
    assert all(path.stat().st_size for path in out.iterdir())


def test_file_names_that_look_numbered_do_not_collide(tmp_path: Path) -> None:
    for name in ("one/a.jpg", "two/a.jpg", "one/a-2.jpg", "two/a.png", "one/a-2-2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    out = tmp_path / "out"
    assert run(*SSD, tmp_path / "one", tmp_path / "two", "-o", out).returncode == 0
    assert len([*out.iterdir()]) == 10


def test_options_classes_and_precision(photos: list[Path]) -> None:
    labels = SSDMobileNet(weights="random").labels
    loose = ["predict", "SSDMobileNet", "--weights=random", "--score-threshold=0.6", "--json"]
    every = json.loads(run(*loose, photos[0]).stdout)["photos"][0]["results"]
    wanted = {every[0]["label"], labels[1]}
    chosen = json.loads(run(*loose, photos[0], "--classes", ", ".join(wanted)).stdout)
    assert chosen["photos"][0]["results"] == [r for r in every if r["label"] in wanted]
    assert b"no class 'unicorn'" in run(*loose, photos[0], "--classes", "unicorn").stderr
    assert "was not calibrated" in one_line(run(*loose[:-1], photos[0], "--precision", "int8"))


def test_model_file_instead_of_a_model_name(photos: list[Path], tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(EfficientNetLite0(weights="random").origin)
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"kind {i}" for i in range(1000)))
    result = run("predict", own, photos[0], "--labels", names, "--json", "--top-k=2")
    document = json.loads(result.stdout)
    assert document["model"] == "Classifier"
    assert all(row["label"].startswith("kind ") for row in document["photos"][0]["results"])
    described = json.loads(run("desc", own, "--json").stdout)
    assert (described["input"]["height"], described["classes"]) == (224, 1000)
    assert run("bench", own, photos[0], "--task", "classify").returncode == 0
    assert (
        b"--weights applies only to names" in run("predict", own, photos[0], "--weights=x").stderr
    )
    assert "model_info.json" in one_line(run("predict", tmp_path, photos[0]))
    assert "none.onnx" in one_line(run("predict", tmp_path / "none.onnx", photos[0]))
    assert "unknown model ''" in one_line(run("predict", "", photos[0]))
    tiny = tmp_path / "tiny.onnx"
    tiny.write_bytes(make_model().SerializeToString())
    assert "fit no known detector" in one_line(run("predict", tiny, photos[0]))


def test_saved_folder_instead_of_a_model_name(photos: list[Path], tmp_path: Path) -> None:
    folder = EfficientNetLite0(weights="random").save(tmp_path / "saved")
    saved = json.loads(run("predict", folder, photos[0], "--json").stdout)
    direct = json.loads(run(*LITE, photos[0], "--json").stdout)
    assert saved["photos"] == direct["photos"]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
def test_interrupted_command_exits_with_130() -> None:
    code = (
        "import sys, os, signal, threading, furiosa_models.cli as c\n"
        # Background jobs ignore SIGINT, and child processes inherit this.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "threading.Timer(1.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "sys.argv[1:] = ['predict', 'efficientnet-lite0', '-', '--weights=random']\n"
        "c.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with process:
        assert process.wait(60) == 130
        assert process.stderr is not None
        assert process.stderr.read().decode().strip().splitlines() == ["interrupted"]


def test_model_names_are_completed() -> None:
    env = {
        **os.environ,
        "_FURIOSA_MODELS_COMPLETE": "bash_complete",
        "COMP_WORDS": "furiosa-models predict ssd",
        "COMP_CWORD": "2",
    }
    code = "from furiosa_models.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == [
        f"plain,{name}" for name in ("SSDMobileNet", "SSDMobileNetV2", "SSDResNet34")
    ]
    env["COMP_WORDS"] = "furiosa-models desc ./net"
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False
    )
    assert done.stdout.startswith("file,")


def test_wrong_usage_is_a_one_line_error(photo: Path, tmp_path: Path) -> None:
    (tmp_path / "boom.py").write_text("raise RuntimeError('boom')")
    imported = subprocess.run(
        [*COMMAND, "--import", "boom", "list"], capture_output=True, check=False, cwd=tmp_path
    )
    assert imported.stderr.splitlines()[-1].endswith(b"cannot be imported: RuntimeError: boom")
    assert b"Traceback" not in imported.stderr
    assert "there is no file 'nope.onnx'" in one_line(run("predict", "nope.onnx", photo))
    line = one_line(run(*LITE, photo, "--precision=int8"))
    assert "furiosa-models quantize MODEL --images DIR" in line


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_full_disk_is_a_one_line_error(photo: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            [*COMMAND, *LITE, photo, "--json"], stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert result.returncode == 1
    assert result.stderr.splitlines() == [b"Error: [Errno 28] No space left on device"]


def test_earlier_results_are_not_read_as_photos(photo: Path) -> None:
    folder = photo.parent
    for number in (1, 2, 3):
        document = run(*LITE, folder, "-o", folder / "out", "--json")
        assert [Path(p["image"]).name for p in json.loads(document.stdout)["photos"]] == ["a.jpg"]
        assert len([*(folder / "out").glob("*.jpg")]) == number


def test_help_works_without_docstrings() -> None:
    expected = {"": "A vision model zoo", "predict": "Run a MODEL on", "serve": "Serve MODELS"}
    for command, text in expected.items():
        shown = subprocess.run(
            [sys.executable, "-OO", *COMMAND[1:], *command.split(), "--help"],
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        assert text in shown


@pytest.mark.usefixtures("own_cache")
def test_cache_ls_names_the_model_of_each_file(photo: Path) -> None:
    assert run(*LITE, photo).returncode == 0
    listed = run("cache", "ls").stdout.decode()
    assert "EfficientNetLite0/random (program)" in listed
    assert "(built)" not in listed
    document = json.loads(run("cache", "ls", "--json").stdout)
    (file,) = document["files"]  # the graph is rebuilt on demand
    assert file["name"] == "EfficientNetLite0/random (facts of the graph)"
    assert document["compiled"][0]["of"] == "EfficientNetLite0/random (program)"


def test_damaged_built_files_are_found_and_rebuilt(photo: Path, own_cache: Path) -> None:
    assert run(*LITE, photo).returncode == 0
    assert run("cache", "verify").stdout == b"all files are intact\n"
    notes = list((own_cache / "derived").glob("*/*"))
    assert len(notes) == 3  # the graph, the program and the metadata
    for note in notes:
        note.chmod(0o644)
        note.write_text("ab" * 32)
    found = run("cache", "verify")
    assert found.returncode == 1
    assert found.stderr.count(b"corrected: the digest of EfficientNetLite0/random graph") == 1
    assert run("cache", "verify").returncode == 0
    assert run(*LITE, photo).returncode == 0


def test_desc_json_contains_numbers() -> None:
    described = json.loads(run("desc", "ssd-mobilenet", "--json").stdout)
    first = described["weights"][0]
    assert isinstance(first["size"], int)
    assert first["cached"] is False
    assert first["accuracy"][0]["value"] == pytest.approx(0.232, abs=0.001)
    assert described["input"]["height"] == 300
    assert described["postprocessors"] == ["python", "rust"]
    assert b"27.3 MB" in run("desc", "ssd-mobilenet").stdout


def test_list_shows_postprocessors() -> None:
    lines = run("list").stdout.decode().splitlines()
    assert "Available postprocesses" in lines[0]
    assert all("Python, Rust" in line for line in lines[1:])


def test_unknown_or_empty_classes_are_errors(photo: Path) -> None:
    wrong = run(*SSD, photo, "--classes", "dgo,cat")
    assert wrong.returncode == 2
    assert b"SSDMobileNet has no class 'dgo'; did you mean dog?" in wrong.stderr
    for none in ("", " , "):
        result = run(*SSD, photo, "--classes", none)
        assert result.returncode == 2
        assert b"--classes is empty" in result.stderr
