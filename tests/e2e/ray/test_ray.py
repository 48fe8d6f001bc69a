"""Folders of photos through Ray: `make test-ray`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.errors import ConfigurationError
from furiosa_models.vision import SSDMobileNet

ray = pytest.importorskip("ray", reason="Ray is not installed")

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600), pytest.mark.filterwarnings("default")]

ROOT = Path(__file__).parents[3]
COUNT = 60
MODEL: dict[str, Any] = {"model": "SSDMobileNet", "weights": "random", "score_threshold": 0.6}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """A cluster of two CPUs: the fewest that could wait for each other."""
    os.environ["PYTHONPATH"] = str(ROOT)
    ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, photos: list[Path]) -> Path:
    """Photos, one of which is damaged."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(COUNT):
        source = photos[number % len(photos)]
        shutil.copy(source, folder / f"{number:03d}{source.suffix}")
    (folder / "damaged.jpg").write_bytes(b"no photo")
    return folder


def rows_of(found: Any) -> dict[str, dict[str, Any]]:
    return {Path(row["path"]).name: row for row in found.take_all()}


def test_folder_gives_a_row_for_each_photo(folder: Path, photos: list[Path]) -> None:
    from furiosa_models.integrations.ray import predict_dataset

    rows = rows_of(predict_dataset(folder, **MODEL))
    assert len(rows) == COUNT + 1
    assert "cannot be decoded" in rows["damaged.jpg"]["error"]
    assert rows["damaged.jpg"]["boxes"] == []
    model = SSDMobileNet("random")
    for number, photo in enumerate(photos):
        expected = model.predict(photo, device="cpu", score_threshold=0.6)
        row = rows[f"{number:03d}{photo.suffix}"]
        assert row["boxes"] == [item["box"] for item in expected.to_dict()]
        assert (row["width"], row["height"]) == expected.image_size
        assert row["error"] is None


def test_second_run_does_only_what_is_missing(folder: Path, tmp_path: Path) -> None:
    from furiosa_models.integrations.ray import predict_dataset

    output = tmp_path / "found"
    part = tmp_path / "part"
    part.mkdir()
    for photo in sorted(folder.iterdir())[:20]:
        os.link(photo, part / photo.name)
    first = predict_dataset(part, output=output, **MODEL)
    assert first.count() == 20
    before = {file.name for file in output.iterdir()}
    for photo in folder.iterdir():
        if not (part / photo.name).exists():
            os.link(photo, part / photo.name)
    (output / "cut.parquet").write_bytes(b"PAR1 half a file")
    assert predict_dataset(part, output=output, **MODEL).count() == COUNT + 1
    assert len({file.name for file in output.iterdir()} - before) >= 2
    assert (output / ".cut.parquet.incomplete").exists()
    again = {file.name: file.stat().st_mtime_ns for file in output.iterdir()}
    assert len(rows_of(predict_dataset(part, output=output, **MODEL))) == COUNT + 1
    assert {file.name: file.stat().st_mtime_ns for file in output.iterdir()} == again


def test_data_sets_and_parquet_files(folder: Path, tmp_path: Path) -> None:
    from furiosa_models.integrations.ray import predict_dataset

    photos = [
        {"id": i, "bytes": p.read_bytes()} for i, p in enumerate(sorted(folder.iterdir())[:6])
    ]
    made = ray.data.from_items(photos)
    found = predict_dataset(made, **MODEL)
    assert sorted(row["id"] for row in found.take_all()) == [*range(6)]
    made.write_parquet(str(tmp_path / "in"))
    output = tmp_path / "out"
    assert predict_dataset(tmp_path / "in", key="id", output=output, **MODEL).count() == 6
    assert predict_dataset(tmp_path / "in", key="id", output=output, **MODEL).count() == 6
    with pytest.raises(ConfigurationError, match="no column 'path'"):
        predict_dataset(tmp_path / "in", output=output, **MODEL)


def test_wrong_sources(tmp_path: Path) -> None:
    from furiosa_models.integrations.ray import predict_dataset

    with pytest.raises(ConfigurationError, match="neither photos nor Parquet"):
        predict_dataset(tmp_path, **MODEL)
    with pytest.raises(ConfigurationError, match="batch_size must be at least 1"):
        predict_dataset(tmp_path, batch_size=0, **MODEL)


def test_killed_actor_loses_nothing(folder: Path, tmp_path: Path) -> None:
    """The actor is killed by SIGKILL in the middle of its work, and replaced by Ray."""
    code = (
        "import sys; from furiosa_models.integrations.ray import predict_dataset; import ray;"
        "ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False);"
        "found = predict_dataset(sys.argv[1], 'SSDMobileNet', 'random', output=sys.argv[2],"
        "score_threshold=0.6, batch_size=4); print('rows', found.count())"
    )
    command = [sys.executable, "-c", code, str(folder), str(tmp_path / "found")]
    ray.shutdown()
    try:
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as driver:
            pid = actor_of(driver.pid)
            time.sleep(1)
            os.kill(pid, signal.SIGKILL)
            printed, _ = driver.communicate(timeout=400)
    finally:
        ray.init(num_cpus=2, log_to_driver=False, include_dashboard=False)
    assert driver.returncode == 0
    assert f"rows {COUNT + 1}" in printed
    found = ray.data.read_parquet(str(tmp_path / "found"))
    assert len(rows_of(found)) == COUNT + 1


def actor_of(driver: int) -> int:
    """Return the process of the actor of a driver, once it has opened its model."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                title = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
                maps = (folder / "maps").read_text()
            except OSError:
                continue
            is_actor = (b"ray::" in title and b"_Actor" in title) or b"MapWorker" in title
            if is_actor and "onnxruntime" in maps:
                return int(folder.name)
        time.sleep(0.2)
    pytest.fail(f"driver {driver} has started no actor")
