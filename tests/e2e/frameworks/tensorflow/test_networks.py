"""Networks with several inputs and outputs, modules, checkpoints, and what cannot be converted."""

from __future__ import annotations

import gc
import logging
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import onnx
import pytest
import tensorflow as tf
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

from furiosa_models.errors import ConversionError, ShapeError, WeightsError
from furiosa_models.frameworks.keras import KerasModel

from . import networks, stock
from .networks import Array
from .quantization import INTEGER_OPERATIONS, output_scale, quantized_program, recognize
from .stock import difference, mean_difference

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # of Keras
]


def arrays(value: Any) -> list[Array]:
    return [tensor.numpy() for tensor in tf.nest.flatten(value)]


def images(seed: int) -> Array:
    return networks.images(2, seed, (16, 16, 3))


def test_inputs_and_outputs_keep_the_order_of_the_network(tmp_path: Path) -> None:
    network = networks.two_inputs()
    model = recognize(network)
    assert model.input_names == ["right", "left"]
    assert model.output_names == [f"output_{number}" for number in range(4)]
    feed = {"right": images(1), "left": images(2)}
    expected = arrays(network([*feed.values()]))
    assert difference(model.run([*feed.values()]), expected) < 1e-6
    assert difference(model.run(feed), expected) < 1e-6
    program = model.to_onnx()
    assert [value.name for value in program.graph.input] == model.input_names
    assert [value.name for value in program.graph.output] == model.output_names
    assert difference(stock.run_onnx(program, feed), expected) < 1e-6
    assert {n.name for n in program.graph.node if n.op_type == "Conv"} == {
        name for name, op in model.graph_info.items() if op in ("Conv2D", "DepthwiseConv2dNative")
    }

    int8 = quantized_program(program, *feed.values())
    quantized = model.quantized(int8)
    assert (quantized.input_names, quantized.output_names) == (
        model.input_names,
        model.output_names,
    )
    wanted = stock.run_onnx(int8, feed)
    error = mean_difference(wanted, expected)
    assert mean_difference(quantized.run([*feed.values()]), wanted) < 0.05 * error

    again = recognize(quantized.save(tmp_path / "saved"))
    assert again.input_names == ["left", "right"]  # a SavedModel does not keep their order
    assert difference(again.run(feed), quantized.run(feed)) == 0
    with pytest.raises(ShapeError, match="expected 2 inputs"):
        model.run([images(1)])


def test_a_subclassed_model_has_the_names_of_its_outputs(tmp_path: Path) -> None:
    network = networks.subclassed()
    model = recognize(network)
    assert model.output_names == ["features", "scores"]
    expected = arrays(network(networks.images(2)))
    assert difference(model.run(networks.images(2)), expected) < 1e-6
    program = model.to_onnx()
    feed = {model.input_names[0]: networks.images(2)}
    assert difference(stock.run_onnx(program, feed), expected) < 1e-5
    int8 = quantized_program(program, networks.images(2))
    wanted = stock.run_onnx(int8, feed)
    found = model.quantized(int8).run(networks.images(2))
    assert mean_difference(found, wanted) < 0.05 * mean_difference(wanted, expected)
    saved = stock.run_saved_model(model.save(tmp_path / "saved"), feed)
    assert difference([saved[name] for name in model.output_names], expected) < 1e-6


def test_a_keras_layer_reads_a_saved_model(tmp_path: Path) -> None:
    network = networks.small()
    path = recognize(network).save(tmp_path / "saved")
    layer = keras.layers.TFSMLayer(path, call_endpoint="serving_default")
    batch = networks.images()
    assert difference(layer(batch)["output_0"].numpy(), network(batch).numpy()) < 1e-6


def test_a_keras_model_of_unknown_size_is_an_error() -> None:
    with pytest.raises(ConversionError, match="call it once on data"):
        _ = recognize(networks.Subclassed()).input_names


@pytest.mark.parametrize(
    ("build", "shape", "agreement"),
    [
        (networks.attention, (8, 16), 0.5),  # some tensors are inside of operations
        (networks.dilated, (20, 20, 3), 0.1),
    ],
)
def test_other_layers_are_converted_and_quantized(
    build: Callable[[], Any], shape: tuple[int, ...], agreement: float, tmp_path: Path
) -> None:
    network = build()
    model = recognize(network)
    batch = networks.images(4, 1, shape)
    expected = arrays(network(batch))
    assert difference(model.run(batch), expected) < 1e-5
    program = model.to_onnx()
    feed = {model.input_names[0]: batch}
    assert difference(stock.run_onnx(program, feed), expected) < 1e-5
    weighted = {node.name for node in program.graph.node if node.op_type in ("Conv", "Gemm")}
    assert weighted <= model.graph_info.keys()
    int8 = quantized_program(program, batch)
    wanted = stock.run_onnx(int8, feed)
    quantized = model.quantized(int8)
    error = mean_difference(wanted, expected)
    assert mean_difference(quantized.run(batch), wanted) < agreement * error
    again = recognize(quantized.save(tmp_path / "saved"))
    assert difference(again.run(batch), quantized.run(batch)) == 0


def test_normalization_of_pixels_may_be_part_of_the_network() -> None:
    network = networks.pixels()
    model = recognize(network)
    batch = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3)).astype(np.uint8)
    program = model.to_onnx()
    assert program.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert difference(stock.run_onnx(program, {"image": batch}), model.run(batch)) < 1e-6
    int8 = quantized_program(program, batch, float_heads=False)
    (wanted,) = stock.run_onnx(int8, {"image": batch})
    assert difference(model.quantized(int8).run(batch), [wanted]) < 1.01 * output_scale(int8)
    assert difference(model.run(batch), [wanted]) > 1e-4


def test_pixels_that_the_quantizer_takes_directly_are_taken_by_the_convolution() -> None:
    """`fold_scaling` moves `Sub` and `Div` into the convolution if nothing is in between."""
    kernel = np.random.default_rng(0).normal(0, 0.3, (3, 3, 3, 4)).astype(np.float32)
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.uint8, (None, 3, 16, 16), "image")
        x = tf.transpose(tf.cast(image, tf.float32), (0, 2, 3, 1)) - np.float32(127)
        tf.nn.relu(tf.nn.conv2d(x, kernel, 1, "SAME"), name="features")
    model = recognize(graph)
    batch = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16)).astype(np.uint8)
    program = model.to_onnx()
    int8 = quantized_program(program, batch, float_heads=False)
    users = {node.op_type for node in int8.graph.node if "image" in node.input}
    assert users == {"DequantizeLinear"}
    (wanted,) = stock.run_onnx(int8, {"image": batch})
    assert difference(model.quantized(int8).run(batch), [wanted]) < 1.01 * output_scale(int8)


def test_a_larger_network_is_converted_and_quantized(tmp_path: Path) -> None:
    network = networks.with_random_weights(
        keras.applications.MobileNetV2(
            (96, 96, 3), weights=None, classes=10, classifier_activation=None
        )
    )
    model = recognize(network)
    batch = networks.images(4, 3, (96, 96, 3))
    (name,) = model.input_names
    program = model.to_onnx()
    (expected,) = model.run(batch)
    assert difference(network(batch).numpy(), expected) < 1e-4 * np.abs(expected).max()
    (converted,) = stock.run_onnx(program, {name: batch})
    assert difference(converted, expected) < 1e-4 * np.abs(expected).max()
    assert not {"BatchNormalization", "Mul"} & {node.op_type for node in program.graph.node}
    int8 = quantized_program(program, batch, float_heads=False)
    quantized = model.quantized(int8)
    wanted = stock.run_onnx(int8, {name: batch})
    error = mean_difference(wanted, [expected])
    # A few values of the first layers are rounded to the other integer; the effect grows.
    assert mean_difference(quantized.run(batch), wanted) < 0.5 * error
    output, operations = stock.run_tflite(stock.to_tflite(quantized.save(tmp_path / "q")), batch)
    assert mean_difference([output], quantized.run(batch)) < error
    assert operations <= {*INTEGER_OPERATIONS, "PAD"}


def test_operations_that_the_program_keeps_float_stay_float() -> None:
    model = recognize(networks.small())
    (first, *_) = [name for name, op in model.graph_info.items() if op == "Conv2D"]
    batch = networks.images()
    program = quantized_program(model.to_onnx(), batch, exclude=[first])
    quantized = model.quantized(program)
    nodes = {node.name: node for node in quantized.graph_def.node}
    weights = {n.name: nodes[n.input[1]].op for n in nodes.values() if n.op == "Conv2D"}
    assert weights.pop(first) == "Const"
    assert {*weights.values()} == {"FakeQuantWithMinMaxVarsPerChannel"}
    wanted = stock.run_onnx(program, {"image": batch})
    error = mean_difference(wanted, model.run(batch))
    assert mean_difference(quantized.run(batch), wanted) < 0.05 * error


class _Batches(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self) -> None:
        self._rest = iter([{"image": networks.images()}])

    def get_next(self) -> dict[str, Array] | None:
        return next(self._rest, None)


def test_dense_weights_with_one_scale_stay_a_matrix_product(tmp_path: Path) -> None:
    model = recognize(networks.small())
    onnx.save(model.to_onnx(), tmp_path / "float.onnx")
    quantize_static(
        tmp_path / "float.onnx",
        tmp_path / "int8.onnx",
        _Batches(),
        QuantFormat.QDQ,
        per_channel=False,
    )
    program = onnx.load(tmp_path / "int8.onnx")
    quantized = model.quantized(program)
    nodes = {node.name: node for node in quantized.graph_def.node}
    kinds = {nodes[node.input[1]].op for node in nodes.values() if node.op == "MatMul"}
    assert kinds == {"FakeQuantWithMinMaxVars"}
    batch = networks.images()
    wanted = stock.run_onnx(program, {"image": batch})
    error = mean_difference(wanted, model.run(batch))
    assert mean_difference(quantized.run(batch), wanted) < 0.05 * error
    _, operations = stock.run_tflite(stock.to_tflite(quantized.save(tmp_path / "saved")), batch)
    assert "FULLY_CONNECTED" in operations


def test_a_program_of_another_operation_is_refused() -> None:
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, (1, 8, 8, 3), "image")
        kernel = np.ones((1, 3, 3, 3, 4), np.float32)
        tf.nn.conv3d(image[:, None], kernel, [1] * 5, "SAME", name="features")
    model = recognize(graph)
    program = quantized_program(
        model.to_onnx(), np.ones((1, 8, 8, 3), np.float32), float_heads=False
    )
    with pytest.raises(ConversionError, match=r"features \(Conv3D\) has no quantized form"):
        model.quantized(program)
    (conv,) = [node for node in program.graph.node if node.op_type == "Conv"]
    conv.name = "Conv__7"
    with pytest.raises(ConversionError, match=r"Conv__7 \(Conv\) has no quantized form"):
        model.quantized(program)


def test_an_operation_that_onnx_does_not_have_is_named() -> None:
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, (None, 4), "image")
        tf.math.igamma(image, image, name="strange")
    with pytest.raises(ConversionError, match=r"strange \(Igamma\)"):
        recognize(graph).to_onnx()


def test_outputs_of_a_saved_model_may_be_tensors_inside_of_it(tmp_path: Path) -> None:
    network = networks.small()
    model = recognize(network)
    (relu, *_) = [name for name, op in model.graph_info.items() if op == "Relu6"]
    model.output_names = [relu, "output_0"]
    batch = networks.images()
    layer = next(each for each in network.layers if isinstance(each, keras.layers.ReLU))
    expected = arrays(keras.Model(network.input, [layer.output, network.output])(batch))
    assert difference(model.run(batch), expected) < 1e-6
    assert difference(stock.run_onnx(model.to_onnx(), {"image": batch}), expected) < 1e-5
    path = model.save(tmp_path / "saved")
    assert {*recognize(path).output_names} == {relu, "output_0"}
    again = stock.run_saved_model(path, {"image": batch})
    assert difference([again[relu], again["output_0"]], expected) < 1e-6
    with pytest.raises(ShapeError, match="no tensor 'absent'"):
        model.output_names = ["absent"]


def test_a_graph_with_variables_is_an_error(tmp_path: Path) -> None:
    graph = tf.Graph()
    with graph.as_default():
        image = tf.compat.v1.placeholder(tf.float32, (None, 4), "image")
        tf.matmul(image, tf.compat.v1.get_variable("kernel", (4, 2)), name="result")
    model = recognize(graph, output_names=["result"])
    batch = np.ones((1, 4), np.float32)
    uses = (model.to_onnx, lambda: model.run(batch), lambda: model.save(tmp_path / "x"))
    for use in uses:
        with pytest.raises(ConversionError, match="has 1 variables, such as 'kernel'"):
            use()
    assert not [*tmp_path.iterdir()]


def test_a_checkpoint_with_two_heads_asks_for_the_outputs(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph, v1.Session(graph=graph) as session:
        image = v1.placeholder(tf.float32, (None, 4), "image")
        features = tf.matmul(image, v1.get_variable("kernel", initializer=np.eye(4, dtype="f4")))
        tf.nn.softmax(features, name="scores")
        tf.nn.relu(features, name="boxes")
        session.run(v1.global_variables_initializer())
        v1.train.Saver().save(session, str(tmp_path / "m"))
    model = recognize(tmp_path)
    with pytest.raises(ConversionError, match=r"candidates: scores \(Softmax\), boxes \(Relu\)"):
        model.save(tmp_path / "out")
    model.output_names = ["boxes"]
    batch = np.array([[1, -2, 3, -4]], np.float32)
    assert model.run(batch)[0].tolist() == [[1, 0, 3, 0]]
    assert stock.run_frozen(model.save(tmp_path / "out"), {"image": batch}, "boxes").tolist() == [
        [1, 0, 3, 0]
    ]


def test_placeholders_that_the_outputs_do_not_need_are_no_inputs() -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default() as graph:
        image = v1.placeholder(tf.float32, (None, 4), "image")
        labels = v1.placeholder(tf.float32, (None, 4), "labels")
        factor = v1.placeholder_with_default(np.float32(3), (), "factor")
        scores = tf.multiply(image, factor, name="scores")
        tf.reduce_sum(scores - labels, name="loss")
    model = recognize(graph)
    assert (model.input_names, model.output_names) == (["image", "labels"], ["loss"])
    model.output_names = ["scores"]
    assert model.input_names == ["image"]
    batch = np.array([[1, 2, 3, 4]], np.float32)
    assert difference(model.run(batch), [3 * batch]) == 0
    assert difference(stock.run_onnx(model.to_onnx(), {"image": batch}), [3 * batch]) == 0


def test_the_exported_folder_of_a_keras_model_lives_as_long_as_the_model() -> None:
    model = recognize(networks.small())
    assert isinstance(model, KerasModel)
    folder = model.folder
    assert (folder / "saved_model.pb").is_file()
    del model
    gc.collect()
    assert not folder.exists()


def test_a_checkpoint_of_a_module_is_restored_into_it(tmp_path: Path) -> None:
    trained, fresh = networks.Module(), networks.Module()
    trained.kernel.assign(trained.kernel * 2)
    tf.train.Checkpoint(model=trained).write(str(tmp_path / "c"))
    model = recognize(tmp_path, model=fresh)
    assert (model.framework, model.form) == ("tensorflow", "TF2 checkpoint")
    assert (model.input_names, model.output_names) == (["image"], ["activations"])
    batch = networks.images()
    expected = trained(batch)["activations"].numpy()
    assert difference(model.run(batch), [expected]) == 0
    saved = stock.run_saved_model(model.save(tmp_path / "saved"), {"image": batch})
    assert difference(saved["activations"], expected) == 0
    assert difference(stock.run_onnx(model.to_onnx(), {"image": batch}), [expected]) < 1e-5


def test_a_checkpoint_of_another_model_is_an_error_and_changes_nothing(tmp_path: Path) -> None:
    tf.train.Checkpoint(net=networks.small()).write(str(tmp_path / "c"))
    other = networks.pixels()
    before = other.get_weights()
    with pytest.raises(ConversionError, match="is no checkpoint of this model"):
        recognize(tmp_path, model=other)
    assert difference(other.get_weights(), before) == 0
    with pytest.raises(ConversionError, match="no variables yet"):
        recognize(tmp_path, model=networks.Subclassed())


def test_a_module_without_a_signature_is_an_error() -> None:
    class Plain(tf.Module):  # type: ignore[misc]
        pass

    with pytest.raises(ConversionError, match="decorate __call__"):
        _ = recognize(Plain()).input_names


def test_a_file_of_weights_is_an_error(tmp_path: Path) -> None:
    networks.small().save_weights(tmp_path / "m.weights.h5")
    with pytest.raises(WeightsError, match="contains weights, but no network"):
        recognize(tmp_path / "m.weights.h5")


def test_a_checkpoint_of_other_shapes_is_an_error(tmp_path: Path) -> None:
    other = networks.Module()
    other.kernel = tf.Variable(np.ones((3, 3, 3, 8), np.float32))
    tf.train.Checkpoint(model=other).write(str(tmp_path / "c"))
    with pytest.raises(ConversionError, match="TensorFlow cannot restore"):
        recognize(tmp_path, model=networks.Module())
    (tmp_path / "c.index").write_bytes(b"damaged")
    with pytest.raises(ConversionError, match="TensorFlow cannot restore"):
        recognize(tmp_path, model=networks.Module())


def test_damaged_files_are_errors(tmp_path: Path) -> None:
    network = networks.small()
    network.save(tmp_path / "m.keras")
    network.save(tmp_path / "m.h5")
    network.export(tmp_path / "saved", verbose=False)
    content = (tmp_path / "m.h5").read_bytes()
    (tmp_path / "m.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(
        WeightsError, match=r"Keras cannot read .*m\.h5 .*if Keras 2 has written it"
    ):
        _ = recognize(tmp_path / "m.h5").input_names
    shutil.rmtree(tmp_path / "saved" / "variables")
    with pytest.raises(ConversionError, match="TensorFlow cannot load"):
        recognize(tmp_path / "saved").to_onnx()
    (tmp_path / "x.pb").write_bytes(b"\x0a\x06\x0a\x01a\x12\x01b")
    with pytest.raises(ConversionError, match="TensorFlow cannot"):
        recognize(tmp_path / "x.pb").run([])


def test_inputs_of_another_shape_or_type_are_errors() -> None:
    model = recognize(networks.small())
    with pytest.raises(
        ShapeError, match=r"'image' must be float32 \(None, 32, 32, 3\), got float32 \(1, 8, 8\)"
    ):
        model.run(networks.images(1, shape=(8, 8)))
    with pytest.raises(ShapeError, match="'image' must be float32"):
        model.run(np.array([["text"]]))


def test_levels_of_loggers_and_filters_of_warnings_are_as_before(tmp_path: Path) -> None:
    loggers = [logging.getLogger(name) for name in ("", "absl", "tensorflow", "tf2onnx")]

    def state() -> list[object]:
        return [[(each.level, [*each.handlers]) for each in loggers], [*warnings.filters]]

    model = recognize(networks.small())
    model.to_onnx()
    before = state()
    program = quantized_program(model.to_onnx(), networks.images())
    model.quantized(program).save(tmp_path / "saved")
    assert state() == before
