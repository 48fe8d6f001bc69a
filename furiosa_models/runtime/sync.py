"""The blocking runtime: `furiosa.runtime.sync` of furiosa-runtime 0.10, on every machine."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, SupportsBytes, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from ..errors import ShapeError
from .cpu import OnnxRuntimeSession
from .devices import Choice, choose
from .errors import FuriosaRuntimeError, SessionClosed
from .npu import FuriosaSession

__all__ = ["ModelSource", "Runner", "create_runner"]


@runtime_checkable
class ZooModel(Protocol):
    """What a runner needs of a model of the zoo."""

    def cpu_program(self) -> Path:
        """File of ONNX that takes what `preprocess` gives."""

    def enf(self, num_pe: Literal[1, 2] = 2) -> bytes:
        """Program of the NPU."""


class _ModelProto(Protocol):
    def SerializeToString(self) -> bytes: ...


ModelSource: TypeAlias = "str | os.PathLike[str] | bytes | SupportsBytes | _ModelProto | ZooModel"


def create_runner(
    model: ModelSource,
    *,
    device: str | None = None,
    worker_num: int | None = None,
    batch_size: int | None = None,
    compiler_config: Mapping[str, Any] | None = None,
) -> Runner:
    """A runner for a model, on the NPU if there is one and on the CPU if not.

    Args:
        model: An ONNX model (bytes, a path, a `ModelProto`), a model of this zoo, or on the NPU
            whatever the vendor runtime takes (ENF).
        device: See `furiosa_models.runtime.devices.choose`.
        worker_num: Threads on the CPU; workers on the NPU.
        batch_size: First dimension of the inputs, where the model leaves it open or at 1.
        compiler_config: Options of the NPU compiler; of no effect on the CPU.

    Raises:
        BackendUnavailable: A device was ordered that is not there.
        FuriosaRuntimeError: The model cannot be loaded; ENF, for one, on a CPU.
    """
    choice = choose(device)
    if choice.backend == "furiosa":
        source = model.enf() if isinstance(model, ZooModel) else model
        options = {"batch_size": batch_size, "compiler_config": compiler_config}
        session: FuriosaSession | OnnxRuntimeSession = FuriosaSession(
            source, device=choice.device, worker_num=worker_num, **options
        )
    else:
        session = OnnxRuntimeSession(_onnx(model, batch_size), threads=worker_num)
    return Runner(session, choice)


class Runner:
    """A loaded model; safe to use from many threads.

    Attributes:
        choice: The device it runs on, and why.
    """

    def __init__(self, session: OnnxRuntimeSession | FuriosaSession, choice: Choice) -> None:
        self._session: OnnxRuntimeSession | FuriosaSession | None = session
        self._closing = threading.Lock()
        self.choice = choice

    @property
    def backend(self) -> str:
        """`furiosa` or `onnxruntime`."""
        return self.choice.backend

    @property
    def takes_batches(self) -> bool:
        """Whether the first dimension of the input may have any size."""
        specs = self._open().inputs or []
        return bool(specs) and all(spec.shape[:1] == (None,) for spec in specs)

    def run(self, inputs: npt.NDArray[Any] | Sequence[npt.NDArray[Any]]) -> list[npt.NDArray[Any]]:
        """Outputs for one input, or for a list of them.

        Raises:
            TypeError: An input has the wrong dtype.
            ShapeError: An input has the wrong shape, or there are too many or too few.
            SessionClosed: The runner was closed.
        """
        session = self._open()
        tensors = [inputs] if isinstance(inputs, np.ndarray) else list(inputs)
        _check(session, tensors)
        return session.run(tensors)

    def run_with(
        self, output_names: Sequence[str], inputs: Mapping[str, npt.NDArray[Any]]
    ) -> list[npt.NDArray[Any]]:
        """The named outputs for inputs by name; raises as `run` does, `ValueError` on a name."""
        session = self._open()
        if session.inputs is None:
            return session.run(list(inputs.values()), output_names)
        known = [spec.name for spec in session.inputs]
        _check_names("input", list(inputs), known)
        _check_names("output", output_names, [spec.name for spec in session.outputs])
        tensors = [inputs[name] for name in known if name in inputs]
        _check(session, tensors)
        return session.run(tensors, output_names)

    def close(self) -> bool:
        """Free the model; True the first time."""
        with self._closing:
            session, self._session = self._session, None
        if isinstance(session, FuriosaSession):
            session.close()
        return session is not None

    def __enter__(self) -> Runner:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "closed" if self._session is None else self.choice.reason
        return f"<Runner on {self.backend}: {state}>"

    def _open(self) -> OnnxRuntimeSession | FuriosaSession:
        session = self._session
        if session is None:
            msg = "the runner is closed: create a new one"
            raise SessionClosed(msg)
        return session


def _check(
    session: OnnxRuntimeSession | FuriosaSession, tensors: Sequence[npt.NDArray[Any]]
) -> None:
    if session.inputs is None:
        return
    if len(tensors) != len(session.inputs):
        names = [spec.name for spec in session.inputs]
        msg = f"expected {len(names)} inputs ({', '.join(names)}), got {len(tensors)}"
        raise ShapeError(msg)
    for spec, tensor in zip(session.inputs, tensors, strict=True):
        spec.check(tensor)


def _check_names(kind: str, names: Sequence[str], known: Sequence[str]) -> None:
    if unknown := [name for name in names if name not in known]:
        msg = f"the model has no {kind} {unknown[0]!r}; it has {', '.join(known)}"
        raise ShapeError(msg)


def _onnx(model: ModelSource, batch_size: int | None) -> bytes | str:
    """The model as ONNX Runtime takes it."""
    source = _bytes_or_path(model)
    if batch_size is None:
        return source
    from .. import networks

    data = source if isinstance(source, bytes) else _read(source)
    return networks.set_batch_size(data, batch_size)


def _bytes_or_path(model: ModelSource) -> bytes | str:
    if isinstance(model, ZooModel):
        return str(model.cpu_program())
    if isinstance(model, (str, os.PathLike)):
        return os.fspath(model)
    return model.SerializeToString() if hasattr(model, "SerializeToString") else bytes(model)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            return file.read()
    except OSError as error:
        msg = f"model {path!r} cannot be read: {error.strerror or error}"
        raise FuriosaRuntimeError(msg) from error
