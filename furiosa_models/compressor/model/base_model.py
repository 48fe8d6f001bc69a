"""What the models of all frameworks have in common under Neural Compressor's names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx

from ...errors import ConfigurationError, ConversionError
from ...frameworks.base import Array, FrameworkModel, Inputs
from ...networks import edit, external_data
from ...output import new_file
from ...quantization.fitted import Fitted, Layer, Trial
from ..config import ONNXQlinear2QDQConfig, TF2ONNXConfig, Torch2ONNXConfig, options

__all__ = ["BaseModel"]

_INPUTS = ("inputs", "input_tensor_names", "input_names")
_OUTPUTS = ("outputs", "output_tensor_names", "output_names")


class BaseModel:
    """A model of any framework.

    After `quantization.fit` it also says how well it does: `met`, `accuracy`, `size`, `latency`,
    the values of the float model beside them, `trials`, `layers`; `print(model.report)` shows them
    as tables.

    Args:
        source: The model.
        framework_specific_info: Facts that the model does not tell: `inputs` and `outputs` (names
            of tensors), and `workspace_path`.

    Attributes:
        source: The model as a `furiosa_models.frameworks.FrameworkModel`.
        report: How it was quantized; None for a model that was not.
        fitted_from: The float model that it was quantized from.
        component: Always None, as in Neural Compressor.
        q_config: Settings of each quantized operation.
    """

    component = None

    def __init__(
        self, source: FrameworkModel, framework_specific_info: Mapping[str, Any] | None = None
    ) -> None:
        self.source = source
        self.report: Fitted | None = None
        self.fitted_from: FrameworkModel | None = None
        self.q_config: dict[str, Any] | None = None
        self.framework_specific_info = dict(framework_specific_info or {})
        self._workspace: str | None = None
        for key, value in self.framework_specific_info.items():
            self._inform(key, value)

    def _inform(self, key: str, value: Any) -> None:
        if key in _INPUTS:
            if value:
                self.source.input_names = _listed(value)
        elif key in _OUTPUTS:
            if value:
                self.source.output_names = _listed(value)
        elif key == "workspace_path":
            self._workspace = value
        elif key not in ("approach", "backend", "device", "domain", "format", "random_seed"):
            known = ", ".join((*_INPUTS, *_OUTPUTS, "workspace_path"))
            msg = f"framework_specific_info: expected the keys {known}, got {key!r}"
            raise ConfigurationError(msg)

    @property
    def model(self) -> Any:
        """The model as an object of its framework."""
        return self.source.raw

    @property
    def graph_info(self) -> dict[str, str]:
        """Type of each operation, or module, by its name."""
        return self.source.graph_info

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs; may be set."""
        return self.source.input_names

    @input_names.setter
    def input_names(self, names: Sequence[str]) -> None:
        self.source.input_names = names

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs; may be set."""
        return self.source.output_names

    @output_names.setter
    def output_names(self, names: Sequence[str]) -> None:
        self.source.output_names = names

    @property
    def workspace_path(self) -> str:
        """Folder for `save()` without a path; may be set."""
        return self._workspace or options.workspace

    @workspace_path.setter
    def workspace_path(self, path: str) -> None:
        self._workspace = path

    def framework(self) -> str:
        """Return the name of the framework."""
        return self.source.framework

    def save(self, root: str | os.PathLike[str] | None = None) -> Path:
        """Write the model in the format of its framework, and return the path that was written.

        Args:
            root: Path without a suffix for a frozen graph (`root.pb`), a new folder for a
                SavedModel or a PyTorch model (`root/best_model.pt`), the file itself for ONNX. By
                default, a place in the workspace.

        Raises:
            FuriosaModelsError: Something exists there, or it cannot be written.
        """
        path = os.path.expanduser(self._default_path() if root is None else root)  # noqa: PTH111
        return self.source.save(path)

    def _default_path(self) -> Path:
        return Path(self.workspace_path)

    def export(self, save_path: str | os.PathLike[str], conf: Any) -> Path:
        """Write the model as ONNX; a quantized one with `QuantizeLinear` and `DequantizeLinear`.

        Args:
            save_path: The file.
            conf: `TF2ONNXConfig`, `Torch2ONNXConfig` or `ONNXQlinear2QDQConfig`.

        Raises:
            ConfigurationError: The settings are of another kind.
            ConversionError: The model cannot be converted, or its precision is another one.
        """
        if not isinstance(conf, (TF2ONNXConfig, Torch2ONNXConfig, ONNXQlinear2QDQConfig)):
            expected = "a TF2ONNXConfig, Torch2ONNXConfig or ONNXQlinear2QDQConfig"
            msg = f"conf: expected {expected}, got {conf!r}"
            raise ConfigurationError(msg)
        proto = self._as_onnx(conf)
        target = Path(save_path).expanduser()
        with new_file(target) as partial:
            external_data.save(proto, partial)
        return target

    def _as_onnx(self, conf: Any) -> onnx.ModelProto:
        if isinstance(conf, ONNXQlinear2QDQConfig):
            return self._program()
        if conf.dtype == "int8" and self.report is None:
            msg = "the model is not quantized: dtype='fp32' exports it as it is"
            raise ConversionError(msg)
        if conf.dtype == "fp32" and self.report is not None:
            msg = "the model is quantized: dtype='int8' exports it as it is"
            raise ConversionError(msg)
        proto = edit.parse(edit.with_opset(self._program(), conf.opset_version))
        for values, names in (
            (proto.graph.input, conf.input_names),
            (proto.graph.output, conf.output_names),
        ):
            if names is not None:
                edit.rename(proto.graph, [value.name for value in values], names)
        _name_axes(proto.graph, conf.dynamic_axes or {})
        return proto

    def _program(self) -> onnx.ModelProto:
        return self.source.to_onnx() if self.report is None else edit.parse(self.report.program)

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs that the framework itself computes."""
        return self.source.run(inputs)

    # --- After quantization ---------------------------------------------------------------------

    def _fitted(self) -> Fitted:
        if self.report is None:
            msg = "the model was not quantized: quantization.fit returns a model with a report"
            raise AttributeError(msg)
        return self.report

    @property
    def met(self) -> bool | None:
        """Whether the accuracy criterion was met; None if no accuracy was measured."""
        return self._fitted().met

    @property
    def accuracy(self) -> float | None:
        """Accuracy of the quantized model; None if it was not measured."""
        return self._fitted().accuracy

    @property
    def float_accuracy(self) -> float | None:
        """Accuracy of the float model; None if it was not measured."""
        return self._fitted().float_accuracy

    @property
    def size(self) -> int:
        """Size of the quantized program in bytes."""
        return self._fitted().size

    @property
    def float_size(self) -> int:
        """Size of the float program in bytes."""
        return self._fitted().float_size

    @property
    def latency(self) -> float | None:
        """Milliseconds of an inference of the quantized program in ONNX Runtime."""
        return self._fitted().latency

    @property
    def float_latency(self) -> float | None:
        """Milliseconds of an inference of the float program."""
        return self._fitted().float_latency

    @property
    def trials(self) -> Sequence[Trial]:
        """The models that were evaluated."""
        return self._fitted().trials

    @property
    def layers(self) -> Sequence[Layer]:
        """Report by layer."""
        return self._fitted().layers

    def __repr__(self) -> str:
        report = f": {self.report.summary}" if self.report else ""
        return f"{type(self).__name__}({self.source.form}{report})"


def _name_axes(graph: onnx.GraphProto, names: Mapping[str, Any]) -> None:
    """Name open dimensions of inputs and outputs, in place.

    Args:
        graph: The graph.
        names: Names by tensor and axis, or a list of axes by tensor.

    Raises:
        ConfigurationError: There is no such tensor or open dimension.
    """
    values = {value.name: value for value in (*graph.input, *graph.output)}
    for tensor, axes in names.items():
        dims = values[tensor].type.tensor_type.shape.dim if tensor in values else ()
        named = axes if isinstance(axes, Mapping) else {axis: f"{tensor}_{axis}" for axis in axes}
        for axis, name in named.items():
            if not 0 <= axis < len(dims) or dims[axis].dim_value:
                msg = f"dynamic_axes: {tensor!r} has no open dimension {axis}; export keeps sizes"
                raise ConfigurationError(msg)
            dims[axis].dim_param = name


def _listed(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
