"""Base classes of tasks and of their results, which can be drawn, saved and exported."""

from __future__ import annotations

import copy
import importlib
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ..enums import ModelTaskType, Task
from ..errors import FuriosaModelsError
from ..images.icc_profile import color_profile
from ..images.read import DecodedImage, KeptPhoto, read_image
from ..images.sources import is_same_file
from ..ops.checks import check_array
from ..progress import in_notebook

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage
    from typing_extensions import Self

    from ..data.records import LabeledPhotos
    from ..focoos import FocoosDet, InferLatency
    from ..images.pipeline import Speed

__all__ = [
    "THRESHOLD_ALIASES",
    "ArrayResult",
    "Photo",
    "Result",
    "Truth",
    "VisionTask",
    "encoded",
    "write_picture",
]

Photo: TypeAlias = "DecodedImage | npt.NDArray[np.uint8] | str | Path | KeptPhoto | PILImage"
"""A photo to draw on: decoded, (h, w, 3) uint8 RGB or (h, w) gray, a file or a reference."""

THRESHOLD_ALIASES = MappingProxyType(
    {
        "confidence_threshold": "score_threshold",
        "conf_thres": "score_threshold",
        "iou_thres": "iou_threshold",
    }
)
"""Names of thresholds in 0.10, and their names here."""

Item = TypeVar("Item")
R = TypeVar("R")


class Result(ABC):
    """What was found in one photo.

    Attributes:
        image: The photo, if known (`predict` sets it).
        image_size: Its width and height in pixels, if known.
        speed: Time of each stage of the prediction, if known.
        picture_suffix: File extension of the format that suits `picture`.
        is_table: Whether its arrays have a row for each item found, and shapes that do not depend
            on the photo.
    """

    __slots__ = ()

    image: Photo | None
    image_size: tuple[int, int] | None = None
    speed: Speed | None = None
    picture_suffix: ClassVar[str] = ".jpg"
    is_table: ClassVar[bool] = True

    @property
    def detections(self) -> list[FocoosDet]:
        """What was found, under the names of Focoos."""
        from ..focoos import detections_of

        return detections_of(self).detections

    @property
    def latency(self) -> InferLatency:
        """Seconds of each stage, under the names of Focoos."""
        from ..focoos import InferLatency

        return InferLatency.of(self.speed)

    @abstractmethod
    def plot(self, image: Photo | None = None) -> PILImage:
        """Return the photo with the result drawn on it.

        Args:
            image: The photo: a file, a decoded image, (h, w, 3) uint8 RGB, or (h, w) uint8 gray; by
                default the photo that `predict` used.

        Raises:
            FuriosaModelsError: There is no photo to draw on.
            ImageError: The photo cannot be read, or the array has the wrong shape or dtype.
        """

    @abstractmethod
    def to_dict(self) -> list[dict[str, Any]]:
        """Return plain Python objects: one dictionary per item found."""

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of the result by name, without copying them."""
        slots = [name for owner in type(self).__mro__ for name in getattr(owner, "__slots__", ())]
        names = dict.fromkeys([*slots, *getattr(self, "__dict__", ())])
        values = {name: getattr(self, name) for name in names if name not in ("image", "_tracks")}
        arrays = (np.ndarray, np.generic)
        return {name: np.asarray(v) for name, v in values.items() if isinstance(v, arrays)}

    def describe(self) -> Iterator[str]:
        """Yield a line of text per item found."""
        for item in self.to_dict():
            score = item.get("score")
            parts = ["     -" if score is None else f"{score:6.3f}"] if "score" in item else []
            parts += [str(item["label"])] if "label" in item else []
            parts += [f"#{item['track_id']}"] if item.get("track_id", -1) >= 0 else []
            if "box" in item:
                parts.append("[" + ", ".join(f"{edge:.0f}" for edge in item["box"]) + "]")
            yield "  ".join(parts or [f"{name} {value}" for name, value in item.items()])

    def to_json(self, *, indent: int | None = None) -> str:
        """Return the result of `to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def picture(self, extension: str = ".jpg") -> bytes:
        """Return the annotated photo in encoded form.

        The picture is upright and keeps the photo's color profile, but no other metadata: EXIF data
        such as the place and camera are removed.

        Args:
            extension: File extension of the format.

        Raises:
            FuriosaModelsError: There is no photo to draw on.
            ValueError: The file extension is not a picture format.
        """
        return encoded(self.plot(), extension, color_profile(self.image))

    def save(self, path: str | Path) -> Path:
        """Write the annotated photo, or JSON if the name ends in `.json`; return the path.

        The picture is that of `picture`, without the metadata of the photo.

        Raises:
            FuriosaModelsError: The path is the photo itself, or cannot be written.
            ValueError: The file extension is not a picture format.
        """
        path = Path(path)
        if isinstance(self.image, (str, Path)) and is_same_file(path, self.image):
            msg = f"{path} is the original photo: choose another name"
            raise FuriosaModelsError(msg)
        try:
            if path.suffix.lower() == ".json":
                path.write_text(self.to_json(indent=2) + "\n", encoding="utf-8")
            else:
                path.write_bytes(self.picture(path.suffix))
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror or error}"
            raise FuriosaModelsError(msg) from error
        return path

    def show(self) -> None:
        """Show the annotated photo in the notebook, or else in a window.

        Raises:
            FuriosaModelsError: There is no photo to draw on, or no image viewer.
        """
        picture = self.plot()
        if in_notebook():
            importlib.import_module("IPython.display").display(self)
            return
        from PIL import ImageShow

        if not ImageShow.show(picture):
            msg = "no image viewer was found: write the picture with save(path)"
            raise FuriosaModelsError(msg)

    def _repr_html_(self) -> str:
        """Return the picture and a table, for notebooks."""
        from .notebook import picture_and_table

        picture = note = None
        if self.image is not None:
            try:
                picture = self.plot()
            except FuriosaModelsError as error:  # the photo is gone; still show the table
                note = str(error)
        return picture_and_table(repr(self), picture, self.to_dict(), note)

    def _photo(self, image: Photo | None) -> npt.NDArray[np.uint8]:
        """Return the pixels to draw on."""
        image = self.image if image is None else image
        if image is None:
            msg = "there is no photo to draw on: pass plot(image=...), or use a result of predict()"
            raise FuriosaModelsError(msg)
        if isinstance(image, np.ndarray):
            return read_image(
                image, color="rgb"
            ).rgb  # gray is converted, so that colors can be drawn
        if isinstance(image, DecodedImage):
            return _whole(image)
        if isinstance(image, KeptPhoto):
            return _whole(image.decode())
        return read_image(image).rgb


_QUALITY = MappingProxyType(
    {
        "JPEG": {"quality": 92, "subsampling": 0},  # chroma subsampling would blur colored letters
        "WEBP": {"quality": 90},
        "AVIF": {"quality": 85},
    }
)
_WITH_PROFILE = frozenset({"AVIF", "JPEG", "PNG", "TIFF", "WEBP"})


def encoded(picture: PILImage, extension: str, profile: bytes | None = None) -> bytes:
    """Return a picture in the format of the file extension, with a color profile.

    Raises:
        ValueError: The file extension is not a picture format.
    """
    from PIL import Image

    format = Image.registered_extensions().get(extension.lower())
    if format is None or format not in Image.SAVE:
        msg = f"{extension!r} is not a picture format: use .jpg, .png or .webp"
        raise ValueError(msg)
    buffer = io.BytesIO()
    options: dict[str, Any] = dict(_QUALITY.get(format, {}))
    if profile is not None and format in _WITH_PROFILE:
        options["icc_profile"] = profile
    picture.save(buffer, format=format, **options)
    return buffer.getvalue()


def write_picture(picture: PILImage, path: str | Path) -> Path:
    """Write a picture whose values matter as PNG, which keeps them; return the path.

    Raises:
        FuriosaModelsError: The file cannot be written.
        ValueError: The name does not end in `.png`.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        msg = f"{path}: {path.suffix!r} does not keep the values of a mask: use .png"
        raise ValueError(msg)
    try:
        path.write_bytes(encoded(picture, path.suffix))
    except OSError as error:
        msg = f"{path} cannot be written: {error.strerror or error}"
        raise FuriosaModelsError(msg) from error
    return path


def _whole(image: DecodedImage) -> npt.NDArray[np.uint8]:
    """Return pixels at the full size of the photo, which results refer to."""
    if image.drafted_from is None:
        return image.rgb
    from PIL import Image

    height, width = image.drafted_from
    return np.asarray(Image.fromarray(image.rgb).resize((width, height)))


class ArrayResult(Result, Sequence[Item]):
    """A sequence of items found, best first, stored as arrays.

    Attributes:
        boxes: (n, 4) float32; left, top, right, bottom in pixels of the photo.
        scores: (n,) float32, between 0 and 1, descending.
    """

    __slots__ = ()

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]
    _tracks: npt.NDArray[np.int64] | None = None

    @property
    def is_tracked(self) -> bool:
        """Whether a tracker has seen the result."""
        return self._tracks is not None

    @property
    def track_ids(self) -> npt.NDArray[np.int64]:
        """Id of each item's track, (n,) int64; -1 for an item without track."""
        return np.full(len(self), -1, np.int64) if self._tracks is None else self._tracks

    def with_tracks(self, track_ids: npt.NDArray[np.int64]) -> Self:
        """Return the same items with track ids; see `furiosa_models.tracking.Tracker`.

        Args:
            track_ids: (n,) int64; -1 for an item without track.

        Raises:
            ShapeError: The array has the wrong shape or dtype.
        """
        check_array("track_ids", track_ids, np.int64, (len(self),))
        tracked = copy.copy(self)
        tracked._tracks = track_ids
        return tracked

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the arrays of the result by name, without copying them.

        `track_ids` is among them if a tracker has given them.
        """
        columns = super().columns()
        return columns if self._tracks is None else {**columns, "track_ids": self._tracks}

    def moved(self, x: float, y: float) -> Self:
        """Return the same items, moved by a number of pixels to the right and down."""
        moved = copy.copy(self)
        moved.boxes = self.boxes + np.array([x, y, x, y], np.float32)
        return moved

    def joined(self, others: Sequence[Self]) -> Self:
        """Return these items and those of other results of the same photo, in that order."""
        every = copy.copy(self)
        for name, column in self.columns().items():
            rows = [column, *(other.columns()[name] for other in others)]
            setattr(every, "_tracks" if name == "track_ids" else name, np.concatenate(rows))
        return every

    def _copy_facts(self, part: Any, index: slice | npt.NDArray[Any]) -> Any:
        """Give a part of the items what is known of them and of their photo; return the part."""
        part.image_size, part.speed = self.image_size, self.speed
        part._tracks = None if self._tracks is None else self._tracks[index]
        return part

    def _track_fields(self, index: int) -> dict[str, int]:
        """Return the entries of an item of `to_dict` that a tracker adds."""
        return {} if self._tracks is None else {"track_id": int(self._tracks[index])}

    def __len__(self) -> int:
        return len(self.scores)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # holds arrays


@dataclass(frozen=True, slots=True)
class Truth:
    """Labels of photos.

    Attributes:
        photos: The photos, in prediction order.
        labels: Their labels, in the form that the task's `measure` expects.
    """

    photos: Sequence[Path]
    labels: Any

    @classmethod
    def of(cls, labels: LabeledPhotos) -> Truth:
        """Return the labels of a data set as they are."""
        return cls([photo.path for photo in labels], labels)


class VisionTask(Generic[R]):
    """A task: its options, its labels and its metric.

    Heads refer to a task object. Subclass it for your own task; `read_truth` and `measure` are only
    needed for `evaluate`.

    Attributes:
        name: Name of the task, in lower case.
        task: The task's name in Focoos, if any.
        task_type: The task's name in 0.10, if any.
        options: Keywords of `predict` and `postprocess`, which are passed to the head's `decode`.
        aliases: Other names of options.
        evaluation_options: Options for `predict` when measuring accuracy.
        has_masks: Whether results have masks, which `save_mask` writes.
        has_boxes: Whether its results are `ArrayResult`s, whose items can be tracked.
    """

    name: ClassVar[str]
    task: ClassVar[Task | None] = None
    task_type: ClassVar[ModelTaskType | None] = None
    options: ClassVar[tuple[str, ...]] = ()
    aliases: ClassVar[Mapping[str, str]] = MappingProxyType({})
    evaluation_options: ClassVar[Mapping[str, Any]] = MappingProxyType({})
    has_masks: ClassVar[bool] = False
    has_boxes: ClassVar[bool] = False

    def read_truth(self, labels: Path, images: Path) -> Truth:
        """Read labels.

        Args:
            labels: File or folder of the labels.
            images: Folder of the photos.

        Raises:
            FuriosaModelsError: The file cannot be read or contains no photo; or the task does not
                support it.
        """
        del labels, images
        raise FuriosaModelsError(self._not_measured("read_truth"))

    def measure(self, truth: Truth, results: Iterable[R]) -> dict[str, float]:
        """Return the value of each metric by name, between 0 and 1.

        Args:
            truth: The result of `read_truth`.
            results: Results of its photos, in order.

        Raises:
            FuriosaModelsError: The task has no metric.
        """
        del truth, results
        raise FuriosaModelsError(self._not_measured("measure"))

    def check_classes(self, labels: LabeledPhotos, names: Sequence[str]) -> None:
        """Check that the labels have classes of a model.

        Args:
            labels: The labels.
            names: Names of the model's classes.

        Raises:
            DatasetError: They have none.
        """
        from ..data.classes import are_indices, match_classes

        if not are_indices(labels):
            match_classes(labels, names)

    def resolve_options(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options by their names in this package, without those that are None.

        Raises:
            TypeError: The task has no such option, or an option is given under two names.
        """
        resolved: dict[str, Any] = {}
        for name, value in arguments.items():
            full = self.aliases.get(name, name)
            if full not in self.options:
                known = ", ".join(self.options) or "none"
                msg = f"unknown argument {name!r}: the options of {self.name} are {known}"
                raise TypeError(msg)
            if value is None:
                continue
            if full in resolved:
                msg = f"{full} given twice; {name} is an alias of it"
                raise TypeError(msg)
            resolved[full] = value
        return resolved

    def filter_of(
        self, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], Callable[[R], R] | None]:
        """Return the options for the head, and a function that filters its results, or None."""
        return dict(options), None

    @property
    def merges_tiles(self) -> bool:
        """Whether results of the tiles of a photo can be merged: those with boxes or masks."""
        return self.has_boxes or self.has_masks

    def above(self, found: Any, score_threshold: Any) -> npt.NDArray[np.bool_]:
        """Return which items of a result have a score above the option `score_threshold`."""
        exceeds: npt.NDArray[np.bool_] = found.scores > np.float32(score_threshold)
        return exceeds

    def _read_dataset(self, labels: Path, images: Path) -> Truth:
        """Read labels in any layout of `furiosa_models.data.read_dataset`."""
        from ..data.recognize import read_dataset  # not needed to predict

        return Truth.of(read_dataset(labels, images=images, task=self.task))

    def _not_measured(self, method: str) -> str:
        return f"the task {self.name!r} cannot be measured: {type(self).__name__} has no {method}()"
