"""Small networks of several operations."""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers  # type: ignore[import-untyped]

from .network import Array, Network, random_array


def small() -> bytes:
    """Return a convolution, its activation, and the mean of its pixels."""
    network = Network()
    x = network.input((1, 5, 6, 3), name="image")
    weights = network.constant(random_array((4, 3, 3, 3), seed=1), name="weights")
    bias = network.constant(random_array((4,), seed=2), name="bias")
    y = network.add(
        "CONV_2D", [x, weights, bias], network.tensor((1,), name="features"),
        options="Conv2DOptions", strideH=2, strideW=2,
    )  # fmt: skip
    z = network.add("HARD_SWISH", [y], network.tensor((1,), name="active"))
    axes = network.constant([1, 2], name="axes")
    mean = network.tensor((1,), name="mean")
    return network.write(network.add("MEAN", [z, axes], mean, options="ReducerOptions"))


def quantized() -> bytes:
    """Return an int8 network that convolves, pads, slices, joins, and reshapes an image."""
    network = Network()
    steps: dict[str, Any] = {"scale": 0.05, "zero_point": 3}
    x = network.input((1, 5, 6, 3), "int8", **steps)
    weights = network.constant(random_array((4, 3, 3, 3), "int8"), scale=[0.01, 0.02, 0.03, 0.04])
    bias = network.constant(random_array((4,), "int32"))
    y = network.add(
        "CONV_2D", [x, weights, bias], network.tensor((1,), "int8", **steps),
        options="Conv2DOptions", strideH=1, strideW=1, fusedActivationFunction=3,
    )  # fmt: skip
    pads = network.constant(np.array([[0, 0], [1, 0], [0, 1], [0, 0]], np.int32))
    y = network.add("PAD", [y, pads], network.tensor((1,), "int8", **steps))
    bounds = [network.constant(numbers) for numbers in ([0, 0, 1, 0], [0, 0, -1, 0], [1, 2, 2, 1])]
    z = network.add(
        "STRIDED_SLICE", [y, *bounds], network.tensor((1,), "int8", **steps),
        options="StridedSliceOptions", beginMask=3, endMask=11,
    )  # fmt: skip
    w = network.add(
        "CONCATENATION", [z, z], network.tensor((1,), "int8", **steps),
        options="ConcatenationOptions", axis=3,
    )  # fmt: skip
    shape = network.constant([1, -1])
    return network.write(network.add("RESHAPE", [w, shape], network.tensor((1,), "int8", **steps)))


def _dense(size: int) -> schema.DimensionMetadataT:
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = schema.DimensionType.DENSE, size
    return level


def _compressed(segments: list[int], indices: list[int], kind: str) -> schema.DimensionMetadataT:
    level = schema.DimensionMetadataT()
    level.format = schema.DimensionType.SPARSE_CSR
    for name, values in (("arraySegments", segments), ("arrayIndices", indices)):
        vector = getattr(schema, f"{kind}VectorT")()
        vector.values = values
        setattr(level, name, vector)
        setattr(level, f"{name}Type", getattr(schema.SparseIndexVector, f"{kind}Vector"))
    return level


def sparse_rows(array: Array, block: int, kind: str) -> tuple[Any, Array]:
    """Store the nonzero blocks of each row of a matrix."""
    blocks = array.reshape(len(array), -1, block)
    used = [np.flatnonzero(row.any(axis=-1)) for row in blocks]
    sparsity = schema.SparsityParametersT()
    segments = [0, *np.cumsum([len(row) for row in used]).tolist()]
    indices = np.concatenate(used).tolist()
    sparsity.dimMetadata = [_dense(len(array)), _compressed(segments, indices, kind)]
    sparsity.traversalOrder, sparsity.blockMap = [0, 1], None
    if block > 1:
        sparsity.dimMetadata.append(_dense(block))
        sparsity.traversalOrder, sparsity.blockMap = [0, 1, 2], [1]
    values = [blocks[i, j] for i, row in enumerate(used) for j in row]
    return sparsity, np.concatenate(values)


def sparse_network(array: Array, sparsity: Any, values: Array) -> bytes:
    """Return a fully connected layer of sparse weights."""
    net = Network()
    x = net.input((2, array.shape[1]))
    stored = net.tensor(array.shape, data=values.tobytes(), sparsity=sparsity)
    weights = net.add("DENSIFY", [stored], net.tensor(array.shape))
    bias = net.constant(np.zeros(len(array), np.float32))
    y = net.add("FULLY_CONNECTED", [x, weights, bias], options="FullyConnectedOptions")
    return net.write(y)


_DETECTION = {
    "max_detections": 6, "max_classes_per_detection": 1, "nms_score_threshold": 0.3,
    "nms_iou_threshold": 0.5, "num_classes": 3, "y_scale": 10.0, "x_scale": 10.0, "h_scale": 5.0,
    "w_scale": 5.0, "use_regular_nms": False,
}  # fmt: skip


def detection(count: int, **changes: Any) -> bytes:
    """Return the operation at the end of an SSD network, for a number of anchors."""
    rng = np.random.default_rng(count)
    anchors = rng.uniform(0.2, 0.8, (count, 4)).astype(np.float32)
    net = Network()
    inputs = [net.input((1, count, 4)), net.input((1, count, 4)), net.constant(anchors)]
    outputs = [net.tensor(()) for _ in range(4)]
    options = bytes(flexbuffers.Dumps(_DETECTION | changes))
    net.add("TFLite_Detection_PostProcess", inputs, *outputs, custom=options)
    return net.write(*outputs, shaped=False)
