from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

from furiosa_models import networks
from furiosa_models.artifacts import Store
from furiosa_models.artifacts.store import Built
from furiosa_models.cli.cache_ import command as cache
from furiosa_models.runtime import compiled
from furiosa_models.runtime.backends import Setup, onnxruntime
from furiosa_models.runtime.backends.onnxruntime import OnnxRuntimeBackend

PIXELS = np.random.default_rng(0).random((1, 3, 32, 32), np.float32)


def graph() -> onnx.ModelProto:
    """Build layers with 1.5 MB of weights, whose layout ONNX Runtime changes."""
    rng = np.random.default_rng(1)
    shapes = {"w1": (16, 3, 3, 3), "w2": (32, 16, 3, 3), "w3": (32 * 32 * 32, 12)}
    weights = [
        numpy_helper.from_array(rng.normal(size=shape).astype(np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w1"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "w2"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("MatMul", ["d", "w3"], ["y"]),
    ]
    body = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 12])],
        weights,
    )
    return helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


MODEL = networks.to_bytes(graph())


def outputs(model: bytes | str | Built) -> npt.NDArray[np.float32]:
    (result,) = OnnxRuntimeBackend().load(model, Setup()).run(PIXELS)
    return result


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> npt.NDArray[np.float32]:
    """Outputs of a session without the cache."""
    with monkeypatch.context() as context:
        context.setenv("FURIOSA_MODELS_COMPILED", "0")
        result = outputs(MODEL)
    assert compiled.entries() == []
    return result


def test_second_session_uses_the_cache(
    plain: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    np.testing.assert_array_equal(outputs(MODEL), plain)
    (entry,) = compiled.entries()
    assert entry.is_current
    assert entry.size > len(MODEL)
    assert {path.name for path in entry.path.iterdir()} == {
        "entry.json",
        "model.onnx",
        "weights.bin",
    }
    monkeypatch.setattr(compiled, "_compile", None)  # compilation would fail now
    np.testing.assert_array_equal(outputs(MODEL), plain)


def test_bytes_and_file_of_a_model_share_an_entry(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL)
    np.testing.assert_array_equal(outputs(str(path)), outputs(MODEL))
    assert len(compiled.entries()) == 1


def built(calls: list[int], model: bytes = MODEL) -> Built:
    def build() -> bytes:
        calls.append(1)
        return model

    return Built(Store(), "ab" * 32, build)


def test_program_is_built_once_if_its_compiled_form_is_cached() -> None:
    calls: list[int] = []
    plain = outputs(MODEL)
    compiled.remove()
    for _ in range(3):
        np.testing.assert_array_equal(outputs(built(calls)), plain)
    assert calls == [1]
    assert [entry.model for entry in compiled.entries()] == [hashlib.sha256(MODEL).hexdigest()]
    assert not (Store().root / "objects").exists()  # the program itself is not stored
    compiled.remove()
    np.testing.assert_array_equal(outputs(built(calls)), plain)
    assert calls == [1, 1]


def test_program_is_built_each_time_without_the_cache(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_COMPILED", "0")
    calls: list[int] = []
    np.testing.assert_array_equal(outputs(built(calls)), outputs(built(calls)))
    assert calls == [1, 1]


def test_wrong_recorded_program_hash_is_corrected() -> None:
    calls: list[int] = []
    plain = outputs(MODEL)
    Store().note("ab" * 32, "cd" * 32)
    np.testing.assert_array_equal(outputs(built(calls)), plain)
    assert Store().digest("ab" * 32) == hashlib.sha256(MODEL).hexdigest()
    assert len(compiled.entries()) == 1


@pytest.mark.parametrize("damage", ["truncate", "remove", "garble", "empty entry"])
def test_damaged_entry_is_recompiled(plain: npt.NDArray[np.float32], damage: str) -> None:
    outputs(MODEL)
    (entry,) = compiled.entries()
    weights = entry.path / "weights.bin"
    match damage:
        case "truncate":
            os.truncate(weights, 100)
        case "remove":
            weights.unlink()
        case "garble":
            weights.write_bytes(bytes(weights.stat().st_size))
        case "empty entry":
            (entry.path / "entry.json").write_text("")
    np.testing.assert_array_equal(outputs(MODEL), plain)
    np.testing.assert_array_equal(outputs(MODEL), plain)
    (again,) = compiled.entries()
    assert again.is_current


@pytest.mark.parametrize("damage", ["weights", "entry"])
def test_cache_verify_finds_damaged_programs(damage: str) -> None:
    outputs(MODEL)
    assert CliRunner().invoke(cache, ["verify"]).exit_code == 0
    (entry,) = compiled.entries()
    if damage == "entry":
        (entry.path / "entry.json").write_text("[]")
    else:
        weights = entry.path / "weights.bin"
        stat = weights.stat()
        with weights.open("r+b") as file:  # in place: size and inode stay the same
            file.write(b"\xff" * 8)
        os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert [each.path for each in compiled.damaged()] == [entry.path]
    assert CliRunner().invoke(cache, ["verify"]).exit_code == 1
    assert CliRunner().invoke(cache, ["verify", "--remove"]).exit_code == 1
    assert CliRunner().invoke(cache, ["verify"]).exit_code == 0
    assert compiled.entries() == []


def test_compilation_of_another_process_is_not_damaged() -> None:
    """Before, `cache verify --remove` deleted the files of a running compilation."""
    outputs(MODEL)
    scratch = compiled.home() / "new-abc"
    scratch.mkdir()
    (scratch / "weights.bin").write_bytes(b"1234")
    assert len(compiled.entries()) == 1
    assert CliRunner().invoke(cache, ["verify", "--remove"]).exit_code == 0
    assert CliRunner().invoke(cache, ["prune"]).exit_code == 0  # not while others compile
    assert not scratch.exists()
    assert len(compiled.entries()) == 1


@pytest.mark.parametrize("how", ["whole seconds", "new times", "another inode"])
def test_copied_cache_is_used_as_is(
    plain: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, how: str
) -> None:
    outputs(MODEL)
    copied = tmp_path / "copied"
    copy = shutil.copyfile if how == "new times" else shutil.copy2
    shutil.copytree(compiled.home().parent, copied, copy_function=copy)
    if how == "whole seconds":  # as in layers of container images
        for path in copied.rglob("*"):
            os.utime(path, (int(path.stat().st_mtime),) * 2)
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(copied))
    hashes = Mock(wraps=compiled._hashes)
    monkeypatch.setattr(compiled, "_hashes", hashes)
    monkeypatch.setattr(compiled, "_compile", None)  # compilation would fail now
    for _ in range(3):
        np.testing.assert_array_equal(outputs(MODEL), plain)
    hashes.assert_called_once()  # its stamp has been recorded


@pytest.mark.parametrize("how", ["another file", "in place"])
def test_changed_bytes_of_the_same_size_and_time_are_detected(
    plain: npt.NDArray[np.float32], how: str
) -> None:
    outputs(MODEL)
    (entry,) = compiled.entries()
    weights = entry.path / "weights.bin"
    stat = weights.stat()
    poisoned = weights if how == "in place" else weights.with_name("poisoned")
    with poisoned.open("r+b" if how == "in place" else "wb") as file:
        file.write(bytes(stat.st_size))
    os.utime(poisoned, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    poisoned.replace(weights)
    np.testing.assert_array_equal(outputs(MODEL), plain)


@pytest.mark.parametrize("change", ["library_version", "cpu_fingerprint"])
def test_other_machine_or_version_has_its_own_entry(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    outputs(MODEL)
    monkeypatch.setattr(onnxruntime, change, lambda *_: "another")
    outputs(MODEL)
    old, new = compiled.entries()
    assert (old.is_current, new.is_current) == (False, True)


def test_entries_are_removed() -> None:
    outputs(MODEL)
    (entry,) = compiled.entries()
    (entry.path / "entry.json").write_text(json.dumps({"model": "?"}))
    assert not compiled.entries()[0].is_current
    assert compiled.remove([]) == 0
    assert compiled.remove() > len(MODEL)
    assert compiled.entries() == []


def test_small_models_and_models_with_external_data_are_not_cached(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    outer = graph()
    onnx.save(outer, str(path), save_as_external_data=True, location="outer", size_threshold=1000)
    with path.open("ab") as file:  # a large file, as its graph may be
        note = onnx.ModelProto(doc_string="x" * (1 << 20))
        file.write(note.SerializeToString())
    expected = outputs(str(path))
    assert compiled.entries() == []
    np.testing.assert_array_equal(expected, outputs(MODEL))


@pytest.mark.skipif(os.name == "nt", reason="folders are not read-only on Windows")
def test_models_run_with_an_unwritable_cache(
    plain: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    blocked = tmp_path / "file"
    blocked.touch()
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(blocked))
    np.testing.assert_array_equal(outputs(MODEL), plain)


def test_models_run_if_they_cannot_be_cached(
    plain: npt.NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        msg = "no space left"
        raise RuntimeError(msg)

    monkeypatch.setattr(onnxruntime._Loader, "compile", refuse)
    np.testing.assert_array_equal(outputs(MODEL), plain)
    assert compiled.entries() == []


def test_concurrent_processes_make_one_entry(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(MODEL)
    code = (
        "import sys; from furiosa_models.runtime.backends import Setup, find_backend;"
        "find_backend('onnxruntime').load(sys.argv[1], Setup())"
    )
    processes = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    assert len(compiled.entries()) == 1
    assert not [*compiled.home().glob("new-*")]
