"""Messages of the v2 protocol (Open Inference Protocol): JSON, and tensors in binary form."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

__all__ = ["HEADER", "InferRequest", "Tensor", "datatype_of", "parse", "respond"]

HEADER = "Inference-Header-Content-Length"
"""Header with the size of the JSON before the binary tensors, of a request or response."""

Tensor: TypeAlias = "npt.NDArray[Any] | list[bytes]"
"""An array, or a flat list of byte strings for the datatype BYTES."""

_DTYPES = {
    "BOOL": "?",
    "UINT8": "u1",
    "UINT16": "<u2",
    "UINT32": "<u4",
    "UINT64": "<u8",
    "INT8": "i1",
    "INT16": "<i2",
    "INT32": "<i4",
    "INT64": "<i8",
    "FP16": "<f2",
    "FP32": "<f4",
    "FP64": "<f8",
}
_DATATYPES = {np.dtype(code): name for name, code in _DTYPES.items()}
_BYTES = "BYTES"
_LENGTH = 4  # bytes of the length before each element of BYTES
_SIZE = "binary_data_size"
_MOST_DIMENSIONS = 8
_MOST_ELEMENTS = 1024  # of BYTES; more would be small ones that take long to read


def datatype_of(dtype: npt.DTypeLike) -> str | None:
    """Return the datatype of a numpy dtype, or None if the protocol has none."""
    return _DATATYPES.get(np.dtype(dtype))


class _Message(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True)

    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)


class RequestInput(_Message):
    """An input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | None = None


class RequestOutput(_Message):
    """An output that a request asks for."""

    name: str


class InferRequest(_Message):
    """The JSON of a request."""

    id: str | None = None
    inputs: list[RequestInput]
    outputs: list[RequestOutput] | None = None

    def is_binary(self, output: str) -> bool:
        """Return whether the response shall have an output in binary form."""
        asked = [each for each in self.outputs or () if each.name == output]
        whole = self.parameters.get("binary_data_output", False)
        return bool(asked[0].parameters.get("binary_data", whole) if asked else whole)


def parse(body: bytes, header: str | None) -> tuple[InferRequest, dict[str, Tensor]]:
    """Parse a request.

    Args:
        body: The body.
        header: Value of the header `HEADER`, if present.

    Returns:
        The JSON, and the inputs by name.

    Raises:
        HTTPException: The request is invalid.
    """
    if header is None:
        size = len(body)
    elif header.isascii() and header.isdigit() and int(header[:20]) <= len(body):
        size = int(header[:20])
    else:
        msg = f"{HEADER} must be a number up to {len(body)}, the size of the body"
        raise _bad(msg)
    try:
        request = InferRequest.model_validate_json(body[:size])
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        msg = f"{where}: {first['msg']}"
        raise _bad(msg) from None
    rest = memoryview(body)[size:]
    tensors: dict[str, Tensor] = {}
    for each in request.inputs:
        if each.name in tensors:
            msg = f"input {each.name!r} occurs twice"
            raise _bad(msg)
        length = each.parameters.get(_SIZE)
        if length is None:
            tensors[each.name] = _from_json(each)
            continue
        if isinstance(length, bool) or not isinstance(length, int) or not 0 <= length <= len(rest):
            msg = f"{_SIZE} of input {each.name!r} must be an integer up to {len(rest)}"
            raise _bad(msg)
        tensors[each.name] = _from_binary(each, rest[:length])
        rest = rest[length:]
    if rest:
        msg = f"the body has {len(rest)} bytes after the inputs"
        raise _bad(msg)
    return request, tensors


def respond(
    request: InferRequest, model: str, outputs: Mapping[str, tuple[Sequence[int], Tensor]]
) -> Response:
    """Return the response with the outputs that a request asks for.

    Args:
        request: The request.
        model: Name of the model.
        outputs: Shape and values of each output.

    Raises:
        HTTPException: An output is unknown, or has values that JSON does not have.
    """
    names = list(outputs) if request.outputs is None else [each.name for each in request.outputs]
    if unknown := [name for name in names if name not in outputs]:
        msg = f"unknown output {unknown[0]!r}; known: {', '.join(outputs)}"
        raise _bad(msg)
    described: list[dict[str, Any]] = []
    binary: list[bytes] = []
    for name in names:
        shape, values = outputs[name]
        kind = _BYTES if isinstance(values, list) else datatype_of(values.dtype)
        entry: dict[str, Any] = {"name": name, "datatype": kind, "shape": list(shape)}
        if request.is_binary(name):
            binary.append(_to_binary(values))
            entry["parameters"] = {_SIZE: len(binary[-1])}
        else:
            entry["data"] = _to_json(values)
        described.append(entry)
    document: dict[str, Any] = {
        "model_name": model,
        "model_version": "1",
        "outputs": described,
    }
    if request.id is not None:
        document["id"] = request.id
    try:
        text = json.dumps(document, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        msg = "an output is not finite, which JSON cannot express: ask for binary_data"
        raise _bad(msg) from None
    if not binary:
        return Response(text, media_type="application/json")
    headers = {HEADER: str(len(text))}
    body = b"".join([text, *binary])
    return Response(body, media_type="application/octet-stream", headers=headers)


def _from_json(given: RequestInput) -> Tensor:
    """Return an input whose values are in the JSON: flat, or nested as in its shape."""
    shape = _shape(given)
    if given.data is None:
        msg = f"input {given.name!r} has neither data nor {_SIZE}"
        raise _bad(msg)
    flat = _flat(given.data)
    if len(flat) != math.prod(shape):
        msg = f"input {given.name!r} of shape {shape} needs {math.prod(shape)} values, got "
        raise _bad(msg + str(len(flat)))
    if given.datatype == _BYTES:
        return [_from_base64(given.name, value) for value in flat]
    kinds = (bool,) if given.datatype == "BOOL" else (int, float)
    if not all(isinstance(v, kinds) and (kinds == (bool,)) == isinstance(v, bool) for v in flat):
        msg = f"input {given.name!r} has a value that is not of type {given.datatype}"
        raise _bad(msg)
    dtype = _dtype(given)
    if dtype.kind in "iu" and not all(isinstance(value, int) for value in flat):
        msg = f"input {given.name!r} has a value that is not an integer"
        raise _bad(msg)
    try:
        _check_range(flat, dtype)
        return np.array(flat, dtype).reshape(shape)
    except OverflowError:
        msg = f"input {given.name!r} has a value out of the range of {given.datatype}"
        raise _bad(msg) from None


def _check_range(values: list[Any], dtype: np.dtype[Any]) -> None:
    """Check the range of integers, which NumPy 1 wraps.

    Raises:
        OverflowError: A value is out of the range of the type.
    """
    if values and dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if min(values) < limits.min or max(values) > limits.max:
            raise OverflowError


def _from_binary(given: RequestInput, data: memoryview) -> Tensor:
    """Return an input that follows the JSON."""
    shape = _shape(given)
    count = math.prod(shape)
    if given.data is not None:
        msg = f"input {given.name!r} has both data and {_SIZE}"
        raise _bad(msg)
    if given.datatype == _BYTES:
        return _elements(given.name, data, count)
    dtype = _dtype(given)
    if len(data) != count * dtype.itemsize:
        msg = (
            f"input {given.name!r} of shape {shape} and type {given.datatype} has "
            f"{count * dtype.itemsize} bytes, got {_SIZE}={len(data)}"
        )
        raise _bad(msg)
    if dtype.kind == "b":  # any other byte than 0 and 1 would be an invalid boolean
        flags: npt.NDArray[np.bool_] = np.frombuffer(data, np.uint8) != 0
        return flags.reshape(shape)
    return np.frombuffer(data, dtype).reshape(shape)


def _elements(name: str, data: memoryview, count: int) -> list[bytes]:
    """Return the elements of a BYTES tensor: each has its length in front of it."""
    if count > _MOST_ELEMENTS:
        msg = f"input {name!r} of type BYTES may have {_MOST_ELEMENTS} elements, got {count}"
        raise _bad(msg)
    found: list[bytes] = []
    while data:
        size = int.from_bytes(data[:_LENGTH], "little")
        if len(data) < _LENGTH + size or len(found) == count:
            break
        found.append(bytes(data[_LENGTH : _LENGTH + size]))
        data = data[_LENGTH + size :]
    if data or len(found) != count:
        msg = f"the bytes of input {name!r} are not {count} elements, each after its 4-byte length"
        raise _bad(msg)
    return found


def _from_base64(name: str, value: object) -> bytes:
    """Return an element of BYTES in JSON, whose strings cannot contain a photo as it is."""
    problem = _bad(f"input {name!r} of type BYTES must have strings in base64, or be binary")
    if not isinstance(value, str):
        raise problem
    try:
        return base64.b64decode(value, validate=True)
    except ValueError:
        raise problem from None


def _flat(data: list[Any]) -> list[Any]:
    """Return the values of nested lists."""
    for _ in range(_MOST_DIMENSIONS):
        if not any(isinstance(each, list) for each in data):
            break
        if not all(isinstance(each, list) for each in data):
            msg = "the data of an input must be a flat list, or nested as its shape is"
            raise _bad(msg)
        data = [value for each in data for value in each]
    return data


def _shape(given: RequestInput) -> list[int]:
    if not given.shape or len(given.shape) > _MOST_DIMENSIONS or min(given.shape) < 0:
        msg = f"input {given.name!r} has the invalid shape {given.shape[: _MOST_DIMENSIONS + 1]}"
        raise _bad(msg)
    return given.shape


def _dtype(given: RequestInput) -> np.dtype[Any]:
    if given.datatype not in _DTYPES:
        known = ", ".join([*_DTYPES, _BYTES])
        msg = f"input {given.name!r} has the unknown datatype {given.datatype[:20]!r}: {known}"
        raise _bad(msg)
    return np.dtype(_DTYPES[given.datatype])


def _to_binary(values: Tensor) -> bytes:
    if isinstance(values, list):
        return b"".join(len(each).to_bytes(_LENGTH, "little") + each for each in values)
    little = values.dtype.newbyteorder("<")
    return np.ascontiguousarray(values, little).tobytes()


def _to_json(values: Tensor) -> list[Any]:
    if isinstance(values, list):
        return [each.decode("utf-8") for each in values]
    flat: list[Any] = values.ravel().tolist()
    return flat


def _bad(message: str) -> HTTPException:
    return HTTPException(400, message)
