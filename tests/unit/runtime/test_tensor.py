from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from furiosa_models.runtime.tensor import (
    Axis,
    DataType,
    Model,
    TensorDesc,
    numpy_dtype,
    rand,
    zeros,
)

IMAGE = TensorDesc("image", (1, 3, 20, 30), DataType.UINT8, open_dims=(0,))


def test_tensor_description() -> None:
    assert IMAGE.ndim == 4
    assert [IMAGE.dim(i) for i in range(4)] == [1, 3, 20, 30]
    assert [IMAGE.stride(i) for i in range(4)] == [1800, 600, 30, 1]
    assert IMAGE.stride(-1) == 1
    assert (IMAGE.length, IMAGE.size) == (1800, 1800)
    assert [IMAGE.axis(i) for i in range(4)] == [
        Axis.BATCH,
        Axis.CHANNEL,
        Axis.HEIGHT,
        Axis.WIDTH,
    ]
    assert IMAGE.format == "NCHW"
    assert IMAGE.numpy_dtype == np.dtype("uint8")
    for out_of_range in (IMAGE.dim, IMAGE.stride, IMAGE.axis):
        with pytest.raises(IndexError):
            out_of_range(4)


def test_descriptions_are_printed_as_by_the_vendor() -> None:
    logits = TensorDesc(None, (1, 10), DataType.FLOAT32)
    text = "TensorDesc(shape=(1, 10), dtype=FLOAT32, format=??, size=40, len=10)"
    assert repr(logits) == text
    assert Model([], [logits]).summary() == f"Inputs:\n{{}}\nOutputs:\n{{0: {text}}}"


def test_model_descriptions(capsys: pytest.CaptureFixture[str]) -> None:
    model = Model([IMAGE], [])
    assert (model.input_num, model.output_num) == (1, 0)
    assert model.inputs() == [model.input(0)] == [IMAGE]
    for missing in (1, -1):
        with pytest.raises(IndexError, match="the model has"):
            model.input(missing)
    with pytest.raises(IndexError, match="the model has"):
        model.output(0)
    model.print_summary()
    assert capsys.readouterr().out == model.summary() + "\n"


def test_check_of_shapes() -> None:
    assert IMAGE.check(np.zeros((7, 3, 20, 30), np.uint8)).shape[0] == 7
    with pytest.raises(ValueError, match=r"expects shape \('any', 3, 20, 30\), got \(1, 3, 20\)"):
        IMAGE.check(np.zeros((1, 3, 20), np.uint8))
    scalar = TensorDesc("scalar", (), DataType.FLOAT64)
    assert scalar.check(np.float64(3)).shape == ()
    assert scalar.format == ""
    with pytest.raises(TypeError, match="numpy array, got float"):
        scalar.check(3.0)


def test_data_types() -> None:
    assert DataType(np.float32) is DataType.FLOAT32
    assert DataType(np.zeros((3, 3), np.int8)) is DataType.INT8
    assert DataType(np.array(["int8", "uint8"]).view(np.uint32)) is DataType.UINT32
    assert DataType["BOOL"] in {*DataType}
    assert str(DataType.UINT8) == "UINT8"
    assert copy.deepcopy(DataType.FLOAT32) is DataType.FLOAT32
    assert DataType("uint8") is DataType(DataType.UINT8) is DataType.UINT8
    assert DataType(bool) is DataType.BOOL
    assert DataType(IMAGE) is DataType.UINT8
    assert DataType.INT64.numpy == np.dtype("int64")
    assert DataType.FLOAT16.numpy_dtype is np.float16
    assert (DataType.INT16.name, repr(DataType.INT32)) == ("INT16", "INT32")
    assert pickle.loads(pickle.dumps(DataType.INT8)) is DataType.INT8
    with pytest.raises(ValueError, match="numpy has no dtype for BFLOAT16"):
        _ = DataType.BFLOAT16.numpy
    with pytest.raises(ValueError, match="no element type corresponds to complex64"):
        DataType(np.complex64)


def test_axes_are_written_as_letters() -> None:
    assert repr(Axis.BATCH) == "N"
    assert repr(Axis.UNKNOWN) == "?"


def test_zeros_and_rand_match_the_description() -> None:
    assert not zeros(IMAGE).any()
    for dtype in (DataType.UINT8, DataType.INT32, DataType.FLOAT16, DataType.BOOL):
        desc = TensorDesc("x", (4, 5), dtype)
        tensor = rand(desc)
        assert desc.check(tensor) is tensor
        assert tensor.any()
    assert numpy_dtype(IMAGE) == numpy_dtype(DataType.UINT8) == np.uint8
    assert numpy_dtype(np.float32(1)) == numpy_dtype(np.ones(1, np.float32)) == np.float32
