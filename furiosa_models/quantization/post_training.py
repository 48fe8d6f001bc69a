"""Post-training quantization: calibration of a program on inputs, and quantization."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from ..errors import FuriosaModelsError
from ..networks import edit
from .calibrator import Calibrator
from .fit import NOISE_SAMPLES, fit
from .fitted import Fitted
from .methods import CalibrationMethod

__all__ = ["Quantization", "fit_on", "quantize_on"]


@dataclass(frozen=True, slots=True)
class Quantization:
    """Report of `Model.quantize`.

    Attributes:
        photos: Number of calibration photos.
        size_before: Size of the float program in bytes.
        size_after: Size of the int8 program in bytes.
        accuracy_before: Accuracy of the float model by metric, if there were labels.
        accuracy_after: Accuracy of the int8 model by metric.
        fitted: How the program was found, with a report by layer.
    """

    photos: int
    size_before: int
    size_after: int
    accuracy_before: Mapping[str, float] | None = None
    accuracy_after: Mapping[str, float] | None = None
    fitted: Fitted | None = None

    def __str__(self) -> str:
        parts = [
            f"calibrated on {self.photos} photos",
            f"{self.size_before / 1e6:.1f} MB -> {self.size_after / 1e6:.1f} MB",
        ]
        for metric, value in (self.accuracy_before or {}).items():
            after = (self.accuracy_after or {}).get(metric, float("nan"))
            parts.append(f"{metric} {value:.4f} -> {after:.4f}")
        if self.fitted is not None and self.fitted.met is not None:
            met = "met" if self.fitted.met else "NOT met"
            left = f"{len(self.fitted.floats)} of {len(self.fitted.layers)} layers float"
            parts.append(f"criterion {met} after {self.fitted.evaluations} evaluations, {left}")
        return "; ".join(parts)


def quantize_on(
    program: bytes,
    inputs: Iterable[npt.NDArray[Any]],
    *,
    method: CalibrationMethod | str = CalibrationMethod.PERCENTILE_ASYM,
    percentage: float = 99.99,
) -> tuple[bytes, int]:
    """Calibrate and quantize a float32 program; return it, and the number of inputs.

    For the arguments and errors see `fit_on`.
    """
    fitted, count = fit_on(program, inputs, method=method, percentage=percentage)
    return fitted.program, count


def fit_on(
    program: bytes,
    inputs: Iterable[npt.NDArray[Any]],
    *,
    method: CalibrationMethod | str = CalibrationMethod.PERCENTILE_ASYM,
    percentage: float = 99.99,
    evaluate: Callable[[bytes], float] | None = None,
    **search: Any,
) -> tuple[Fitted, int]:
    """Calibrate and quantize a float32 program.

    Args:
        program: float32 program with one input.
        inputs: Representative inputs of the program.
        method: Method to choose ranges, or its name.
        percentage: Percentage of the values that the percentile methods keep, in (0, 100].
        evaluate: Function that returns the accuracy of a program, to leave operations float until
            the criterion is met.
        search: Options of `fit`: `baseline`, `criterion`, `limits`; and of `quantize`.

    Returns:
        The int8 program with its report, and the number of inputs.

    Raises:
        FuriosaModelsError: There are no inputs, or the program cannot be run on them, is already
            quantized, or computes in float16.
        ValueError: The method is unknown, or the percentage is not in (0, 100].
        WeightsError: The bytes are not an ONNX model.
    """
    try:
        chosen = CalibrationMethod[method] if isinstance(method, str) else method
    except KeyError:
        names = ", ".join(CalibrationMethod.__members__)
        msg = f"unknown calibration method {method!r}; known: {names}"
        raise ValueError(msg) from None
    calibrator = Calibrator(program, chosen, percentage=percentage)
    (name,) = edit.get_pure_input_names(program)
    samples: list[dict[str, npt.NDArray[Any]]] = []
    count = 0

    def counted() -> Iterator[list[npt.NDArray[Any]]]:
        nonlocal count
        for tensor in inputs:
            yield [tensor]
            count += 1
            if len(samples) < NOISE_SAMPLES:
                samples.append({name: tensor})

    calibrator.collect_data(counted())
    if not count:
        msg = "expected at least one calibration photo, got none; about a hundred are recommended"
        raise FuriosaModelsError(msg)
    means = calibrator.compute_channel_means()
    ranges = calibrator.compute_range()
    fitted = fit(program, ranges, samples, evaluate, channel_means=means, **search)
    return fitted, count
