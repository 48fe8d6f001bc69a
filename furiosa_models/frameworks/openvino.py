"""OpenVINO IR: a file `.xml` with its weights in `.bin`, or a model in memory."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..errors import ConversionError, ShapeError, WeightsError
from ..output import new_file
from .base import Array, FrameworkModel, Inputs, feed_by_name

if TYPE_CHECKING:
    import onnx

__all__ = ["OpenVinoModel", "recognize"]

_HEADER = 4096


def recognize(source: Any, **options: Any) -> OpenVinoModel | None:
    """Return the model of an IR file, or of an `openvino.Model`."""
    if isinstance(source, Path):
        return OpenVinoModel(_read(source), form="IR", **options) if _is_ir(source) else None
    if any(
        c.__module__.startswith("openvino") and c.__name__ == "Model" for c in type(source).__mro__
    ):
        return OpenVinoModel(source, **options)
    return None


class OpenVinoModel(FrameworkModel):
    """A model of OpenVINO.

    Args:
        model: The `openvino.Model`.
        form: `IR` or `Model`.
    """

    framework = "openvino"

    def __init__(
        self,
        model: Any,
        *,
        form: str = "Model",
    ) -> None:
        self._model = model
        self.form = form
        self._compiled: Any = None

    @property
    def raw(self) -> Any:
        """The `openvino.Model`."""
        return self._model

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs; may be set to other names."""
        return _names(self._model.inputs)

    @input_names.setter
    def input_names(self, names: Sequence[str]) -> None:
        _rename(self._model.inputs, names)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs; may be set to other names."""
        return _names(self._model.outputs)

    @output_names.setter
    def output_names(self, names: Sequence[str]) -> None:
        _rename(self._model.outputs, names)

    @property
    def graph_info(self) -> dict[str, str]:
        """Type of each operation by its name."""
        return {
            node.get_friendly_name(): node.get_type_name() for node in self._model.get_ordered_ops()
        }

    def to_onnx(self) -> onnx.ModelProto:
        """Raise an error: OpenVINO has no way from its models to ONNX.

        Raises:
            ConversionError: In any case.
        """
        msg = (
            "OpenVINO IR cannot be converted to ONNX: convert the network that it was made of. "
            "create_runner(path, device='openvino') runs it"
        )
        raise ConversionError(msg)

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs of OpenVINO on the CPU in float32.

        Raises:
            ShapeError: The number or the names of the inputs are not those of the model.
        """
        feed = feed_by_name(inputs, self.input_names)
        if self._compiled is None:
            hints = {"INFERENCE_PRECISION_HINT": "f32"}
            self._compiled = _openvino().Core().compile_model(self._model, "CPU", hints)
        results = self._compiled(list(feed.values()))
        return [results[i] for i in range(len(self._model.outputs))]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write `path.xml` and `path.bin`, with the weights as they are; return the first.

        Raises:
            FuriosaModelsError: A file exists, or cannot be written.
        """
        target = Path(path)
        target = target if target.suffix == ".xml" else target.with_name(f"{target.name}.xml")
        with new_file(target) as partial:
            _openvino().save_model(self._model, str(partial), compress_to_fp16=False)
        return target


def _openvino() -> Any:
    return require("openvino", "OpenVINO IR needs OpenVINO", extra="openvino")


def _is_ir(path: Path) -> bool:
    if path.suffix.lower() != ".xml" or not path.is_file():
        return False
    with path.open("rb") as stream:
        return b"<net " in stream.read(_HEADER)


def _read(path: Path) -> Any:
    """Read an IR file.

    Raises:
        WeightsError: OpenVINO cannot read it.
    """
    openvino = _openvino()
    try:
        return openvino.Core().read_model(str(path))
    except RuntimeError as error:
        msg = f"{path} cannot be read by OpenVINO: {error}"
        raise WeightsError(msg) from error


def _names(ports: Sequence[Any]) -> list[str]:
    return [
        min(port.get_names()) if port.get_names() else port.get_node().get_friendly_name()
        for port in ports
    ]


def _rename(ports: Sequence[Any], names: Sequence[str]) -> None:
    if len(ports) != len(names):
        msg = f"expected {len(ports)} names, got {', '.join(names)}"
        raise ShapeError(msg)
    for port, name in zip(ports, names, strict=True):
        port.get_tensor().set_names({name})
