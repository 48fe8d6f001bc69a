"""A fake furiosa-runtime with the API of its stubs; its programs negate their input."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import pytest

from furiosa_models.runtime.backends.furiosa import npu_problem

_COMMON = """
import collections
import numpy as np

calls = []

class FuriosaRuntimeError(Exception): ...
class SessionClosed(FuriosaRuntimeError): ...
class DeviceBusy(FuriosaRuntimeError): ...
class Odd(Exception): ...

class Desc:
    name, shape = "out", (1,)

class Model:
    def outputs(self): return [Desc()]
    def inputs(self): return [Desc()]
    def input(self, index): return self.inputs()[index]
    def summary(self): return "the vendor's summary"

def check(inputs):
    if not isinstance(inputs, np.ndarray):
        inputs, = inputs
    if inputs.dtype != np.uint8:
        raise TypeError("the vendor wants uint8")
    return inputs

def create(model, options, kind):
    calls.append((model, options))
    if model == b"busy":
        raise DeviceBusy("in use")
    if model == b"odd":
        raise Odd("something else")
    return kind()
"""
_SYNC = (
    _COMMON
    + """
class Runner:
    model = Model()
    closed = False
    def allocate(self): return [np.zeros(1, np.uint8)]
    def run(self, inputs):
        if self.closed: raise SessionClosed("closed")
        return [-check(inputs)]
    def run_with(self, names, inputs): return self.run(list(inputs.values()))
    def close(self): self.closed = True; return True

class Submitter:
    model = Model()
    def __init__(self, items): self.items = items
    def allocate(self): return [np.zeros(1, np.uint8)]
    def submit(self, inputs, context=None): self.items.append((context, [-check(inputs)]))
    def close(self): return True

class Receiver:
    model = Model()
    def __init__(self, items): self.items = items
    def recv(self, timeout=None):
        if not self.items: raise TimeoutError("none in time")
        return self.items.popleft()
    def close(self): return True

def pair():
    items = collections.deque()
    return Submitter(items), Receiver(items)

class Runtime:
    def __init__(self, device=None): calls.append(("Runtime", device)); self.closed = False
    def create_runner(self, model, **options): return create(model, options, Runner)
    def create_queue(self, model, **options): return create(model, options, pair)
    def close(self): self.closed = True; calls.append("Runtime closed"); return True

def create_runner(model, **options): return create(model, options, Runner)
def create_queue(model, **options): return create(model, options, pair)
"""
)
_ASYNC = """
from . import sync

class Runner:
    model = sync.Model()
    def __init__(self): self.runner = sync.Runner()
    def allocate(self): return self.runner.allocate()
    async def run(self, inputs): return self.runner.run(inputs)
    async def run_with(self, names, inputs): return self.runner.run_with(names, inputs)
    async def close(self): return self.runner.close()

class Submitter:
    model = sync.Model()
    def __init__(self, end): self.end = end
    def allocate(self): return self.end.allocate()
    async def submit(self, inputs, context=None): self.end.submit(inputs, context)
    async def close(self): return True

class Receiver:
    model = sync.Model()
    def __init__(self, end): self.end = end
    async def recv(self): return self.end.recv()
    async def close(self): return True

def pair():
    submitter, receiver = sync.pair()
    return Submitter(submitter), Receiver(receiver)

class Runtime:
    def __init__(self, device=None): sync.calls.append(("Runtime", device))
    async def create_runner(self, model, **options): return sync.create(model, options, Runner)
    async def create_queue(self, model, **options): return sync.create(model, options, pair)
    async def close(self): sync.calls.append("Runtime closed"); return True

async def create_runner(model, **options): return sync.create(model, options, Runner)
async def create_queue(model, **options): return sync.create(model, options, pair)
"""


def install(monkeypatch: pytest.MonkeyPatch, folder: Path, body: str = _ASYNC) -> None:
    """Put a package `furiosa.runtime` with this `__init__.py` on the path."""
    package = folder / "furiosa" / "runtime"
    package.mkdir(parents=True)
    (folder / "furiosa" / "__init__.py").touch()
    (package / "__init__.py").write_text(body)
    (package / "sync.py").write_text(_SYNC)
    forget()
    monkeypatch.syspath_prepend(str(folder))


def install_with_device(monkeypatch: pytest.MonkeyPatch, folder: Path) -> list[Any]:
    """Install the fake runtime and a device file; return the list of calls."""
    install(monkeypatch, folder)
    monkeypatch.setattr("furiosa_models.runtime.backends.furiosa._DEVICE_FILES", "null")
    calls: list[Any] = importlib.import_module("furiosa.runtime.sync").calls
    return calls


def forget() -> None:
    """Undo the effects of importing it."""
    npu_problem.cache_clear()
    for name in [name for name in sys.modules if name.partition(".")[0] == "furiosa"]:
        del sys.modules[name]
