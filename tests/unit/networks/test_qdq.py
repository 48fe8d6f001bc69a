"""Edits of quantized graphs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from furiosa_models.errors import WeightsError
from furiosa_models.networks import edit, external_data
from furiosa_models.networks.qdq import without_inner_rounding
from furiosa_models.runtime.sync import create_runner

RNG = np.random.default_rng(0)
PHOTO = RNG.uniform(-1, 1, (1, 3, 8, 8)).astype(np.float32)
WEIGHTS = RNG.normal(0, 0.2, (4, 3, 3, 3)).astype(np.float32)


class Maker:
    """Makes a graph of a convolution and what follows, with pairs that round."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers = [numpy_helper.from_array(WEIGHTS, "w")]

    def add(self, kind: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def rounded(self, name: str, scale: float = 0.02) -> str:
        zero = numpy_helper.from_array(np.array(128, np.uint8), f"{name}/zero")
        step = numpy_helper.from_array(np.array(scale, np.float32), f"{name}/scale")
        self.initializers += [step, zero]
        self.add("QuantizeLinear", [name, step.name, zero.name], f"{name}/q")
        return self.add("DequantizeLinear", [f"{name}/q", step.name, zero.name], f"{name}/dq")

    def convolution(self) -> str:
        return self.add("Conv", ["x", "w"], "conv", pads=[1, 1, 1, 1])

    def model(self, *outputs: str) -> bytes:
        values = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [None] * 4) for name in outputs
        ]
        photo = helper.make_tensor_value_info("x", TensorProto.FLOAT, PHOTO.shape)
        graph = helper.make_graph(self.nodes, "g", [photo], values, self.initializers)
        made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)])
        made.ir_version = 9
        onnx.checker.check_model(made)
        data: bytes = made.SerializeToString()
        return data


def swish(*, rounds_gate: bool = True, swapped: bool = False) -> bytes:
    made = Maker()
    x = made.rounded(made.convolution())
    gate = made.add("Sigmoid", [x], "gate")
    gate = made.rounded(gate, 1 / 128) if rounds_gate else gate
    made.add("Mul", [gate, x] if swapped else [x, gate], "swish")
    return made.model(made.rounded("swish"))


def run(model: bytes) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    found: npt.NDArray[np.float32] = session.run(None, {"x": PHOTO})[0]
    return found


def kinds(model: bytes) -> list[str]:
    return [node.op_type for node in edit.parse(model).graph.node]


def convolved() -> npt.NDArray[np.float32]:
    made = Maker()
    return run(made.model(made.convolution()))


@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize("rounds_gate", [False, True])
def test_swish_reads_the_unrounded_result(rounds_gate: bool, swapped: bool) -> None:
    before = swish(rounds_gate=rounds_gate, swapped=swapped)
    after = without_inner_rounding(before)
    assert kinds(after) == ["Conv", "Sigmoid", "Mul", "QuantizeLinear", "DequantizeLinear"]
    onnx.checker.check_model(edit.parse(after))
    assert {t.name for t in edit.parse(after).graph.initializer} == {
        "w",
        "swish/scale",
        "swish/zero",
    }
    x = convolved()
    exact = x / (1 + np.exp(-x))
    np.testing.assert_allclose(run(after), exact, atol=0.0101)  # half a step
    assert np.abs(run(after) - exact).mean() < np.abs(run(before) - exact).mean()


@pytest.mark.parametrize(
    "kind", ["Sigmoid", "HardSigmoid", "Relu", "LeakyRelu", "Tanh", "HardSwish"]
)
def test_an_activation_reads_the_unrounded_result(kind: str) -> None:
    made = Maker()
    made.add(kind, [made.rounded(made.convolution())], "y")
    after = without_inner_rounding(made.model(made.rounded("y")))
    assert kinds(after) == ["Conv", kind, "QuantizeLinear", "DequantizeLinear"]
    plain = Maker()
    plain.add(kind, [plain.convolution()], "y")
    np.testing.assert_array_equal(run(after), run(plain.model(plain.rounded("y"))))


def test_a_result_that_something_else_reads_stays_rounded() -> None:
    def made_by(add: str) -> bytes:
        made = Maker()
        x = made.rounded(made.convolution())
        made.add("Relu", [x], "y")
        outputs = [made.rounded("y")]
        if add == "another operation":
            outputs.append(made.add("Neg", [x], "z"))
        elif add == "the float result":
            outputs.append(made.add("Neg", ["conv"], "z"))
        elif add == "an output":
            outputs.append(x)
        elif add == "a branch":
            value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
            body = helper.make_graph([helper.make_node("Neg", [x], ["b"])], "body", [], [value])
            made.initializers.append(numpy_helper.from_array(np.array(True), "yes"))
            outputs.append(made.add("If", ["yes"], "z", then_branch=body, else_branch=body))
        return made.model(*outputs)

    for add in ("another operation", "the float result", "an output", "a branch"):
        before = made_by(add)
        assert without_inner_rounding(before) is before, add
    assert without_inner_rounding(made_by("nothing")) != made_by("nothing")


def test_what_only_branches_read_is_kept(tmp_path: Path) -> None:
    made = Maker()
    made.add("Relu", [made.rounded(made.convolution())], "y")
    made.rounded("y")
    value = helper.make_tensor_value_info("b", TensorProto.FLOAT, None)
    made.initializers += [numpy_helper.from_array(np.array(True), "yes")]
    made.initializers += [numpy_helper.from_array(np.float32(2), "two")]
    body = helper.make_graph([helper.make_node("Mul", ["y/dq", "two"], ["b"])], "g", [], [value])
    before = made.model(made.add("If", ["yes"], "z", then_branch=body, else_branch=body))
    after = without_inner_rounding(before)
    assert len(kinds(after)) == len(kinds(before)) - 2
    np.testing.assert_allclose(run(after), run(before), atol=0.0401)
    (tmp_path / "model.onnx").write_bytes(before)
    with create_runner(str(tmp_path / "model.onnx"), device="openvino") as runner:
        np.testing.assert_allclose(runner.run(PHOTO)[0], run(before), atol=0.0401)


def test_gates_of_other_results_and_sums_stay_as_they_are() -> None:
    made = Maker()
    x = made.rounded(made.convolution())
    gate = made.rounded(made.add("Sigmoid", [x], "gate"))
    made.add("Mul", [x, gate], "swish")
    made.add("Neg", [gate], "other")  # reads the gate, too
    before = made.model("swish", "other")
    assert without_inner_rounding(before) is before
    made = Maker()
    x = made.rounded(made.convolution())
    made.add("Add", [x, made.rounded("x")], "sum")
    before = made.model(made.rounded("sum"))
    assert without_inner_rounding(before) is before


def test_a_model_may_be_a_message_and_must_be_onnx() -> None:
    before = swish()
    message = edit.parse(before)
    assert without_inner_rounding(message) == without_inner_rounding(before)
    assert message == edit.parse(before)
    with pytest.raises(WeightsError):
        without_inner_rounding(b"QuantizeLinear")


@pytest.mark.parametrize("as_file", [False, True])
def test_openvino_rounds_once(tmp_path: Path, as_file: bool) -> None:
    model = swish()
    file = tmp_path / "model.onnx"
    file.write_bytes(model)
    program = str(file) if as_file else model
    with create_runner(program, device="openvino") as runner:
        (found,) = runner.run(PHOTO)
    x = convolved()
    exact = x / (1 + np.exp(-x))
    np.testing.assert_allclose(found, exact, atol=0.0101)  # half a step
    assert np.abs(run(model) - exact).max() > 0.0101  # rounded three times


def test_openvino_reads_weights_beside_the_model(tmp_path: Path) -> None:
    made = edit.parse(swish())
    file = tmp_path / "model.onnx"
    external_data.save(made, file, always=True)
    with create_runner(str(file), device="openvino") as runner:
        assert runner.run(PHOTO)[0].shape == (1, 4, 8, 8)
