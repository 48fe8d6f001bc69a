from __future__ import annotations

from typing import Any

import pytest

from furiosa_models import compressor
from furiosa_models.compressor.config import (
    AccuracyCriterion,
    BenchmarkConfig,
    PostTrainingQuantConfig,
    Torch2ONNXConfig,
    TuningCriterion,
    options,
    set_random_seed,
    set_resume_from,
    set_tensorboard,
    set_workspace,
)
from furiosa_models.errors import ConfigurationError


def test_defaults_are_those_of_neural_compressor() -> None:
    conf = PostTrainingQuantConfig()
    assert conf.approach == "post_training_static_quant"
    assert conf.calibration_sampling_size == [100]
    assert (conf.device, conf.backend, conf.domain) == ("cpu", "default", "auto")
    assert (conf.quant_format, conf.quant_level, conf.use_bf16) == ("default", "auto", True)
    assert conf.accuracy_criterion == AccuracyCriterion(True, "relative", 0.01)
    assert conf.tuning_criterion == TuningCriterion("basic", None, 0, 100, "performance")
    assert conf.tuning_criterion.objective == ["performance"]
    assert BenchmarkConfig()["warmup"] == 5
    assert BenchmarkConfig().keys()[5] == "iteration"
    assert Torch2ONNXConfig().opset_version == 14


def test_configurations_share_nothing() -> None:
    first = PostTrainingQuantConfig(diagnosis=True)
    first.tuning_criterion.max_trials = 1
    first.accuracy_criterion.tolerable_loss = 0.5
    first.inputs.append("x")
    second = PostTrainingQuantConfig()
    assert second.tuning_criterion.max_trials == 100
    assert second.accuracy_criterion.tolerable_loss == 0.01
    assert second.inputs == []


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("static", "post_training_static_quant"),
        ("post_training_dynamic_quant", "post_training_dynamic_quant"),
        ("auto", "post_training_auto_quant"),
    ],
)
def test_approach_is_stored_under_its_long_name(given: str, stored: str) -> None:
    assert PostTrainingQuantConfig(approach=given).approach == stored


def test_single_values_are_wrapped_in_lists() -> None:
    conf = PostTrainingQuantConfig(
        calibration_sampling_size=50,
        op_type_dict={"Conv": {"weight": {"dtype": "fp32"}, "activation": {"dtype": ["fp32"]}}},
        excluded_precisions=["bf16"],
    )
    given: Any = "image"
    conf.inputs = given
    assert conf.calibration_sampling_size == [50]
    assert conf.op_type_dict == {
        "Conv": {"weight": {"dtype": ["fp32"]}, "activation": {"dtype": ["fp32"]}}
    }
    assert conf.inputs == ["image"]
    assert not conf.use_bf16


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"device": "gpu"}, "device: expected 'cpu'"),
        ({"backend": "onnxrt_trt_ep"}, "backend: expected"),
        ({"approach": "weight_only"}, "weight_only is for language models"),
        ({"approach": 3}, "approach: expected static"),
        ({"quant_format": "qdq"}, "one of default, QDQ, QOperator, got 'qdq'"),
        ({"quant_level": 7}, "quant_level: expected auto, 0 or 1, got 7"),
        ({"recipes": []}, "recipes: expected a dict"),
        ({"recipes": {"smooth_quant": True}}, "smooth_quant'.: expected False"),
        ({"recipes": {"nonesuch": 1}}, "got 'nonesuch'"),
        ({"recipes": {"graph_optimization_level": "ALL"}}, "DISABLE_ALL"),
        ({"calibration_sampling_size": 0}, "of at least 1, got 0"),
        ({"calibration_sampling_size": []}, "a number of samples"),
        ({"op_type_dict": {"Conv": {"bias": {}}}}, "the keys weight and activation"),
        ({"op_type_dict": {"Conv": {"weight": {"dtype": "int4"}}}}, "got 'int4'"),
        ({"op_name_dict": {"c": {"weight": {"bits": 4}}}}, "the keys granularity"),
        ({"op_name_dict": ["c"]}, "op_name_dict: expected a dict"),
        ({"excluded_precisions": ["int8"]}, "one of bf16, fp16"),
        ({"accuracy_criterion": 0.01}, "expected AccuracyCriterion"),
        ({"reduce_range": 1}, "reduce_range: expected bool"),
    ],
)
def test_wrong_values_are_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        PostTrainingQuantConfig(**settings)
    with pytest.raises(AssertionError):
        PostTrainingQuantConfig(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"timeout": -1},
        {"max_trials": 0},
        {"max_trials": True},
        {"strategy": "nonesuch"},
        {"strategy_kwargs": {"confidence_batches": 2}},
        {"objective": "speed"},
        {"objective": {"objective": ["performance"], "weight": [0.1, 0.9]}},
        {"objective": {"goal": "performance"}},
    ],
)
def test_wrong_limits_are_errors(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        TuningCriterion(**settings)


def test_criterion_is_relative_or_absolute() -> None:
    criterion = AccuracyCriterion()
    assert (criterion.relative, criterion.absolute) == (0.01, None)
    criterion.absolute = 0.5
    assert (criterion.relative, criterion.absolute) == (None, 0.5)
    criterion.relative = 0.02
    assert criterion == AccuracyCriterion(True, "relative", 0.02)
    assert criterion["tolerable_loss"] == 0.02
    with pytest.raises(ConfigurationError, match="relative, absolute"):
        AccuracyCriterion(criterion="percent")


def test_values_are_checked_when_they_are_set() -> None:
    conf = PostTrainingQuantConfig()
    with pytest.raises(ConfigurationError, match="device"):
        conf.device = "tpu"
    assert conf.device == "cpu"


def test_options_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(options, "workspace", options.workspace)
    monkeypatch.setattr(options, "random_seed", options.random_seed)
    set_workspace("./work")
    set_random_seed(7)
    set_tensorboard(False)
    assert (options.workspace, options.random_seed) == ("./work", 7)
    with pytest.raises(ConfigurationError, match="resume_from"):
        set_resume_from("here")
    with pytest.raises(ConfigurationError, match="tensorboard"):
        set_tensorboard(True)


def test_names_are_at_the_root_as_well() -> None:
    assert compressor.PostTrainingQuantConfig is PostTrainingQuantConfig
    assert compressor.options is options
    assert all(hasattr(compressor, name) for name in compressor.__all__)
