from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from .network import Array, Network, compare, random_array

UNARY = [
    "ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "HARD_SWISH", "LOGISTIC", "NEG", "RELU",
    "RELU6", "RELU_0_TO_1", "RELU_N1_TO_1", "ROUND", "SIGN", "SIN", "SQUARE", "TANH",
    "ZEROS_LIKE",
]  # fmt: skip
BINARY = [
    "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "FLOOR_DIV",
    "FLOOR_MOD",
]  # fmt: skip
COMPARISONS = ["EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"]
FUSED = {"ADD": "AddOptions", "SUB": "SubOptions", "MUL": "MulOptions", "DIV": "DivOptions"}
IMAGE = (1, 3, 4, 5)


def after_pool(network: Network, x: int) -> int:
    """Return a pooled image, which the converter has with the channels first."""
    return network.add(
        "MAX_POOL_2D", [x], options="Pool2DOptions", filterWidth=1, filterHeight=1,
        strideW=1, strideH=1,
    )  # fmt: skip


@pytest.mark.parametrize("kind", UNARY)
@pytest.mark.parametrize("pooled", [False, True], ids=["stored order", "channels first"])
def test_operation_on_each_element_equals_litert(kind: str, pooled: bool) -> None:
    network = Network()
    x = network.input(IMAGE)
    y = network.add(kind, [after_pool(network, x) if pooled else x])
    converted = compare(network.write(y))
    transposed = sum(node.op_type == "Transpose" for node in converted.graph.node)
    assert transposed == 2 * pooled


@pytest.mark.parametrize("kind", ["LOG", "SQRT", "RSQRT"])
def test_operation_on_positive_numbers_equals_litert(kind: str) -> None:
    network = Network()
    y = network.add(kind, [network.input((2, 7))])
    compare(network.write(y), np.abs(random_array((2, 7))) + np.float32(0.1))


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize("shape", [IMAGE, (5,), (1, 1, 1, 5), (4, 1), (1, 3, 1, 1), ()])
@pytest.mark.parametrize("constant", [False, True], ids=["computed", "constant"])
def test_arithmetic_broadcasts_as_litert(kind: str, shape: tuple[int, ...], constant: bool) -> None:
    network = Network()
    x = after_pool(network, network.input(IMAGE))
    operand = random_array(shape, seed=5)
    second = network.constant(operand) if constant else network.input(shape)
    y = network.add(kind, [x, second])
    given = [random_array(IMAGE)] if constant else [random_array(IMAGE), operand]
    compare(network.write(y), *given)


@pytest.mark.parametrize("kind", ["ADD", "SUB", "MUL", "FLOOR_DIV", "FLOOR_MOD", "MAXIMUM"])
def test_arithmetic_of_integers_equals_litert(kind: str) -> None:
    network = Network()
    x, y = network.input((40,), "int32"), network.input((40,), "int32")
    z = network.add(kind, [x, y], network.tensor((40,), "int32"))
    divisor = random_array((40,), "int32", 1)
    divisor[divisor == 0] = 3
    compare(network.write(z), random_array((40,), "int32"), divisor)


@pytest.mark.parametrize("kind", [*FUSED])
@pytest.mark.parametrize("activation", ["RELU", "RELU6", "RELU_N1_TO_1"])
def test_fused_activation_equals_litert(kind: str, activation: str) -> None:
    from ai_edge_litert.schema_py_generated import ActivationFunctionType

    network = Network()
    x, y = network.input(IMAGE), network.input(IMAGE)
    code = getattr(ActivationFunctionType, activation)
    z = network.add(kind, [x, y], options=FUSED[kind], fusedActivationFunction=code)
    compare(network.write(z), 5 * random_array(IMAGE), random_array(IMAGE, seed=1))


@pytest.mark.parametrize("kind", COMPARISONS)
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_comparison_equals_litert(kind: str, dtype: str) -> None:
    network = Network()
    x, y = network.input((60,), dtype), network.input((60,), dtype)
    compare(
        network.write(network.add(kind, [x, y], network.tensor((60,), "bool"))),
        np.round(random_array((60,), dtype)),
        np.round(random_array((60,), dtype, 1)),
    )


@pytest.mark.parametrize("kind", ["LOGICAL_AND", "LOGICAL_OR", "LOGICAL_NOT"])
def test_logic_equals_litert(kind: str) -> None:
    network = Network()
    inputs = [network.input((9,), "bool") for _ in range(1 if kind == "LOGICAL_NOT" else 2)]
    compare(network.write(network.add(kind, inputs, network.tensor((9,), "bool"))))


@pytest.mark.parametrize("approximate", [False, True])
def test_gelu_equals_litert(approximate: bool) -> None:
    network = Network()
    x = network.input((2, 31))
    compare(network.write(network.add("GELU", [x], options="GeluOptions", approximate=approximate)))


def test_power_equals_litert() -> None:
    network = Network()
    y = network.add("POW", [network.input((20,)), network.input((20,))])
    compare(network.write(y), np.abs(random_array((20,))), random_array((20,), seed=1))


def test_leaky_relu_equals_litert() -> None:
    network = Network()
    x = network.input(IMAGE)
    compare(network.write(network.add("LEAKY_RELU", [x], options="LeakyReluOptions", alpha=0.3)))


@pytest.mark.parametrize("shape", [(5,), (1, 1, 5), (3, 4, 5)])
@pytest.mark.parametrize("pooled", [False, True])
def test_parametric_relu_equals_litert(shape: tuple[int, ...], pooled: bool) -> None:
    network = Network()
    x = network.input(IMAGE)
    slopes = network.constant(random_array(shape, seed=3))
    y = network.add("PRELU", [after_pool(network, x) if pooled else x, slopes])
    compare(network.write(y))


@pytest.mark.parametrize(
    ("kind", "condition"), [("SELECT", (3,)), ("SELECT", (3, 4)), ("SELECT_V2", (3, 1))]
)
def test_selection_equals_litert(kind: str, condition: tuple[int, ...]) -> None:
    network = Network()
    inputs = [network.input(condition, "bool"), network.input((3, 4)), network.input((3, 4))]
    compare(network.write(network.add(kind, inputs)))


CASTS: list[tuple[str, str, Any]] = [
    ("float32", "int32", [1.9, -1.9, 0.0]),
    ("int32", "float32", [1, -5, 100000]),
    ("float32", "bool", [0.0, 0.5, -3.0]),
    ("bool", "float32", [True, False, True]),
    ("int32", "int64", [1, -2, 3]),
    ("uint8", "float32", [1, 200, 255]),
]


@pytest.mark.parametrize(("source", "target", "numbers"), CASTS)
def test_cast_equals_litert(source: str, target: str, numbers: Any) -> None:
    network = Network()
    y = network.add("CAST", [network.input((3,), source)], network.tensor((3,), target))
    compare(network.write(y), np.array(numbers, source))


def test_sum_of_many_equals_litert() -> None:
    network = Network()
    compare(network.write(network.add("ADD_N", [network.input((2, 3)) for _ in range(3)])))


def test_weights_in_half_precision_become_float32() -> None:
    network = Network()
    x = network.input((1, 4))
    half: Array = random_array((3, 4)).astype(np.float16)
    weights = network.add("DEQUANTIZE", [network.constant(half)])
    y = network.add("FULLY_CONNECTED", [x, weights, -1], options="FullyConnectedOptions")
    converted = compare(network.write(y))
    assert [node.op_type for node in converted.graph.node] == ["Gemm"]
