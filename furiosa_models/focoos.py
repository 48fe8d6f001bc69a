"""Results under the names of Focoos: a view of our results, with boxes as integers."""

from __future__ import annotations

import base64
import io
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from .errors import ImageError
from .ops.rle import decode_rle

__all__ = [
    "FocoosDet",
    "FocoosDetections",
    "InferLatency",
    "LatencyMetrics",
    "as_photo",
    "detections_of",
]

_CHANNELS = (1, 3, 4)


class _Result(Protocol):
    """The part of our results that the view needs."""

    @property
    def speed(self) -> Any:
        """Time of each stage in milliseconds, if known."""

    def to_dict(self) -> list[dict[str, Any]]:
        """Return one dictionary per item found."""


@dataclass
class FocoosDet:
    """An object, or a class of the photo.

    Attributes:
        bbox: Left, top, right and bottom in pixels of the photo; None for a class.
        conf: Its score, between 0 and 1.
        cls_id: Its class id.
        label: Name of its class.
        mask: Its mask as a PNG in base64, with the size of the box; None if there is none.
        keypoints: x, y and visibility of each keypoint; None if there are none.
    """

    bbox: list[int] | None = None
    conf: float | None = None
    cls_id: int | None = None
    label: str | None = None
    mask: str | None = None
    keypoints: list[tuple[float, float, float]] | None = None

    @classmethod
    def from_json(cls, data: str | os.PathLike[str] | Mapping[str, Any]) -> FocoosDet:
        """Return a detection from a JSON file, or from its contents; edges are truncated."""
        values = _read_json(data)
        known = {each.name: values[each.name] for each in fields(cls) if each.name in values}
        if known.get("bbox") is not None:
            known["bbox"] = [int(edge) for edge in known["bbox"]]
        if known.get("keypoints") is not None:
            known["keypoints"] = [tuple(point) for point in known["keypoints"]]
        return cls(**known)

    def __repr__(self) -> str:
        shown = {**vars(self), "mask": None if self.mask is None else "hidden"}
        return f"FocoosDet({', '.join(f'{name}={value!r}' for name, value in shown.items())})"


@dataclass
class InferLatency:
    """Seconds of each stage; None if it is not known or did not happen."""

    imload: float | None = None
    preprocess: float | None = None
    inference: float | None = None
    postprocess: float | None = None
    annotate: float | None = None

    @classmethod
    def of(cls, speed: Any, annotate: float | None = None) -> InferLatency:
        """Return the latency of a result from its `speed`."""
        if speed is None:
            return cls(annotate=annotate)
        read, preprocess, inference, postprocess = (
            stage / 1000
            for stage in (speed.read, speed.preprocess, speed.inference, speed.postprocess)
        )
        return cls(read, preprocess, inference, postprocess, annotate)


@dataclass
class LatencyMetrics:
    """Measured latency of a model.

    Attributes:
        fps: Inferences per second, rounded down.
        engine: What ran it, such as `onnx.CPUExecutionProvider`.
        min: Least milliseconds.
        max: Greatest milliseconds.
        mean: Mean milliseconds.
        std: Standard deviation in milliseconds.
        im_size: Height of the input.
        device: Name of the device.
    """

    fps: int
    engine: str
    min: float
    max: float
    mean: float
    std: float
    im_size: int
    device: str


@dataclass
class FocoosDetections:
    """What was found in a photo.

    Attributes:
        detections: The objects, or classes, best first.
        image: The photo with the detections drawn on it, (h, w, 3) uint8 RGB; or None.
        latency: Seconds of each stage.
    """

    detections: list[FocoosDet] = field(default_factory=list)
    image: npt.NDArray[np.uint8] | str | None = None
    latency: InferLatency | None = None

    def __len__(self) -> int:
        return len(self.detections)

    def __iter__(self) -> Iterator[FocoosDet]:
        return iter(self.detections)

    def __repr__(self) -> str:
        image = "" if self.image is None else ", image=hidden"
        return f"FocoosDetections(detections={self.detections}{image}, latency={self.latency})"

    def model_dump(self) -> dict[str, Any]:
        """Return plain Python objects; the image only if it is text."""
        found: dict[str, Any] = {"detections": [asdict(each) for each in self.detections]}
        if isinstance(self.image, str):
            found["image"] = self.image
        found["latency"] = None if self.latency is None else asdict(self.latency)
        return found

    def infer_print(self) -> None:
        """Print the number of objects of each class, and the latency."""
        names = [each.label or f"(id_class={each.cls_id})" for each in self.detections]
        counts = sorted(Counter(names).items())
        what = ", ".join(f"{count} {name}" for name, count in counts) or "No detections!"
        sys.stdout.write(f"\n{what}\n{self._timing()}\n")

    def pprint(self) -> None:
        """Print all detections."""
        lines = []
        for number, each in enumerate(self.detections, 1):
            lines.append(f"{number}. {each.label or f'(id_class={each.cls_id})'}")
            if each.conf is not None:
                lines.append(f"   Confidence: {each.conf:.3f}")
            if each.bbox is not None:
                left, top, right, bottom = each.bbox
                lines += [f"   Bbox: {each.bbox}", f"   Size: {right - left} x {bottom - top}"]
            if each.mask is not None:
                lines.append("   Has mask")
            if each.keypoints is not None:
                lines.append(f"   Keypoints: {len(each.keypoints)}")
        latency = {} if self.latency is None else asdict(self.latency)
        known = (f"{name} {value:.3f}s" for name, value in latency.items() if value is not None)
        lines = lines or ["No detections!"]
        sys.stdout.write("\n".join([*lines, f"Latency: {', '.join(known) or 'unknown'}"]) + "\n")

    def _timing(self) -> str:
        latency = {} if self.latency is None else asdict(self.latency)
        known = {name: 1000 * value for name, value in latency.items() if value is not None}
        parts = [f"{name} {value:.0f}ms" for name, value in known.items()]
        return "Latency: " + ", ".join([*parts, f"total {sum(known.values()):.0f}ms"])


def detections_of(
    result: _Result,
    *,
    threshold: float | None = None,
    image: npt.NDArray[np.uint8] | None = None,
    annotate_seconds: float | None = None,
) -> FocoosDetections:
    """Return one of our results under the names of Focoos.

    Args:
        result: The result.
        threshold: Score that detections must exceed; None for all of them.
        image: The annotated photo.
        annotate_seconds: Time that drawing it took.
    """
    rows = [_detection(row) for row in result.to_dict()]
    if threshold is not None:
        rows = [row for row in rows if row.conf is None or row.conf > threshold]
    return FocoosDetections(rows, image, InferLatency.of(result.speed, annotate_seconds))


def _detection(row: Mapping[str, Any]) -> FocoosDet:
    box, score, points = row.get("box"), row.get("score"), row.get("keypoints")
    is_person = points is not None and "label" not in row
    return FocoosDet(
        bbox=None if box is None else [round(float(edge)) for edge in box],
        conf=None if score is None else float(score),
        cls_id=0 if is_person else row.get("index"),
        label="person" if is_person else row.get("label"),
        mask=None if box is None or "mask" not in row else _png(row["mask"], box),
        keypoints=None
        if points is None
        else [(float(p["x"]), float(p["y"]), float(p["confidence"])) for p in points.values()],
    )


def _png(mask: Mapping[str, Any], box: Sequence[int]) -> str:
    """Return the part of an encoded mask in a box as a PNG in base64, with values 0 and 255."""
    from PIL import Image

    left, top, right, bottom = box
    buffer = io.BytesIO()
    part = decode_rle(mask)[top:bottom, left:right]
    Image.fromarray(part.astype(np.uint8) * 255).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def as_photo(source: Any) -> Any:
    """Return a photo in a form that `predict` reads as RGB.

    PyTorch tensors, and arrays with the channels first, become (h, w, 3) uint8 arrays. Numbers with
    a fraction are rounded to 0..255. Anything else is returned as it is.

    Raises:
        ImageError: A tensor or an array is not a photo.
    """
    is_tensor = type(source).__module__.partition(".")[0] == "torch" and hasattr(source, "detach")
    array = source.detach().cpu().numpy() if is_tensor else source
    if not isinstance(array, np.ndarray):
        return source
    if array.ndim not in (2, 3):
        msg = f"expected a photo, (h, w, 3) or (3, h, w), got an array of shape {array.shape}"
        raise ImageError(msg)
    channels_first = array.ndim == 3 and array.shape[0] in _CHANNELS
    if channels_first and (is_tensor or array.shape[2] not in _CHANNELS):
        array = array.transpose(1, 2, 0)
    if np.issubdtype(array.dtype, np.floating):
        if not np.isfinite(array).all():
            msg = "a photo must not contain NaN or infinity"
            raise ImageError(msg)
        if array.size and 0 < array.max() <= 1 and not np.array_equal(array, np.rint(array)):
            msg = "expected numbers in 0..255, got fractions in 0..1: multiply the photo by 255"
            raise ImageError(msg)
        array = np.clip(np.rint(array), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(array)


def _read_json(data: str | os.PathLike[str] | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(data, Mapping):
        return data
    found: Mapping[str, Any] = json.loads(Path(data).read_text(encoding="utf-8"))
    return found
