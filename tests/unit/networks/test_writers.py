"""Files of arrays, read back by our readers and by PyTorch itself."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from furiosa_models.errors import WeightsError
from furiosa_models.networks import read_weights
from furiosa_models.networks.writers import to_pytorch, to_safetensors

ARRAYS: dict[str, np.ndarray[Any, Any]] = {
    "model.0.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "scope/weights": np.arange(6, dtype=np.float32).reshape(2, 3).T,
    "num_batches_tracked": np.array(7, np.int64),
    "größe": np.zeros((0, 3), np.float32),
    "half": np.array([0.5, -2], np.float16),
    "double": np.array([1e-300]),
    "flags": np.array([True, False]),
    "bytes": np.array([-1, 5], np.int8),
}


@given(
    st.dictionaries(
        st.text(min_size=1),
        st_numpy.arrays(np.int32, st_numpy.array_shapes(min_dims=0, min_side=0)),
        min_size=1,
    )
)
def test_arrays_are_read_back(bits: dict[str, np.ndarray[Any, Any]]) -> None:
    arrays = {name: each.view(np.float32) for name, each in bits.items()}
    for reader, write in (("safetensors", to_safetensors), ("pytorch", to_pytorch)):
        found = read_weights(reader, {"file": write(arrays)})
        if reader == "pytorch":  # names of tensors are paths through the pickled object
            found = {name.removeprefix("model."): array for name, array in found.items()}
        assert [*found] == [*arrays]
        for name, array in arrays.items():
            np.testing.assert_array_equal(found[name], array, strict=True)


def test_a_type_without_a_form_is_named() -> None:
    for write in (to_safetensors, to_pytorch):
        with pytest.raises(WeightsError, match="phase: complex64 cannot be written"):
            write({"phase": np.zeros(2, np.complex64)})


@pytest.mark.torch
def test_pytorch_reads_a_checkpoint(tmp_path: Path) -> None:
    import torch

    path = tmp_path / "model_final.pth"
    path.write_bytes(to_pytorch(ARRAYS))
    for source in (path, io.BytesIO(path.read_bytes())):
        state = torch.load(source, weights_only=True)["model"]
        assert [*state] == [*ARRAYS]
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(state[name].numpy(), array, strict=True)
    state["half"][0] = 3  # a tensor like any other
    torch.save({"model": state}, path)
    assert torch.load(path, mmap=True, weights_only=True)["model"]["half"][0] == 3
