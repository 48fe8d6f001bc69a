"""User-defined backends."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from furiosa_models import runtime
from furiosa_models.errors import BackendUnavailable
from furiosa_models.runtime import backends, compiled, doctor, session
from furiosa_models.runtime.backends import Backend, Session, Setup, register_backend
from furiosa_models.runtime.backends.base import Arrays
from furiosa_models.runtime.devices import choose
from furiosa_models.runtime.errors import FuriosaRuntimeError
from furiosa_models.runtime.machine import available_cpus, cpus_per_worker
from furiosa_models.runtime.sync import Runtime, create_queue, create_runner
from furiosa_models.runtime.tensor import DataType, Model, TensorDesc
from furiosa_models.vision import EfficientNetLite0

from . import tiny_tflite
from .tiny import X, make_model

SETUPS: list[Setup] = []


class NegatingSession(Session):
    """A session whose output is the input, negated."""

    def execute(self, tensors: Arrays, output_names: Sequence[str] | None) -> Arrays:
        assert output_names in (None, ["y"])
        if tensors[0].flat[0] == 13:
            msg = "unlucky"
            raise ArithmeticError(msg)
        return [-tensors[0]]


class Negating(Backend):
    """A minimal backend."""

    name = "negating"

    def load(self, program: Any, setup: Setup) -> Session:
        if program == b"bad":
            msg = "it is bad"
            raise ArithmeticError(msg)
        SETUPS.append(setup)
        desc = TensorDesc("x", X.shape, DataType.FLOAT32)
        return NegatingSession(self, Model([desc], [TensorDesc("y", X.shape, DataType.FLOAT32)]))


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    SETUPS.clear()
    yield
    backends._registered.clear()


def test_runner_and_queue_of_a_registered_backend() -> None:
    register_backend(Negating())
    with create_runner(make_model(), device="negating", batch_size=5) as runner:
        assert runner.backend == "negating"
        assert runner.choice.reason == "the argument device requests 'negating'"
        np.testing.assert_array_equal(runner.run(X)[0], -X)
        np.testing.assert_array_equal(runner.run_with(["y"], {"x": X})[0], -X)
        with pytest.raises(FuriosaRuntimeError, match="^negating failed: unlucky$"):
            runner.run(np.full_like(X, 13))
    assert [Setup(available_cpus(), 1, 5, "negating")] == SETUPS
    with create_queue(make_model(), device="negating", worker_num=3) as (submitter, receiver):
        submitter.submit(X, "context")
        context, outputs = receiver.recv()
        assert context == "context"
        np.testing.assert_array_equal(outputs[0], -X)
    assert SETUPS[1].parallel == 3
    with Runtime("negating") as shared:
        np.testing.assert_array_equal(shared.create_runner(b"").run(X)[0], -X)
    with pytest.warns(FutureWarning), session.create(b"", device="negating") as old:
        np.testing.assert_array_equal(old.run(X)[0].numpy(), -X)


def test_async_versions() -> None:
    async def main() -> None:
        async with runtime.create_runner(b"", device="negating") as runner:
            np.testing.assert_array_equal((await runner.run(X))[0], -X)
        async with runtime.create_queue(b"", device="negating") as (submitter, receiver):
            await submitter.submit(X, 7)
            assert (await receiver.recv())[0] == 7
        async with runtime.Runtime("negating") as shared:
            assert (await shared.create_runner(b"")).backend == "negating"

    register_backend(Negating())
    asyncio.run(main())


def test_invalid_models_raise_runtime_error() -> None:
    register_backend(Negating())
    with pytest.raises(FuriosaRuntimeError, match="^negating cannot load the 3 bytes given: it is"):
        create_runner(b"bad", device="negating")
    with pytest.raises(
        FuriosaRuntimeError, match="negating takes ONNX, but the model is TensorFlow"
    ):
        create_runner(tiny_tflite.make_model(), device="negating")
    with pytest.raises(ValueError, match="expected 'negating', 'cpu', 'openvino'"):
        create_runner(b"", device="negative")


def test_unavailable_device_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    @register_backend
    class Absent(Negating):
        def problem(self, device: str | None = None) -> str | None:
            return f"no {device} is plugged in"

    with pytest.raises(
        BackendUnavailable, match="requests 'negating', which is not available: no neg"
    ):
        choose("negating")
    found = {fact.topic: fact for fact in doctor.diagnose()}
    assert found["negating"].finding == "not available"
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", "negating")
    found = {fact.topic: fact for fact in doctor.diagnose()}
    assert found["models run on"].is_fine is False


def test_model_predicts_on_a_registered_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    class Echoing(Backend):
        """Runs everything on ONNX Runtime."""

        place = "an echo"
        shareable = True

        def matches(self, device: str) -> bool:
            return device.partition(":")[0] == "echo"

        def load(self, program: Any, setup: Setup) -> Session:
            assert setup.device == "echo:7"
            found = backends.find_backend("onnxruntime")
            assert found is not None
            return found.load(program, setup)

    register_backend(Echoing(), name="echoing")
    photo = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    with EfficientNetLite0(weights="random") as model:
        here, there = model.predict(photo, device="echo:7"), model.predict(photo, device="cpu")
        np.testing.assert_array_equal(here.scores, there.scores)
    monkeypatch.setenv("FURIOSA_MODELS_DEVICE", "echo:7")
    assert choose(None).backend == "echoing"
    found = {fact.topic: fact for fact in doctor.diagnose()}
    assert found["echoing"].finding == "ready"
    assert found["models run on"].finding == "an echo"


@pytest.mark.parametrize("shareable", [True, False])
def test_a_shared_runner_gives_each_inference_its_share_of_the_cpus(
    monkeypatch: pytest.MonkeyPatch, shareable: bool
) -> None:
    monkeypatch.setattr(Negating, "shareable", shareable)
    register_backend(Negating)
    with create_runner(make_model(), device="negating", shared=True):
        assert SETUPS[-1].threads == (cpus_per_worker() if shareable else available_cpus())
    with create_runner(make_model(), device="negating", worker_num=3, shared=True):
        assert SETUPS[-1].threads == 3


def test_compiled_programs_are_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    compilations: list[bytes] = []

    class Compiling(Negating):
        name = "compiling"
        version = "1"

        def fingerprint(self) -> str:
            return self.version

        def load(self, program: Any, setup: Setup) -> Session:
            compiled.load(program, Loader(self))
            return super().load(program, setup)

    class Loader:
        options = ""

        def __init__(self, backend: Compiling) -> None:
            self.backend = backend

        def load(self, model: Any) -> Any:  # noqa: ARG002
            raise AssertionError

        def compile(self, model: Any, folder: Any) -> Any:
            compilations.append(model)
            (folder / "program").write_bytes(b"compiled")
            return self

        def open(self, folder: Any) -> Any:
            assert (folder / "program").read_bytes() == b"compiled"
            return self

    register_backend(Compiling)
    program = bytes(1 << 20)
    for _ in range(2):
        create_runner(program, device="compiling").close()
    assert len(compilations) == 1
    assert [entry.is_current for entry in compiled.entries()] == [True]
    monkeypatch.setattr(Compiling, "version", "2")
    assert [entry.is_current for entry in compiled.entries()] == [False]
    create_runner(program, device="compiling").close()
    assert [entry.is_current for entry in compiled.entries()] == [False, True]


def test_backend_names() -> None:
    assert runtime.register_backend is register_backend
    first, second = Negating(), Negating()
    assert register_backend(first) is first
    register_backend(second)
    assert backends.find_backend("negating") is second
    assert [*backends.backends_for("negating")] == [second]
    for name in ("onnxruntime", "litert", "openvino", "furiosa"):
        with pytest.raises(ValueError, match=f"'{name}' is a backend or device of this package"):
            register_backend(Negating(), name=name)
    with pytest.raises(ValueError, match="has no name"):
        register_backend(Negating(), name="")
    assert backends.find_backend("no such thing") is None


def test_backend_modules_are_imported_lazily() -> None:
    code = (
        "import sys, numpy\n"
        "from furiosa_models.runtime.sync import create_runner\n"
        "from furiosa_models.runtime import backends\n"
        "rows = lambda: [name for name in ('onnxruntime', 'litert', 'openvino', 'furiosa')"
        " if f'{backends.__name__}.{name}' in sys.modules]\n"
        "print(rows(), {'asyncio', 'onnxruntime', 'openvino', 'ai_edge_litert'} & {*sys.modules})\n"
        "create_runner(sys.stdin.buffer.read(), device='cpu')\n"
        "print(rows())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=make_model().SerializeToString(),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().splitlines() == ["[] set()", "['onnxruntime']"]
