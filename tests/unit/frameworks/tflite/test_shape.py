from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .network import Network, compare, random_array
from .test_elementwise import IMAGE, after_pool

pooled = pytest.mark.parametrize("pooled", [False, True], ids=["stored order", "channels first"])


def image(network: Network, pooled: bool, shape: tuple[int, ...] = IMAGE) -> int:
    x = network.input(shape)
    return after_pool(network, x) if pooled else x


@pooled
@pytest.mark.parametrize("target", [(1, 60), (3, -1, 5), (60,), (1, 1, 1, 60)])
def test_reshape_equals_litert(pooled: bool, target: tuple[int, ...]) -> None:
    network = Network()
    y = network.add("RESHAPE", [image(network, pooled), network.constant([*target])])
    compare(network.write(y))


def test_reshape_by_options_equals_litert() -> None:
    network = Network()
    x = network.input((2, 6))
    compare(network.write(network.add("RESHAPE", [x], options="ReshapeOptions", newShape=[3, 4])))


def test_image_of_one_pixel_is_reshaped_without_a_transposition() -> None:
    network = Network()
    x = image(network, True, (1, 1, 1, 5))
    y = network.add("RESHAPE", [x, network.constant([1, 5])])
    converted = compare(network.write(y))
    assert "Transpose" not in {node.op_type for node in converted.graph.node}


@pytest.mark.parametrize("dims", [[], [0], [0, 2], [-2]])
def test_squeeze_equals_litert(dims: list[int]) -> None:
    network = Network()
    x = network.input((1, 3, 1, 4))
    compare(network.write(network.add("SQUEEZE", [x], options="SqueezeOptions", squeezeDims=dims)))


@pytest.mark.parametrize("axis", [0, 2, -1])
def test_expanded_dimensions_equal_litert(axis: int) -> None:
    network = Network()
    y = network.add("EXPAND_DIMS", [network.input((3, 4)), network.constant(axis)])
    compare(network.write(y))


@pooled
@pytest.mark.parametrize("order", [(0, 3, 1, 2), (3, 2, 1, 0), (0, 1, 2, 3)])
def test_transposition_equals_litert(pooled: bool, order: tuple[int, ...]) -> None:
    network = Network()
    y = network.add("TRANSPOSE", [image(network, pooled), network.constant([*order])])
    compare(network.write(y))


@pooled
@pytest.mark.parametrize("axis", [0, 1, 3, -1])
def test_concatenation_equals_litert(pooled: bool, axis: int) -> None:
    network = Network()
    parts = [image(network, pooled), network.input(IMAGE), network.constant(random_array(IMAGE))]
    y = network.add("CONCATENATION", parts, options="ConcatenationOptions", axis=axis)
    compare(network.write(y))


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_packing_equals_litert(axis: int) -> None:
    network = Network()
    parts = [network.input((3, 4)), network.input((3, 4))]
    y = network.add("PACK", parts, options="PackOptions", axis=axis, valuesCount=2)
    compare(network.write(y))


@pytest.mark.parametrize("axis", [0, -1])
def test_unpacking_equals_litert(axis: int) -> None:
    network = Network()
    x = network.input((3, 3))
    parts = [network.tensor((3,)) for _ in range(3)]
    network.add("UNPACK", [x], *parts, options="UnpackOptions", axis=axis, num=3)
    compare(network.write(*parts))


@pooled
@pytest.mark.parametrize("axis", [2, -2])
def test_split_equals_litert(pooled: bool, axis: int) -> None:
    network = Network()
    parts = [network.tensor((1,)), network.tensor((1,))]
    inputs = [network.constant(axis), image(network, pooled)]
    network.add("SPLIT", inputs, *parts, options="SplitOptions", numSplits=2)
    compare(network.write(*parts))


@pooled
@pytest.mark.parametrize("sizes", [[1, 3, 1], [2, -1]])
def test_split_by_sizes_equals_litert(pooled: bool, sizes: list[int]) -> None:
    network = Network()
    parts = [network.tensor((1,)) for _ in sizes]
    inputs = [image(network, pooled), network.constant(sizes), network.constant(3)]
    network.add("SPLIT_V", inputs, *parts, options="SplitVOptions", numSplits=len(sizes))
    compare(network.write(*parts))


def test_repetition_equals_litert() -> None:
    network = Network()
    y = network.add("TILE", [network.input((2, 3)), network.constant([2, 2])])
    compare(network.write(y))


def test_broadcast_equals_litert() -> None:
    network = Network()
    y = network.add("BROADCAST_TO", [network.input((2, 1)), network.constant([3, 2, 4])])
    compare(network.write(y))


def test_filled_tensor_equals_litert() -> None:
    network = Network()
    y = network.add("FILL", [network.constant([2, 3]), network.input(())])
    compare(network.write(y))


@pooled
@pytest.mark.parametrize(
    ("kind", "shape"), [("SPACE_TO_DEPTH", (1, 4, 6, 3)), ("DEPTH_TO_SPACE", (1, 2, 3, 8))]
)
def test_blocks_become_channels_as_in_litert(
    pooled: bool, kind: str, shape: tuple[int, ...]
) -> None:
    options = "SpaceToDepthOptions" if kind == "SPACE_TO_DEPTH" else "DepthToSpaceOptions"
    network = Network()
    y = network.add(kind, [image(network, pooled, shape)], options=options, blockSize=2)
    compare(network.write(y))


def test_shape_computed_by_the_graph_is_folded() -> None:
    network = Network()
    x = network.input((2, 3, 4))
    shape = network.add("SHAPE", [x], network.tensor((3,), "int32"), options="ShapeOptions",
                        outType=2)  # fmt: skip
    bounds = [network.constant([i]) for i in (0, 1, 1)]
    batch = network.add(
        "STRIDED_SLICE", [shape, *bounds], network.tensor((), "int32"),
        options="StridedSliceOptions", shrinkAxisMask=1,
    )  # fmt: skip
    rest = network.constant(np.array(12, np.int32))
    target = network.add(
        "PACK", [batch, rest], network.tensor((2,), "int32"), options="PackOptions", valuesCount=2
    )
    converted = compare(network.write(network.add("RESHAPE", [x, target])))
    assert [node.op_type for node in converted.graph.node] == ["Reshape"]


@pooled
@pytest.mark.parametrize(
    ("size", "shape"), [([1, 2, 2, 3], (1, 2, 2, 3)), ([-1, 1, -1, 2], (1, 1, 2, 2))]
)
def test_slice_equals_litert(pooled: bool, size: list[int], shape: tuple[int, ...]) -> None:
    network = Network()
    inputs = [image(network, pooled), network.constant([0, 1, 2, 1]), network.constant(size)]
    compare(network.write(network.add("SLICE", inputs, network.tensor(shape))))


@pytest.mark.parametrize("pooled", [False, True])
@settings(max_examples=80)
@given(data=st.data())
def test_strided_slice_equals_litert(pooled: bool, data: Any) -> None:
    shape = (1, 5, 6, 4)
    network = Network()
    x = image(network, pooled, shape)
    entries = data.draw(st.integers(1, 4))
    mask = st.integers(0, 2**entries - 1)
    shrink = data.draw(mask)
    begins, ends, strides = [], [], []
    for entry in range(entries):
        extent = shape[entry]
        begins.append(data.draw(st.integers(-extent, extent - 1)))
        ends.append(data.draw(st.integers(-extent - 1, extent + 1)))
        strides.append(1 if shrink >> entry & 1 else data.draw(st.sampled_from([1, 2, -1, -2])))
    y = network.add(
        "STRIDED_SLICE", [x, *map(network.constant, (begins, ends, strides))],
        options="StridedSliceOptions", beginMask=data.draw(mask), endMask=data.draw(mask),
        shrinkAxisMask=shrink,
    )  # fmt: skip
    written = network.write(y)
    if 0 not in network.shape(y):  # LiteRT leaves an empty tensor undefined
        compare(written)


@pytest.mark.parametrize(("ellipsis", "new"), [(1, 0), (2, 1), (1, 2), (4, 2), (0, 1)])
def test_strided_slice_with_new_dimensions_equals_litert(ellipsis: int, new: int) -> None:
    network = Network()
    x = network.input((3, 4, 5))
    begins, ends, strides = [1, 1, 0], [2, 3, 2], [1, 1, 1]
    y = network.add(
        "STRIDED_SLICE", [x, *map(network.constant, (begins, ends, strides))],
        options="StridedSliceOptions", ellipsisMask=ellipsis, newAxisMask=new,
    )  # fmt: skip
    compare(network.write(y))


def test_reversal_equals_litert() -> None:
    network = Network()
    compare(
        network.write(network.add("REVERSE_V2", [network.input((3, 4)), network.constant([1])]))
    )


PADS = np.array([[0, 0], [1, 2], [0, 1], [2, 0]], np.int32)


@pooled
@pytest.mark.parametrize("kind", ["PAD", "PADV2", "REFLECT", "SYMMETRIC"])
def test_padding_equals_litert(pooled: bool, kind: str) -> None:
    network = Network()
    inputs = [image(network, pooled), network.constant(PADS)]
    if kind in ("PAD", "PADV2"):
        inputs += [network.constant(np.array([1.5], np.float32).reshape(()))][: kind == "PADV2"]
        y = network.add(kind, inputs)
    else:
        mode = ["REFLECT", "SYMMETRIC"].index(kind)
        y = network.add("MIRROR_PAD", inputs, options="MirrorPadOptions", mode=mode)
    compare(network.write(y))
