from __future__ import annotations

import io
import json
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.errors import BackendUnavailable, ExtraRequired
from furiosa_models.runtime import profiler as module
from furiosa_models.runtime.errors import FuriosaRuntimeError
from furiosa_models.runtime.profiler import Profiler, RecordFormat, Resource, profile
from furiosa_models.runtime.sync import create_queue, create_runner

from . import tiny_tflite
from .fake_vendor import forget, install_with_device
from .test_compiled import MODEL, PIXELS
from .tiny import X, make_model


def traced(file: Path) -> list[dict[str, Any]]:
    events: list[dict[str, Any]] = json.loads(file.read_text())
    return events


def names(events: list[dict[str, Any]]) -> list[str]:
    return [event["name"] for event in events]


def test_trace_contains_every_operation(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    for _ in range(2):  # for a new program and for a cached one
        with (
            path.open("w") as file,
            profile(file=file) as profiler,
            create_runner(MODEL, device="cpu") as runner,
            profiler.record("trace"),
        ):
            runner.run(PIXELS)
            runner.run(PIXELS)
        events = traced(path)
        assert all(event["ph"] == "X" and event["dur"] >= 0 for event in events)
        assert names(events).count("trace") == 1
        assert names(events).count("Inference") == names(events).count("model_run") == 2
        operations = [event["args"]["op_name"] for event in events if event["cat"] == "Node"]
        assert operations.count("MatMul") == 2
        (record,) = [event for event in events if event["name"] == "trace"]
        for event in events:
            if event["cat"] == "Node" or event["name"] == "Inference":
                assert record["ts"] - 1000 <= event["ts"]
                assert event["ts"] + event["dur"] <= record["ts"] + record["dur"] + 1000


@pytest.mark.parametrize(
    ("model", "device"), [(tiny_tflite.make_model(), "cpu"), (make_model(), "openvino")]
)
def test_other_backends_record_inferences(tmp_path: Path, model: Any, device: str) -> None:
    path = tmp_path / "trace.json"
    with path.open("w") as file, profile(file=file), create_runner(model, device=device) as runner:
        runner.run(X)
    (event,) = traced(path)
    assert (event["name"], event["cat"]) == ("Inference", runner.backend)


def test_existing_runners_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with create_runner(make_model(), device="cpu") as runner:
        with path.open("w") as file, profile(file=file):
            runner.run(X)
        runner.run(X)
    assert names(traced(path)) == ["Inference"]


def test_queue_threads_are_recorded(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with (
        path.open("w") as file,
        profile(file=file),
        create_queue(tiny_tflite.make_model(), device="cpu", worker_num=2) as (sub, rec),
    ):
        for _ in range(4):
            sub.submit(X)
        for _ in range(4):
            rec.recv()
    events = traced(path)
    assert names(events) == ["Inference"] * 4
    assert threading.get_native_id() not in {event["tid"] for event in events}


def test_warm_up_and_pauses_are_not_recorded(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with (
        path.open("w") as file,
        profile(file=file) as profiler,
        create_runner(MODEL, device="cpu") as runner,
    ):
        with profiler.record("warm up", warm_up=True):
            runner.run(PIXELS)
        profiler.pause()
        runner.run(PIXELS)
        profiler.resume()
        with profiler.record("kept"):
            runner.run(PIXELS)
        profiler.pause()
        runner.run(PIXELS)
    events = traced(path)
    assert names(events).count("Inference") == 1
    assert names(events).count("model_run") == 1
    assert "warm up" not in names(events)


def test_trace_is_written_to_every_kind_of_file(capsys: pytest.CaptureFixture[str]) -> None:
    text = io.StringIO()
    with tempfile.TemporaryFile() as binary, tempfile.TemporaryFile("w+") as described:
        for file in (text, binary, described.fileno()):
            with profile(file=file) as profiler, profiler.record("span"):
                pass
        for opened in (text, binary, described):
            opened.seek(0)
            assert names(json.loads(opened.read())) == ["span"]
    with profile() as profiler, profiler.record("span"):
        pass
    assert names(json.loads(capsys.readouterr().out)) == ["span"]


def test_invalid_model_leaves_an_empty_trace(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with (
        path.open("w") as file,
        profile(file=file),
        pytest.raises(FuriosaRuntimeError, match="cannot load the 8 bytes"),
    ):
        create_runner(b"no model", device="cpu")
    assert traced(path) == []


def test_only_one_profiler_is_active() -> None:
    with (
        profile(file=io.StringIO()),
        pytest.raises(FuriosaRuntimeError, match="a profiler is already active"),
        profile(),
    ):
        raise AssertionError
    with profile(file=io.StringIO()):
        pass


def test_failed_run_is_recorded_and_ends_the_profile() -> None:
    file = io.StringIO()
    with pytest.raises(TypeError), profile(file=file) as profiler, profiler.record("failing"):
        raise TypeError
    assert names(json.loads(file.getvalue())) == ["failing"]


@pytest.mark.parametrize(
    ("options", "error", "complaint"),
    [
        ({"resource": Resource.NPU}, BackendUnavailable, "models run on the CPU"),
        ({"files": "x"}, ValueError, "no option 'files'"),
        ({"format": RecordFormat.PandasDataFrame, "file": "x"}, ValueError, "no option 'file'"),
        ({"format": 7}, ValueError, "7 is not a valid RecordFormat"),
    ],
)
def test_invalid_options_are_rejected(
    options: dict[str, Any], error: type[Exception], complaint: str
) -> None:
    with pytest.raises(error, match=complaint):
        profile(**options)


@pytest.fixture
def profiled() -> Profiler:
    """A profile of three inferences."""
    with (
        profile(format=RecordFormat.PandasDataFrame) as profiler,
        create_runner(MODEL, device="cpu") as runner,
    ):
        for _ in range(3):
            runner.run(PIXELS)
    return profiler


def test_data_frames(profiled: Profiler, tmp_path: Path) -> None:
    frame = profiled.get_pandas_dataframe()
    assert [*frame.columns] == ["name", "cat", "start", "end", "thread.id", "dur"]
    inferences = profiled.get_pandas_dataframe_with_filter("name", "Inference")
    assert len(inferences) == 3
    assert (inferences["dur"] > 0).all()
    assert len(profiled.get_cpu_pandas_dataframe()) == len(frame)
    assert profiled.get_npu_pandas_dataframe().empty
    profiled.export_chrome_trace(tmp_path / "trace.json")
    assert len(traced(tmp_path / "trace.json")) == len(frame)


def test_summary_and_tables_are_printed(
    profiled: Profiler, capsys: pytest.CaptureFixture[str]
) -> None:
    profiled.print_summary()
    printed = capsys.readouterr().out
    assert "Inference counts                : 3" in printed
    assert "99.9 percentile latency (ns)" in printed
    profiled.print_inferences()
    assert "dur" in capsys.readouterr().out
    profiled.print_external_operators()
    assert "kernel_time" in capsys.readouterr().out
    for empty in (profiled.print_npu_operators, profiled.print_npu_executions):
        empty()
        assert "Empty DataFrame" in capsys.readouterr().out


def test_summary_without_inferences(capsys: pytest.CaptureFixture[str]) -> None:
    with profile(format=RecordFormat.PandasDataFrame) as profiler:
        pass
    profiler.print_summary()
    assert capsys.readouterr().out.endswith("Inference counts                : 0\n")


def test_summary_without_pandas_names_the_package(
    profiled: Profiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ExtraRequired, match="pip install pandas"):
        profiled.print_summary()


@pytest.fixture
def _npu(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    forget()
    install_with_device(monkeypatch, tmp_path)
    (tmp_path / "furiosa" / "runtime" / "profiler.py").write_text("profile = 'the vendor`s own'")
    yield
    forget()


@pytest.mark.usefixtures("_npu")
def test_vendor_profiler_is_used_on_an_npu(monkeypatch: pytest.MonkeyPatch) -> None:
    assert module.profile == "the vendor`s own"  # type: ignore[comparison-overlap]
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", "cpu")
    assert module.profile is Profiler
    assert not hasattr(module, "no_such_name")
