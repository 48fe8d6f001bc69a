"""A callable that turns a batch of photos into columns of results, for any framework of data."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ConfigurationError, ImageError
from ..tasks.base import Result

if TYPE_CHECKING:
    from ..model import Model
    from ..runtime.sync import Precision

__all__ = ["ERROR", "BatchPredictor"]

ERROR = "error"
"""Column with the reason why a photo could not be read, or None."""

_PHOTOS = ("bytes", "image", "path", "content", "data")
"""Names of columns with photos, in order of preference."""
_SIZE = ("width", "height")
_FIELDS = {
    "label": "labels",
    "index": "class_ids",
    "score": "scores",
    "box": "boxes",
    "keypoints": "keypoints",
    "area": "areas",
    "fraction": "fractions",
    "mask": "masks",
}
"""Names of columns by the keys of an item of a result."""


class BatchPredictor:
    """Detect, classify or segment the photos of a batch: columns in, columns out.

    It can be pickled: a worker opens the model at its first batch, and fetches its weights if they
    are not in the cache of its machine; workers of one machine fetch them once.

    Ray Data calls it by `ds.map_batches(BatchPredictor, fn_constructor_args=...)`, Spark by
    `predict_batch_udf(lambda: BatchPredictor(...).of_column)`, Dask by `map_partitions`.

    Args:
        model: A name of the catalog, a file, a saved folder, a reference of a hub, or a `Model`.
        weights: A set of weights, or a file.
        device: As for `predict`.
        precision: As for `predict`.
        threads: Threads to compute with, for all models of the process that is called; by default
            all CPUs that it may use.
        photos: Column with the photos: encoded bytes, file names, or RGB arrays (h, w, 3) uint8. By
            default the first of `bytes`, `image`, `path`, `content` and `data`.
        options: Options of the task, such as `score_threshold`.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | Model[Any],
        weights: str | None = None,
        device: str | None = None,
        precision: Precision = "fp32",
        threads: int | None = None,
        *,
        photos: str | None = None,
        **options: Any,
    ) -> None:
        if threads is not None and threads < 1:
            msg = f"threads must be at least 1, got {threads}"
            raise ConfigurationError(msg)
        self._source = model
        self._weights = weights
        self._threads = threads
        self._photos = photos
        self._options = {"device": device, "precision": precision, **options}
        self._model: Model[Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_model": None}

    @property
    def model(self) -> Model[Any]:
        """The model, which is opened at the first use."""
        if self._model is None:
            if self._threads is not None:
                os.environ["FURIOSA_MODELS_THREADS"] = str(self._threads)
            self._model = self._opened()
        return self._model

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """Return the columns of a batch, without the photos, and those of the results.

        The columns of the results have a list for each photo, with an entry for each object (or for
        each of the best classes): `labels`, `class_ids`, `scores`, `boxes` (left, top, right,
        bottom in pixels), `keypoints` (x, y, confidence), as far as the task has them; `width` and
        `height` of the photo; and `error`, which is None for photos that could be read. A
        segmentation has `masks` in COCO's run-length encoding, as JSON.

        Args:
            batch: Arrays or lists of equal length by column.

        Raises:
            ConfigurationError: There is no column with photos.
        """
        column = self._column(batch)
        rows = [*self._rows(batch[column])]
        names = [*_SIZE, *self._names(), ERROR]
        kept = {name: values for name, values in batch.items() if not _is_photos(name, values)}
        found = {name: [row.get(name) for row in rows] for name in names}
        return {**kept, **found}

    def of_column(self, photos: Any) -> list[dict[str, Any]]:
        """Return a dictionary for each photo, for frameworks that pass one column."""
        return [*self._rows(photos)]

    def _opened(self) -> Model[Any]:
        from ..manager import ModelManager
        from ..model import Model

        if isinstance(self._source, Model):
            return self._source
        given: dict[str, Any] = {} if self._weights is None else {"weights": self._weights}
        return ModelManager.get(os.fspath(self._source), **given)

    def _column(self, batch: Mapping[str, Any]) -> str:
        wanted = _PHOTOS if self._photos is None else (self._photos,)
        found = next((name for name in wanted if name in batch), None)
        if found is None:
            msg = (
                f"expected a column of photos, {' or '.join(wanted)}, got {', '.join(batch)}: "
                "pass photos= with its name"
            )
            raise ConfigurationError(msg)
        return found

    def _rows(self, photos: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Yield the columns of each photo."""
        given = [_as_source(photo) for photo in photos]
        places: dict[int, list[int]] = {}  # of each photo; several rows may have the same object
        for index, source in enumerate(given):
            places.setdefault(id(source), []).append(index)
        errors: dict[int, str] = {}

        def note(source: Any, error: ImageError) -> None:
            errors[places[id(source)].pop(0)] = str(error)

        found = self.model.predict(given, stream=True, on_error=note, color="rgb", **self._options)
        results = iter([*found])  # all of them, so that `errors` is complete
        names = self._names()
        for index in range(len(given)):
            if index in errors:
                empty: dict[str, Any] = {name: [] for name in names}
                yield {**dict.fromkeys(_SIZE), **empty, ERROR: errors[index]}
            else:
                yield {**_columns(next(results), names), ERROR: None}

    def _names(self) -> list[str]:
        """Return the columns of the results of the model's task."""
        return [_FIELDS[key] for key in _KEYS.get(self.model.vision_task.name, ("label", "score"))]


_KEYS: Mapping[str, Sequence[str]] = {
    "image_classification": ("label", "index", "score"),
    "instance_segmentation": ("label", "index", "score", "box", "area", "mask"),
    "matte_estimation": ("label", "index", "area", "fraction", "box", "mask"),
    "object_detection": ("label", "index", "score", "box"),
    "pose_estimation": ("score", "box", "keypoints"),
    "semantic_segmentation": ("label", "index", "area", "fraction", "box", "mask"),
}
"""Keys of an item of a result, by task."""


def _as_source(photo: Any) -> Any:
    """Return a photo as `predict` takes it."""
    if isinstance(photo, (bytearray, memoryview, np.bytes_)):
        return bytes(photo)
    return str(photo) if isinstance(photo, np.str_) else photo


def _is_photos(name: str, values: Any) -> bool:
    """Return whether a column has pixels or encoded photos, which results leave out."""
    first = next(iter(values), None)
    is_data = isinstance(first, (bytes, bytearray, memoryview))
    return is_data or (isinstance(first, np.ndarray) and name in _PHOTOS)


def _columns(result: Result, names: Sequence[str]) -> dict[str, Any]:
    """Return the columns of a result."""
    width, height = result.image_size or (None, None)
    found: dict[str, list[Any]] = {name: [] for name in names}
    for item in result.to_dict():
        for key, value in item.items():
            if _FIELDS.get(key) in found:
                found[_FIELDS[key]].append(_plain(key, value))
    return {"width": width, "height": height, **found}


def _plain(key: str, value: Any) -> Any:
    """Return a value as numbers and texts in lists, which every file format has."""
    if key == "keypoints":
        return [[point["x"], point["y"], point["confidence"]] for point in value.values()]
    return json.dumps(value) if key == "mask" else value
