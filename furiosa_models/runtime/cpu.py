"""The CPU backend: ONNX Runtime, tuned once for all.

Threads follow the process's CPU affinity. Between two operators they spin for 5 us, and not at all
between two runs. ONNX Runtime's own threads spin for milliseconds: a few per cent faster on an idle
machine, and half as fast on one that has other things to do. Without any spinning, networks of many
small operators lose up to a third.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy.typing as npt

from . import compiled
from .errors import FuriosaRuntimeError
from .machine import available_cpus
from .model import Model, as_tensors
from .tensor import DataType, TensorDesc

__all__ = ["OnnxRuntimeSession", "available_cpus", "session_options"]

_ERRORS_ONLY = 3
_SPIN_US = "5"
_DTYPES = {
    "tensor(bfloat16)": "BFLOAT16",
    "tensor(bool)": "BOOL",
    "tensor(double)": "FLOAT64",
    "tensor(float)": "FLOAT32",
    "tensor(float16)": "FLOAT16",
    "tensor(int16)": "INT16",
    "tensor(int32)": "INT32",
    "tensor(int64)": "INT64",
    "tensor(int8)": "INT8",
    "tensor(uint16)": "UINT16",
    "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64",
    "tensor(uint8)": "UINT8",
}


class OnnxRuntimeSession:
    """An ONNX Runtime session on the CPU.

    Args:
        model: An ONNX model's bytes, or the path of one.
        threads: Threads within an operator; one for each CPU the process may use by default.

    Attributes:
        model: What it takes and gives.

    Raises:
        FuriosaRuntimeError: ONNX Runtime cannot load the model.
    """

    def __init__(self, model: bytes | str, *, threads: int | None = None) -> None:
        threads = threads or available_cpus()
        try:
            self._session = compiled.load(model, lambda: session_options(threads))
        except Exception as error:  # its exception classes share no public base
            name = f"the {len(model)} bytes given" if isinstance(model, bytes) else repr(model)
            msg = f"ONNX Runtime cannot load {name} ({_hint(model)}): {error}"
            raise FuriosaRuntimeError(msg) from error
        self.model = Model(
            [_describe(node) for node in self._session.get_inputs()],
            [_describe(node) for node in self._session.get_outputs()],
        )

    def run(self, inputs: object) -> list[npt.NDArray[Any]]:
        """Outputs for one input or an iterable of them; raises as `Model.check`."""
        return self._run(self.model.check(as_tensors(inputs)), None)

    def run_with(
        self, output_names: Sequence[str], inputs: Mapping[str, Any]
    ) -> list[npt.NDArray[Any]]:
        """The named outputs for inputs by name; raises as `Model.check_named`."""
        tensors = self.model.check_named(output_names, inputs)
        return self._run(tensors, output_names) if output_names else []

    def allocate(self) -> list[npt.NDArray[Any]]:
        """Fresh input tensors, all zero."""
        return self.model.allocate()

    def close(self) -> None:
        """Nothing: the memory goes with the last reference."""

    def _run(
        self, tensors: Sequence[npt.NDArray[Any]], output_names: Sequence[str] | None
    ) -> list[npt.NDArray[Any]]:
        names = [desc.name for desc in self.model.inputs()]
        try:
            return list(self._session.run(output_names, dict(zip(names, tensors, strict=True))))
        except Exception as error:  # as above
            msg = f"ONNX Runtime failed: {error}"
            raise FuriosaRuntimeError(msg) from error


def session_options(threads: int) -> Any:
    """Tuned `onnxruntime.SessionOptions` for a number of threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = _ERRORS_ONLY
    for name, value in _spinning().items():
        options.add_session_config_entry(name, value)
    return options


@cache
def _spinning() -> dict[str, str]:
    import onnxruntime

    major, minor = onnxruntime.__version__.split(".")[:2]
    if (int(major), int(minor)) < (1, 26):  # these cannot spin for a limited time
        return {"session.intra_op.allow_spinning": "0"}
    return {
        "session.force_spinning_stop": "1",
        "session.intra_op.spin_duration_us": _SPIN_US,
    }


def _hint(model: bytes | str) -> str:
    if isinstance(model, bytes) and model[4:8] == b"TFL3":
        return "this is TFLite; a runner on the CPU takes ONNX"
    return "a runner on the CPU takes ONNX; ENF needs an NPU"


def _describe(node: Any) -> TensorDesc:
    if node.type not in _DTYPES:
        msg = f"{node.name!r} is a {node.type}, which a runner neither takes nor gives"
        raise FuriosaRuntimeError(msg)
    sizes = [size if isinstance(size, int) else None for size in node.shape]
    open_dims = tuple(i for i, size in enumerate(sizes) if size is None)
    dtype = getattr(DataType, _DTYPES[node.type])
    return TensorDesc(node.name, tuple(1 if n is None else n for n in sizes), dtype, open_dims)
