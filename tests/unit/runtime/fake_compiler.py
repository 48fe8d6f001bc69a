"""A fake `furiosa-compiler` with the documented options and exit codes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

IR_VERSION = "0.10.1_8b00177dc"

_SCRIPT = """#!{python}
import os, pathlib, subprocess, sys, time

here = pathlib.Path(__file__).parent
mode = (here / "mode").read_text()
if sys.argv[1:] == ["--version"]:
    if mode == "mute":
        sys.exit(1)
    print((here / "version").read_text())
    sys.exit()
source, option, output, target, npu = sys.argv[1:]
assert (option, target) == ("-o", "--target-npu") and npu in ("warboy", "warboy-2pe")
with (here / "calls").open("a") as calls:
    calls.write(npu + "\\n")
model = pathlib.Path(source).read_bytes()
(here / "model.onnx").write_bytes(model)
if mode == "slow":
    time.sleep(0.3)
if mode == "hang":
    print("[1/6] compiling", flush=True)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    (here / "child").write_text(str(child.pid))
    child.wait()
if mode != "empty":
    pathlib.Path(output).write_bytes(f"ENF {{npu}} of {{len(model)}} bytes".encode())
if mode == "fail":
    print("error: unsupported operator: Selu", file=sys.stderr)
    sys.exit(101)
"""

VERSION = """libcompiler:
- version: 9.9.9
- revision: ffffffff
backend:
- version: 0.10.1
- revision: 8b00177dc
- built_at: 2025-01-08T02:00:45Z"""


class FakeCompiler:
    """The fake command, the only one on `PATH`, and a record of its calls.

    Args:
        monkeypatch: Changes `PATH`.
        folder: The folder of the command.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder / "compiler"
        self.folder.mkdir()
        self.path = self.folder / "furiosa-compiler"
        self.path.write_text(_SCRIPT.format(python=sys.executable))
        self.path.chmod(0o755)
        self.behave("well")
        self.say(VERSION)
        monkeypatch.setenv("PATH", str(self.folder))

    def behave(self, mode: str) -> None:
        """Set the behavior: `well`, `slow`, `fail`, `empty`, `hang`, or `mute` (no version)."""
        (self.folder / "mode").write_text(mode)

    def say(self, version: str) -> None:
        """Set the output of `--version`; the command counts as changed."""
        (self.folder / "version").write_text(version)
        self.path.touch()

    @property
    def calls(self) -> list[str]:
        """The NPU of each call."""
        path = self.folder / "calls"
        return path.read_text().split() if path.exists() else []

    @property
    def model(self) -> bytes:
        """The model of the last call."""
        return (self.folder / "model.onnx").read_bytes()
