"""Write small files in the formats of the readers, without the frameworks."""

from __future__ import annotations

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

STORAGES = {"float32": "FloatStorage", "float16": "HalfStorage", "int64": "LongStorage"}


# Pickle opcodes, protocol 2 ------------------------------------------------------------------


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value.encode())) + value.encode()


def integer(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def tuple_(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def dict_(items: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def name(module: str, attribute: str) -> bytes:
    return f"c{module}\n{attribute}\n".encode()


def call(function: bytes, *args: bytes) -> bytes:
    return function + tuple_(*args) + b"R"


def module(parameters: Mapping[str, bytes], children: Mapping[str, bytes]) -> bytes:
    """Pickle a `torch.nn.Module` of a class that is not installed."""
    state = {"_parameters": dict_(parameters), "_modules": dict_(children), "training": b"\x88"}
    return name("models.yolo", "Model") + b")\x81" + dict_(state) + b"b"


def storage(key: str, array: Array) -> bytes:
    kind = name("torch", STORAGES[array.dtype.name])
    reference = tuple_(text("storage"), kind, text(key), text("cpu"), integer(array.size))
    return reference + b"Q"


def tensor(key: str, array: Array, strides: Sequence[int] | None = None, offset: int = 0) -> bytes:
    steps = strides or [step // array.itemsize for step in array.strides]
    return call(
        name("torch._utils", "_rebuild_tensor_v2"),
        storage(key, array),
        integer(offset),
        tuple_(*map(integer, array.shape)),
        tuple_(*map(integer, steps)),
        b"\x89",
        call(name("collections", "OrderedDict")),
    )


def finished(body: bytes) -> bytes:
    return b"\x80\x02" + body + b"."


# Files -------------------------------------------------------------------------------------------


def torch_zip(body: bytes, storages: Mapping[str, Array]) -> bytes:
    """Write the format of `torch.save` since version 1.6."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", finished(body))
        archive.writestr("archive/byteorder", "little")
        for key, array in storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return out.getvalue()


def torch_stream(body: bytes, storages: Mapping[str, Array]) -> bytes:
    """Write the format of `torch.save` before version 1.6."""
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}]
    data = b"".join(pickle.dumps(part, protocol=2) for part in head)
    data += finished(body) + pickle.dumps(list(storages), protocol=2)
    for array in storages.values():
        data += struct.pack("<q", array.size) + array.tobytes()
    return data


def varint(value: int) -> bytes:
    value &= 0xFFFF_FFFF_FFFF_FFFF
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | int) -> bytes:
    """Write a protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def const_node(node: str, dtype: int, shape: Sequence[int], values: bytes) -> bytes:
    """Write a GraphDef with one Const node; `values` are fields of the TensorProto."""
    dims = b"".join(field(2, field(1, size)) for size in shape)
    tensor_proto = field(1, dtype) + field(2, dims) + values
    attribute = field(1, b"value") + field(2, field(8, tensor_proto))
    return field(1, field(1, node.encode()) + field(2, b"Const") + field(5, attribute))


def onnx_tensor(name: str, dtype: int, array: Array, *, listed: bool = False) -> bytes:
    """Write an initializer of an ONNX graph; its values are a list, or raw bytes."""
    dims = b"".join(field(1, size) for size in array.shape)
    values = field(4 if listed else 9, array.tobytes())
    return field(5, dims + field(2, dtype) + field(8, name.encode()) + values)


def tfjs(weights: Sequence[tuple[dict[str, Any], bytes]], shards: int = 1) -> dict[str, bytes]:
    """Write a TensorFlow.js model with the given manifest entries and bytes."""
    data = b"".join(raw for _, raw in weights)
    step = -(-len(data) // shards)
    paths = [f"group1-shard{i + 1}of{shards}.bin" for i in range(shards)]
    manifest = {"paths": paths, "weights": [entry for entry, _ in weights]}
    files = {"web/model.json": json.dumps({"weightsManifest": [manifest]}).encode()}
    for i, path in enumerate(paths):
        files[f"web/{path}"] = data[i * step : (i + 1) * step]
    return files


def tflite(
    tensor_name: str,
    dtype: int,
    array: Array,
    scale: Sequence[float] = (),
    zero_point: Sequence[int] = (),
    axis: int = 0,
    shape: Sequence[int] | None = None,
    repeated: int = 1,
) -> bytes:
    """Write a TensorFlow Lite model with one constant tensor, referenced by many offsets."""
    b = flatbuffers.Builder(0)
    quantization = table(b, 7, {
        2: ("offset", b.CreateNumpyVector(np.asarray(scale, np.float32))),
        3: ("offset", b.CreateNumpyVector(np.asarray(zero_point, np.int64))),
        6: ("int32", axis),
    })  # fmt: skip
    tensor_table = table(b, 5, {
        0: ("offset", b.CreateNumpyVector(np.asarray(shape or array.shape, np.int32))),
        1: ("int8", dtype),
        2: ("uint32", 1),
        3: ("offset", b.CreateString(tensor_name)),
        4: ("offset", quantization),
    })  # fmt: skip
    subgraph = table(b, 1, {0: ("offset", vector(b, [tensor_table] * repeated))})
    contents = b.CreateNumpyVector(np.frombuffer(array.tobytes(), np.uint8))
    buffers = [table(b, 1, {}), table(b, 1, {0: ("offset", contents)})]
    model = table(b, 5, {
        0: ("uint32", 3),
        2: ("offset", vector(b, [subgraph] * repeated)),
        4: ("offset", vector(b, buffers)),
    })  # fmt: skip
    b.Finish(model, b"TFL3")
    return bytes(b.Output())


def table(b: Any, size: int, fields: Mapping[int, tuple[str, int]]) -> int:
    """Write a flatbuffers table of the fields, (kind, value) by slot."""
    add = {
        "offset": b.PrependUOffsetTRelativeSlot,
        "int8": b.PrependInt8Slot,
        "int32": b.PrependInt32Slot,
        "uint32": b.PrependUint32Slot,
    }
    b.StartObject(size)
    for slot, (kind, value) in fields.items():
        add[kind](slot, value, 0)
    return int(b.EndObject())


def vector(b: Any, offsets: Sequence[int]) -> int:
    """Write a flatbuffers vector of offsets."""
    b.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        b.PrependUOffsetTRelative(offset)
    return int(b.EndVector())
