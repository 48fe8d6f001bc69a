"""A new last layer of a classifier, fitted to labeled photos on frozen features.

Nothing here needs PyTorch: the features are computed by the runner, and the layer is a multinomial
logistic regression in numpy.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from ..data.classes import check_same_classes
from ..data.records import LabeledPhotos
from ..enums import Task
from ..errors import ConversionError, DatasetError
from ..heads.classification import ClassificationHead
from ..images.pipeline import in_threads
from ..images.read import read_image
from ..networks import edit
from ..networks.features import to_features, with_classifier
from ..progress import progress_bar
from ..spec import Head, ModelSpec
from ..tasks.base import VisionTask
from ..weights import Weights, WeightSet
from .regression import PENALTIES, fit, select
from .trainable import trainable_of

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["FittedHead", "fit_head"]

_FOLDS = 5
_BATCH = 16
_MIN_SIDE = 16
"""Least width and height of the crop of an object, in pixels."""


class _Features(VisionTask[Any]):
    """The task of networks that compute features."""

    name = "features"


class _FeaturesHead(Head):
    """Placeholder for the head of a network that computes features."""

    __slots__ = ()

    task: ClassVar[_Features] = _Features()


@dataclass(frozen=True)
class FittedHead:
    """Report of `fit_head`.

    Attributes:
        classes: Names of the classes.
        photos: Number of photos, or of crops of objects.
        accuracy: Part of the photos that a head is right about which has not seen them: the
            validation photos, or else all photos in a cross-validation.
        class_accuracy: The same for the photos of each class; NaN for a class without any.
        majority: Accuracy of always answering with the most frequent class.
        confusion: (classes, classes) int64; number of photos of each class (rows) by the class that
            was predicted (columns).
        penalty: Weight of the penalty that cross-validation chose.
        is_validated: Whether the accuracy is that of separate validation photos.
        seconds: Time that it took, with the features.
    """

    classes: tuple[str, ...]
    photos: int
    accuracy: float
    class_accuracy: tuple[float, ...]
    majority: float
    confusion: npt.NDArray[np.int64]
    penalty: float
    is_validated: bool
    seconds: float

    def __str__(self) -> str:
        how = "on validation photos" if self.is_validated else "in cross-validation"
        rows = [
            f"{self.accuracy:.1%} right {how}, {self.majority:.1%} with the most frequent class "
            f"alone; {self.photos} photos, {len(self.classes)} classes, {self.seconds:.1f} s",
            "",
            f"{'class':24s}  photos  right",
        ]
        totals = self.confusion.sum(1)
        for name, total, right in zip(self.classes, totals, self.class_accuracy, strict=True):
            if total:
                rows.append(f"{name[:24]:24s}  {total:6d}  {right:5.0%}")
        if missing := int((totals == 0).sum()):
            rows.append(f"({missing} classes without photos)")
        return "\n".join(rows)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as values of JSON."""
        known = {
            name: None if np.isnan(right) else right
            for name, right in zip(self.classes, self.class_accuracy, strict=True)
        }
        plain = {name: value for name, value in vars(self).items() if name != "class_accuracy"}
        return {**plain, "class_accuracy": known, "confusion": self.confusion.tolist()}

    def plot(self) -> PILImage:
        """Return the confusion matrix as a picture."""
        from .confusion import draw_confusion

        return draw_confusion(self.confusion, self.classes)

    def _repr_png_(self) -> bytes:
        """Return the confusion matrix, for notebooks."""
        import io

        buffer = io.BytesIO()
        self.plot().save(buffer, "PNG")
        return buffer.getvalue()


class _Rows(NamedTuple):
    """Features of photos, or of crops of objects.

    Attributes:
        features: (n, c) float32.
        classes: (n,) int64.
        groups: Photo of each row.
    """

    features: npt.NDArray[np.float32]
    classes: npt.NDArray[np.int64]
    groups: list[str]


def fit_head(
    program: bytes,
    weights: Weights,
    with_weights: Callable[[Weights], Any],
    train: LabeledPhotos,
    val: LabeledPhotos | None = None,
    *,
    device: str | None = None,
) -> tuple[FittedHead, Weights]:
    """Fit a new last layer; return a report, and the weights of the new model.

    Args:
        program: The classifier as float32 ONNX.
        weights: Its weights.
        with_weights: Returns a copy of the model with other weights.
        train: Labeled photos; crops of their objects, if the labels are for detection.
        val: Photos to measure the accuracy on; by default a cross-validation of `train`.
        device: Device that computes the features.

    Raises:
        ConversionError: The model is no classifier, or the network does not end in a layer that
            can be replaced.
        DatasetError: There are less than two classes with photos, the classes of both sets differ,
            or a box is outside of its photo.
        ImageError: A photo cannot be read.
    """
    begin = time.perf_counter()
    if val is not None:
        check_same_classes(train, val)
    spec = weights.spec
    if spec.head.task.task is not Task.CLASSIFICATION:
        msg = (
            f"{weights.model} is for {spec.head.task.name}: expected a classifier, whose last "
            "layer is replaced"
        )
        raise ConversionError(msg)
    network = to_features(program)
    data = edit.to_bytes(network)
    inner = ModelSpec(None, spec.input, _FeaturesHead())
    known = {"input": spec.input, "head": inner.head, "labels": ()}
    with with_weights(Weights(weights.model, data, inner, known)) as model:
        rows = _rows(model, train, device)
        others = None if val is None else _rows(model, val, device)
    count = len(train.classes)
    if len(np.unique(rows.classes)) < 2:
        msg = (
            f"{train.source} has photos of {len(np.unique(rows.classes))} of its {count} classes: "
            "expected two or more"
        )
        raise DatasetError(msg)
    folds = max(2, min(_FOLDS, len(set(rows.groups))))
    with progress_bar("Fitting", folds * len(PENALTIES), unit="fit") as bar:
        chosen = select(
            rows.features, rows.classes, count, rows.groups, folds=folds, done=bar.update
        )
    found = fit(rows.features, rows.classes, count, chosen.penalty)
    kernel, bias = (part.astype(np.float32) for part in (found.kernel, found.bias))
    checkpoint, built = weights.checkpoint(), None
    if checkpoint is not None:  # so that the network can be trained further under its names
        built = trainable_of(weights.origin, checkpoint).with_last_layer(kernel, bias)
    result = WeightSet(
        f"{weights.name}, last layer fitted to {train.source.name}",
        built.program() if built else edit.to_bytes(with_classifier(network, kernel, bias)),
        names=train.classes,
        head=ClassificationHead(),
        input=spec.input,
        checkpoint=built.checkpoint if built else None,
        info=weights.resolve().provenance,
    )
    declared = ModelSpec(weights.declared_spec.network, spec.input, ClassificationHead())
    measured = (rows.classes, chosen.predicted)
    if others is not None:
        measured = (others.classes, found.predict(others.features))
    confusion = np.zeros((count, count), np.int64)
    np.add.at(confusion, measured, 1)
    totals, right = confusion.sum(1), np.diag(confusion)
    report = FittedHead(
        train.classes,
        len(rows.classes),
        float(right.sum() / totals.sum()),
        tuple(np.where(totals, right / np.where(totals, totals, 1), np.nan).tolist()),
        float(totals.max() / totals.sum()),
        confusion,
        chosen.penalty,
        val is not None,
        time.perf_counter() - begin,
    )
    return report, Weights(weights.model, result, declared)


def _rows(model: Any, photos: LabeledPhotos, device: str | None) -> _Rows:
    """Compute the features of all photos, or of all crops."""
    if photos.task is Task.CLASSIFICATION:
        labeled = [photo for photo in photos if photo.class_id is not None]
        sources: Any = [photo.path for photo in labeled]
        classes = [photo.class_id for photo in labeled]
        groups = [str(photo.path) for photo in labeled]
    elif photos.task in (Task.DETECTION, Task.INSTANCE_SEGMENTATION, Task.KEYPOINT):
        crops = list(_crops(photos))
        sources = _pixels(crops)
        classes = [crop.class_id for crop in crops]
        groups = [str(crop.path) for crop in crops]
    else:
        msg = f"{photos.source} is for {photos.task.value}: expected classes of photos, or boxes"
        raise DatasetError(msg)
    if not classes:
        msg = f"{photos.source} contains no labeled photo, or no object of {_MIN_SIDE} pixels"
        raise DatasetError(msg)
    steps = model.steps(color="rgb", device=device)
    rows: list[npt.NDArray[np.float32]] = []
    with progress_bar("Features", len(classes), unit="photo") as bar:
        remaining = iter(sources)
        while batch := list(islice(remaining, _BATCH)):
            tensor, _ = steps.prepare(in_threads(steps.read, batch))
            features = steps.run(tensor)[0]
            rows.append(features.reshape(len(batch), -1).astype(np.float32))
            bar.update(len(batch))
    return _Rows(np.concatenate(rows), np.array(classes, np.int64), groups)


class _Crop(NamedTuple):
    """An object of a photo."""

    path: Any
    box: tuple[int, int, int, int]
    class_id: int


def _crops(photos: LabeledPhotos) -> Iterator[_Crop]:
    """Yield the objects that are large enough; groups of objects are left out."""
    for photo in photos:
        objects = photo.objects
        if objects is None:
            continue
        rows = (objects.boxes, objects.class_ids.tolist(), objects.is_crowd.tolist())
        for box, class_id, is_crowd in zip(*rows, strict=True):
            left, top, right, bottom = (round(float(edge)) for edge in box)
            if not is_crowd and right - left >= _MIN_SIDE and bottom - top >= _MIN_SIDE:
                yield _Crop(photo.path, (left, top, right, bottom), class_id)


def _pixels(crops: Sequence[_Crop]) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield the pixels of crops; decode each photo once."""
    path, image = None, None
    for crop in crops:
        if image is None or crop.path != path:
            path, image = crop.path, read_image(crop.path).rgb
        left, top, right, bottom = crop.box
        pixels = image[max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        if not pixels.size:
            height, width = image.shape[:2]
            msg = (
                f"{crop.path} has a box outside of the photo: expected one within {width} x "
                f"{height} pixels, got {crop.box}"
            )
            raise DatasetError(msg)
        yield pixels.copy()
