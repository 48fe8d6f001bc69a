"""Runs that end early, for any reason, continue exactly."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from furiosa_models import Classifier
from furiosa_models.errors import TrainingError

from .scenes import args, boxes, classifier, losses, squares, yolo

pytestmark = pytest.mark.torch

EMA = {"ema_enabled": True, "ema_decay": 0.9, "ema_warmup": 3}
SCHEDULE = {"scheduler": "COSINE", "scheduler_extra": {"warmup_iters": 4, "warmup_factor": 0.1}}


def newest(folder: Path) -> dict[str, Any]:
    name = (folder / "last_checkpoint").read_text()
    found: dict[str, Any] = torch.load(folder / name, weights_only=True)
    return found


def assert_equal_tensors(one: Any, other: Any) -> None:
    """Compare nested states bit for bit."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_tensors(one[key], other[key])
    elif isinstance(one, (list, tuple)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_equal_tensors(left, right)
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    else:
        assert one == other


def without_times(folder: Path) -> list[dict[str, Any]]:
    entries = json.loads((folder / "metrics.json").read_text())
    return [{k: v for k, v in entry.items() if k != "time"} for entry in entries]


@pytest.mark.parametrize(
    ("optimizer", "average"),
    [("ADAMW", {}), ("ADAMW", EMA), ("SGD", {}), ("RMSPROP", EMA)],
    ids=["AdamW", "AdamW, averaged", "SGD", "RMSprop, averaged"],
)
def test_a_resumed_run_equals_a_straight_one(
    tmp_path: Path, optimizer: str, average: dict[str, Any]
) -> None:
    photos = squares(tmp_path / "data", 2)
    # The optimizer's momentum, the average and the order of photos go on where they were.
    options = {"eval_period": 3, "optimizer": optimizer, "learning_rate": 1e-3, **average}
    straight, parts = tmp_path / "straight", tmp_path / "parts"
    one = classifier()
    one.train(args(straight, 6, **options), photos, photos)
    classifier().train(args(parts, 3, **options), photos, photos)
    other = classifier()
    trained = other.train(args(parts, 6, resume=True, **options), photos, photos)
    assert trained.iterations == 6
    assert without_times(parts) == without_times(straight)
    assert len(losses(parts)) == 6
    assert_equal_tensors(newest(parts), newest(straight))
    assert one.origin == other.origin
    assert (straight / "model.onnx").read_bytes() == (parts / "model.onnx").read_bytes()


def test_a_detector_with_augmentations_resumes_exactly(tmp_path: Path) -> None:
    photos = boxes(tmp_path / "data", 5)
    options = {"augmentations": None, "workers": 2, **SCHEDULE}
    straight, parts = tmp_path / "straight", tmp_path / "parts"
    yolo().train(args(straight, 6, checkpointer_period=3, **options), photos, photos)
    stopped = yolo()
    with pytest.raises(KeyboardInterrupt):
        stopped.train(args(parts, 6, **options), photos, photos, loss=Interrupting(stopped.head, 3))
    assert newest(parts)["iteration"] == 3
    yolo().train(args(parts, 6, resume=True, **options), photos, photos)
    assert losses(parts) == losses(straight)
    assert_equal_tensors(newest(parts)["model"], newest(straight)["model"])
    assert {row["lr"] for row in losses(parts)} == {row["lr"] for row in losses(straight)}


def test_a_run_with_a_random_seed_resumes_with_it(tmp_path: Path) -> None:
    photos = boxes(tmp_path / "data", 6)
    options = {"seed": -1, "augmentations": None, "batch_size": 2, "eval_period": 2}
    parts, other, straight = tmp_path / "parts", tmp_path / "other", tmp_path / "straight"
    yolo().train(args(parts, 2, **options), photos, photos)
    yolo().train(args(other, 2, **options), photos, photos)
    seeds = [json.loads((each / "train_args.json").read_text())["seed"] for each in (parts, other)]
    assert min(seeds) >= 0
    assert seeds[0] != seeds[1]
    assert losses(parts) != losses(other)
    yolo().train(args(parts, 4, resume=True, **options), photos, photos)
    yolo().train(args(straight, 4, **{**options, "seed": seeds[0]}), photos, photos)
    assert losses(parts) == losses(straight)
    (parts / "train_args.json").write_text("{}")
    with pytest.raises(TrainingError, match="does not tell the seed of the run to resume"):
        yolo().train(args(parts, 6, resume=True, **options), photos, photos)


class Interrupting:
    """The loss of a head; at an iteration, it presses Ctrl-C."""

    def __init__(self, head: Any, iteration: int) -> None:
        from furiosa_models.training.losses import loss_of

        self._head, self._iteration, self._count = head, iteration, 0
        self._loss_of = loss_of

    def __call__(self, outputs: Any, targets: Any, size: tuple[int, int]) -> Any:
        self._count += 1
        if self._count == self._iteration:
            signal.raise_signal(signal.SIGINT)
        return self._loss_of(self._head)(outputs, targets, size)


def test_the_best_weights_of_a_finished_session_stay_the_best(tmp_path: Path) -> None:
    """The second session ruins the weights, and does not lose the best ones."""
    photos, run = squares(tmp_path / "data"), tmp_path / "run"
    first = classifier()
    best = first.train(args(run, 40, eval_period=40), photos, photos)
    assert best.best["top-1"] == 1.0
    assert not (run / "model_best.pth").exists()
    second = classifier()
    options = {"resume": True, "learning_rate": 10.0, "optimizer": "ADAMW"}
    trained = second.train(args(run, 42, **options), photos, photos)
    assert trained.best == best.best
    assert trained.best_iteration == best.best_iteration
    assert second.origin == first.origin
    assert Classifier(run).origin == first.origin


def start(tmp_path: Path, run: Path, iterations: int, **values: Any) -> subprocess.Popen[bytes]:
    given = {
        "folder": str(run),
        "data": str(tmp_path / "data"),
        "iterations": iterations,
        "values": values,
    }
    command = [sys.executable, "-m", "tests.e2e.training.child", json.dumps(given)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def wait_for(process: subprocess.Popen[bytes], run: Path, iteration: int) -> None:
    """Wait until a run has logged an iteration."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()[1].decode()[-2000:]
        if (run / "metrics.json").exists() and len(losses(run)) >= iteration:
            return
        time.sleep(0.02)
    raise TimeoutError


def test_a_killed_run_loses_at_most_a_checkpoint_period(tmp_path: Path) -> None:
    run, straight = tmp_path / "run", tmp_path / "straight"
    period = 3
    with start(tmp_path, run, 10_000, checkpointer_period=period) as process:
        wait_for(process, run, 8)
        process.send_signal(signal.SIGKILL)
    logged = int(losses(run)[-1]["iteration"])
    saved = newest(run)["iteration"]
    assert logged - period <= saved <= logged
    photos, last = squares(tmp_path / "data"), saved + 2
    classifier().train(args(run, last, resume=True), photos, photos)
    classifier().train(args(straight, last), photos, photos)
    assert losses(run) == losses(straight)
    assert_equal_tensors(newest(run)["model"], newest(straight)["model"])


def test_ctrl_c_leaves_a_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with start(tmp_path, run, 10_000) as process:
        wait_for(process, run, 2)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    assert newest(run)["iteration"] == losses(run)[-1]["iteration"] >= 2


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    photos, run = squares(tmp_path / "data"), tmp_path / "run"
    run.mkdir()
    (run / "notes.txt").write_text("mine")
    model = classifier()
    before = model.origin
    with pytest.raises(TrainingError, match=r"run is not empty: .*run_name, or set resume=True"):
        model.train(args(run, 1), photos, photos)
    assert [path.name for path in run.iterdir()] == ["notes.txt"]
    assert model.origin == before


def test_there_must_be_something_to_resume(tmp_path: Path) -> None:
    photos, run = squares(tmp_path / "data"), tmp_path / "run"
    with pytest.raises(TrainingError, match=r"run has no checkpoint to resume"):
        classifier().train(args(run, 1, resume=True), photos, photos)
    assert not run.exists()


@pytest.mark.parametrize("change", ["classes", "optimizer", "damage", "keys"])
def test_a_checkpoint_that_does_not_fit_is_an_error(tmp_path: Path, change: str) -> None:
    photos, run = squares(tmp_path / "data"), tmp_path / "run"
    classifier().train(args(run, 1), photos, photos)
    options: dict[str, Any] = {"resume": True}
    path = run / "model_0000001.pth"
    if change == "classes":
        from dataclasses import replace

        photos = replace(photos, classes=(*photos.classes, "fifth"))
    elif change == "optimizer":
        options["backbone_multiplier"] = 0.0
    elif change == "damage":
        path.write_bytes(path.read_bytes()[:5000])
    else:
        torch.save({"model": {}}, path)
    with pytest.raises(TrainingError, match=r"checkpoint"):
        classifier().train(args(run, 2, **options), photos, photos)


def test_two_processes_compute_what_one_computes(tmp_path: Path) -> None:
    """They share each batch; frozen normalization does not depend on the batch."""
    photos = squares(tmp_path / "data", 2)
    values = {"freeze_bn": True, "optimizer": "SGD", "learning_rate": 1e-3}
    one, two = tmp_path / "one", tmp_path / "two"
    classifier().train(args(one, 3, **values), photos, photos)
    given = {
        "folder": str(two),
        "data": str(tmp_path / "data"),
        "count": 2,
        "iterations": 3,
        "values": values,
    }
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    child = ["-m", "tests.e2e.training.child", json.dumps(given)]
    result = subprocess.run(
        [sys.executable, *launcher, *child],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    state, expected = newest(two)["model"], newest(one)["model"]
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        np.testing.assert_allclose(state[name].numpy(), tensor.numpy(), rtol=1e-5, atol=1e-5)
    for left, right in zip(losses(two), losses(one), strict=True):
        assert left["total_loss"] == pytest.approx(right["total_loss"], rel=1e-4)
    assert (two / "model.onnx").exists()


def test_a_batch_that_processes_cannot_share_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    photos = squares(tmp_path / "data")
    with pytest.raises(ValueError, match="multiple of the 3 processes, got 4"):
        classifier().train(args(tmp_path / "run", 1), photos, photos)
    assert not (tmp_path / "run").exists()
