"""Quantization to an accuracy: leaves as few operations float as the criterion allows.

The search needs few evaluations, since it predicts them from noise, which is cheap to measure:

1. Quantize everything, and evaluate it.
2. If too much accuracy is lost, measure the noise that each unit of the network adds to the outputs
   when it alone is quantized. Leave the noisiest ones float, as many as remove the excess of noise:
   the loss of accuracy is taken to be proportional to it. Evaluate, correct the proportion, repeat.
3. Once the criterion is met, try to leave fewer units float.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from ..errors import FuriosaModelsError
from ..networks import edit
from ..progress import Bar, progress_bar
from .calibrated import Calibration
from .fitted import Criterion, Fitted, Layer, Trial
from .noise import NoiseMeter, decibels
from .quantizer import prepare, quantize
from .session import open_session
from .units import Unit, units_of

__all__ = ["NOISE_SAMPLES", "Limits", "fit"]

NOISE_SAMPLES = 4
"""Number of samples that noise is measured on."""

_REFINEMENTS = 3
"""Most evaluations that are spent on fewer float units after the criterion is met."""
_MARGIN = 0.7
"""Part of the allowed noise that is aimed at, since accuracy follows noise only roughly."""
_LATENCY_ROUNDS = 10

Feed = Mapping[str, npt.NDArray[Any]]
Evaluate = Callable[[bytes], float]


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the search.

    Attributes:
        max_trials: Most quantized models that are evaluated.
        timeout: Seconds after which no further trial starts; 0 for no limit.
    """

    max_trials: int = 100
    timeout: float = 0


def fit(
    program: onnx.ModelProto | bytes,
    ranges: Mapping[str, Sequence[float]],
    samples: Sequence[Feed],
    evaluate: Evaluate | None,
    *,
    channel_means: Mapping[str, Sequence[float]] | None = None,
    baseline: float | None = None,
    criterion: Criterion | None = None,
    limits: Limits | None = None,
    exclude: Collection[str] = (),
    **options: Any,
) -> Fitted:
    """Quantize a program so that its accuracy meets a criterion.

    Args:
        program: float32 program.
        ranges: Range of each tensor, from `Calibrator`.
        samples: Inputs to measure noise and latency on, by name; the first few are used.
        evaluate: Function that returns the accuracy of a program; None to quantize everything.
        channel_means: Channel means of each tensor, from `Calibrator`.
        baseline: Accuracy of the float program; measured by default.
        criterion: Accuracy to keep; by default a relative loss of at most 1 %.
        limits: Limits of the search.
        exclude: Names of nodes that stay float in any case.
        options: Further options of `quantize`.

    Returns:
        Of the quantized programs that meet the criterion, the one with the fewest float units; if
        there is none, the most accurate program.

    Raises:
        FuriosaModelsError: The program cannot be quantized or run, or an accuracy is not finite.
    """
    start = perf_counter()
    options |= {"channel_means": channel_means}
    candidates = _Candidates(program, ranges, samples[:NOISE_SAMPLES], exclude, options)
    if evaluate is None:
        return candidates.fitted(candidates.quantized(()), None, start)
    search = _Search(candidates, evaluate, criterion or Criterion(), limits or Limits(), start)
    return search.run(baseline)


class _Candidates:
    """Makes quantized programs, and measures them without an evaluation.

    Args:
        program: See `fit`.
        ranges: See `fit`.
        samples: See `fit`.
        exclude: See `fit`.
        options: Options of `quantize`.
    """

    def __init__(
        self,
        program: onnx.ModelProto | bytes,
        ranges: Mapping[str, Sequence[float]],
        samples: Sequence[Feed],
        exclude: Collection[str],
        options: Mapping[str, Any],
    ) -> None:
        self.program = edit.parse(program)
        self._ranges = ranges
        self._options = options
        self._samples = samples
        self._exclude = {*exclude}
        self._prepared = prepare(self.program, self._ranges, exclude=self._exclude)
        self.units = units_of(self._prepared.model.graph, self._prepared.nodes)
        self._noise_of: dict[str, float] = {}

    def quantized(self, floats: Sequence[Unit]) -> bytes:
        """Return the program with all units quantized except some."""
        left = {name for unit in floats for name in unit.nodes}
        return quantize(self.program, self._ranges, exclude=self._exclude | left, **self._options)

    def ranked(self, is_over: Callable[[], bool]) -> tuple[list[Unit], Callable[[int], float]]:
        """Return the units, noisiest first, and the noise if some of the first ones are float.

        Args:
            is_over: Whether there is no time left; then the rest of the units follow in any order.
        """
        meter = NoiseMeter(self._prepared, self._samples)
        with progress_bar("measuring noise", len(self.units), unit="layer") as bar:
            for unit in self.units:
                if is_over():
                    break
                self._noise_of[unit.name] = meter.noise(unit.nodes)
                bar.update()
        order = sorted(self.units, key=lambda unit: -self._noise_of.get(unit.name, 0.0))
        measured: dict[int, float] = {}

        def noise(count: int) -> float:
            if count not in measured:
                left = {name for unit in order[:count] for name in unit.nodes}
                measured[count] = meter.noise([n for n in self._prepared.nodes if n not in left])
            return measured[count]

        return order, noise

    def fitted(
        self,
        program: bytes,
        trial: Trial | None,
        start: float,
        *,
        baseline: float | None = None,
        trials: Sequence[Trial] = (),
    ) -> Fitted:
        """Return the result of a search that ended with a program."""
        times = self._milliseconds(edit.parse(program))
        floats = {*trial.floats} if trial else set()
        return Fitted(
            program,
            trial.met if trial else None,
            trial.accuracy if trial else None,
            baseline,
            len(program),
            edit.byte_size(self.program),
            *times,
            seconds=perf_counter() - start,
            trials=tuple(trials),
            layers=self._layers(floats),
            calibration=self._calibration(floats),
        )

    def _calibration(self, floats: set[str]) -> Calibration:
        left = {name for unit in self.units if unit.name in floats for name in unit.nodes}
        ranges = {name: [float(low), float(high)] for name, (low, high) in self._ranges.items()}
        means = self._options["channel_means"]
        plain = means and {name: [float(value) for value in row] for name, row in means.items()}
        return Calibration(ranges, plain, tuple(sorted(self._exclude | left)))

    def _layers(self, floats: set[str]) -> list[Layer]:
        total = sum(self._noise_of.values())
        sizes = {t.name: len(t.raw_data) for t in self._prepared.model.graph.initializer}
        weights = {
            node.name: sum(sizes.get(name, 0) for name in node.input[1:])
            for node in self._prepared.model.graph.node
        }
        found = []
        for unit in self.units:
            noise = self._noise_of.get(unit.name)
            share = None if noise is None else noise / total if total else 0.0
            ratio = None if noise is None else decibels(noise)
            size = sum(weights[name] for name in unit.nodes)
            found.append(Layer(unit.name, unit.kind, ratio, share, unit.name in floats, size))
        return found

    def _milliseconds(self, program: onnx.ModelProto) -> tuple[float | None, float | None]:
        """Return the least latency of a program and of the float one, measured in turns."""
        if not self._samples:
            return None, None
        sessions = [open_session(model) for model in (program, self.program)]
        best = [math.inf, math.inf]
        for _ in range(_LATENCY_ROUNDS):
            for i, session in enumerate(sessions):
                begin = perf_counter()
                session.run(None, dict(self._samples[0]))
                best[i] = min(best[i], 1e3 * (perf_counter() - begin))
        return best[0], best[1]


class _Search:
    """A search for the fewest float units; see the module."""

    def __init__(
        self,
        candidates: _Candidates,
        evaluate: Evaluate,
        criterion: Criterion,
        limits: Limits,
        start: float,
    ) -> None:
        self._candidates = candidates
        self._evaluate = evaluate
        self._criterion = criterion
        self._limits = limits
        self._start = start
        self._order: list[Unit] = []
        self._trials: list[Trial] = []
        self._best: tuple[bytes, Trial] | None = None
        self._baseline = math.nan

    def run(self, baseline: float | None) -> Fitted:
        """Return the best program."""
        with progress_bar("quantizing", None, unit="trial") as bar:
            if baseline is None:
                baseline = self._measured(edit.to_bytes(self._candidates.program))
            self._baseline = baseline
            if not self._try(0, bar) and not self._is_over():
                self._leave_float(bar)
        if self._best is None:  # max_trials is at least 1
            msg = "no quantized model was evaluated"
            raise FuriosaModelsError(msg)
        program, trial = self._best
        return self._candidates.fitted(
            program, trial, self._start, baseline=baseline, trials=self._trials
        )

    def _leave_float(self, bar: Bar) -> None:
        """Leave units float until the criterion is met, then fewer."""
        self._order, noise = self._candidates.ranked(self._is_over)
        failed, most = 0, len(self._order) - 1  # at least one unit stays quantized
        while failed < most and not self._is_over():
            allowed = self._allowed_noise(noise(failed))
            count = _first_below(allowed, noise, failed + 1, most)
            count = min(most, max(count, 2 * failed))  # if the prediction fails, hurry
            if self._try(count, bar):
                self._refine(failed, count, bar)
                return
            failed = count

    def _refine(self, failed: int, met: int, bar: Bar) -> None:
        """Look for fewer float units between a number that failed and one that met."""
        for _ in range(_REFINEMENTS):
            if met - failed <= 1 or self._is_over():
                return
            middle = (failed + met) // 2
            if self._try(middle, bar):
                met = middle
            else:
                failed = middle

    def _allowed_noise(self, noise: float) -> float:
        """Return the noise to aim at, after the last trial had a noise and lost too much."""
        loss, tolerable = self._trials[-1].loss, self._criterion.tolerable_loss
        return _MARGIN * noise * tolerable / loss if 0 < tolerable < loss else 0.0

    def _try(self, count: int, bar: Bar) -> bool:
        """Evaluate a program with some float units; return whether it meets the criterion."""
        begin = perf_counter()
        floats = self._order[:count]
        program = self._candidates.quantized(floats)
        accuracy = self._measured(program)
        loss = self._criterion.loss(self._baseline, accuracy)
        met = self._criterion.is_met(self._baseline, accuracy)
        names = tuple(unit.name for unit in floats)
        trial = Trial(names, accuracy, loss, met, len(program), perf_counter() - begin)
        self._trials.append(trial)
        bar.update()
        if self._best is None or _is_better(trial, self._best[1]):
            self._best = program, trial
        return met

    def _measured(self, program: bytes) -> float:
        accuracy = float(self._evaluate(program))
        if not np.isfinite(accuracy):
            msg = f"expected a finite accuracy from the evaluation, got {accuracy}"
            raise FuriosaModelsError(msg)
        return accuracy

    def _is_over(self) -> bool:
        spent = perf_counter() - self._start
        is_late = 0 < self._limits.timeout <= spent
        return is_late or len(self._trials) >= self._limits.max_trials


def _is_better(trial: Trial, best: Trial) -> bool:
    if trial.met != best.met:
        return trial.met
    if trial.met:
        return len(trial.floats) < len(best.floats)
    return trial.loss < best.loss


def _first_below(limit: float, noise: Callable[[int], float], low: int, high: int) -> int:
    """Return the least number of float units from `low` whose noise is in a limit, or `high`.

    Noise falls with the number, so that bisection finds it.
    """
    while low < high:
        middle = (low + high) // 2
        if noise(middle) <= limit:
            high = middle
        else:
            low = middle + 1
    return low
