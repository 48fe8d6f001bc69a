from __future__ import annotations

import os
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
    options,
)
from furiosa_models.compressor.data import DataLoader
from furiosa_models.compressor.model import BaseModel, Model
from furiosa_models.compressor.model.model import get_model_fwk_name
from furiosa_models.compressor.model.onnx_model import ONNXModel
from furiosa_models.errors import (
    CalibrationWarning,
    ConfigurationError,
    ConversionError,
    FuriosaModelsError,
)
from furiosa_models.frameworks import wrap
from furiosa_models.networks import edit
from tests.unit.quantization.poisoned import POISONED, photos, poisoned_network
from tests.unit.quantization.small import network

NET = network(scaled_inside=False)
IMAGES = photos(64)
LABELS = wrap(NET).run(IMAGES)[0].argmax(1)


def loader(model: onnx.ModelProto = NET, batch_size: int = 8) -> DataLoader:
    labels = wrap(model).run(IMAGES)[0].argmax(1)
    return DataLoader("onnxruntime", list(zip(IMAGES, labels, strict=True)), batch_size=batch_size)


def write(path: Path, model: onnx.ModelProto = NET) -> str:
    onnx.save(model, str(path))
    return str(path)


@pytest.mark.filterwarnings("ignore::furiosa_models.errors.CalibrationWarning")
@pytest.mark.parametrize("form", ["path", "ModelProto"])
def test_examples_of_the_document(form: str, tmp_path: Path) -> None:
    """`Model(x)`, and `fit` and `save` as printed: without calibration data."""
    input_model: Any = write(tmp_path / "net.onnx") if form == "path" else NET
    inc_model = Model(input_model)
    conf = PostTrainingQuantConfig()
    q_model = quantization.fit(model=inc_model, conf=conf)
    q_model.save(str(tmp_path / "saved_result"))
    again = wrap(onnx.load(str(tmp_path / "saved_result")))
    exact = wrap(NET).run(IMAGES)[0]
    np.testing.assert_allclose(again.run(IMAGES)[0], exact, atol=0.05 * np.abs(exact).max())
    assert q_model.met is None


def test_missing_calibration_data_is_said() -> None:
    with pytest.warns(CalibrationWarning, match="calib_dataloader=") as found:
        q_model = quantization.fit(NET, PostTrainingQuantConfig())
    assert found[0].filename == __file__
    assert "MatMulInteger" in q_model.graph_info.values()
    quantization.fit(NET, PostTrainingQuantConfig(approach="dynamic"))  # asked for: no warning


def test_calibrated_model_is_int8() -> None:
    q_model = quantization.fit(NET, PostTrainingQuantConfig(), calib_dataloader=loader())
    assert isinstance(q_model, ONNXModel)
    assert "QuantizeLinear" in q_model.graph_info.values()
    assert q_model.met is None
    assert q_model.accuracy is None
    assert q_model.size > 0
    assert q_model.latency is not None
    assert q_model.q_config is not None
    operation = q_model.q_config["op"]["depthwise", "Conv"]
    assert operation["weight"]["dtype"] == "int8"
    assert (q_model.run(IMAGES)[0].argmax(1) == LABELS).mean() > 0.9


@pytest.mark.parametrize("way", ["metric", "function"])
def test_evaluation_tunes_to_the_criterion(way: str) -> None:
    model = poisoned_network()
    labels = wrap(model).run(IMAGES)[0].argmax(1)
    seen = []

    def evaluate(candidate: Any) -> float:
        assert isinstance(candidate, onnx.ModelProto)
        seen.append(candidate)
        return float((wrap(candidate).run(IMAGES)[0].argmax(1) == labels).mean())

    given: dict[str, Any] = (
        {"eval_func": evaluate, "calib_dataloader": loader(model)}
        if way == "function"
        else {"eval_dataloader": loader(model), "eval_metric": {"topk": 1}}
    )
    conf = PostTrainingQuantConfig(accuracy_criterion=AccuracyCriterion(tolerable_loss=0.03))
    q_model = quantization.fit(Model(model), conf, **given)
    assert q_model.met is True
    assert q_model.float_accuracy == 1.0
    assert q_model.accuracy >= 0.97
    assert POISONED in [layer.name for layer in q_model.layers if layer.is_float]
    assert q_model.q_config["op"][POISONED, "Conv"]["weight"]["dtype"] == "fp32"
    assert len(q_model.trials) <= 4
    assert "criterion met" in repr(q_model)
    if seen:
        assert seen[0] == model


def test_impossible_criterion_gives_the_best_model() -> None:
    conf = PostTrainingQuantConfig(
        accuracy_criterion=AccuracyCriterion(tolerable_loss=-1.0),
        tuning_criterion=TuningCriterion(max_trials=3),
    )
    q_model = quantization.fit(NET, conf, eval_dataloader=loader(), eval_metric={"topk": 1})
    assert q_model.met is False
    assert len(q_model.trials) == 2  # all of them, and the least that stays quantized
    assert q_model.accuracy == max(trial.accuracy for trial in q_model.trials)
    assert q_model.run(IMAGES)[0].shape == (64, 5)


def test_sizes_of_the_calibration_are_tried_in_turn() -> None:
    accuracies = iter([1.0, 0.5, 1.0])
    conf = PostTrainingQuantConfig(calibration_sampling_size=[8, 16], diagnosis=True)
    q_model = quantization.fit(
        NET, conf, calib_dataloader=loader(), eval_func=lambda _: next(accuracies)
    )
    assert (q_model.met, q_model.accuracy) == (True, 1.0)


def test_operations_are_left_float_by_type_and_by_name() -> None:
    plain = {"weight": {"dtype": "fp32"}, "activation": {"dtype": "fp32"}}
    conf = PostTrainingQuantConfig(op_type_dict={"Add": plain}, op_name_dict={"point.*": plain})
    q_model = quantization.fit(NET, conf, calib_dataloader=loader())
    nodes = {node.name: node for node in q_model.model.graph.node}
    assert nodes["pointwise"].input[1] == "w3"
    assert nodes["depthwise"].input[1] != "w2"
    with pytest.raises(ConfigurationError, match="'nonesuch' is no operation .* Conv"):
        quantization.fit(
            NET,
            PostTrainingQuantConfig(op_name_dict={"nonesuch": plain}),
            calib_dataloader=loader(),
        )


def test_settings_of_operations_reach_the_quantizer() -> None:
    conf = PostTrainingQuantConfig(
        op_name_dict={
            "pointwise": {
                "weight": {"dtype": "uint8", "scheme": "asym", "granularity": "per_tensor"},
                "activation": {"algorithm": "minmax", "scheme": "sym"},
            }
        }
    )
    q_model = quantization.fit(NET, conf, calib_dataloader=loader())
    tensors = {tensor.name: tensor for tensor in q_model.model.graph.initializer}
    assert tensors["w3_quantized"].data_type == onnx.TensorProto.UINT8
    assert [*tensors["w3_scale"].dims] == []
    assert tensors["w2_quantized"].data_type == onnx.TensorProto.INT8
    assert [*tensors["w2_scale"].dims] == [16]


@pytest.mark.parametrize(
    ("recipe", "floats"),
    [
        ({"first_conv_or_matmul_quantization": False}, {"first"}),
        ({"last_conv_or_matmul_quantization": False}, set()),
        ({"pre_post_process_quantization": False}, set()),
    ],
)
def test_recipes_leave_operations_float(recipe: dict[str, bool], floats: set[str]) -> None:
    q_model = quantization.fit(
        NET, PostTrainingQuantConfig(recipes=recipe), calib_dataloader=loader()
    )
    nodes = {node.name: node for node in q_model.model.graph.node}
    names = {"first": "w1", "depthwise": "w2", "pointwise": "w3"}
    assert {name for name, weight in names.items() if nodes[name].input[1] == weight} == floats


def test_operators_instead_of_pairs() -> None:
    conf = PostTrainingQuantConfig(quant_format="QOperator")
    q_model = quantization.fit(NET, conf, calib_dataloader=loader())
    assert "QLinearConv" in q_model.graph_info.values()
    assert (q_model.run(IMAGES)[0].argmax(1) == LABELS).mean() > 0.9


def test_fixed_batch_size_takes_multiples() -> None:
    fixed = edit.parse(edit.set_batch_size(NET, 4))
    q_model = quantization.fit(
        fixed, PostTrainingQuantConfig(), eval_dataloader=loader(), eval_metric={"topk": 1}
    )
    assert q_model.float_accuracy == 1.0
    with pytest.raises(ConfigurationError, match="batches of 4, got one of 6"):
        quantization.fit(fixed, PostTrainingQuantConfig(), calib_dataloader=loader(batch_size=6))


def test_weights_in_constant_nodes_are_quantized() -> None:
    constant = onnx.ModelProto()
    constant.CopyFrom(NET)
    nodes = [
        onnx.helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in NET.graph.initializer
    ]
    del constant.graph.initializer[:]
    rest = list(constant.graph.node)
    del constant.graph.node[:]
    constant.graph.node.extend([*nodes, *rest])
    q_model = quantization.fit(constant, PostTrainingQuantConfig(), calib_dataloader=loader())
    assert (q_model.run(IMAGES)[0].argmax(1) == LABELS).mean() > 0.9
    kinds = [t.data_type for t in q_model.model.graph.initializer]
    assert kinds.count(onnx.TensorProto.INT8) >= 3


def test_wrong_arguments_are_errors() -> None:
    conf = PostTrainingQuantConfig()
    with pytest.raises(ConfigurationError, match="belong together"):
        quantization.fit(NET, conf, eval_metric={"topk": 1})
    with pytest.raises(ConfigurationError, match="fit has no arguments q_func"):
        quantization.fit(NET, conf, q_func=print)
    with pytest.raises(ConfigurationError, match="expected a PostTrainingQuantConfig, got dict"):
        quantization.fit(NET, {})  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="batch_size"):
        quantization.fit(NET, conf, calib_dataloader=[1])
    with pytest.raises(ConfigurationError, match="models of onnx need a calib_dataloader"):
        quantization.fit(NET, conf, calib_func=print)
    with pytest.raises(ConfigurationError, match="has no samples"):
        quantization.fit(NET, conf, calib_dataloader=DataLoader("onnxruntime", []))
    with pytest.raises(ConfigurationError, match="must return one finite number"):
        quantization.fit(NET, conf, calib_dataloader=loader(), eval_func=lambda _: LABELS)


def test_environment_and_folder_are_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    quantization.fit(NET, PostTrainingQuantConfig(), calib_dataloader=loader())
    assert dict(os.environ) == before
    assert list(tmp_path.iterdir()) == []


def test_full_target_is_untouched(tmp_path: Path) -> None:
    (tmp_path / "saved_result").mkdir()
    (tmp_path / "saved_result" / "mine").write_text("kept")
    with pytest.raises(FuriosaModelsError, match="already exists"):
        Model(NET).save(str(tmp_path / "saved_result"))
    assert (tmp_path / "saved_result" / "mine").read_text() == "kept"


def test_save_without_a_path_uses_the_workspace(tmp_path: Path) -> None:
    model = Model(NET, framework_specific_info={"workspace_path": str(tmp_path / "work")})
    assert model.workspace_path == str(tmp_path / "work")
    assert model.save() == tmp_path / "work" / "save.onnx"
    model.workspace_path = str(tmp_path / "other")
    assert model.save().is_file()
    assert Model(NET).workspace_path == options.workspace


def test_facts_of_the_framework_set_the_names() -> None:
    model = Model(NET, framework_specific_info={"outputs": ["sum"], "device": "cpu"})
    assert model.output_names == ["sum"]
    assert model.framework_specific_info["device"] == "cpu"
    with pytest.raises(ConfigurationError, match="got 'nonesuch'"):
        Model(NET, framework_specific_info={"nonesuch": 1})


def test_models_are_wrapped_once_and_wrong_ones_are_errors(tmp_path: Path) -> None:
    model = Model(NET)
    assert Model(model) is model
    assert get_model_fwk_name(NET) == "onnxruntime"
    assert isinstance(model, BaseModel)
    with pytest.raises(AssertionError, match="the file does not exist"):
        Model(str(tmp_path / "nonesuch.onnx"))
    with pytest.raises(AssertionError, match="framework of dict is not known"):
        Model({})
    with pytest.raises(ConfigurationError, match="has no keyword 'nonesuch'"):
        Model(NET, nonesuch=1)
    with pytest.raises(ConfigurationError, match="training is not supported"):
        Model(NET, approach="quant_aware_training")
    with pytest.raises(AttributeError, match="was not quantized"):
        _ = model.met


def test_export_writes_pairs(tmp_path: Path) -> None:
    q_model = quantization.fit(NET, PostTrainingQuantConfig(), calib_dataloader=loader())
    q_model.export(tmp_path / "a.onnx", ONNXQlinear2QDQConfig())
    q_model.export(
        tmp_path / "b.onnx",
        TF2ONNXConfig(opset_version=13, input_names=["x"], output_names=["y"]),
    )
    model = wrap(tmp_path / "b.onnx")
    assert (model.input_names, model.output_names) == (["x"], ["y"])
    np.testing.assert_array_equal(model.run(IMAGES)[0], wrap(tmp_path / "a.onnx").run(IMAGES)[0])
    with pytest.raises(ConversionError, match="dtype='int8'"):
        q_model.export(tmp_path / "c.onnx", TF2ONNXConfig(dtype="fp32"))
    with pytest.raises(ConversionError, match="dtype='fp32'"):
        Model(NET).export(tmp_path / "c.onnx", TF2ONNXConfig())
    with pytest.raises(ConfigurationError, match="expected a TF2ONNXConfig"):
        q_model.export(tmp_path / "c.onnx", None)


def test_benchmark_returns_the_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "net.onnx")
    conf = BenchmarkConfig(iteration=20, warmup=1)
    result = benchmark.fit(path, conf, loader())
    assert result.batch_size == 8
    assert result.iterations == 20
    assert result.throughput > 0
    assert result.latency <= result.p99
    assert "throughput" in str(result)
    with pytest.raises(ConfigurationError, match="this process may use"):
        benchmark.fit(path, BenchmarkConfig(num_of_instance=1000, cores_per_instance=1))


def test_benchmark_of_a_function_runs_here() -> None:
    calls: list[Any] = []
    conf = BenchmarkConfig(iteration=3, warmup=2)
    result = benchmark.fit(NET, conf, b_func=calls.append)
    assert len(calls) == 5
    assert calls[0] == NET
    assert result.iterations == 3
    with pytest.raises(ConfigurationError, match="b_func runs in this process"):
        benchmark.fit(NET, BenchmarkConfig(num_of_instance=2), b_func=print)


def test_failing_instance_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "_filled", lambda *_: {"image": np.zeros((1, 2))})
    with pytest.raises(FuriosaModelsError, match="an instance of the benchmark failed"):
        benchmark.fit(NET, BenchmarkConfig(iteration=1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"quant_format": "QOperator"}, "QOperator"),
        ({"reduce_range": True}, "reduce_range"),
        (
            {"op_type_dict": {"Conv": {"activation": {"algorithm": ["minmax"]}}}},
            "algorithm or scheme of an activation",
        ),
        ({"op_type_dict": {"Conv": {"weight": {"dtype": ["uint8"]}}}}, "type or scheme of weights"),
    ],
)
def test_settings_for_ranges_need_calibration_data(options: dict[str, Any], message: str) -> None:
    conf = PostTrainingQuantConfig(approach="dynamic", **options)
    with pytest.raises(ConfigurationError, match=f"{message}.* need calib_dataloader"):
        quantization.fit(NET, conf)


def test_a_result_in_which_nothing_is_quantized_is_a_warning() -> None:
    conf = PostTrainingQuantConfig(
        approach="dynamic", op_name_dict={".*": {"weight": {"dtype": ["fp32"]}}}
    )
    with pytest.warns(CalibrationWarning, match="nothing was quantized") as found:
        quantization.fit(NET, conf)
    assert found[0].filename == __file__


def test_weights_alone_are_quantized_without_a_warning() -> None:
    kernel = np.random.default_rng(0).normal(size=(64, 4, 3, 3)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "k"], ["y"], "conv", pads=[1] * 4)],
        "g",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 4, 8, 8])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 64, 8, 8])],
        [onnx.numpy_helper.from_array(kernel, "k")],
    )
    opset = onnx.helper.make_opsetid("", 17)
    model = onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8)
    q_model = quantization.fit(model, PostTrainingQuantConfig(approach="dynamic"))
    assert {node.op_type for node in q_model.model.graph.node} == {"Conv", "DequantizeLinear"}
