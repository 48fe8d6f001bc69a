"""What a hub is, and how models on hubs are referred to."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Protocol

from ..errors import HubError
from ..model_info import ModelInfo
from ..saved import INFO, is_saved

__all__ = ["Hub", "Pushed", "check_name", "files_of", "info_of", "split_version"]

_NAME = re.compile(r"[A-Za-z0-9_][\w.+-]{0,199}")
_PASSING = (
    ".*",
    "*.lock",
    "*.partial",
    "*.tmp",
    "hub.json",
    "last_checkpoint",
    "model_[0-9]*.pth",
    "model_best.pth",
)
"""Names of files that are not part of a model: hidden ones, and those of an unfinished run."""


@dataclass(frozen=True)
class Pushed:
    """A model that was pushed.

    Attributes:
        ref: Its reference, which `pull` takes.
        version: Its version, if the hub has versions.
    """

    ref: str
    version: str | None = None

    def __str__(self) -> str:
        return self.ref


class Hub(Protocol):
    """A place that models are pushed to and pulled from, as folders of saved models."""

    def push(
        self, folder: Path, name: str, *, private: bool | None = None, message: str | None = None
    ) -> Pushed:
        """Push a saved model.

        Args:
            folder: Folder of the saved model.
            name: Name of the model on the hub, in the form of the hub.
            private: Whether only its owner may read it; None for the default of the hub.
            message: What is new.

        Raises:
            HubError: The folder is not a saved model, or the hub does not take it.
        """

    def pull(self, name: str, *, cache: bool = True) -> Path:
        """Return the folder of a model in the cache, complete and verified.

        Args:
            name: Name of the model on the hub, in the form of the hub.
            cache: Whether files that are in the cache already are used.

        Raises:
            HubError: The hub has no such model, fails, or is not asked because
                `FURIOSA_MODELS_OFFLINE` is set.
            ArtifactCorrupted: It delivers other bytes than were pushed.
        """


def check_name(name: str, what: str) -> str:
    """Check that a text can be part of a URL and of a path, and return it.

    Raises:
        HubError: It cannot.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        msg = f"{what} must be letters, digits, '.', '_', '+' and '-', got {str(name)[:80]!r}"
        raise HubError(msg)
    return name


def split_version(name: str) -> tuple[str, str | None]:
    """Return the parts of `NAME` or `NAME@VERSION`.

    Raises:
        HubError: The version is empty.
    """
    plain, at, version = name.rpartition("@")
    if not at:
        return name, None
    if not version:
        msg = f"{name!r} ends in '@': expected a version after it"
        raise HubError(msg)
    return plain, version


def info_of(folder: str | os.PathLike[str]) -> ModelInfo:
    """Return the description of the saved model in a folder.

    Raises:
        HubError: The folder is not that of a saved model.
        WeightsError: `model_info.json` is not valid.
    """
    if not is_saved(folder):
        msg = f"{os.fspath(folder)} has no {INFO}: expected the folder of a saved model"
        raise HubError(msg)
    return ModelInfo.from_json(Path(folder) / INFO)


def files_of(folder: Path) -> list[Path]:
    """Return the files of a saved model: those in its folder, without hidden and passing ones.

    Raises:
        HubError: The folder has a link that leaves it, or no weights.
    """
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.is_file() and not any(fnmatchcase(path.name, form) for form in _PASSING)
    ]
    for path in found:
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            msg = f"{path} links to {path.resolve()}, which is not in its folder: copy it there"
            raise HubError(msg)
    if len(found) < 2:
        msg = f"{folder} has no file beside {INFO}: expected the weights of the model"
        raise HubError(msg)
    return found
