"""Models of other frameworks: live objects and files, with names, conversion to ONNX, and `save`.

```python
model = wrap(keras_model)            # or a path, a module, a GraphDef, a ModelProto, ...
model.input_names, model.graph_info
model.to_onnx()
```

A framework is imported only to use a model of its own.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError, WeightsError
from .base import FrameworkModel

__all__ = ["FrameworkModel", "recognize", "wrap"]

_MODULES = ("tflite", "onnx", "keras", "tensorflow", "torch", "openvino", "checkpoints")
"""Modules with a function `recognize`, in the order in which they are asked."""

_NAMES = ("output_names", "input_names")  # an input may be needed only by other outputs


def recognize(source: Any, **options: Any) -> FrameworkModel | None:
    """Return a model of a framework, or None if no framework recognizes the object or path.

    Args:
        source: An object of a framework, a path, or a `FrameworkModel`, which is returned.
        options: `input_names`, `output_names`, and options of the framework's model; see its
            module.

    Raises:
        ConfigurationError: The framework's model has no such option.
        ShapeError: The graph has no tensor of a name.
    """
    if isinstance(source, FrameworkModel):
        return source
    if isinstance(source, (str, os.PathLike)):
        source = Path(source).expanduser()
    names = {key: options.pop(key) for key in _NAMES if options.get(key)}
    for name in _MODULES:
        module = import_module(f".{name}", __name__)
        try:
            found: FrameworkModel | None = module.recognize(source, **options)
        except TypeError as error:
            if not options or "unexpected keyword argument" not in str(error):
                raise
            msg = f"a model of {name} takes not all of the options {', '.join(options)}: {error}"
            raise ConfigurationError(msg) from error
        if found is not None:
            for key, value in names.items():
                setattr(found, key, value)
            return found
    return None


def wrap(source: Any, **options: Any) -> FrameworkModel:
    """Return a model of any framework and format.

    Args:
        source: An object of a framework, or a path; see `docs/guide/frameworks`.
        options: See `recognize`.

    Raises:
        WeightsError: No framework recognizes it, or the path does not exist.
        ConfigurationError: The framework's model has no such option.
    """
    found = recognize(source, **options)
    if found is not None:
        return found
    if not isinstance(source, (str, os.PathLike)):
        msg = f"{type(source).__name__} is not a model of a known framework: {_KNOWN}"
        raise WeightsError(msg)
    if not Path(source).expanduser().exists():
        msg = f"{source} does not exist"
        raise WeightsError(msg)
    msg = f"the format of {source} is unknown: {_KNOWN}"
    raise WeightsError(msg)


_KNOWN = (
    "expected ONNX (file, bytes, ModelProto), TensorFlow Lite, TensorFlow (frozen pb, Graph, "
    "GraphDef, SavedModel, checkpoint), Keras (model, .keras, .h5), PyTorch (module, TorchScript, "
    "exported program), OpenVINO IR, or safetensors of a network of this package"
)
