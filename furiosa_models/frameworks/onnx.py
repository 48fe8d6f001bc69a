"""ONNX: files, with or without external data, and `ModelProto`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx

from ..errors import ShapeError, WeightsError
from ..networks import edit
from ..networks.external_data import load, loadable, save
from ..output import new_file
from .base import Array, FrameworkModel, Inputs, feed_by_name

__all__ = ["OnnxModel", "recognize"]


def recognize(source: Any, **options: Any) -> OnnxModel | None:
    """Return the model of a `.onnx` file, of bytes, or of a `ModelProto`.

    Raises:
        WeightsError: It cannot be read, or its weights are missing.
    """
    if isinstance(source, (bytes, onnx.ModelProto)):
        form = "bytes" if isinstance(source, bytes) else "ModelProto"
        model = edit.parse(source) if isinstance(source, bytes) else source
        _check_complete(model)
        return OnnxModel(model, form=form, **options)
    if isinstance(source, Path) and source.is_file() and source.suffix.lower() == ".onnx":
        return OnnxModel(load(source), form="file", path=source, **options)
    return None


def _check_complete(model: onnx.ModelProto) -> None:
    """Raise WeightsError if a model in memory refers to weights in files."""
    if files := edit.external_files(model):
        msg = (
            f"the model has no weights, but refers to {', '.join(files)}: pass the path of its "
            "file, or load it with onnx.load(path) (onnx.save leaves such a model behind)"
        )
        raise WeightsError(msg)


class OnnxModel(FrameworkModel):
    """An ONNX model.

    Args:
        model: The model. It is not copied.
        form: `file`, `bytes`, or `ModelProto`.
        path: The file that it was read from.
    """

    framework = "onnx"

    def __init__(
        self,
        model: onnx.ModelProto,
        *,
        form: str = "ModelProto",
        path: Path | None = None,
    ) -> None:
        self._model = model
        self._session: Any = None
        self.form = form
        self.path = path

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}  # a session cannot be copied

    @property
    def raw(self) -> onnx.ModelProto:
        """The `ModelProto`."""
        return self._model

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs, without initializers; may be set to those of other tensors."""
        return edit.get_pure_input_names(self._model)

    @input_names.setter
    def input_names(self, names: Sequence[str]) -> None:
        self._cut(names, self.output_names)

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs; may be set to those of other tensors."""
        return edit.get_output_names(self._model)

    @output_names.setter
    def output_names(self, names: Sequence[str]) -> None:
        self._cut(self.input_names, names)

    def _cut(self, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        """Reduce the model to the part between some tensors."""
        if [*inputs] == self.input_names and [*outputs] == self.output_names:
            return
        self._model = edit.extract(self._model, inputs, outputs)
        self._session = None

    @property
    def graph_info(self) -> dict[str, str]:
        """Type of each node by its name."""
        return {node.name: node.op_type for node in self._model.graph.node}

    def to_onnx(self) -> onnx.ModelProto:
        """Return a copy of the model."""
        return edit.parse(self._model)

    def run(self, inputs: Inputs) -> list[Array]:
        """Return the outputs of ONNX Runtime without graph optimization.

        Raises:
            ShapeError: The number, the names, the types or the shapes of the inputs are not those
                of the model.
            WeightsError: ONNX Runtime cannot load the model.
        """
        feed = feed_by_name(inputs, self.input_names)
        if self._session is None:
            self._session = _open_session(self._model)
        try:
            return list(self._session.run(self.output_names, feed))
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            msg = f"ONNX Runtime cannot run the model on the inputs: {error}"
            raise ShapeError(msg) from error

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the model to a file, as it was named."""
        target = Path(path)
        with new_file(target) as partial:
            save(self._model, partial)
        return target

    def quantized(self, program: onnx.ModelProto) -> OnnxModel:
        """Return the program itself."""
        return OnnxModel(program, form=self.form)


def _open_session(model: onnx.ModelProto) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    providers = ["CPUExecutionProvider"]
    try:
        with loadable(model) as source:
            return onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no public base
        msg = f"ONNX Runtime cannot load the model: {error}"
        raise WeightsError(msg) from error
