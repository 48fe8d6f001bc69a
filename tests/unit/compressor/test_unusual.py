"""Wrong and unusual data, functions and settings of `fit`."""

from __future__ import annotations

import copy
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from furiosa_models.compressor import benchmark, quantization
from furiosa_models.compressor.config import (
    AccuracyCriterion,
    BenchmarkConfig,
    ONNXQlinear2QDQConfig,
    PostTrainingQuantConfig,
    TF2ONNXConfig,
    TuningCriterion,
)
from furiosa_models.compressor.model import Model
from furiosa_models.errors import ConfigurationError
from furiosa_models.networks import edit
from tests.unit.compressor.test_quantization import IMAGES, LABELS, NET, loader


class Batches:
    """A data loader of given batches."""

    def __init__(self, batches: Any, batch_size: Any = 8) -> None:
        self.batches, self.batch_size = batches, batch_size

    def __iter__(self) -> Any:
        return iter(self.batches)


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "has no samples"),
        ([(IMAGES[:0], None)], "has no samples"),
        ([(None, None)], "with a batch dimension"),
    ],
)
def test_data_loader_without_samples_is_an_error(batches: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        quantization.fit(NET, PostTrainingQuantConfig(), calib_dataloader=Batches(batches))


def test_data_loader_that_yields_its_batches_once_is_an_error() -> None:
    once = Batches(iter([(IMAGES, LABELS)]))
    with pytest.raises(ConfigurationError, match="begin anew"):
        quantization.fit(
            NET, PostTrainingQuantConfig(), eval_dataloader=once, eval_metric={"topk": 1}
        )


def test_float64_inputs_and_numpy_batch_sizes_are_accepted() -> None:
    data = Batches([(IMAGES.astype(np.float64), LABELS)], np.int64(8))
    q_model = quantization.fit(
        NET, PostTrainingQuantConfig(), eval_dataloader=data, eval_metric={"topk": 1}
    )
    assert q_model.float_accuracy == 1
    conf = BenchmarkConfig(warmup=0, iteration=1)
    assert benchmark.fit(q_model, conf, b_dataloader=data).batch_size == len(IMAGES)


@pytest.mark.parametrize("metric", [{"topk": 1}, {"MSE": {}}])
def test_metric_without_labels_is_an_error(metric: dict[str, Any]) -> None:
    data = Batches([(IMAGES[:1], None)], 1)
    with pytest.raises(ConfigurationError, match="needs labels"):
        quantization.fit(NET, PostTrainingQuantConfig(), eval_dataloader=data, eval_metric=metric)


@pytest.mark.filterwarnings("ignore::furiosa_models.errors.CalibrationWarning")
@pytest.mark.parametrize("result", [None, "high", {"accuracy": 1}, (0.5, 0.6), math.nan, math.inf])
@pytest.mark.parametrize("calibrated", [True, False])
def test_evaluation_must_return_a_finite_number(result: Any, calibrated: bool) -> None:
    data = loader() if calibrated else None
    with pytest.raises(ConfigurationError, match="one finite number"):
        quantization.fit(
            NET, PostTrainingQuantConfig(), calib_dataloader=data, eval_func=lambda _: result
        )


def test_evaluation_must_be_a_function() -> None:
    with pytest.raises(ConfigurationError, match="eval_func: expected a function, got 3"):
        quantization.fit(NET, PostTrainingQuantConfig(), eval_func=3)  # type: ignore[arg-type]


def test_evaluation_that_modifies_its_model_changes_no_other() -> None:
    def emptied(model: onnx.ModelProto) -> float:
        del model.graph.node[:]
        return 1.0

    model = edit.parse(NET)
    q_model = quantization.fit(
        model, PostTrainingQuantConfig(), calib_dataloader=loader(), eval_func=emptied
    )
    assert model == NET
    assert q_model.model.graph.node


@pytest.mark.parametrize("higher", [True, False])
def test_best_size_of_the_calibration_is_that_of_the_least_loss(higher: bool) -> None:
    accuracies = iter([1.0, 0.5, 0.7] if higher else [1.0, 3.0, 2.0])
    conf = PostTrainingQuantConfig(
        calibration_sampling_size=[8, 16],
        diagnosis=True,
        accuracy_criterion=AccuracyCriterion(higher_is_better=higher),
    )
    q_model = quantization.fit(
        NET, conf, calib_dataloader=loader(), eval_func=lambda _: next(accuracies)
    )
    assert q_model.accuracy == (0.7 if higher else 2.0)


def test_limits_are_those_of_all_sizes_of_the_calibration() -> None:
    counted: list[int] = []

    def evaluate(_: onnx.ModelProto) -> float:
        counted.append(1)
        return 1.0 if len(counted) == 1 else 0.5

    tuning = TuningCriterion(max_trials=1)
    conf = PostTrainingQuantConfig(calibration_sampling_size=[8, 16], tuning_criterion=tuning)
    q_model = quantization.fit(NET, conf, calib_dataloader=loader(), eval_func=evaluate)
    assert (len(counted), q_model.met) == (2, False)


def test_second_input_of_a_fixed_size_does_not_fix_the_batch() -> None:
    model = edit.parse(NET)
    size = onnx.helper.make_tensor_value_info("size", onnx.TensorProto.FLOAT, [1])
    model.graph.input.append(size)
    model.graph.node.append(onnx.helper.make_node("Neg", ["size"], ["negative"], "negate"))
    model.graph.output.append(
        onnx.helper.make_tensor_value_info("negative", onnx.TensorProto.FLOAT, [1])
    )
    data = Batches([([IMAGES[:8], np.ones(1, np.float32)], None)])
    q_model = quantization.fit(model, PostTrainingQuantConfig(), calib_dataloader=data)
    assert q_model.run([IMAGES[:4], np.ones(1, np.float32)])[0].shape == (4, 5)


def test_models_are_copied_after_they_ran() -> None:
    model = Model(edit.parse(NET))
    expected = model.run(IMAGES)[0]
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        np.testing.assert_array_equal(copied.run(IMAGES)[0], expected)


def test_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert Model(NET).save("~/net.onnx") == tmp_path / "net.onnx"
    exported = Model(NET).export("~/exported.onnx", ONNXQlinear2QDQConfig())
    assert exported == tmp_path / "exported.onnx"
    assert Model(Path("~/net.onnx")).model == NET


def test_benchmark_needs_its_own_settings() -> None:
    settings: Any = PostTrainingQuantConfig()
    with pytest.raises(ConfigurationError, match="expected a BenchmarkConfig"):
        benchmark.fit(NET, settings)


@pytest.mark.parametrize("metric", [{"topk": 0}, {"topk": {"k": -1}}, {"MSE": {"unknown": 1}}])
def test_wrong_arguments_of_metrics_are_errors(metric: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(metric))):
        quantization.fit(
            NET, PostTrainingQuantConfig(), eval_dataloader=loader(), eval_metric=metric
        )


def test_recipe_takes_a_single_type_as_text() -> None:
    conf = PostTrainingQuantConfig(recipes={"optypes_to_exclude_output_quant": "Conv"})
    assert conf.recipes["optypes_to_exclude_output_quant"] == ["Conv"]


def test_settings_are_numbers() -> None:
    with pytest.raises(ConfigurationError, match="tolerable_loss"):
        AccuracyCriterion(tolerable_loss=math.nan)


@pytest.mark.parametrize("recipe", ["add_qdq_pair_to_weight", "dedicated_qdq_pair"])
def test_recipes_for_pairs_keep_the_outputs(recipe: str) -> None:
    conf = PostTrainingQuantConfig(recipes={recipe: True})
    q_model = quantization.fit(NET, conf, calib_dataloader=loader())
    plain = quantization.fit(NET, PostTrainingQuantConfig(), calib_dataloader=loader())
    exact = Model(NET).run(IMAGES)[0]
    for fitted in (q_model, plain):
        assert np.abs(fitted.run(IMAGES)[0] - exact).max() < 0.1 * np.abs(exact).max()
    kinds = [[n.op_type for n in m.model.graph.node] for m in (q_model, plain)]
    assert kinds[0].count("QuantizeLinear") > kinds[1].count("QuantizeLinear")


@pytest.mark.parametrize("level", ["ENABLE_EXTENDED", "ENABLE_ALL"])
def test_optimization_that_hides_operations_is_an_error(level: str) -> None:
    with pytest.raises(ConfigurationError, match="one of DISABLE_ALL, ENABLE_BASIC"):
        PostTrainingQuantConfig(recipes={"graph_optimization_level": level})


def test_export_names_open_dimensions(tmp_path: Path) -> None:
    conf = TF2ONNXConfig(dtype="fp32", dynamic_axes={"image": {0: "photos"}, "logits": [0]})
    exported = onnx.load(Model(NET).export(tmp_path / "net.onnx", conf))
    inputs, outputs = edit.signature(exported)
    assert (inputs[0].shape[0], outputs[0].shape[0]) == ("photos", "logits_0")
    for wrong in ({"image": {1: "channels"}}, {"image": {9: "far"}}, {"nonesuch": [0]}):
        conf = TF2ONNXConfig(dtype="fp32", dynamic_axes=wrong)
        with pytest.raises(ConfigurationError, match="has no open dimension"):
            Model(NET).export(tmp_path / "other.onnx", conf)
