"""ONNX Runtime sessions of models in memory, of any size."""

from __future__ import annotations

from typing import Any

import onnx

from ..errors import FuriosaModelsError
from ..networks import external_data
from ..runtime.backends.onnxruntime import inference_session, session_options
from ..runtime.machine import available_cpus

__all__ = ["open_session"]


def open_session(model: onnx.ModelProto, *, optimize: bool = True) -> Any:
    """Return an `onnxruntime.InferenceSession` on all CPUs.

    Args:
        model: The model. If it exceeds the size of a protobuf message, it takes a temporary file.
        optimize: Whether ONNX Runtime may rewrite the graph.

    Raises:
        FuriosaModelsError: The model cannot be loaded.
    """
    import onnxruntime

    options = session_options(available_cpus())
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        with external_data.loadable(model) as source:
            return inference_session(source, options)
    except FuriosaModelsError:
        raise
    except Exception as error:  # ONNX Runtime's exceptions share no public base
        msg = f"the model cannot be loaded: {error}"
        raise FuriosaModelsError(msg) from error
