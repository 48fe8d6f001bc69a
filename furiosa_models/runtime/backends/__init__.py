"""The backends of the CPU: one file each, and the table that chooses between them."""

from __future__ import annotations

from ..errors import FuriosaRuntimeError
from .base import ComputePrecision, Session, Setup
from .litert import LiteRtSession
from .onnxruntime import OnnxRuntimeSession
from .openvino import OpenVinoSession

__all__ = ["ComputePrecision", "Session", "Setup", "open_session"]

_BACKENDS: dict[str, tuple[type[Session], ...]] = {
    "onnxruntime": (OnnxRuntimeSession, LiteRtSession),
    "openvino": (OpenVinoSession,),
}


def open_session(backend: str, program: bytes | str, setup: Setup) -> Session:
    """A program, loaded on the CPU.

    Args:
        backend: `onnxruntime`, with which LiteRT runs TensorFlow Lite models, or `openvino`.
        program: Bytes of ONNX or TensorFlow Lite, or the path of a file.
        setup: How it is to run.

    Raises:
        BackendUnavailable: The backend is not installed.
        ExtraRequired: It is a TensorFlow Lite model, and LiteRT is not installed.
        FuriosaRuntimeError: It cannot be loaded, or not by that backend.
        ShapeError: It cannot have the batch size of the setup.
    """
    for kind in _BACKENDS[backend]:
        if kind.takes(program):
            return kind(program, setup)
    msg = f"{backend} takes ONNX, and this is TensorFlow Lite: device='cpu' runs it, by LiteRT"
    raise FuriosaRuntimeError(msg)
