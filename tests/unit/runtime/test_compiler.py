from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from furiosa_models.errors import CompilationError
from furiosa_models.runtime.compiler import Compiler, find_compiler, is_same_version

from .fake_compiler import IR_VERSION, VERSION, FakeCompiler


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeCompiler:
    return FakeCompiler(monkeypatch, tmp_path)


@pytest.fixture
def compiler(fake: FakeCompiler) -> Compiler:  # noqa: ARG001
    found = find_compiler()
    assert found is not None
    return found


def test_machine_without_a_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_compiler() is None


@pytest.mark.parametrize(
    ("answer", "ir_version"),
    [
        (VERSION, IR_VERSION),
        ("Furiosa SDK Compiler v0.10.0 (f8f05c8ea 2023-07-31T19:30:30Z)", "0.10.0_f8f05c8ea"),
    ],
)
def test_compiler_version_is_read(fake: FakeCompiler, answer: str, ir_version: str) -> None:
    fake.say(answer)
    found = find_compiler()
    assert found is not None
    assert found.ir_version == ir_version
    assert str(found) == f"furiosa-compiler {ir_version}"


def test_new_version_is_detected(fake: FakeCompiler, compiler: Compiler) -> None:
    assert find_compiler() == compiler
    time.sleep(0.01)
    fake.say(VERSION.replace("0.10.1", "0.11.0"))
    found = find_compiler()
    assert found is not None
    assert found.version == "0.11.0"


@pytest.mark.parametrize("answer", ["", "hello"])
def test_compiler_with_an_unknown_version_is_ignored(
    fake: FakeCompiler, answer: str, caplog: pytest.LogCaptureFixture
) -> None:
    fake.say(answer)
    assert find_compiler() is None
    assert "continuing without it" in caplog.text


def test_compiler_without_a_version_is_ignored(
    fake: FakeCompiler, caplog: pytest.LogCaptureFixture
) -> None:
    fake.behave("mute")
    assert find_compiler() is None
    assert "does not report its version" in caplog.text


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("0.10.1_8b00177dc", "0.10.1_8b00177dc", True),
        ("0.10.1_8b00177", "0.10.1_8b00177dc", True),
        ("0.10.1_8b00177dc", "0.10.1_8b00177", True),
        ("0.10.1", "0.10.1_8b00177dc", True),
        ("0.10.1_8b00177dc", "0.10.0_8b00177dc", False),
        ("0.10.1_8b00177dc", "0.10.1_f8f05c8ea", False),
        ("0.10.1_8b00177dc", "", False),
    ],
)
def test_versions_are_compared(one: str, other: str, same: bool) -> None:
    assert is_same_version(one, other) is same


def test_models_are_compiled(fake: FakeCompiler, compiler: Compiler) -> None:
    assert compiler.compile(b"a model", 2) == b"ENF warboy-2pe of 7 bytes"
    assert compiler.compile(b"a model", 1) == b"ENF warboy of 7 bytes"
    assert fake.model == b"a model"
    assert fake.calls == ["warboy-2pe", "warboy"]


def test_error_contains_the_output_of_the_compiler(fake: FakeCompiler, compiler: Compiler) -> None:
    fake.behave("fail")
    with pytest.raises(CompilationError, match=r"exit code 101.*\n.*unsupported operator: Selu"):
        compiler.compile(b"a model", 2)


def test_success_without_a_program_is_an_error(fake: FakeCompiler, compiler: Compiler) -> None:
    fake.behave("empty")
    with pytest.raises(CompilationError, match="wrote no program for warboy"):
        compiler.compile(b"a model", 1)


def test_hanging_compiler_is_killed_with_its_children(
    fake: FakeCompiler, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.behave("hang")
    monkeypatch.setenv("FURIOSA_MODELS_COMPILE_TIMEOUT", "1.5")
    with pytest.raises(CompilationError, match=r"longer than 1\.5 s.*COMPILE_TIMEOUT"):
        compiler.compile(b"a model", 2)
    child = int((fake.folder / "child").read_text())
    deadline = time.monotonic() + 5
    while _is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _is_alive(child)


def _is_alive(pid: int) -> bool:
    """Return whether a process runs; a zombie does not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("limit", ["", "soon", "0", "-1", "nan"])
def test_invalid_timeout_is_rejected(
    compiler: Compiler, monkeypatch: pytest.MonkeyPatch, limit: str
) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_COMPILE_TIMEOUT", limit)
    with pytest.raises(ValueError, match="set it to a number of seconds"):
        compiler.compile(b"a model", 2)
