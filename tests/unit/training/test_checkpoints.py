"""Checkpoints: complete, or absent."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from furiosa_models.errors import TrainingError
from furiosa_models.networks.writers import to_pytorch
from furiosa_models.saved import STATE
from furiosa_models.training.checkpoints import Checkpoints

pytestmark = pytest.mark.torch

CPU = torch.device("cpu")
WRITER = """
import sys, torch
from pathlib import Path
from furiosa_models.networks.writers import to_pytorch
from furiosa_models.saved import STATE
from furiosa_models.training.checkpoints import Checkpoints
checkpoints = Checkpoints(Path(sys.argv[1]), int(sys.argv[2]))
for iteration in range(1, 1 << 30):
    tensor = torch.full((200_000,), float(iteration))
    checkpoints.save(iteration, {"model": tensor, "iteration": iteration})
    checkpoints.save_best({"model": tensor})
"""


@pytest.mark.parametrize("delay", [0.05, 0.11, 0.23])
@pytest.mark.parametrize("limit", [1, 3])
def test_the_newest_checkpoint_is_complete_whenever_a_process_is_killed(
    tmp_path: Path, delay: float, limit: int
) -> None:
    command = [sys.executable, "-c", WRITER, str(tmp_path / "run"), str(limit)]
    with subprocess.Popen(command) as process:
        while not (tmp_path / "run" / "model_best.pth").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
    checkpoints = Checkpoints(tmp_path / "run", limit)
    state = checkpoints.newest(CPU)
    assert state is not None
    iteration = state["iteration"]
    assert iteration >= 1
    assert (state["model"] == iteration).all()
    best = checkpoints.best()
    assert best is not None
    assert iteration - 1 <= float(best["model"][0]) <= iteration
    checkpoints.save(iteration + 1, {"model": torch.zeros(1), "iteration": iteration + 1})
    kept = sorted(path.name for path in (tmp_path / "run").glob("model_0*.pth"))
    assert kept[-1] == f"model_{iteration + 1:07d}.pth"
    assert len(kept) <= limit


def test_as_many_checkpoints_are_kept_as_asked_for(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 2)
    for iteration in (1, 2, 5, 9, 10):
        checkpoints.save(iteration, {"iteration": iteration})
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["last_checkpoint", "model_0000009.pth", "model_0000010.pth"]
    assert (tmp_path / "last_checkpoint").read_text() == "model_0000010.pth"
    state = checkpoints.newest(CPU)
    assert state is not None
    assert state["iteration"] == 10


def test_an_earlier_iteration_is_the_newest_after_it_was_saved(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save(10, {"iteration": 10})
    checkpoints.save(5, {"iteration": 5})  # of a run that went back
    state = checkpoints.newest(CPU)
    assert state is not None
    assert state["iteration"] == 5


def test_an_empty_folder_has_no_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "none", 1)
    assert checkpoints.newest(CPU) is None
    assert checkpoints.best() is None
    assert checkpoints.final() is None


def test_the_best_weights_become_those_of_the_model(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save_best({"a": torch.ones(2)})
    arrays = {"a.weight": np.arange(3, dtype=np.float32), "n": np.array(4)}
    (tmp_path / STATE).write_bytes(to_pytorch(arrays))
    checkpoints.finish()
    assert checkpoints.best() is None
    assert [path.name for path in tmp_path.iterdir()] == ["model_final.pth"]
    final = checkpoints.final()
    assert final is not None
    np.testing.assert_array_equal(final["a.weight"], [0, 1, 2])
    assert final["n"] == 4


def test_a_damaged_checkpoint_is_an_error(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, 1)
    checkpoints.save(3, {"model": torch.arange(1000), "iteration": 3})
    path = tmp_path / "model_0000003.pth"
    data = path.read_bytes()
    step = len(data) // 30
    for length in [*range(0, len(data), step)]:
        path.write_bytes(data[:length])
        with pytest.raises(TrainingError, match=r"model_0000003\.pth is not a checkpoint of a run"):
            checkpoints.newest(CPU)


def test_a_missing_checkpoint_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "last_checkpoint").write_text("model_0000003.pth")
    with pytest.raises(TrainingError, match=r"model_0000003\.pth is not a checkpoint"):
        Checkpoints(tmp_path, 1).newest(CPU)


def test_a_pointer_out_of_the_folder_is_an_error(tmp_path: Path) -> None:
    torch.save({"iteration": 1}, tmp_path / "outside.pth")
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("../outside.pth", str(tmp_path / "outside.pth"), "", "\0", "a\nb"):
        (folder / "last_checkpoint").write_text(name)
        with pytest.raises(TrainingError, match="last_checkpoint"):
            Checkpoints(folder, 1).newest(CPU)
    (folder / "last_checkpoint").write_bytes(b"\xff\xfe")
    with pytest.raises(TrainingError, match="last_checkpoint"):
        Checkpoints(folder, 1).newest(CPU)


def test_code_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return exec, (f"open({str(tmp_path / 'executed')!r}, 'w')",)

    torch.save({"model": Evil()}, tmp_path / "model_0000001.pth")
    (tmp_path / "last_checkpoint").write_text("model_0000001.pth")
    with pytest.raises(TrainingError, match="is not a checkpoint"):
        Checkpoints(tmp_path, 1).newest(CPU)
    assert not (tmp_path / "executed").exists()
