"""Inputs and outputs of the models of the v2 protocol, and their values.

A served model NAME has two: `NAME` takes encoded photos, or decoded ones, and gives results;
`NAME.network` takes and gives the tensors of the network alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from starlette.exceptions import HTTPException

from ...images.read import DecodedImage, EncodedPhoto
from ...model import Model
from ...tasks.base import Result
from ..answers import plain, to_json
from .messages import Tensor, datatype_of

__all__ = [
    "PHOTO",
    "PhotoResult",
    "Signature",
    "TensorInfo",
    "network_input",
    "photos_of",
    "results_as_tensors",
    "signatures",
]

PHOTO = "image"
"""Name of the input of a model that takes photos."""

COUNT, RESULT = "count", "result"
"""Outputs of every model that takes photos: items per photo, and results as JSON."""

_ANY = -1
_SIDE = 64  # pixels of the photo that the outputs are learned from


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """An input or output.

    Attributes:
        name: Its name.
        datatype: Its type in the protocol.
        shape: Its shape; -1 for any size.
    """

    name: str
    datatype: str
    shape: Sequence[int]


@dataclass(frozen=True, slots=True)
class Signature:
    """The inputs and outputs of a model."""

    inputs: Sequence[TensorInfo]
    outputs: Sequence[TensorInfo]


@dataclass(frozen=True, slots=True)
class PhotoResult:
    """The result of a photo as arrays and as JSON.

    Attributes:
        columns: Arrays with one row for each item found.
        document: The result as JSON.
    """

    columns: Mapping[str, npt.NDArray[Any]]
    document: bytes

    @classmethod
    def of(cls, result: Any) -> PhotoResult:
        """Convert a result; one of a user's type, or a map, has no columns."""
        columns = result.columns() if isinstance(result, Result) and result.is_table else {}
        known = {
            name: column
            for name, column in columns.items()
            if column.ndim and datatype_of(column.dtype) is not None
        }
        is_table = len({len(column) for column in known.values()}) == 1
        return cls(known if is_table else {}, to_json(plain(result)))

    @property
    def count(self) -> int | None:
        """Number of items, if known."""
        return next((len(column) for column in self.columns.values()), None)


def signatures(model: Model[Any], device: str | None) -> tuple[Signature, Signature | None]:
    """Return the signatures of a model and of its network, learned by running it on a gray photo.

    The second one is None for a program that takes photos.
    """
    steps = model.steps(device=device)
    gray = DecodedImage(np.full((_SIDE, _SIDE, 3), 128, np.uint8), bgr=False, name="<gray>")
    tensor: Any  # that of a program that takes photos is a list
    tensor, contexts = steps.prepare([gray])
    outputs = steps.run(tensor)
    found = PhotoResult.of(steps.decode(outputs, contexts)[0])
    columns = [
        TensorInfo(name, str(datatype_of(column.dtype)), [_ANY, *column.shape[1:]])
        for name, column in found.columns.items()
    ]
    counts = [TensorInfo(COUNT, "INT64", [_ANY])] if columns else []
    photos = Signature(
        [TensorInfo(PHOTO, "BYTES", [_ANY])],
        [*columns, *counts, TensorInfo(RESULT, "BYTES", [_ANY])],
    )
    if not isinstance(tensor, np.ndarray):
        return photos, None
    names = [each.name for each in model.outputs]
    if len(names) != len(outputs):
        names = [f"output_{index}" for index in range(len(outputs))]
    network = Signature(
        [_batched(model.inputs[0].name, tensor)],
        [_batched(name, output) for name, output in zip(names, outputs, strict=True)],
    )
    return photos, network


def _batched(name: str, array: npt.NDArray[Any]) -> TensorInfo:
    return TensorInfo(name, str(datatype_of(array.dtype)), [_ANY, *array.shape[1:]])


def photos_of(tensors: Mapping[str, Tensor], most: int) -> list[EncodedPhoto | DecodedImage]:
    """Return the photos of a request: BYTES, or UINT8 of shape (n, h, w, 3) in RGB.

    Raises:
        HTTPException: The input has another name, type or shape, or too many photos.
    """
    if [*tensors] != [PHOTO]:
        msg = f"expected one input {PHOTO!r}, got {', '.join(tensors) or 'none'}"
        raise HTTPException(400, msg)
    given = tensors[PHOTO]
    is_photos = isinstance(given, list) or (
        given.dtype == np.uint8 and given.ndim == 4 and given.shape[3] == 3 and 0 not in given.shape
    )
    if not is_photos or not len(given):
        msg = (
            f"input {PHOTO!r} must be BYTES of shape [n] with an encoded photo in each element, or "
            "UINT8 of shape [n, height, width, 3] in RGB"
        )
        raise HTTPException(400, msg)
    if len(given) > most:
        msg = f"too many photos: expected at most {most} in a request, got {len(given)}"
        raise HTTPException(400, msg)
    if isinstance(given, list):
        return [EncodedPhoto(data, f"{PHOTO} {i}") for i, data in enumerate(given, 1)]
    return [
        DecodedImage(pixels, bgr=False, name=f"{PHOTO} {i}") for i, pixels in enumerate(given, 1)
    ]


def results_as_tensors(results: Sequence[PhotoResult]) -> dict[str, tuple[list[int], Tensor]]:
    """Return the outputs for the photos of a request: columns one below the other, and counts."""
    outputs: dict[str, tuple[list[int], Tensor]] = {}
    counts = [result.count for result in results]
    if None not in counts:
        for name in results[0].columns:
            column = np.concatenate([result.columns[name] for result in results])
            outputs[name] = [*column.shape], column
        outputs[COUNT] = [len(counts)], np.array(counts, np.int64)
    outputs[RESULT] = [len(results)], [result.document for result in results]
    return outputs


def network_input(
    signature: Signature, tensors: Mapping[str, Tensor], most: int
) -> npt.NDArray[Any]:
    """Return the input of a network.

    Raises:
        HTTPException: The input has another name, type or shape, or too many rows.
    """
    (wanted,) = signature.inputs
    given = tensors.get(wanted.name)
    if given is None or len(tensors) != 1:
        msg = f"expected one input {wanted.name!r}, got {', '.join(tensors) or 'none'}"
        raise HTTPException(400, msg)
    kind = "BYTES" if isinstance(given, list) else datatype_of(given.dtype)
    shape = [len(given)] if isinstance(given, list) else [*given.shape]
    if kind != wanted.datatype or shape[1:] != [*wanted.shape[1:]] or not shape[0]:
        msg = (
            f"input {wanted.name!r} must be {wanted.datatype} of shape {[*wanted.shape]}, got "
            f"{kind} of shape {shape}"
        )
        raise HTTPException(400, msg)
    if shape[0] > most:
        msg = f"too many rows: expected at most {most} in a request, got {shape[0]}"
        raise HTTPException(400, msg)
    return np.asarray(given)
