"""Every row of TensorFlow and Keras: one network in each form that they write."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import onnx
import pytest
import tensorflow as tf
import tf2onnx.convert  # noqa: F401  # changes the environment when it is imported

from furiosa_models.errors import FuriosaModelsError
from furiosa_models.frameworks.tensorflow.model import TensorFlowModel

from . import networks, stock
from .quantization import INTEGER_OPERATIONS, output_scale, quantized_program, recognize
from .stock import difference, mean_difference

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # of Keras
]

IMAGES = networks.images()


class Row(NamedTuple):
    """A form, with what it must be recognized as."""

    source: Callable[[], Any]
    framework: str
    form: str
    names: tuple[str, str]
    raw: type
    options: Callable[[], dict[str, Any]] = dict

    @property
    def is_graph(self) -> bool:
        return self.framework == "tensorflow" and "Saved" not in self.form and "2" not in self.form


@pytest.fixture(scope="module")
def network() -> Any:
    return networks.small()


@pytest.fixture(scope="module")
def folder(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the network in every form."""
    folder = tmp_path_factory.mktemp("models")
    network.save(folder / "m.keras")
    network.save(folder / "m.h5")
    network.export(folder / "exported", verbose=False)
    tf.train.Checkpoint(net=network).write(str(folder / "checkpoint_2" / "c-1"))
    networks.write_tensorflow_1(
        network.get_weights(), folder / "checkpoint_1" / "m", folder / "tensorflow_1"
    )
    shutil.copytree(folder / "exported", folder / "keras_2")
    (folder / "keras_2" / "keras_metadata.pb").touch()  # by which Keras 2 marks its own
    graph_def = recognize(folder / "exported").graph_def
    (folder / "frozen.pb").write_bytes(graph_def.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def rows(network: Any, folder: Path) -> dict[str, Row]:
    def graph_def() -> Any:
        parsed = tf.compat.v1.GraphDef()
        parsed.ParseFromString((folder / "frozen.pb").read_bytes())
        return parsed

    def graph() -> Any:
        with tf.Graph().as_default() as imported:
            tf.compat.v1.import_graph_def(graph_def(), name="")
        return imported

    def fresh() -> dict[str, Any]:
        return {"model": keras.models.clone_model(network)}

    frozen, exported = ("image", "Identity"), ("image", "output_0")
    trackable = tf.__internal__.tracking.AutoTrackable
    return {
        "frozen pb": Row(lambda: folder / "frozen.pb", "tensorflow", "frozen pb", frozen, tf.Graph),
        "pb without suffix": Row(
            lambda: folder / "frozen", "tensorflow", "frozen pb", frozen, tf.Graph
        ),
        "Graph": Row(graph, "tensorflow", "Graph", frozen, tf.Graph),
        "GraphDef": Row(graph_def, "tensorflow", "GraphDef", frozen, tf.Graph),
        "TF1 checkpoint": Row(
            lambda: folder / "checkpoint_1",
            "tensorflow",
            "TF1 checkpoint",
            ("image", "probabilities"),
            tf.Graph,
        ),
        "keras.Model": Row(lambda: network, "keras", "keras.Model", exported, keras.Model),
        "exported Keras": Row(
            lambda: folder / "exported", "tensorflow", "TF2 SavedModel", exported, trackable
        ),
        "saved_model.pb": Row(
            lambda: folder / "exported" / "saved_model.pb",
            "tensorflow",
            "TF2 SavedModel",
            exported,
            trackable,
        ),
        "Keras saved model": Row(
            lambda: folder / "keras_2", "keras", "Keras saved model", exported, trackable
        ),
        "h5": Row(lambda: folder / "m.h5", "keras", ".h5 file", exported, keras.Model),
        "keras": Row(lambda: folder / "m.keras", "keras", ".keras file", exported, keras.Model),
        "TF1 SavedModel": Row(
            lambda: folder / "tensorflow_1",
            "tensorflow",
            "TF1 SavedModel",
            ("x-1", "scores"),
            trackable,
        ),
        "TF2 checkpoint": Row(
            lambda: folder / "checkpoint_2", "keras", "TF2 checkpoint", exported, keras.Model, fresh
        ),
    }


NAMES = (
    "frozen pb",
    "pb without suffix",
    "Graph",
    "GraphDef",
    "TF1 checkpoint",
    "keras.Model",
    "exported Keras",
    "saved_model.pb",
    "Keras saved model",
    "h5",
    "keras",
    "TF1 SavedModel",
    "TF2 checkpoint",
)


@pytest.fixture(params=NAMES, scope="module")
def row(request: pytest.FixtureRequest, rows: dict[str, Row]) -> Row:
    assert rows.keys() == {*NAMES}
    return rows[request.param]


@pytest.fixture(scope="module")
def model(row: Row) -> TensorFlowModel:
    return recognize(row.source(), **row.options())


@pytest.fixture(scope="module")
def expected(network: Any) -> Any:
    return network(IMAGES).numpy()


@pytest.fixture(scope="module")
def program(model: TensorFlowModel) -> onnx.ModelProto:
    """The model as a quantized program, all of it but the last operation."""
    return quantized_program(model.to_onnx(), IMAGES)


@pytest.fixture(autouse=True)
def _environment() -> Iterator[None]:
    before = environment()
    yield
    assert environment() == before


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def test_a_row_is_recognized_with_its_names(row: Row, model: TensorFlowModel) -> None:
    assert (model.framework, model.form) == (row.framework, row.form)
    assert (model.input_names, model.output_names) == ([row.names[0]], [row.names[1]])
    assert isinstance(model.raw, row.raw)


def test_the_operations_are_those_of_the_frozen_graph(model: TensorFlowModel) -> None:
    frozen = {node.name: node.op for node in model.graph_def.node}
    computed = {"Conv2D", "DepthwiseConv2dNative", "MatMul", "Relu", "Relu6", "Softmax", "Mean"}
    found = {name: op for name, op in model.graph_info.items() if op in computed}
    assert {*found.values()} == computed
    assert found == {name: op for name, op in frozen.items() if op in computed}
    assert {node.name for node in model.graph.as_graph_def().node} == frozen.keys()


def test_a_row_computes_what_the_network_does(model: TensorFlowModel, expected: Any) -> None:
    (output,) = model.run(IMAGES)
    assert difference(output, expected) < 1e-6
    (name,) = model.input_names
    assert difference(model.run({name: IMAGES}), [output]) == 0
    tensor = next(iter(model.frozen.inputs.values()))
    result = next(iter(model.frozen.outputs.values()))
    assert difference(model.sess.run(result, {tensor: IMAGES}), expected) < 1e-6


def test_a_row_becomes_onnx(row: Row, model: TensorFlowModel, expected: Any) -> None:
    program = model.to_onnx()
    onnx.checker.check_model(program, full_check=True)
    assert difference(stock.run_onnx(program, {row.names[0]: IMAGES}), [expected]) < 1e-6
    assert [value.name for value in program.graph.input] == [row.names[0]]
    assert [value.name for value in program.graph.output] == [row.names[1]]
    dims = program.graph.input[0].type.tensor_type.shape.dim
    assert dims[0].dim_param
    assert tuple(dim.dim_value for dim in dims[1:]) == networks.SHAPE
    weighted = {n.name for n in program.graph.node if n.op_type in ("Conv", "Gemm", "MatMul")}
    kinds = ("Conv2D", "DepthwiseConv2dNative", "MatMul")
    assert weighted == {name for name, op in model.graph_info.items() if op in kinds}


def test_a_row_is_saved_and_read_by_the_framework_and_by_us(
    row: Row, model: TensorFlowModel, expected: Any, tmp_path: Path
) -> None:
    path = model.save(tmp_path / "saved_result")
    assert path.name == ("saved_result.pb" if row.is_graph else "saved_result")
    assert difference(run_saved(path, row), expected) < 1e-6
    again = recognize(path)
    assert (again.input_names, again.output_names) == (model.input_names, model.output_names)
    assert difference(again.run(IMAGES), [expected]) < 1e-6


def test_a_row_never_replaces_what_is_there(
    row: Row, model: TensorFlowModel, tmp_path: Path
) -> None:
    target = tmp_path / ("full.pb" if row.is_graph else "full")
    mine = target if row.is_graph else target / "mine"
    mine.parent.mkdir(exist_ok=True)
    mine.write_bytes(b"mine")
    with pytest.raises(FuriosaModelsError, match="already exists"):
        model.save(target)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [mine]
    assert mine.read_bytes() == b"mine"


def test_a_quantized_row_computes_what_its_program_does(
    row: Row, model: TensorFlowModel, program: onnx.ModelProto, expected: Any, tmp_path: Path
) -> None:
    quantized = model.quantized(program)
    assert (quantized.framework, quantized.form) == (row.framework, row.form)
    assert quantized.input_names == model.input_names
    assert quantized.output_names == model.output_names
    wanted = stock.run_onnx(program, {row.names[0]: IMAGES})
    error = mean_difference(wanted, [expected])
    assert mean_difference(quantized.run(IMAGES), wanted) < 0.05 * error
    if row.is_graph:
        assert isinstance(quantized.raw, tf.Graph)
    else:
        feed = {row.names[0]: tf.constant(IMAGES)}
        outputs = quantized.raw.signatures["serving_default"](**feed)
        assert difference(outputs[row.names[1]].numpy(), quantized.run(IMAGES)[0]) == 0
    path = quantized.save(tmp_path / "quantized")
    assert difference(run_saved(path, row), quantized.run(IMAGES)[0]) == 0
    assert difference(recognize(path).run(IMAGES), quantized.run(IMAGES)) == 0
    converted = stock.run_onnx(quantized.to_onnx(), {row.names[0]: IMAGES})
    assert mean_difference(converted, wanted) < 0.05 * error


def test_the_stock_converter_makes_an_integer_model_of_a_quantized_row(
    row: Row, model: TensorFlowModel, tmp_path: Path
) -> None:
    model.output_names = [logits(model)]
    try:
        program = quantized_program(model.to_onnx(), IMAGES, float_heads=False)
        quantized = model.quantized(program)
    finally:
        model.output_names = [row.names[1]]
    path = quantized.save(tmp_path / "quantized")
    names = (quantized.input_names[0], quantized.output_names[0]) if row.is_graph else None
    output, operations = stock.run_tflite(stock.to_tflite(path, names), IMAGES)
    # Integer kernels round between the operations of a block, too.
    assert difference(output, quantized.run(IMAGES)[0]) < 1.01 * output_scale(program)
    assert operations <= INTEGER_OPERATIONS


def logits(model: TensorFlowModel) -> str:
    """Return the name of the operation before the softmax."""
    graph = {node.name: node for node in model.graph_def.node}
    (softmax,) = [node for node in graph.values() if node.op == "Softmax"]
    return str(softmax.input[0])


def run_saved(path: Path, row: Row) -> Any:
    if row.is_graph:
        return stock.run_frozen(path, {row.names[0]: IMAGES}, row.names[1])
    return stock.run_saved_model(path, {row.names[0]: IMAGES})[row.names[1]]
