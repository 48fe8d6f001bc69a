from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.errors import WeightsError
from furiosa_models.frameworks.tflite import TfliteModel

from .network import Network, compare
from .samples import sparse_network, sparse_rows


@pytest.mark.parametrize("kind", ["Int32", "Uint16", "Uint8"])
@pytest.mark.parametrize("block", [1, 4])
@given(bits=st.integers(1, 2**24 - 1))
def test_sparse_weights_equal_litert(kind: str, block: int, bits: int) -> None:
    mask = np.array([bits >> i & 1 for i in range(24)], bool).reshape(3, 8)
    array = np.where(mask, np.arange(1, 25).reshape(3, 8), 0).astype(np.float32)
    compare(sparse_network(array, *sparse_rows(array, block, kind)))


def test_wrong_number_of_values_is_an_error() -> None:
    array = np.eye(4, 8, dtype=np.float32)
    sparsity, values = sparse_rows(array, 1, "Int32")
    data = sparse_network(array, sparsity, values)
    for damaged in (values[:-1], np.append(values, np.float32(1))):
        net = Network()
        stored = net.tensor(array.shape, data=damaged.tobytes(), sparsity=sparsity)
        y = net.add("DENSIFY", [stored], net.tensor(array.shape))
        with pytest.raises(WeightsError, match="stores . values for 4 places"):
            TfliteModel(net.write(y, shaped=False)).to_onnx()
    assert TfliteModel(data).to_onnx().graph.node[0].op_type == "Gemm"


def test_enormous_dense_tensor_is_an_error() -> None:
    sparsity, values = sparse_rows(np.eye(4, 8, dtype=np.float32), 1, "Int32")
    net = Network()
    stored = net.tensor((1 << 15, 1 << 15), data=values.tobytes(), sparsity=sparsity)
    y = net.add("DENSIFY", [stored], net.tensor((1 << 15, 1 << 15)))
    with pytest.raises(WeightsError, match="would take 4294967296 bytes"):
        TfliteModel(net.write(y, shaped=False)).to_onnx()


def test_index_outside_the_matrix_is_an_error() -> None:
    array = np.eye(4, 8, dtype=np.float32)
    sparsity, values = sparse_rows(array, 1, "Int32")
    sparsity.dimMetadata[1].arrayIndices.values = [0, 1, 2, 8]
    net = Network()
    stored = net.tensor(array.shape, name="stored", data=values.tobytes(), sparsity=sparsity)
    y = net.add("DENSIFY", [stored], net.tensor(array.shape))
    with pytest.raises(WeightsError, match="the constant stored is malformed: IndexError"):
        TfliteModel(net.write(y, shaped=False)).to_onnx()
