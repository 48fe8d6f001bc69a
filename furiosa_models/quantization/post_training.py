"""int8 in one step: calibrate a program on inputs, and quantize it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy.typing as npt

from ..errors import FuriosaModelsError
from .calibrator import Calibrator
from .methods import CalibrationMethod
from .quantizer import quantize

__all__ = ["quantize_on"]


def quantize_on(
    program: bytes,
    inputs: Iterable[npt.NDArray[Any]],
    *,
    method: CalibrationMethod | str = CalibrationMethod.PERCENTILE_ASYM,
    percentage: float = 99.99,
) -> tuple[bytes, int]:
    """Return the int8 program of a float one, and the number of inputs that it was calibrated on.

    Args:
        program: The float program.
        inputs: Inputs such as it will see.
        method: How ranges are chosen.
        percentage: How much of the numbers the percentile methods keep.

    Raises:
        FuriosaModelsError: There are no inputs, or the program cannot be run on them.
        ValueError: There is no such method.
    """
    try:
        chosen = CalibrationMethod[method] if isinstance(method, str) else method
    except KeyError:
        names = ", ".join(CalibrationMethod.__members__)
        msg = f"there is no calibration method {method!r}; there are {names}"
        raise ValueError(msg) from None
    calibrator = Calibrator(program, chosen, percentage=percentage)
    count = 0
    for tensor in inputs:
        calibrator.collect_data([[tensor]])
        count += 1
    if not count:
        msg = "there is no photo to calibrate on: give at least one, better a hundred"
        raise FuriosaModelsError(msg)
    means = calibrator.compute_channel_means()
    return quantize(program, calibrator.compute_range(), channel_means=means), count
