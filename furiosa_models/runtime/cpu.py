"""The CPU backend: ONNX Runtime, tuned once for all.

Threads follow the process's CPU affinity, and they do not spin: with spinning, ONNX Runtime's
default, small networks get slower with a second thread instead of faster.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from ..errors import ShapeError
from .errors import FuriosaRuntimeError

__all__ = ["OnnxRuntimeSession", "TensorSpec"]

_ERRORS_ONLY = 3
_DTYPES = {
    "tensor(bool)": np.bool_,
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(int16)": np.int16,
    "tensor(int32)": np.int32,
    "tensor(int64)": np.int64,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
}


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, shape and element type of an input or output.

    Attributes:
        name: Name in the graph.
        shape: Dimensions; None where any size goes.
        dtype: Element type.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]

    def check(self, tensor: object) -> None:
        """Compare a tensor with this description.

        Raises:
            TypeError: It is no numpy array, or one of another dtype.
            ShapeError: It has another shape.
        """
        if not isinstance(tensor, np.ndarray):
            msg = f"input {self.name!r} must be a numpy array, got {type(tensor).__name__}"
            raise TypeError(msg)
        if tensor.dtype != self.dtype:
            msg = (
                f"input {self.name!r} expects {self.dtype}, got {tensor.dtype}{self._hint(tensor)}"
            )
            raise TypeError(msg)
        if len(tensor.shape) != len(self.shape) or any(
            want not in (None, got) for want, got in zip(self.shape, tensor.shape, strict=True)
        ):
            shape = tuple("any" if size is None else size for size in self.shape)
            msg = f"input {self.name!r} expects shape {shape}, got {tensor.shape}"
            raise ShapeError(msg)

    def _hint(self, tensor: npt.NDArray[Any]) -> str:
        if self.dtype == np.float32 and tensor.dtype == np.uint8:
            return "; preprocess(..., with_scaling=True) makes the input of model.origin"
        if self.dtype == np.uint8 and tensor.dtype == np.float32:
            return "; preprocess(...) without scaling makes the input of model.model_source()"
        return ""


class OnnxRuntimeSession:
    """An ONNX Runtime session on the CPU.

    Args:
        model: An ONNX model's bytes, or the path of one.
        threads: Threads within an operator; one for each CPU the process may use by default.

    Raises:
        FuriosaRuntimeError: ONNX Runtime cannot load the model.
    """

    def __init__(self, model: bytes | str, *, threads: int | None = None) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads or available_cpus()
        options.log_severity_level = _ERRORS_ONLY
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its exception classes share no public base
            name = f"the {len(model)} bytes given" if isinstance(model, bytes) else repr(model)
            hint = "a runner on the CPU takes ONNX; ENF needs an NPU"
            msg = f"ONNX Runtime cannot load {name} ({hint}): {error}"
            raise FuriosaRuntimeError(msg) from error
        self.inputs = [_spec(node) for node in self._session.get_inputs()]
        self.outputs = [_spec(node) for node in self._session.get_outputs()]

    def run(
        self, inputs: Sequence[npt.NDArray[Any]], output_names: Sequence[str] | None = None
    ) -> list[npt.NDArray[Any]]:
        """Outputs for inputs that were checked before."""
        feed = {spec.name: tensor for spec, tensor in zip(self.inputs, inputs, strict=True)}
        try:
            return list(self._session.run(output_names, feed))
        except Exception as error:  # as above
            msg = f"ONNX Runtime failed: {error}"
            raise FuriosaRuntimeError(msg) from error


def available_cpus() -> int:
    """CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _spec(node: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else None for size in node.shape)
    return TensorSpec(node.name, shape, np.dtype(_DTYPES.get(node.type, np.object_)))
