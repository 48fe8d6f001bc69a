"""Files that contain more than a network: PyTorch would execute them."""

from __future__ import annotations

import io
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from furiosa_models.errors import WeightsError
from furiosa_models.frameworks import wrap

from . import stock

pytestmark = pytest.mark.torch


class Creates:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    torch.export.save(program, tmp_path / "program.pt2")
    return tmp_path / "program.pt2"


def patched(path: Path, change: Callable[[str, bytes], bytes]) -> Path:
    """Write an archive with other members, and return its path."""
    changed = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(changed, "w") as output:
        for name in archive.namelist():
            output.writestr(name, change(name, archive.read(name)))
    return changed


def test_objects_in_a_program_are_not_unpickled(exported: Path, tmp_path: Path) -> None:
    target = tmp_path / "created"

    def change(name: str, data: bytes) -> bytes:
        if "sample_inputs" not in name:
            return data
        stream = io.BytesIO()
        torch.save({"x": Creates(target)}, stream)
        return stream.getvalue()

    with pytest.raises(WeightsError, match="would execute more than operations of PyTorch"):
        wrap(patched(exported, change))
    assert not target.exists()


def test_functions_in_a_program_are_not_called(exported: Path) -> None:
    def change(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json") and not name.endswith("models/program.json"):
            return data
        return data.replace(b"torch.ops.aten.linear.default", b"torch.os.system")

    with pytest.raises(WeightsError, match=r"has the function 'torch\.os\.system'"):
        wrap(patched(exported, change))


def test_an_unchanged_program_is_loaded(exported: Path) -> None:
    inputs = torch.rand(1, 2)
    found = wrap(patched(exported, lambda _, data: data)).run(inputs.numpy())
    torch.manual_seed(0)
    assert stock.difference(found, stock.called(torch.nn.Linear(2, 2), inputs)) == 0


@pytest.mark.parametrize("length", [100, 1000, 3000])
def test_a_program_that_ends_early_is_an_error(exported: Path, length: int) -> None:
    exported.write_bytes(exported.read_bytes()[:length])
    with pytest.raises(WeightsError):
        wrap(exported)


@pytest.mark.parametrize("name", ["code/x.py", "models/model.json"])
def test_archives_of_nothing_else_are_errors(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr(f"x/{name}", "{}")
    with pytest.raises(WeightsError, match="cannot be loaded by PyTorch"):
        wrap(tmp_path / "x.pt")
