"""`Model`, which wraps a model of any framework."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ...errors import ConfigurationError
from ...frameworks import FrameworkModel, recognize
from .base_model import BaseModel
from .keras_model import KerasModel
from .onnx_model import ONNXModel
from .tensorflow_model import (
    TensorflowBaseModel,
    TensorflowCheckpointModel,
    TensorflowSavedModelModel,
)
from .torch_model import IPEXModel, PyTorchFXModel

__all__ = ["MODELS", "Model", "get_model_fwk_name"]

MODELS: dict[str, type[BaseModel]] = {
    "tensorflow": TensorflowBaseModel,
    "keras": KerasModel,
    "pytorch": PyTorchFXModel,
    "pytorch_fx": PyTorchFXModel,
    "pytorch_ipex": IPEXModel,
    "onnxruntime": ONNXModel,
    "onnxrt_qlinearops": ONNXModel,
    "onnxrt_qdq": ONNXModel,
    "onnxrt_integerops": ONNXModel,
}
"""Class of each framework, under Neural Compressor's names."""

_OPTIONS = ("example_inputs", "input_names", "model", "name", "network", "output_names")
_IGNORABLE: dict[str, Any] = {
    "backend": ("default", "itex", "ipex"),
    "device": ("cpu",),
    "ignore_warning": (True, False),
    "load_external_data": (True,),
}
"""Keywords of Neural Compressor with the values that need nothing else here."""


class Model:
    """A model of any framework: `Model(x)` returns an object of the framework's class.

    Args:
        root: An object of a framework, a path, or a model that is wrapped already, which is
            returned.
        conf: Settings of quantization, whose `backend` may be `itex` or `ipex`.
        framework_specific_info: See `BaseModel`.
        kwargs: `name` of a slim network; `model`, the object that a TensorFlow 2 checkpoint is
            restored into; `example_inputs` of a PyTorch module; `network`, the network of this
            package that safetensors are loaded into; `input_names` and `output_names`.

    Raises:
        ConfigurationError: No framework recognizes the model, the path does not exist, or the
            keyword is unknown.
    """

    def __new__(cls, root: Any, **kwargs: Any) -> Any:  # noqa: D102
        conf = kwargs.pop("conf", None)
        if isinstance(root, BaseModel):
            return root
        info = kwargs.pop("framework_specific_info", None)
        backend = str(kwargs.get("backend") or getattr(conf, "backend", "default"))
        options = _options(kwargs)
        if isinstance(root, (str, os.PathLike)):
            root = os.path.expanduser(root)  # noqa: PTH111  # keeps a trailing slash or suffix
        source = recognize(root, **options)
        if source is None:
            raise _unknown(root)
        return _class_of(source, backend)(source, info)


def get_model_fwk_name(model: Any) -> str:
    """Return Neural Compressor's name of the framework of a model.

    Raises:
        ConfigurationError: No framework recognizes the model, or the path does not exist.
    """
    wrapped: BaseModel = Model(model)
    return wrapped.framework()


def _options(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the options for the framework's model, after a check of all keywords."""
    if kwargs.get("approach") == "quant_aware_training":
        msg = (
            "approach: quantization-aware training is not supported; fit() quantizes after training"
        )
        raise ConfigurationError(msg)
    for key, value in kwargs.items():
        if key in _IGNORABLE:
            if value not in _IGNORABLE[key]:
                expected = " or ".join(map(repr, _IGNORABLE[key]))
                msg = f"{key}: expected {expected}, got {value!r}"
                raise ConfigurationError(msg)
        elif key not in _OPTIONS:
            known = ", ".join(("conf", "framework_specific_info", *_OPTIONS))
            msg = f"Model has no keyword {key!r}; it has {known}"
            raise ConfigurationError(msg)
    return {key: value for key, value in kwargs.items() if key in _OPTIONS}


def _unknown(root: Any) -> ConfigurationError:
    if isinstance(root, (str, os.PathLike)) and not os.path.exists(root):  # noqa: PTH110
        return ConfigurationError(f"invalid input path, the file does not exist: {root}")
    what = root if isinstance(root, (str, os.PathLike)) else type(root).__name__
    return ConfigurationError(f"the framework of {what} is not known; `frameworks.wrap` lists them")


def _class_of(source: FrameworkModel, backend: str) -> Callable[..., BaseModel]:
    if source.framework == "onnx":
        return ONNXModel
    if source.framework == "keras":
        return KerasModel if backend == "itex" else TensorflowSavedModelModel
    if source.framework == "torch":
        return IPEXModel if backend == "ipex" else PyTorchFXModel
    if source.framework == "tensorflow":
        if "savedmodel" in source.form.lower().replace(" ", ""):
            return TensorflowSavedModelModel
        is_checkpoint = source.form in ("TF1 checkpoint", "TF2 checkpoint")
        return TensorflowCheckpointModel if is_checkpoint else TensorflowBaseModel
    return BaseModel
