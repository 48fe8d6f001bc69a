"""COCO's run-length encoding of masks: lengths of runs of 0 and 1 in turn, column by column."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["check_rle", "compress_rle", "decode_rle", "encode_rle"]

_MAX_PIXELS = 1 << 28
_ZERO = 48  # the character for five zero bits
_MORE, _SIGN, _BITS = 0x20, 0x10, 0x1F


def check_rle(mask: Any) -> dict[str, Any]:
    """Return an encoded mask after checking that it can be decoded.

    Decoders in C trust these numbers.

    Raises:
        ValueError: It is not `{"size": [height, width], "counts": ...}`, or the runs do not add up
            to its size.
    """
    _runs(mask)
    return {"size": list(mask["size"]), "counts": mask["counts"]}


def decode_rle(mask: Any) -> npt.NDArray[np.bool_]:
    """Return an encoded mask as (height, width) bool.

    Raises:
        ValueError: As for `check_rle`.
    """
    runs, (height, width) = _runs(mask)
    values = np.zeros(len(runs), np.bool_)
    values[1::2] = True
    pixels: npt.NDArray[np.bool_] = np.repeat(values, runs).reshape(width, height).T
    return pixels


def encode_rle(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (height, width) in COCO's run-length encoding, with plain counts."""
    pixels = mask.T.reshape(-1)
    starts = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(np.concatenate(([0], starts, [pixels.size]))).tolist()
    return {"size": list(mask.shape), "counts": [0, *runs] if pixels[:1].any() else runs}


def compress_rle(mask: npt.NDArray[np.bool_]) -> dict[str, Any]:
    """Return a mask (height, width) in COCO's run-length encoding, with compressed counts.

    The counts are those of pycocotools' `encode`, as a string.
    """
    found = encode_rle(mask)
    return {**found, "counts": _to_text(np.array(found["counts"], np.int64))}


def _runs(mask: Any) -> tuple[npt.NDArray[np.int64], tuple[int, int]]:
    """Return the lengths of the runs, and the height and width."""
    if not isinstance(mask, dict) or not isinstance(size := mask.get("size"), (list, tuple)):
        msg = f"expected a mask with size and counts, got {str(mask)[:60]}"
        raise ValueError(msg)
    if len(size) != 2 or not all(type(n) is int and n > 0 for n in size):
        msg = f"expected the height and width of a mask, got {str(size)[:60]}"
        raise ValueError(msg)
    height, width = size
    counts = mask.get("counts")
    if height * width > _MAX_PIXELS:
        msg = f"a mask of {width}x{height} pixels is too large"
        raise ValueError(msg)
    if isinstance(counts, (str, bytes)):
        runs = _from_text(counts)
    elif isinstance(counts, list) and all(type(n) is int and 0 <= n <= _MAX_PIXELS for n in counts):
        runs = np.array(counts, np.int64)
    else:
        msg = f"expected lengths of runs as counts, got {str(counts)[:60]}"
        raise ValueError(msg)
    if (runs < 0).any() or int(runs.sum()) != height * width:
        msg = f"the runs of a mask of {width}x{height} pixels do not add up to its size"
        raise ValueError(msg)
    return runs, (height, width)


def _from_text(text: str | bytes) -> npt.NDArray[np.int64]:
    """Decode the compressed form: five bits per character; from the fourth run on, differences."""
    data = text if isinstance(text, bytes) else text.encode("ascii")
    runs: list[int] = []
    value = shift = 0
    for character in data:
        code = character - _ZERO
        if not 0 <= code < 64 or shift > 30:
            msg = "the compressed counts of a mask are damaged"
            raise ValueError(msg)
        value |= (code & _BITS) << shift
        shift += 5
        if code & _MORE:
            continue
        if code & _SIGN:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        if not 0 <= runs[-1] <= _MAX_PIXELS:
            msg = "the compressed counts of a mask are damaged"
            raise ValueError(msg)
        value = shift = 0
    if shift:
        msg = "the compressed counts of a mask end early"
        raise ValueError(msg)
    return np.array(runs, np.int64)


def _to_text(runs: npt.NDArray[np.int64]) -> str:
    """Encode runs in the compressed form, which `_from_text` decodes."""
    rest = runs.copy()
    rest[3:] -= runs[1:-2]
    codes: list[npt.NDArray[np.uint8]] = []
    used: list[npt.NDArray[np.bool_]] = []
    is_open = np.ones(len(rest), np.bool_)
    while is_open.any():
        code = rest & _BITS
        rest >>= 5
        more = np.where(code & _SIGN, rest != -1, rest != 0)
        codes.append((code + np.where(more, _MORE, 0) + _ZERO).astype(np.uint8))
        used.append(is_open)
        is_open = is_open & more
    if not codes:
        return ""
    kept: bytes = np.stack(codes, axis=1)[np.stack(used, axis=1)].tobytes()
    return kept.decode("ascii")
