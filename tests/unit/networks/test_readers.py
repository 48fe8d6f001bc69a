from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np
import pytest

from furiosa_models.errors import WeightsError
from furiosa_models.networks import read_weights

from . import writers
from .samples import FILES, TFJS, A


@pytest.mark.parametrize("kind", ["zip", "stream"])
def test_pytorch_names_tensors_by_their_path(kind: str) -> None:
    arrays = read_weights(*FILES[kind])
    assert list(arrays) == ["model.0.weight", "h"]
    np.testing.assert_array_equal(arrays["model.0.weight"], A)
    np.testing.assert_array_equal(arrays["h"], [1.5, -2.0])
    assert arrays["h"].dtype == np.float32


def test_pytorch_follows_strides_and_offsets() -> None:
    flat = np.arange(12, dtype=np.float32)
    view = writers.tensor("0", flat[:6].reshape(3, 2), strides=(1, 3), offset=2)
    arrays = read_weights(
        "pytorch", {"m": writers.torch_zip(writers.dict_({"t": view}), {"0": flat})}
    )
    np.testing.assert_array_equal(arrays["t"], [[2, 5], [3, 6], [4, 7]])


def test_pytorch_reads_plain_pickles_of_tensors() -> None:
    inner = writers.torch_stream(writers.storage("7", A), {"7": A})
    blob = b"B" + len(inner).to_bytes(4, "little") + inner
    reference = writers.call(writers.name("torch.storage", "_load_from_bytes"), blob)
    body = writers.tensor("x", A).replace(writers.storage("x", A), reference)
    arrays = read_weights("pytorch", {"m.pkl": writers.finished(writers.dict_({"a": body}))})
    np.testing.assert_array_equal(arrays["a"], A)


def test_pytorch_keeps_integers() -> None:
    steps = np.array([7], np.int64)
    data = writers.torch_zip(writers.dict_({"n": writers.tensor("0", steps)}), {"0": steps})
    assert read_weights("pytorch", {"m": data})["n"].dtype == np.int64


def test_pytorch_never_calls_functions_of_a_pickle() -> None:
    evil = writers.call(writers.name("furiosa_models_evil", "run"), writers.text("x"))
    body = writers.dict_({"evil": evil, "t": writers.tensor("0", A)})
    assert list(read_weights("pytorch", {"m": writers.torch_zip(body, {"0": A})})) == ["t"]
    assert "furiosa_models_evil" not in sys.modules


@pytest.mark.parametrize(
    "body",
    [
        writers.tensor("0", A, strides=(1 << 20, 1)),  # reaches past the storage
        writers.tensor("0", A, strides=(-3, 1)),
        writers.tensor("missing", A),
        b"\x8a\xff" + b"\xff" * 255,  # a huge integer as the root
        b"N" + b"r\xff\xff\xff\xff",  # a memo index that would allocate memory
        b"\x8f(" + b"K\x01" * 9 + b"\x90",  # a set
        b"S'\\8'\n",  # an invalid escape sequence
        b"0",  # pops an empty stack
        b"h\x05",  # a memo entry that does not exist
    ],
)
def test_pytorch_rejects_malformed_pickles(body: bytes) -> None:
    data = writers.torch_zip(writers.dict_({"t": body}), {"0": A})
    with pytest.raises(WeightsError, match="no valid|not a valid|exceeds the storage|no tensors"):
        read_weights("pytorch", {"m.pt": data})


def test_pytorch_is_not_slowed_down_by_nested_tuples() -> None:
    doubled = b")q\x00" + b"".join(b"h\x00h\x00\x86q\x00" for _ in range(60))
    body = writers.dict_({"bomb": doubled, "t": writers.tensor("0", A)})
    assert list(read_weights("pytorch", {"m": writers.torch_zip(body, {"0": A})})) == ["t"]


def test_pytorch_rejects_broadcasts_larger_than_the_file() -> None:
    one = np.zeros(1, np.float32)
    huge = writers.tensor("0", np.broadcast_to(one, (1 << 20, 1 << 10)), strides=(0, 0))
    huge = huge.replace(writers.integer(1 << 30), writers.integer(1))
    with pytest.raises(WeightsError, match="more than a file of this size can hold"):
        read_weights("pytorch", {"m": writers.torch_zip(writers.dict_({"t": huge}), {"0": one})})


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        (
            1,
            writers.field(5, np.array([1, 2], np.float32).tobytes()),
            np.array([1, 2, 2, 2], np.float32),
        ),
        (
            2,
            writers.field(6, np.array([0.5], np.float64).tobytes()),
            np.array([0.5] * 4, np.float32),
        ),
        (
            3,
            writers.field(7, writers.varint(-1) + writers.varint(5)),
            np.array([-1, 5, 5, 5], np.int32),
        ),
        (9, writers.field(10, 3), np.array([3, 3, 3, 3], np.int64)),
        (10, writers.field(11, 1), np.array([True] * 4)),
        (14, writers.field(13, 0x3FC0), np.array([1.5] * 4, np.float32)),
        (19, writers.field(13, 0x3E00), np.array([1.5] * 4, np.float32)),
        (1, b"", np.array([0, 0, 0, 0], np.float32)),
        (
            19,
            writers.field(4, np.array([1, 2, 3, 4], np.float16).tobytes()),
            np.array([1, 2, 3, 4], np.float32),
        ),
    ],
)
def test_graphdef_types(dtype: int, values: bytes, expected: writers.Array) -> None:
    arrays = read_weights("graphdef", {"m.pb": writers.const_node("a", dtype, (4,), values)})
    np.testing.assert_array_equal(arrays["a"], expected, strict=True)


@pytest.mark.parametrize(
    "data",
    [
        writers.const_node("a", 1, (1 << 40,), writers.field(5, b"\0\0\0\0")),
        writers.const_node("a", 1, (-1,), b""),
        writers.const_node("a", 1, (1,), writers.field(5, b"\0" * 8)),
        writers.const_node("a", 1, (3,), writers.field(4, b"\0" * 8)),
        writers.field(1, 5),
        b"",
    ],
)
def test_graphdef_rejects_malformed_files(data: bytes) -> None:
    with pytest.raises(WeightsError):
        read_weights("graphdef", {"m.pb": data})


def test_tfjs_joins_shards_and_dequantizes() -> None:
    arrays = read_weights(*FILES["tfjs"])
    assert list(arrays) == ["a", "q"]
    np.testing.assert_array_equal(arrays["a"], A)
    np.testing.assert_array_equal(arrays["q"], np.array([-1, 0, 1], np.float32), strict=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"web/group1-shard2of2.bin": None}, "missing or listed twice"),
        ({"web/group1-shard2of2.bin": b""}, "expected"),
        (
            {"web/group1-shard2of2.bin": TFJS["web/group1-shard2of2.bin"] + b"x"},
            "belong to no weight",
        ),
        ({"web/model.json": b"[" * 100_000}, "RecursionError|JSONDecodeError"),
        ({"web/model.json": b'{"weightsManifest": []}'}, "no weightsManifest"),
        ({"web/other.json": b"{}"}, r"exactly one \.json"),
    ],
)
def test_tfjs_rejects_malformed_files(change: Mapping[str, bytes | None], message: str) -> None:
    merged = {**TFJS, **change}
    files = {key: value for key, value in merged.items() if value is not None}
    with pytest.raises(WeightsError, match=message):
        read_weights("tfjs", files)


@pytest.mark.parametrize(
    ("dtype", "array", "scale", "zero_point", "axis", "expected"),
    [
        (0, A, (), (), 0, A),
        (1, A.astype(np.float16), (), (), 0, A),
        (
            3,
            np.array([[1, 2], [3, 4]], np.uint8),
            (0.5,),
            (1,),
            0,
            np.array([[0, 0.5], [1, 1.5]], np.float32),
        ),
        (
            9,
            np.array([[-1, 2], [3, 4]], np.int8),
            (0.5, 2),
            (0, 1),
            0,
            np.array([[-0.5, 1], [4, 6]], np.float32),
        ),
        (
            9,
            np.array([[-1, 2], [3, 4]], np.int8),
            (0.5, 2),
            (),
            1,
            np.array([[-0.5, 4], [1.5, 8]], np.float32),
        ),
        (2, np.array([10], np.int32), (0.1,), (0,), 0, np.array([1.0000000149], np.float32)),
        (2, np.array([10], np.int32), (), (), 0, np.array([10], np.int32)),
    ],
)
def test_tflite_types(
    dtype: int,
    array: writers.Array,
    scale: tuple[float, ...],
    zero_point: tuple[int, ...],
    axis: int,
    expected: writers.Array,
) -> None:
    data = writers.tflite("a/b", dtype, array, scale, zero_point, axis)
    arrays = read_weights("tflite", {"m.tflite": data})
    np.testing.assert_array_equal(arrays["a/b"], expected, strict=True)


def test_tflite_rejects_a_wrong_number_of_scales() -> None:
    data = writers.tflite("a", 9, np.array([1, 2, 3], np.int8), (1, 2), (0, 0))
    with pytest.raises(WeightsError, match="2 scales do not fit axis 0"):
        read_weights("tflite", {"m": data})


def test_tflite_rejects_a_wrong_number_of_zero_points() -> None:
    """One number minus 20,000 zero points would give 20,000 numbers."""
    data = writers.tflite("a", 9, np.array([1], np.int8), (1,), [0] * 20_000)
    with pytest.raises(WeightsError, match="20000 zero points for 1 scales"):
        read_weights("tflite", {"m": data})


@pytest.mark.timeout(100)
def test_tflite_reading_time_is_linear_in_the_file_size() -> None:
    """50,000 offsets to a graph with 50,000 offsets to a tensor: 400 KB, 2.5e9 tensors."""
    data = writers.tflite("", 9, np.array([], np.int8), repeated=50_000)
    assert len(data) < 500_000
    with pytest.raises(WeightsError, match="its tables would take"):
        read_weights("tflite", {"m": data})
    data = writers.tflite("a", 9, np.array([1], np.int8), shape=[1] * 50_000)
    with pytest.raises(WeightsError, match="no valid shape"):
        read_weights("tflite", {"m": data})
    data = writers.tflite("a", 9, np.array([1], np.int8), repeated=100)
    assert read_weights("tflite", {"m": data})["a"].tolist() == [1]


def test_error_for_an_unknown_format_lists_the_known_ones() -> None:
    with pytest.raises(WeightsError, match="pytorch"):
        read_weights("caffe", {})
    with pytest.raises(WeightsError, match="slim_fake_quant"):
        read_weights(*FILES["zip"], layout="slim_fake_quand")


def test_single_file_formats_need_one_file() -> None:
    with pytest.raises(WeightsError, match="exactly one file"):
        read_weights("tflite", {"a": b"", "b": b""})


def test_onnx_reads_initializers() -> None:
    arrays = read_weights(*FILES["onnx"])
    assert list(arrays) == ["a", "h"]
    np.testing.assert_array_equal(arrays["a"], A)
    np.testing.assert_array_equal(arrays["h"], np.array([1.5, -2.0], np.float32), strict=True)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no initializers in the graph"),
        (writers.field(7, writers.field(5, writers.field(14, 1))), "is in another file"),
        (writers.field(7, 3), "expected bytes, got an integer"),
        (writers.field(7, writers.onnx_tensor("a", 1, A)[:-1]), "only .* are left"),
    ],
)
def test_onnx_rejects_malformed_files(data: bytes, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        read_weights("onnx", {"m.onnx": data})
