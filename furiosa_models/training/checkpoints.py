"""Checkpoints of a run: complete or absent, even if the process is killed while it writes one."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import torch

from ..errors import TrainingError
from ..output import replace_file, replacement
from ..saved import STATE

__all__ = ["Checkpoints"]

_NEWEST = "last_checkpoint"
_BEST = "model_best.pth"


class Checkpoints:
    """Checkpoints in the folder of a run.

    Args:
        folder: The folder.
        limit: Number of checkpoints to keep.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit

    def save(self, iteration: int, state: Mapping[str, Any]) -> None:
        """Write the checkpoint of an iteration, and remove old ones."""
        name = f"model_{iteration:07d}.pth"
        _save(self._folder / name, state)
        replace_file(self._folder / _NEWEST, name.encode())
        others = sorted(self._folder.glob("model_[0-9]*.pth"))
        for old in others[: -self._limit]:
            if old.name != name:
                old.unlink(missing_ok=True)

    def newest(self, device: torch.device) -> dict[str, Any] | None:
        """Return the newest checkpoint, or None.

        Raises:
            TrainingError: It cannot be read.
        """
        pointer = self._folder / _NEWEST
        if not pointer.is_file():
            return None
        name = pointer.read_text(encoding="utf-8", errors="replace").strip()
        if not re.fullmatch(r"model_\d+\.pth", name):
            msg = f"{pointer} must name a checkpoint, such as model_0000100.pth, got {name[:60]!r}"
            raise TrainingError(msg)
        return _load(self._folder / name, device)

    def save_best(self, state: Mapping[str, Any]) -> None:
        """Write the weights of the best evaluation."""
        _save(self._folder / _BEST, {"model": dict(state)})

    def best(self) -> dict[str, Any] | None:
        """Return the weights of the best evaluation, or None."""
        path = self._folder / _BEST
        if not path.is_file():
            return None
        found: dict[str, Any] = _load(path, torch.device("cpu"))["model"]
        return found

    def finish(self) -> None:
        """Remove what a finished run does not need: the best weights are those of the model."""
        (self._folder / _BEST).unlink(missing_ok=True)

    def final(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the weights of the model, if a session of this run has finished."""
        path = self._folder / STATE
        if not path.is_file():
            return None
        tensors = _load(path, torch.device("cpu"))["model"]
        return {name: tensor.numpy() for name, tensor in tensors.items()}


def _save(path: Path, state: Mapping[str, Any]) -> None:
    with replacement(path) as file:
        torch.save(dict(state), file)


def _load(path: Path, device: torch.device) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
    except (OSError, RuntimeError, pickle.UnpicklingError, EOFError, KeyError) as error:
        msg = f"{path} is not a checkpoint of a run: {type(error).__name__}: {error}"
        raise TrainingError(msg) from error
    return state
