from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from furiosa_models.benchmark import SECTIONS, STAGES, Benchmark, benchmark
from furiosa_models.cli.bench_ import command
from furiosa_models.errors import ImageError
from furiosa_models.vision import EfficientNetLite0

OPTIONS = ["--weights", "random", "--devices", "cpu"]


def test_bench_prints_tables(photos: list[Path]) -> None:
    result = CliRunner().invoke(command, ["efficientnet-lite0", str(photos[0]), *OPTIONS])
    assert result.exit_code == 0, result.output
    for line in (*SECTIONS, *STAGES, "Total elapsed time: ", "QPS: ", "Streamed: ", "p99"):
        assert line in result.output


def test_bench_prints_json(photos: list[Path]) -> None:
    arguments = ["efficientnet-lite0", *map(str, photos[:2]), "--json", "--repeat", "2"]
    result = CliRunner().invoke(command, [*arguments, *OPTIONS, "--postprocess", "python"])
    document = json.loads(result.output)
    assert (document["model"], document["weights"]) == ("EfficientNetLite0", "random")
    assert document["photos"] == 4
    assert list(document["latency_ms"]) == [*STAGES, "total"]
    assert list(document["sections"]) == list(SECTIONS)
    assert document["backend"].startswith("onnxruntime")


@pytest.mark.parametrize("option", ["--device", "--devices"])
def test_bench_on_another_backend(photos: list[Path], option: str) -> None:
    arguments = ["efficientnet-lite0", str(photos[0]), "--weights", "random", "--json"]
    result = CliRunner().invoke(command, [*arguments, option, "openvino"])
    backend = json.loads(result.output)["backend"]
    assert backend == "openvino (the argument device requests 'openvino')"


def test_records_are_appended(photos: list[Path], tmp_path: Path) -> None:
    arguments = ["efficientnet-lite0", str(photos[0]), *OPTIONS, "--record"]
    for _ in range(2):
        done = CliRunner().invoke(command, [*arguments, str(tmp_path / "r.jsonl")])
        assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert len(rows) == 2
    for row in rows:
        assert (row["model"], row["backend"], row["precision"]) == (
            "EfficientNetLite0",
            "onnxruntime",
            "fp32",
        )
        assert 0 < row["run_p50_ms"] <= row["total_p50_ms"] <= row["total_p99_ms"]
        assert row["first_ms"] > 0
        assert row["load_ms"] > 0
        assert "onnxruntime" in row["versions"]
        assert row["hardware"]


def test_sections_of_0_10_are_sums_of_stages() -> None:
    seconds = np.array([[1.0, 2.0, 3.0, 4.0], [1.0, 2.0, 5.0, 6.0]])
    measured = Benchmark("M", "w", "cpu", seconds, 6.0, None)
    totals = [measured.section(name)["total_s"] for name in SECTIONS]
    assert totals == [24.0, 18.0, 8.0]
    assert measured.section("Inference") == {"total_s": 8.0, "qps": 0.25, "average_s": 4.0}
    assert measured.latency("run")["p50"] == 4000.0
    assert measured.latency("total")["max"] == 14000.0
    assert measured.to_dict()["streamed_photos_per_second"] == pytest.approx(1 / 3)


def test_missing_photos_raise_image_error(tmp_path: Path) -> None:
    model = EfficientNetLite0(weights="random")
    with pytest.raises(ImageError, match="at least one photo"):
        benchmark(model, [])
    with pytest.raises(ImageError, match="contains no image"):
        benchmark(model, tmp_path)
