from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.training.args import TrainerArgs
from furiosa_models.training.reports import Entries, Report, report_to


class Recorder:
    """A reporter that records what it is told, and fails if it shall."""

    def __init__(self) -> None:
        self.told: list[Any] = []
        self.failure: Exception | None = None

    def start(self, folder: Path, info: Mapping[str, Any], *, resume: bool) -> None:
        self._tell("start", folder, info, resume)

    def update(self, iteration: int, entries: Entries) -> None:
        self._tell("update", iteration, [*entries])

    def finish(self, iteration: int) -> None:
        self._tell("finish", iteration)

    def fail(self, error: BaseException) -> None:
        self._tell("fail", error)

    def _tell(self, *what: Any) -> None:
        self.told.append(what)
        if self.failure is not None:
            raise self.failure


class Hub:
    def __init__(self, reporter: Recorder) -> None:
        self.reporter = lambda: reporter


def describe() -> dict[str, Any]:
    return {"name": "old", "task": "detection", "config": {"class": "C", "num_classes": 9}}


def started(recorder: Recorder) -> Report:
    args = TrainerArgs("run", output_dir="runs", sync_to_hub=True)
    report = report_to(Hub(recorder), args, describe)
    report.start(args, ["a", "b"], resume=False)
    return report


def test_run_is_reported_from_start_to_end() -> None:
    recorder = Recorder()
    with started(recorder) as report:
        report.update(1, [{"iteration": 1}])
        report.finish(2)
    (_, folder, info, resume), *others = recorder.told
    assert (folder, resume) == (Path("runs/run"), False)
    assert (info["name"], info["classes"], info["task"]) == ("run", ["a", "b"], "detection")
    assert info["config"] == {"class": "C", "num_classes": 2}
    assert info["train_args"]["run_name"] == "run"
    assert others == [("update", 1, [{"iteration": 1}]), ("finish", 2)]


def test_error_of_a_run_is_reported_and_raised() -> None:
    recorder, error = Recorder(), RuntimeError("no memory")
    with pytest.raises(RuntimeError, match="no memory"), started(recorder):
        raise error
    assert recorder.told[1:] == [("fail", error)]


def test_interruption_is_reported() -> None:
    recorder = Recorder()
    with pytest.raises(KeyboardInterrupt), started(recorder):
        raise KeyboardInterrupt
    assert isinstance(recorder.told[1][1], KeyboardInterrupt)


def test_failing_hub_does_not_stop_the_run(caplog: pytest.LogCaptureFixture) -> None:
    recorder = Recorder()
    with caplog.at_level(logging.WARNING), started(recorder) as report:
        recorder.failure = OSError("no route")
        report.update(1, [])
        report.finish(2)
    assert [name for name, *_ in recorder.told] == ["start", "update", "finish"]
    assert caplog.text.count("not reported to the hub: no route") == 2


def test_failing_hub_is_left_alone_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr("furiosa_models.training.reports.time.monotonic", lambda: now[0])
    recorder = Recorder()
    report = started(recorder)
    recorder.failure = OSError("no route")
    asked = []
    for second in range(100):
        now[0], before = float(second), len(recorder.told)
        report.update(second, [])
        asked += [second] if len(recorder.told) > before else []
    assert asked == [0, 10, 30, 70]
    recorder.failure = None
    now[0] = 200.0
    report.update(200, [])
    report.update(201, [])
    assert recorder.told[-1] == ("update", 201, [])


def test_run_that_the_hub_refuses_does_not_start() -> None:
    recorder = Recorder()
    recorder.failure = ValueError("401")
    with pytest.raises(ValueError, match="401"):
        started(recorder)


def test_nothing_is_reported_without_a_hub() -> None:
    with report_to(None, TrainerArgs("run"), describe) as report:
        report.start(TrainerArgs("run"), ["a"], resume=False)
        report.update(1, [])
        report.finish(2)


def test_hub_and_argument_belong_together() -> None:
    with pytest.raises(ValueError, match="sync_to_hub=True needs a hub: pass hub=FocoosHUB"):
        report_to(None, TrainerArgs("run", sync_to_hub=True), describe)
    with pytest.raises(ValueError, match="sync_to_hub is False: set it to True"):
        report_to(Hub(Recorder()), TrainerArgs("run"), describe)
    with pytest.raises(TypeError, match="expected a FocoosHUB, got str"):
        report_to("https://hub", TrainerArgs("run", sync_to_hub=True), describe)
