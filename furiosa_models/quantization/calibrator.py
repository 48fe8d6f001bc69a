"""Calibration of the ranges of a network's tensors on sample inputs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence, Sized
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper

from ..errors import FuriosaModelsError
from ..networks import edit
from ..progress import progress_bar
from ..runtime.errors import InvalidInput
from .float_model import float_model
from .histogram import Histogram
from .methods import CalibrationMethod, choose_range
from .session import open_session

__all__ = ["Calibrator"]


class Calibrator:
    """Collector of the values of a model's tensors, which chooses their ranges.

    Args:
        model: ONNX model.
        calibration_method: Method to choose ranges.
        percentage: Percentage of the values that the percentile methods keep, in (0, 100].

    Raises:
        TypeError: The model is neither a `ModelProto` nor bytes.
        ValueError: The percentage is not in (0, 100], or the method is unknown.
        FuriosaModelsError: The model cannot be loaded or quantized; see `float_model`.
        WeightsError: The bytes are not an ONNX model.
    """

    def __init__(
        self,
        model: onnx.ModelProto | bytes,
        calibration_method: CalibrationMethod,
        *,
        percentage: float = 99.99,
    ) -> None:
        if not 0 < percentage <= 100:
            msg = f"percentage must be above 0 and at most 100, got {percentage}"
            raise ValueError(msg)
        self._method = CalibrationMethod(calibration_method)
        self._percentage = percentage
        proto = float_model(model)
        self._inputs = edit.get_pure_input_names(proto)
        self._session = _open_session(proto)
        self._histograms: dict[str, Histogram] = {}
        self._sums: dict[str, npt.NDArray[np.float64]] = {}
        self._runs = 0

    def collect_data(self, calibration_dataset: Iterable[Sequence[npt.NDArray[Any]]]) -> None:
        """Run the model and record the values of its tensors; may be called repeatedly.

        Args:
            calibration_dataset: Lists of inputs, in the order of the model's inputs.

        Raises:
            InvalidInput: A list has the wrong length.
            FuriosaModelsError: The model cannot be run on the inputs, or a value is not finite.
        """
        total = len(calibration_dataset) if isinstance(calibration_dataset, Sized) else None
        with progress_bar("calibrating", total, unit="input") as bar:
            for inputs in calibration_dataset:
                self._collect(inputs)
                bar.update()

    def compute_range(self, verbose: bool = False) -> dict[str, tuple[float, float]]:
        """Return the range (minimum, maximum) of each float tensor by name.

        Args:
            verbose: Whether to show a progress bar if `FURIOSA_MODELS_PROGRESS` allows it.

        Raises:
            FuriosaModelsError: No data has been collected.
        """
        self._check_collected()
        if not verbose:
            return {name: self.range_of(name, self._method) for name in self._histograms}
        ranges = {}
        with progress_bar("choosing ranges", len(self._histograms), unit="tensor") as bar:
            for name in self._histograms:
                ranges[name] = self.range_of(name, self._method)
                bar.update()
        return ranges

    def range_of(self, name: str, method: CalibrationMethod) -> tuple[float, float]:
        """Return the range of one tensor, chosen by another method.

        Raises:
            FuriosaModelsError: No data has been collected.
            KeyError: There is no float tensor of that name.
        """
        self._check_collected()
        return choose_range(self._histograms[name], method, self._percentage)

    def compute_channel_means(self) -> dict[str, list[float]]:
        """Return the mean of each channel of each float tensor (N, C, H, W) by name.

        Raises:
            FuriosaModelsError: No data has been collected.
        """
        self._check_collected()
        return {name: (sums / self._runs).tolist() for name, sums in self._sums.items()}

    def _check_collected(self) -> None:
        if not self._runs:
            msg = "no calibration data: call collect_data first"
            raise FuriosaModelsError(msg)

    def _collect(self, inputs: Sequence[npt.NDArray[Any]]) -> None:
        if len(inputs) != len(self._inputs):
            names = ", ".join(self._inputs)
            msg = f"expected {len(self._inputs)} inputs ({names}), got {len(inputs)}"
            raise InvalidInput(msg)
        feed = dict(zip(self._inputs, inputs, strict=True))
        try:
            values = self._session.run(None, feed)
        except Exception as error:  # ONNX Runtime's exceptions share no public base
            msg = f"the model cannot be run on calibration data: {error}"
            raise FuriosaModelsError(msg) from error
        outputs = [node.name for node in self._session.get_outputs()]
        for name, value in (*zip(outputs, values, strict=True), *feed.items()):
            if value.dtype.kind == "f":
                self._record(name, value)
        self._runs += 1

    def _record(self, name: str, value: npt.NDArray[Any]) -> None:
        try:
            self._histograms.setdefault(name, Histogram()).add(value)
        except ValueError as error:
            msg = f"tensor {name!r} cannot be calibrated: {error}"
            raise FuriosaModelsError(msg) from error
        if value.ndim == 4:
            self._sums[name] = self._sums.get(name, 0.0) + value.mean((0, 2, 3), np.float64)


def _open_session(proto: onnx.ModelProto) -> Any:
    """Open a session that returns all float tensors of the model, which is modified."""
    inferred = edit.inferred(proto)
    known = {value.name for value in proto.graph.output}
    for value in inferred.value_info:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT and value.name not in known:
            info = helper.make_tensor_value_info(value.name, TensorProto.FLOAT, None)
            proto.graph.output.append(info)
    return open_session(proto)
