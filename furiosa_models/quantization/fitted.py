"""Result of quantization to an accuracy: the program, the trials, and a report by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from ..errors import ConfigurationError
from .calibrated import Calibration

__all__ = ["Criterion", "Fitted", "Layer", "Trial"]


@dataclass(frozen=True, slots=True)
class Criterion:
    """How much accuracy a quantized model may lose.

    Attributes:
        tolerable_loss: Greatest loss.
        kind: Whether the loss is `relative` to the float model's accuracy, or `absolute`.
        higher_is_better: Whether a higher accuracy is better; false for an error.

    Raises:
        ConfigurationError: The loss is not a number.
    """

    tolerable_loss: float = 0.01
    kind: Literal["relative", "absolute"] = "relative"
    higher_is_better: bool = True

    def __post_init__(self) -> None:
        value: object = self.tolerable_loss
        if not isinstance(value, (int, float)) or math.isnan(value):
            msg = f"expected a number as the tolerable loss, got {value!r}"
            raise ConfigurationError(msg)

    def loss(self, baseline: float, accuracy: float) -> float:
        """Return the loss of accuracy, negative for a gain."""
        loss = baseline - accuracy if self.higher_is_better else accuracy - baseline
        if self.kind == "absolute" or baseline == 0:
            return loss
        return loss / abs(baseline)

    def is_met(self, baseline: float, accuracy: float) -> bool:
        """Return whether a quantized model is accurate enough."""
        return self.loss(baseline, accuracy) <= self.tolerable_loss


@dataclass(frozen=True, slots=True)
class Trial:
    """A quantized model that was evaluated.

    Attributes:
        floats: Names of the units that it leaves float.
        accuracy: Its accuracy.
        loss: Its loss of accuracy, as the criterion counts it.
        met: Whether it meets the criterion.
        size: Its size in bytes.
        seconds: Seconds that quantization and evaluation took.
    """

    floats: tuple[str, ...]
    accuracy: float
    loss: float
    met: bool
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Layer:
    """A unit of the network.

    Attributes:
        name: Name of its first node.
        kind: Type of its first node.
        signal_to_noise: Signal-to-noise ratio at the outputs in decibels if it alone is quantized;
            None if it was not measured.
        share: Its share of the noise of all units, between 0 and 1; None if it was not measured.
        is_float: Whether it was left float.
        weight_bytes: Size of its float32 weights; int8 takes a quarter.
    """

    name: str
    kind: str
    signal_to_noise: float | None
    share: float | None
    is_float: bool
    weight_bytes: int


@dataclass(frozen=True, slots=True)
class Fitted:
    """A quantized program, and how it was found.

    Attributes:
        program: The quantized program.
        met: Whether it meets the criterion; None if no accuracy was measured.
        accuracy: Its accuracy.
        float_accuracy: Accuracy of the float program.
        size: Its size in bytes.
        float_size: Size of the float program in bytes.
        latency: Milliseconds of an inference; None if it was not measured.
        float_latency: Milliseconds of an inference of the float program.
        seconds: Seconds that the whole search took.
        trials: The evaluated models.
        layers: Report by layer.
        calibration: What reproduces the program from the float one; None without calibration data.
    """

    program: bytes = field(repr=False)
    met: bool | None
    accuracy: float | None
    float_accuracy: float | None
    size: int
    float_size: int
    latency: float | None = None
    float_latency: float | None = None
    seconds: float = 0.0
    trials: Sequence[Trial] = ()
    layers: Sequence[Layer] = field(default=(), repr=False)
    calibration: Calibration | None = field(default=None, repr=False)

    @property
    def evaluations(self) -> int:
        """Number of quantized models that were evaluated."""
        return len(self.trials)

    @property
    def floats(self) -> list[str]:
        """Names of the units that were left float."""
        return [layer.name for layer in self.layers if layer.is_float]

    def __str__(self) -> str:
        """Return a table of the trials and one of the layers left float."""
        rows = [("trial", "float layers", "accuracy", "loss", "met", "MB", "seconds")]
        if self.float_accuracy is not None:
            rows.append(
                ("float", "all", f"{self.float_accuracy:.4f}", "", "", _mb(self.float_size), "")
            )
        for number, trial in enumerate(self.trials, 1):
            met = "yes" if trial.met else "no"
            figures = (f"{trial.accuracy:.4f}", f"{trial.loss:.4f}", met, _mb(trial.size))
            rows.append((str(number), str(len(trial.floats)), *figures, f"{trial.seconds:.1f}"))
        tables = [_table(rows)] if self.trials else []
        if left := [layer for layer in self.layers if layer.is_float]:
            noisy = [("float layer", "type", "dB", "noise", "MB of weights")]
            noisy += [
                (
                    layer.name,
                    layer.kind,
                    _decibels(layer.signal_to_noise),
                    "" if layer.share is None else f"{layer.share:.1%}",
                    _mb(layer.weight_bytes),
                )
                for layer in left
            ]
            tables.append(_table(noisy))
        return "\n\n".join([self.summary, *tables])

    @property
    def summary(self) -> str:
        """The outcome in one line."""
        parts = [f"{_mb(self.float_size)} MB -> {_mb(self.size)} MB"]
        if self.latency is not None and self.float_latency is not None:
            parts.append(f"{self.float_latency:.2f} ms -> {self.latency:.2f} ms")
        if self.accuracy is not None and self.float_accuracy is not None:
            parts.append(f"accuracy {self.float_accuracy:.4f} -> {self.accuracy:.4f}")
        if self.met is not None:
            parts.append("criterion met" if self.met else "criterion NOT met")
            parts.append(f"{self.evaluations} evaluations in {self.seconds:.1f} s")
        return "; ".join(parts)


def _mb(size: int) -> str:
    return f"{size / 1e6:.2f}"


def _decibels(ratio: float | None) -> str:
    return "" if ratio is None or math.isinf(ratio) else f"{ratio:.1f}"


def _table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    return "\n".join(lines)
