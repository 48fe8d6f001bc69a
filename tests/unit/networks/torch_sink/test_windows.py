"""Operations with windows, padding and sizes, in any combination of their attributes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from onnx import helper

from furiosa_models.errors import ConversionError

from .graphs import Array, assert_equal, call, doubled, exported, graph, module, onnx_runtime

pytestmark = pytest.mark.torch

TOLERANCE = 5e-6
few = settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])


def image(height: int, width: int, channels: int = 2) -> Array:
    random = np.random.default_rng(height * 31 + width)
    return random.normal(size=(2, channels, height, width)).astype(np.float32)


def check(model: onnx.ModelProto, inputs: dict[str, Array]) -> None:
    """Compare with ONNX Runtime; graphs that ONNX Runtime rejects are no examples."""
    try:
        expected = onnx_runtime(model, inputs)
    except Exception:  # ONNX Runtime's exceptions share no public base
        assume(False)
    assert_equal(call(module(model), inputs), expected, TOLERANCE)


def numbers(low: int, high: int, count: int = 2) -> st.SearchStrategy[list[int]]:
    return st.lists(st.integers(low, high), min_size=count, max_size=count)


@st.composite
def windows(draw: st.DrawFn, largest_pad: int = 2) -> dict[str, Any]:
    """Attributes of an operation with a sliding window."""
    kernel = draw(numbers(1, 3))
    attributes: dict[str, Any] = {
        "kernel_shape": kernel,
        "strides": draw(numbers(1, 3)),
        "dilations": draw(numbers(1, 2)),
    }
    padding = draw(st.sampled_from(("NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER")))
    if padding == "NOTSET":
        limit = min(largest_pad, min(kernel) - 1)
        attributes["pads"] = draw(numbers(0, limit if largest_pad < 2 else largest_pad, 4))
    else:
        assume(all(k >= s for k, s in zip(kernel, attributes["strides"], strict=True)))
        attributes["auto_pad"] = padding
    return attributes


shapes = st.tuples(st.integers(5, 9), st.integers(5, 9))


@few
@given(windows(), shapes, st.sampled_from((1, 2)), st.booleans())
def test_convolutions(attributes: dict[str, Any], shape: Any, group: int, has_bias: bool) -> None:
    random = np.random.default_rng(0)
    weights = random.normal(size=(4, 2 // group, *attributes["kernel_shape"]))
    constants = {"w": weights.astype(np.float32)}
    if has_bias:
        constants["b"] = random.normal(size=4).astype(np.float32)
    node = helper.make_node("Conv", ["x", *constants], ["y"], group=group, **attributes)
    inputs = {"x": image(*shape)}
    check(graph(node, inputs, constants), inputs)


@few
@given(windows(), shapes, numbers(0, 1), st.sampled_from((1, 2)))
def test_transposed_convolutions(
    attributes: dict[str, Any], shape: Any, extra: list[int], group: int
) -> None:
    assume("pads" in attributes)
    assume(
        all(
            a < max(s, d)
            for a, s, d in zip(extra, attributes["strides"], attributes["dilations"], strict=True)
        )
    )
    weights = np.random.default_rng(0).normal(size=(2, 3, *attributes["kernel_shape"]))
    node = helper.make_node(
        "ConvTranspose", ["x", "w"], ["y"], group=group, output_padding=extra, **attributes
    )
    inputs = {"x": image(*shape)}
    check(graph(node, inputs, {"w": weights.astype(np.float32)}), inputs)


@few
@given(windows(largest_pad=1), shapes, st.booleans())
def test_maximum_pools(attributes: dict[str, Any], shape: Any, rounds_up: bool) -> None:
    if "auto_pad" in attributes:
        attributes.pop("dilations")  # ONNX Runtime ignores them when it pads
    node = helper.make_node("MaxPool", ["x"], ["y"], ceil_mode=int(rounds_up), **attributes)
    inputs = {"x": image(*shape)}
    check(graph(node, inputs), inputs)


@few
@given(windows(largest_pad=1), shapes, st.booleans(), st.booleans())
def test_average_pools(
    attributes: dict[str, Any], shape: Any, counts_pads: bool, rounds_up: bool
) -> None:
    attributes.pop("dilations")
    node = helper.make_node(
        "AveragePool",
        ["x"],
        ["y"],
        count_include_pad=int(counts_pads),
        ceil_mode=int(rounds_up),
        **attributes,
    )
    inputs = {"x": image(*shape)}
    check(graph(node, inputs), inputs)


@few
@given(
    st.sampled_from(("constant", "edge", "reflect", "wrap")),
    numbers(-1, 3, 8),
    st.booleans(),
    shapes,
)
def test_padding(mode: str, pads: list[int], spatial: bool, shape: Any) -> None:
    if mode != "constant":
        pads = [abs(pad) for pad in pads]
        pads[0] = pads[1] = pads[4] = pads[5] = 0
    constants: dict[str, Array] = {"p": np.array(pads, np.int64), "v": np.array(0.5, np.float32)}
    names = ["x", "p", "v"]
    if spatial:
        constants |= {"p": np.array([*pads[2:4], *pads[6:]], np.int64), "a": np.array([2, -1])}
        names.append("a")
    node = helper.make_node("Pad", names, ["y"], mode=mode)
    inputs = {"x": image(*shape)}
    check(graph(node, inputs, constants), inputs)


bounds = st.one_of(st.integers(-12, 12), st.sampled_from((-(2**63) + 1, 2**63 - 1, 2**31 - 1)))


@few
@given(
    st.lists(
        st.tuples(st.integers(-4, 3), bounds, bounds, st.sampled_from((-2, -1, 1, 2, 3))),
        min_size=1,
        max_size=3,
        unique_by=lambda each: each[0] % 4,
    )
)
def test_slices(chosen: list[tuple[int, int, int, int]]) -> None:
    assume(all(step > 0 or end < 2**31 - 1 for _, _, end, step in chosen))  # not in the standard
    axes, starts, ends, steps = (np.array(column) for column in zip(*chosen, strict=True))
    constants = {"s": starts, "e": ends, "a": axes, "t": steps}
    node = helper.make_node("Slice", ["x", *constants], ["y"])
    inputs = {"x": image(7, 6, channels=3)}
    check(graph(node, inputs, constants), inputs)


TRANSFORMATIONS = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")
ROUNDINGS = ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")


@few
@given(
    st.sampled_from(("nearest", "linear")),
    st.sampled_from(TRANSFORMATIONS),
    st.sampled_from(ROUNDINGS),
    st.sampled_from(((1, 1, 2, 2), (1, 1, 3, 1), (1, 1, 1.5, 2), (1, 1, 0.5, 0.5), (9, 11))),
    shapes,
)
def test_resizing_is_equal_or_refused(
    mode: str, transformation: str, rounding: str, target: tuple[float, ...], shape: Any
) -> None:
    inputs = {"x": image(*shape)}
    names, constants = ["x", "", "s"], {"s": np.array(target, np.float32)}
    if len(target) == 2:
        names, constants = ["x", "", "", "s"], {"s": np.array([2, 2, *target], np.int64)}
    node = helper.make_node(
        "Resize",
        names,
        ["y"],
        mode=mode,
        coordinate_transformation_mode=transformation,
        nearest_mode=rounding,
    )
    model = graph(node, inputs, constants)
    made = module(model)
    if mode == "linear" and transformation == "asymmetric":
        with pytest.raises(ConversionError, match="Resize linear asymmetric of 4 dimensions"):
            call(made, inputs)
    else:
        assert_equal(call(made, inputs), onnx_runtime(model, inputs), TOLERANCE)


KNOWN_RESIZES: dict[str, dict[str, str]] = {
    "nearest asymmetric": {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    },
    "nearest": {"mode": "nearest"},
    "linear": {"mode": "linear"},
    "linear of PyTorch": {"mode": "linear", "coordinate_transformation_mode": "pytorch_half_pixel"},
    "linear to the corners": {"mode": "linear", "coordinate_transformation_mode": "align_corners"},
}


@pytest.mark.parametrize("name", KNOWN_RESIZES)
def test_common_resizing_is_equal_for_any_batch_size(name: str) -> None:
    inputs = {"x": image(6, 5)}
    node = helper.make_node("Resize", ["x", "", "s"], ["y"], **KNOWN_RESIZES[name])
    model = graph(node, inputs, {"s": np.array([1, 1, 2, 2], np.float32)})
    more = doubled(inputs)
    assert_equal(call(exported(module(model), inputs), more), onnx_runtime(model, more), TOLERANCE)


@pytest.mark.parametrize("padding", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("kind", ["Conv", "MaxPool", "AveragePool"])
def test_automatic_padding_is_equal_for_any_batch_size(kind: str, padding: str) -> None:
    inputs = {"x": image(7, 8)}
    constants = {"w": np.ones((3, 2, 3, 2), np.float32)} if kind == "Conv" else {}
    node = helper.make_node(
        kind, ["x", *constants], ["y"], kernel_shape=[3, 2], strides=[2, 2], auto_pad=padding
    )
    model = graph(node, inputs, constants)
    more = doubled(inputs)
    assert_equal(call(exported(module(model), inputs), more), onnx_runtime(model, more), TOLERANCE)
