from __future__ import annotations

import collections
import inspect
import logging
import threading
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models.errors import FuriosaModelsError, ShapeError, WeightsError
from furiosa_models.quantization import (
    CalibrationMethod,
    Calibrator,
    ModelEditor,
    TensorType,
    get_output_names,
    get_pure_input_names,
    quantize,
    quantize_on,
)
from furiosa_models.quantization.scale_folding import fold_scaling
from furiosa_models.runtime.sync import create_runner

from .small import MEAN, STD, network, pixels, run

Ranges = dict[str, tuple[float, float]]


def scaled(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (MEAN, STD))
    return np.asarray((image - mean) / std, np.float32)


@pytest.fixture(scope="module")
def calibrator() -> Calibrator:
    found = Calibrator(network(), CalibrationMethod.MIN_MAX_ASYM)
    found.collect_data([[pixels(8, seed)] for seed in range(4)])
    return found


@pytest.fixture(scope="module")
def ranges(calibrator: Calibrator) -> Ranges:
    return calibrator.compute_range()


def operations(model: bytes) -> collections.Counter[str]:
    return collections.Counter(n.op_type for n in onnx.load_from_string(model).graph.node)


def error(program: bytes) -> float:
    """Return the root mean square error of the logits, relative to their standard deviation."""
    image = pixels(32, 99)
    expected = run(network(), image)
    return float(np.sqrt(np.mean((run(program, image) - expected) ** 2)) / expected.std())


def test_int8_program_takes_pixels_and_is_accurate(ranges: Ranges) -> None:
    program = quantize(network(), ranges)
    onnx.checker.check_model(program, full_check=True)
    assert error(program) < 0.05
    assert operations(program)["Cast"] == operations(program)["Sub"] == 0
    model = onnx.load_from_string(program)
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.UINT8
    weights = {t.name: t for t in model.graph.initializer}
    assert weights["w2_quantized"].data_type == TensorProto.INT8
    assert weights["w2_scale"].dims == [16]
    assert quantize(network().SerializeToString(), ranges) == program
    with create_runner(program, device="cpu") as runner:
        assert runner.run(pixels(2))[0].shape == (2, 5)


def test_heads_are_float_by_default(ranges: Ranges) -> None:
    default, all_of_it = quantize(network(), ranges), quantize(network(), ranges, float_heads=False)
    names = [
        {t.name for t in onnx.load_from_string(program).graph.initializer}
        for program in (default, all_of_it)
    ]
    assert ["w4_quantized" in found for found in names] == [False, True]
    assert error(all_of_it) < 0.05
    assert {
        v.type.tensor_type.elem_type for v in onnx.load_from_string(all_of_it).graph.output
    } == {TensorProto.FLOAT}


def test_excluded_nodes_stay_float(ranges: Ranges) -> None:
    program = quantize(network(), ranges, exclude=["first", "depthwise"])
    assert operations(program)["Cast"] == 1
    assert error(program) < 0.05


def test_bias_correction_restores_the_means(calibrator: Calibrator, ranges: Ranges) -> None:
    coarse = network()
    means = calibrator.compute_channel_means()
    for tensor in coarse.graph.initializer:  # weights that 8 bits represent badly
        if tensor.name == "w3":
            array = numpy_helper.to_array(tensor).copy()
            array[:, 0] *= 40
            tensor.CopyFrom(numpy_helper.from_array(array, "w3"))
    again = Calibrator(coarse, CalibrationMethod.MIN_MAX_ASYM)
    again.collect_data([[pixels(8, seed)] for seed in range(4)])
    image = pixels(64, 99)
    expected = run(coarse, image).mean(0)
    plain, corrected = (
        np.abs(run(program, image).mean(0) - expected).max()
        for program in (
            quantize(coarse, again.compute_range()),
            quantize(coarse, again.compute_range(), channel_means=again.compute_channel_means()),
        )
    )
    assert corrected < plain
    assert error(quantize(network(), ranges, channel_means=means)) < 0.05


def test_weights_with_seven_bits(ranges: Ranges) -> None:
    for greatest, reduce_range in ((64, True), (127, False)):
        program = quantize(network(), ranges, reduce_range=reduce_range)
        weights = onnx.load_from_string(program).graph.initializer
        (w3,) = [numpy_helper.to_array(t) for t in weights if t.name == "w3_quantized"]
        assert greatest - 1 <= np.abs(w3).max() <= greatest
    assert error(quantize(network(), ranges)) < 0.1


def test_products_do_not_overflow() -> None:
    """With 8-bit weights, x86 CPUs without VNNI would saturate the sum of two products."""
    weights = np.ones((8, 16, 3, 3), np.float32)
    weights[1::2] *= -1
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16, 8, 8])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8, 6, 6])
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], "conv")],
        "bright",
        [x],
        [y],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    program = quantize(model, {"x": (0.0, 1.0), "y": (-144.0, 144.0)})
    with create_runner(program, device="cpu") as runner:
        (found,) = runner.run(np.ones((1, 16, 8, 8), np.float32))
    np.testing.assert_allclose(found[0, ::2], 144, rtol=0.01)
    np.testing.assert_allclose(found[0, 1::2], -144, rtol=0.01)


@pytest.mark.parametrize("scaled_inside", [True, False])
def test_folded_scaling_differs_only_at_the_border(scaled_inside: bool) -> None:
    model = network(scaled_inside=scaled_inside)
    folded = fold_scaling(model)
    if not scaled_inside:
        assert folded is None
        return
    assert folded is not None
    assert folded.zero_point == 110
    for conv in model.graph.node:  # without padding the two are equal
        if conv.name == "first":
            conv.attribute[0].ints[:] = [0] * 4
    whole = network()
    whole.graph.node[3].attribute[0].ints[:] = [0] * 4
    image = pixels(4)
    np.testing.assert_allclose(
        run(model, image.astype(np.float32) - 110), run(whole, image), rtol=1e-3, atol=1e-4
    )


def test_converted_input_is_quantized_in_its_range() -> None:
    model = network(scaled_inside=False)
    calibrator = Calibrator(model, CalibrationMethod.MIN_MAX_ASYM)
    image = pixels(8)
    calibrator.collect_data([[scaled(image)]])
    found = calibrator.compute_range()
    editor = ModelEditor(model)
    (name,) = get_pure_input_names(model)
    editor.convert_input_type(name, TensorType.UINT8)
    program = quantize(model, found)
    low, high = found["image"]
    levels = np.clip(np.round((scaled(image) - low) / (high - low) * 255), 0, 255)
    difference = run(program, levels.astype(np.uint8)) - run(model, scaled(image))
    assert np.abs(difference).max() < 0.2
    editor.convert_input_type(name, TensorType.FLOAT32)
    assert not model.metadata_props
    assert run(quantize(model, found), scaled(image)).shape == (8, 5)


def test_names_of_inputs_and_outputs() -> None:
    model = network()
    assert get_pure_input_names(model) == ["image"]
    assert get_output_names(model) == ["logits"]
    model.graph.input.append(onnx.ValueInfoProto(name="w1"))  # old exporters list weights as inputs
    assert get_pure_input_names(model) == ["image"]


def test_invalid_edits_are_rejected() -> None:
    editor = ModelEditor(network())
    with pytest.raises(ShapeError, match="no input 'logits'; it has image"):
        editor.convert_input_type("logits", TensorType.UINT8)
    with pytest.raises(ValueError, match="UINT8 or FLOAT32"):
        editor.convert_input_type("image", TensorType.INT8)
    with pytest.raises(TypeError, match="ModelProto"):
        ModelEditor(b"bytes")  # type: ignore[arg-type]


def test_invalid_models_and_ranges_are_rejected(ranges: Ranges) -> None:
    with pytest.raises(ShapeError, match="'c2', are missing"):
        quantize(network(), {name: pair for name, pair in ranges.items() if name != "c2"})
    for pair in ((1.0,), (2.0, 1.0), (0.0, float("nan"))):
        with pytest.raises(ShapeError, match="the range of 'c2' must be"):
            quantize(network(), {**ranges, "c2": pair})
    with pytest.raises(WeightsError, match="not an ONNX model"):
        quantize(b"no model", ranges)
    with pytest.raises(TypeError, match="expected a model"):
        quantize("model.onnx", ranges)  # type: ignore[arg-type]
    model = network(scaled_inside=False)
    ModelEditor(model).convert_input_type("image", TensorType.UINT8)
    found = {**ranges, "image": (0.0, 1.0)}
    with pytest.raises(ShapeError, match="cannot be 8-bit"):
        quantize(model, found, exclude=["first"])


def test_graph_without_node_names_is_quantized(ranges: Ranges) -> None:
    model = network()
    for node in model.graph.node:
        node.name = ""
    assert error(quantize(model, ranges)) < 0.05


def test_arithmetic_on_shapes_and_constants_is_not_quantized(ranges: Ranges) -> None:
    model = network()
    names = [node.name for node in model.graph.node]
    flatten = names.index("flatten")
    del model.graph.node[flatten]
    make = onnx.helper.make_node
    minus_one = onnx.numpy_helper.from_array(np.array([-1], np.int64))
    added = [
        make("Shape", ["pooled"], ["whole shape"]),
        make("Gather", ["whole shape", "first place"], ["count"]),
        make("Constant", [], ["rest"], value=minus_one),
        make("Concat", ["count", "rest"], ["flat shape"], axis=0),
        make("Reshape", ["pooled", "flat shape"], ["flat"], "flatten"),
    ]
    for place, node in enumerate(added, flatten):
        model.graph.node.insert(place, node)
    first = onnx.numpy_helper.from_array(np.array([0], np.int64), "first place")
    model.graph.initializer.append(first)
    assert error(quantize(model, ranges)) < 0.05


def test_root_logger_is_not_modified(ranges: Ranges, monkeypatch: pytest.MonkeyPatch) -> None:
    from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

    root, before = logging.getLogger(), (logging.getLogger().level, [*logging.getLogger().handlers])
    seen: list[str] = []
    handler = logging.Handler()
    monkeypatch.setattr(handler, "emit", lambda record: seen.append(record.getMessage()))
    whole = QDQQuantizer.quantize_model
    advice = compile(
        "import logging; logging.warning('advice')", inspect.getfile(QDQQuantizer), "exec"
    )

    def quantize_model(self: Any) -> Any:
        exec(advice, {})  # as if the quantizer logged it
        other = threading.Thread(target=exec, args=(advice, {}))
        other.start()
        other.join()
        logging.warning("the user's own")
        return whole(self)

    monkeypatch.setattr(QDQQuantizer, "quantize_model", quantize_model)
    root.addHandler(handler)
    try:
        quantize(network(), ranges)
        logging.warning("afterward")
    finally:
        root.removeHandler(handler)
    assert seen == ["advice", "the user's own", "afterward"]  # a message of another thread
    assert (root.level, root.handlers) == before
    assert root.filters == []


def test_already_quantized_model_is_rejected(ranges: Ranges) -> None:
    program = quantize(network(), ranges)
    with pytest.raises(FuriosaModelsError, match=r"quantized already \(it has DequantizeLinear"):
        quantize_on(program, [pixels(1, 0)])


def test_float16_network_is_rejected_with_advice() -> None:
    half = network(scaled_inside=False)
    for tensor in half.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            array = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for value in (*half.graph.input, *half.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    with pytest.raises(FuriosaModelsError, match="export it in float32"):
        quantize_on(half.SerializeToString(), [pixels(1, 0).astype(np.float16)])
