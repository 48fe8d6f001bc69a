"""What a model is exported for: the file, and the device that runs it."""

from __future__ import annotations

import os
from pathlib import Path

from ..enums import ModelExtension, RuntimeType
from ..errors import ConfigurationError

__all__ = [
    "EMBEDDED_FILE",
    "default_folder",
    "default_runtime",
    "device_of",
    "file_name",
    "runtime_of_file",
    "runtime_type_of",
]

EMBEDDED_FILE = "model_embedded.onnx"
"""Name of the exported graph that takes a photo."""

_INT8_FILE = "model_int8.onnx"
_HOME = ("FocoosAI", "models")
_SETTING = "RUNTIME_TYPE"

_DEVICES = {
    RuntimeType.ONNX_CUDA32: "cuda",
    RuntimeType.ONNX_TRT32: "tensorrt",
    RuntimeType.ONNX_TRT16: "tensorrt:fp16",
    RuntimeType.ONNX_CPU: "cpu",
    RuntimeType.ONNX_COREML: "coreml",
    RuntimeType.TORCHSCRIPT_32: "torch",
    RuntimeType.ONNX_OPENVINO: "openvino",
    RuntimeType.ONNX_INT8: "cpu",
    RuntimeType.TFLITE: "cpu",
    RuntimeType.ENF: "npu",
}


def runtime_type_of(value: RuntimeType | str | None) -> RuntimeType:
    """Return a runtime type, also from its value or name; the default one for None.

    Raises:
        ConfigurationError: There is no such runtime type.
    """
    if value is None:
        return default_runtime()
    try:
        return RuntimeType(value)
    except ValueError:
        known = ", ".join(each.value for each in RuntimeType)
        msg = f"unknown runtime type {value!r}: expected one of {known}"
        raise ConfigurationError(msg) from None


def default_runtime() -> RuntimeType:
    """Return the default runtime type.

    It is the setting `RUNTIME_TYPE`, as in Focoos, else TorchScript if PyTorch is installed, which
    is the default of Focoos, else ONNX.

    Raises:
        ConfigurationError: The setting is wrong.
    """
    from importlib.util import find_spec

    if setting := os.environ.get(_SETTING):
        try:
            return runtime_type_of(setting)
        except ConfigurationError as error:
            msg = f"{_SETTING}: {error}"
            raise ConfigurationError(msg) from None
    has_torch = find_spec("torch") is not None
    return RuntimeType.TORCHSCRIPT_32 if has_torch else RuntimeType.ONNX_CPU


def file_name(runtime_type: RuntimeType) -> str:
    """Return the name of the exported file."""
    if runtime_type is RuntimeType.ONNX_INT8:
        return _INT8_FILE
    return f"model.{ModelExtension.from_runtime_type(runtime_type).value}"


def runtime_of_file(path: Path) -> RuntimeType:
    """Return a runtime type that runs a file, from its name.

    Raises:
        ConfigurationError: No runtime runs such files.
    """
    others = {".onnx": RuntimeType.ONNX_CPU, ".torchscript": RuntimeType.TORCHSCRIPT_32}
    known = {f".{ModelExtension.from_runtime_type(each).value}": each for each in RuntimeType}
    suffix = path.suffix.lower()
    if path.name == _INT8_FILE:
        return RuntimeType.ONNX_INT8
    if suffix not in known | others:
        expected = ", ".join(sorted({*known, *others}))
        msg = f"{path} is not an exported model: expected a folder, or a file in {expected}"
        raise ConfigurationError(msg)
    return {**known, **others}[suffix]


def device_of(runtime_type: RuntimeType, device: str = "auto") -> str:
    """Return the device string for a runtime type.

    Args:
        runtime_type: The runtime type.
        device: `auto`; `cpu`, `cuda` or `cuda:N` where the runtime type leaves the choice; or the
            device string itself.

    Raises:
        ConfigurationError: The runtime type does not run on that device.
    """
    own = _DEVICES[runtime_type]
    if device in ("auto", own):
        return own
    kind, _, index = device.partition(":")
    if runtime_type is RuntimeType.TORCHSCRIPT_32 and kind in ("cpu", "cuda"):
        return f"{own}:{device}"
    if kind == "cuda" and own.split(":")[0] in ("cuda", "tensorrt"):
        name, _, precision = own.partition(":")
        return ":".join(part for part in (name, index, precision) if part)
    if device.split(":")[0] == own.split(":")[0] or (own == "npu" and kind not in ("cpu", "cuda")):
        return device
    msg = (
        f"the runtime type {runtime_type.value} runs on {own!r}, not on {device!r}: leave out "
        "device=, or choose another runtime type"
    )
    raise ConfigurationError(msg)


def default_folder(name: str) -> Path:
    """Return the folder of an exported model of that name: in `~/FocoosAI/models`, as in Focoos."""
    return Path.home().joinpath(*_HOME, name)
