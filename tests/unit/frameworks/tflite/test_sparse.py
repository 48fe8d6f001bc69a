from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.errors import WeightsError
from furiosa_models.frameworks.tflite import TfliteModel

from .network import Array, Network, compare

COMPRESSED = schema.DimensionType.SPARSE_CSR


def dense(size: int) -> schema.DimensionMetadataT:
    level = schema.DimensionMetadataT()
    level.format, level.denseSize = schema.DimensionType.DENSE, size
    return level


def compressed(segments: list[int], indices: list[int], kind: str) -> schema.DimensionMetadataT:
    level = schema.DimensionMetadataT()
    level.format = COMPRESSED
    for name, values in (("arraySegments", segments), ("arrayIndices", indices)):
        vector = getattr(schema, f"{kind}VectorT")()
        vector.values = values
        setattr(level, name, vector)
        setattr(level, f"{name}Type", getattr(schema.SparseIndexVector, f"{kind}Vector"))
    return level


def rows(array: Array, block: int, kind: str) -> tuple[Any, Array]:
    """Store the nonzero blocks of each row of a matrix."""
    blocks = array.reshape(len(array), -1, block)
    used = [np.flatnonzero(row.any(axis=-1)) for row in blocks]
    sparsity = schema.SparsityParametersT()
    segments = [0, *np.cumsum([len(row) for row in used]).tolist()]
    indices = np.concatenate(used).tolist()
    sparsity.dimMetadata = [dense(len(array)), compressed(segments, indices, kind)]
    sparsity.traversalOrder, sparsity.blockMap = [0, 1], None
    if block > 1:
        sparsity.dimMetadata.append(dense(block))
        sparsity.traversalOrder, sparsity.blockMap = [0, 1, 2], [1]
    values = [blocks[i, j] for i, row in enumerate(used) for j in row]
    return sparsity, np.concatenate(values)


def network(array: Array, sparsity: Any, values: Array) -> bytes:
    net = Network()
    x = net.input((2, array.shape[1]))
    stored = net.tensor(array.shape, data=values.tobytes(), sparsity=sparsity)
    weights = net.add("DENSIFY", [stored], net.tensor(array.shape))
    bias = net.constant(np.zeros(len(array), np.float32))
    y = net.add("FULLY_CONNECTED", [x, weights, bias], options="FullyConnectedOptions")
    return net.write(y)


@pytest.mark.parametrize("kind", ["Int32", "Uint16", "Uint8"])
@pytest.mark.parametrize("block", [1, 4])
@given(bits=st.integers(1, 2**24 - 1))
def test_sparse_weights_equal_litert(kind: str, block: int, bits: int) -> None:
    mask = np.array([bits >> i & 1 for i in range(24)], bool).reshape(3, 8)
    array = np.where(mask, np.arange(1, 25).reshape(3, 8), 0).astype(np.float32)
    compare(network(array, *rows(array, block, kind)))


def test_wrong_number_of_values_is_an_error() -> None:
    array = np.eye(4, 8, dtype=np.float32)
    sparsity, values = rows(array, 1, "Int32")
    data = network(array, sparsity, values)
    for damaged in (values[:-1], np.append(values, np.float32(1))):
        net = Network()
        stored = net.tensor(array.shape, data=damaged.tobytes(), sparsity=sparsity)
        y = net.add("DENSIFY", [stored], net.tensor(array.shape))
        with pytest.raises(WeightsError, match="stores . values for 4 places"):
            TfliteModel(net.write(y, shaped=False)).to_onnx()
    assert TfliteModel(data).to_onnx().graph.node[0].op_type == "Gemm"


def test_enormous_dense_tensor_is_an_error() -> None:
    sparsity, values = rows(np.eye(4, 8, dtype=np.float32), 1, "Int32")
    net = Network()
    stored = net.tensor((1 << 15, 1 << 15), data=values.tobytes(), sparsity=sparsity)
    y = net.add("DENSIFY", [stored], net.tensor((1 << 15, 1 << 15)))
    with pytest.raises(WeightsError, match="would take 4294967296 bytes"):
        TfliteModel(net.write(y, shaped=False)).to_onnx()
