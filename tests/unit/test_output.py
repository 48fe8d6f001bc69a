from __future__ import annotations

import os
from pathlib import Path

import pytest

from furiosa_models.errors import FuriosaModelsError
from furiosa_models.output import new_file, new_folder, replace_file


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_twice(target: Path) -> None:
    """Write a file with `new_file` that appears meanwhile."""
    with new_file(target) as partial:
        partial.write_text("ours")
        target.write_text("mine")


def test_new_file_appears_whole_with_the_files_beside_it(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "net.onnx"
    with new_file(target) as partial:
        partial.write_bytes(b"graph")
        partial.with_name("net.onnx.data").write_bytes(b"weights")
        assert not target.exists()
    assert target.read_bytes() == b"graph"
    assert names_in(target.parent) == ["net.onnx", "net.onnx.data"]


def test_existing_files_are_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "net.onnx"
    target.write_text("mine")
    with (
        pytest.raises(FuriosaModelsError, match="already exists: save to a new file"),
        new_file(target),
    ):
        pytest.fail("the block must not run")
    assert target.read_text() == "mine"


def test_file_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "net.onnx"
    with pytest.raises(FuriosaModelsError, match="already exists"):
        write_twice(target)
    assert target.read_text() == "mine"
    assert names_in(tmp_path) == ["net.onnx"]


@pytest.mark.parametrize("make", [new_file, new_folder])
def test_failure_leaves_nothing(tmp_path: Path, make: type) -> None:
    with pytest.raises(RuntimeError), make(tmp_path / "out"):
        raise RuntimeError
    assert names_in(tmp_path) == []


def test_folder_with_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("kept")
    with (
        pytest.raises(FuriosaModelsError, match="save to a new folder"),
        new_folder(tmp_path / "out"),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "out" / "mine").read_text() == "kept"


def test_empty_folder_is_used(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with new_folder(tmp_path / "out") as partial:
        (partial / "a").write_text("1")
    assert names_in(tmp_path / "out") == ["a"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_places_are_reported(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FuriosaModelsError, match="cannot be written"), new_file(tmp_path / "x"):
        pytest.fail("the block must not run")


def test_file_in_the_way_of_a_folder_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(FuriosaModelsError, match="cannot be written"),
        new_folder(tmp_path / "file" / "out"),
    ):
        pytest.fail("the block must not run")


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    for data in (b"first", b"second"):
        replace_file(path, data)
        assert path.read_bytes() == data
    assert [each.name for each in path.parent.iterdir()] == ["file"]
    assert path.stat().st_mode & 0o200  # the user may edit it
    with pytest.raises(FuriosaModelsError, match=r"file/below cannot be written"):
        replace_file(path / "below", b"data")
