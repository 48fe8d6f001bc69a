from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from furiosa_models.errors import ConfigurationError, FuriosaModelsError
from furiosa_models.networks import edit
from furiosa_models.quantization.calibrator import Calibrator
from furiosa_models.quantization.fit import Limits, fit
from furiosa_models.quantization.fitted import Criterion, Fitted
from furiosa_models.quantization.methods import CalibrationMethod
from furiosa_models.quantization.noise import NoiseMeter, decibels
from furiosa_models.quantization.quantizer import prepare, quantize
from furiosa_models.quantization.units import units_of
from tests.unit.quantization.poisoned import POISONED, photos, poisoned_network
from tests.unit.quantization.small import network, pixels

FLOAT = network(scaled_inside=False)
SAMPLES = [{"image": image[None]} for image in photos(8)]


def outputs(program: onnx.ModelProto | bytes, image: Any, *, optimize: bool = False) -> Any:
    options = onnxruntime.SessionOptions()
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    data = program if isinstance(program, bytes) else program.SerializeToString()
    return onnxruntime.InferenceSession(data, options).run(None, {"image": image})[0]


def calibrated(model: onnx.ModelProto) -> dict[str, tuple[float, float]]:
    calibrator = Calibrator(model, CalibrationMethod.MIN_MAX_ASYM)
    calibrator.collect_data([[sample["image"]] for sample in SAMPLES])
    return calibrator.compute_range()


def agreement(model: onnx.ModelProto) -> Callable[[bytes], float]:
    """Return a function that measures how often a program agrees with a float model."""
    images = photos(200, seed=1)
    labels = outputs(model, images).argmax(1)
    return lambda program: float((outputs(program, images).argmax(1) == labels).mean())


def fitted(model: onnx.ModelProto, evaluate: Any, **options: Any) -> Fitted:
    return fit(model, calibrated(model), SAMPLES, evaluate, **options)


def test_everything_is_quantized_if_that_is_accurate_enough() -> None:
    found = fitted(FLOAT, agreement(FLOAT), criterion=Criterion(0.05))
    assert found.met is True
    assert (found.evaluations, found.floats) == (1, [])
    assert found.float_accuracy == 1.0
    assert found.accuracy is not None
    assert found.accuracy > 0.95


def test_poisoned_operation_is_found_and_left_float_first() -> None:
    model = poisoned_network()
    evaluate = agreement(model)
    found = fitted(model, evaluate, criterion=Criterion(0.03))
    assert found.trials[0].loss > 0.05
    assert found.trials[1].floats[0] == POISONED
    assert found.met is True
    assert found.floats == [POISONED]
    assert found.evaluations <= 3
    worst = min(found.layers, key=lambda layer: layer.signal_to_noise or math.inf)
    assert worst.name == POISONED
    assert worst.share is not None
    assert worst.share > 0.9
    assert evaluate(found.program) == found.accuracy


def test_float_operation_between_quantized_ones_stays_float_in_onnx_runtime() -> None:
    """ONNX Runtime would quantize its weights itself, for each tensor."""
    model = poisoned_network()
    program = quantize(model, calibrated(model), exclude=[POISONED])
    image = photos(4, seed=2)
    exact = outputs(model, image)
    for optimize in (False, True):
        error = np.abs(outputs(program, image, optimize=optimize) - exact).max()
        assert error < 0.05 * np.abs(exact).max()


@pytest.mark.parametrize("tolerable", [-0.5, 0.0])
def test_impossible_criterion_gives_the_best_model(tolerable: float) -> None:
    accuracies = iter([0.9, 0.5, 0.7, 0.6, 0.4, 0.3, 0.2, 0.1])
    found = fitted(FLOAT, lambda _: next(accuracies), criterion=Criterion(tolerable))
    assert found.met is False
    assert found.accuracy == 0.7
    assert found.trials[1].accuracy == 0.7
    assert outputs(found.program, photos(1)).shape == (1, 5)


def test_search_stops_at_its_limits() -> None:
    never = Criterion(-1.0)
    assert fitted(FLOAT, lambda _: 0.5, criterion=never, limits=Limits(1)).evaluations == 1
    assert fitted(FLOAT, lambda _: 0.5, criterion=never, limits=Limits(2)).evaluations == 2
    found = fitted(FLOAT, lambda _: 0.5, criterion=never, limits=Limits(100, timeout=1e-9))
    assert (found.evaluations, found.met) == (1, False)


def test_lower_values_and_absolute_losses_are_understood() -> None:
    error = iter([0.10, 0.104])
    criterion = Criterion(0.005, "absolute", higher_is_better=False)
    found = fitted(FLOAT, lambda _: next(error), criterion=criterion)
    assert (found.met, found.evaluations) == (True, 1)
    assert found.trials[0].loss == pytest.approx(0.004)


def test_refinement_leaves_fewer_operations_float() -> None:
    """The accuracy is enough from two float units on."""

    def evaluate(program: bytes) -> float:
        kinds = [node.op_type for node in edit.parse(program).graph.node]
        return 1.0 if kinds.count("DequantizeLinear") <= limit else 0.5

    counts = []
    for floats in ((), (POISONED,), (POISONED, "depthwise", "clip")):
        program = quantize(FLOAT, calibrated(FLOAT), exclude=floats)
        counts.append([n.op_type for n in edit.parse(program).graph.node].count("DequantizeLinear"))
    limit = counts[1]
    found = fitted(FLOAT, evaluate, baseline=1.0)
    assert found.met is True
    assert 1 <= len(found.floats) <= 3
    assert counts[0] > limit


def test_excluded_nodes_are_no_candidates() -> None:
    found = fitted(FLOAT, None, exclude=["depthwise", "clip"])
    assert found.met is None
    assert "depthwise" not in [layer.name for layer in found.layers]
    nodes = {node.name: node for node in edit.parse(found.program).graph.node}
    assert nodes["depthwise"].input[1] == "w2"


def test_calibration_of_the_result_reproduces_it() -> None:
    model = poisoned_network()
    found = fitted(model, agreement(model), criterion=Criterion(0.03))
    assert found.calibration is not None
    assert found.calibration.quantize(edit.to_bytes(model)) == found.program


def test_accuracies_must_be_finite() -> None:
    with pytest.raises(FuriosaModelsError, match="finite accuracy .* got nan"):
        fitted(FLOAT, lambda _: math.nan)


def test_errors_of_the_evaluation_are_not_swallowed() -> None:
    def fail(_: bytes) -> float:
        msg = "no labels"
        raise LookupError(msg)

    with pytest.raises(LookupError, match="no labels"):
        fitted(FLOAT, fail)


def test_report_has_tables_of_trials_and_of_float_layers() -> None:
    model = poisoned_network()
    text = str(fitted(model, agreement(model), criterion=Criterion(0.03)))
    assert "criterion met" in text
    assert "float layers" in text
    assert POISONED in text


def test_noise_of_a_subset_is_that_of_its_program() -> None:
    ranges = calibrated(FLOAT)
    prepared = prepare(FLOAT, ranges)
    meter = NoiseMeter(prepared, SAMPLES)
    exact = [outputs(FLOAT, sample["image"]) for sample in SAMPLES]
    assert meter.noise([]) == 0
    for left in ((), (POISONED,), ("first", "relu")):
        program = quantize(FLOAT, ranges, exclude=left)
        noisy = [outputs(program, sample["image"]) for sample in SAMPLES]
        expected = np.mean(
            [np.mean((a - b) ** 2) / np.mean(b**2) for a, b in zip(noisy, exact, strict=True)]
        )
        quantized = [name for name in prepared.nodes if name not in left]
        assert meter.noise(quantized) == pytest.approx(expected, rel=1e-3)


def test_noise_is_measured_on_pixels_and_before_a_selection() -> None:
    model = network()
    model.graph.node.append(helper.make_node("ArgMax", ["logits"], ["class"], "best", axis=1))
    model.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("class", TensorProto.INT64, ["n", 1])
    )
    calibrator = Calibrator(model, CalibrationMethod.MIN_MAX_ASYM)
    samples = [{"image": pixels(1, seed)} for seed in range(4)]
    calibrator.collect_data([[sample["image"]] for sample in samples])
    prepared = prepare(model, calibrator.compute_range())
    noise = NoiseMeter(prepared, samples).noise(prepared.nodes)
    assert 15 < decibels(noise) < 60


def test_noise_needs_a_float_output() -> None:
    graph = helper.make_graph(
        [helper.make_node("Shape", ["image"], ["shape"], "shape")],
        "shapes",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 4, 4])],
        [helper.make_tensor_value_info("shape", TensorProto.INT64, [4])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    with pytest.raises(FuriosaModelsError, match="no float outputs"):
        NoiseMeter(prepare(model, {}), [])


def test_units_are_operations_with_what_follows_them() -> None:
    prepared = prepare(FLOAT, calibrated(FLOAT), float_heads=False)
    units = {unit.name: unit.nodes for unit in units_of(prepared.model.graph, prepared.nodes)}
    assert units["first"] == ("first", "relu")
    assert units["depthwise"] == ("depthwise", "clip")
    assert units["residual"] == ("residual", "pool")
    assert units["pointwise"] == ("pointwise",)


def test_decibels_of_no_noise_are_infinite() -> None:
    assert decibels(0) == math.inf
    assert decibels(0.01) == pytest.approx(20)


@pytest.mark.parametrize("loss", [math.nan, "0.01"])
def test_tolerable_loss_is_a_number(loss: Any) -> None:
    with pytest.raises(ConfigurationError, match="expected a number as the tolerable loss"):
        Criterion(loss)
