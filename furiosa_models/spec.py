"""Specifications of models as data: network, input, head, labels and metadata.

This module does not import numpy, so that models can be listed and described quickly.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from enum import Enum
from math import isfinite
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias, TypeVar, cast, get_args

from .enums import Format, ModelTaskType
from .errors import ShapeError, WeightsError

__all__ = [
    "DESCRIPTION_KEY",
    "DESCRIPTION_MEMBER",
    "FRAMEWORK_KEY",
    "NETWORK_FACTS",
    "UNKNOWN_INPUT",
    "ClassChannels",
    "GraphFacts",
    "Head",
    "ImageContext",
    "ImageInput",
    "Interpolation",
    "Layout",
    "Metadata",
    "ModelRecord",
    "ModelSpec",
    "ModelTensor",
    "NetworkSpec",
    "Publication",
    "Record",
    "Tags",
    "TensorFacts",
    "as_context",
    "check_choice",
]

_Self = TypeVar("_Self", bound="Record")

Interpolation: TypeAlias = Literal[
    "opencv_linear", "opencv_area", "pillow_bilinear", "pillow_bicubic"
]
Triple: TypeAlias = tuple[float, float, float]
Resize: TypeAlias = Literal["stretch", "letterbox", "crop"]


class Record:
    """Base of frozen dataclasses with the export methods of pydantic models.

    Unknown fields raise `TypeError`.
    """

    # Used by pydantic if such a record is a field of a pydantic model.
    __pydantic_config__: ClassVar[Mapping[str, str]] = {"extra": "forbid"}

    def model_dump(
        self,
        *,
        mode: Literal["python", "json"] = "python",
        include: Collection[str] | None = None,
        exclude: Collection[str] | None = None,
        exclude_none: bool = False,
        exclude_defaults: bool = False,
    ) -> dict[str, Any]:
        """Return the fields as a dictionary.

        Args:
            mode: `"json"` to convert dates and enumerations to strings.
            include: Names of the fields to include.
            exclude: Names of the fields to exclude.
            exclude_none: Exclude fields that are None.
            exclude_defaults: Exclude fields that have their default value.
        """

        def plain(value: Any) -> Any:
            if isinstance(value, Record):
                return value.model_dump(
                    mode=mode, exclude_none=exclude_none, exclude_defaults=exclude_defaults
                )
            if mode == "json" and isinstance(value, datetime.date):
                return value.isoformat()
            if mode == "json" and isinstance(value, Enum):
                return value.value
            return list(value) if isinstance(value, list) else value

        found = {}
        for each in fields(self):  # type: ignore[arg-type]  # every subclass is a dataclass
            value = getattr(self, each.name)
            is_default = each.default is not MISSING and value == each.default
            if not (
                (include is not None and each.name not in include)
                or (exclude is not None and each.name in exclude)
                or (exclude_none and value is None)
                or (exclude_defaults and is_default)
            ):
                found[each.name] = plain(value)
        return found

    def model_dump_json(self, *, indent: int | None = None, **options: Any) -> str:
        """Return the fields as JSON.

        Args:
            indent: Spaces per level; by default everything is on one line.
            options: As for `model_dump`.
        """
        separators = (",", ":") if indent is None else None
        values = self.model_dump(mode="json", **options)
        return json.dumps(values, indent=indent, separators=separators, ensure_ascii=False)

    @classmethod
    def model_validate(cls: type[_Self], values: _Self | Mapping[str, Any]) -> _Self:
        """Return a record from a dictionary of its fields; return a record unchanged.

        Raises:
            TypeError: A field is unknown, missing, or has the wrong type.
            ValueError: A field has an invalid value.
        """
        return values if isinstance(values, cls) else cls(**dict(cast("Mapping[str, Any]", values)))


@dataclass(frozen=True)
class Publication(Record):
    """Publication of a network.

    Attributes:
        authors: Names of the authors.
        title: Title of the paper or page.
        publisher: Who published it.
        date: Date of publication; ISO strings are converted.
        url: URL of the publication.
    """

    authors: list[str] | None = None
    title: str | None = None
    publisher: str | None = None
    date: datetime.date | None = None
    url: str | None = None

    def __post_init__(self) -> None:
        date: object = self.date
        if isinstance(date, str):
            object.__setattr__(self, "date", datetime.date.fromisoformat(date))
        _check("date", self.date, datetime.date)
        for name in ("title", "publisher", "url"):
            _check(name, getattr(self, name), str)
        if self.authors is not None:
            object.__setattr__(self, "authors", list(self.authors))
            for author in self.authors:
                _check("authors", author, str)


@dataclass(frozen=True)
class Metadata(Record):
    """Description of a model.

    Attributes:
        description: One line.
        publication: Publication of the network; a dictionary is converted.
    """

    description: str | None = None
    publication: Publication | None = None

    def __post_init__(self) -> None:
        _check("description", self.description, str)
        publication: object = self.publication
        if isinstance(publication, Mapping):
            object.__setattr__(self, "publication", Publication.model_validate(publication))
        _check("publication", self.publication, Publication)


@dataclass(frozen=True)
class Tags(Record):
    """Tags of a model.

    Attributes:
        content_type: Type of content that the model takes.
    """

    content_type: str | None = None

    def __post_init__(self) -> None:
        _check("content_type", self.content_type, str)


@dataclass(frozen=True)
class ModelTensor(Record):
    """An input or output of a network, as described in 0.8.

    Attributes:
        name: Name in the graph.
        datatype: Element type, as numpy names it.
        shape: Sizes; -1 for a dimension of any size.
        tags: Tags.
    """

    name: str
    datatype: str
    shape: list[int]
    tags: Tags | None = None

    def __post_init__(self) -> None:
        _check("name", self.name, str)
        _check("datatype", self.datatype, str)
        object.__setattr__(self, "shape", [int(size) for size in self.shape])
        tags: object = self.tags
        if isinstance(tags, Mapping):
            object.__setattr__(self, "tags", Tags.model_validate(tags))
        _check("tags", self.tags, Tags)


@dataclass(frozen=True)
class ModelRecord(Record):
    """Metadata of a model, for `model_dump`."""

    name: str
    task_type: ModelTaskType | None
    format: Format
    family: str | None
    version: str | None
    metadata: Metadata | None
    tags: Tags | None


def _check(name: str, value: object, kind: type) -> None:
    if value is not None and not isinstance(value, kind):
        msg = f"{name} must be {kind.__name__} or None, got {value!r}"
        raise TypeError(msg)


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Check that a value is one of several choices.

    Raises:
        ValueError: It is not.
    """
    if value not in choices:
        msg = f"{name} must be one of {', '.join(choices)}, got {value!r}"
        raise ValueError(msg)


@dataclass(frozen=True, slots=True)
class ImageInput:
    """Input specification of a network: how photos are resized, placed and scaled.

    Attributes:
        size: Height and width of the input.
        resize: `stretch` to the size; `letterbox`: keep the aspect ratio and pad (as YOLO, with
            enlarging, and without rounding the padding to a stride); `crop`: resize the shorter
            side to `resize_to` and crop the center.
        interpolation: The library and method whose results are reproduced bit for bit.
        resize_to: Shorter side before a crop; the longer one is `int(resize_to * longer /
            shorter)`.
        crop_rounding: Rounding of half an odd margin: `floor` (ResNet50) or `even` (EfficientNet).
        pad_value: Gray level of the padding.
        pad_at: Where a letterbox is padded: on `both` sides, or at the `end` (YOLOX).
        mean: Subtracted from red, green and blue, in 0..255.
        std: Divides red, green and blue, in 0..255.
        color: Channel order of the network.
    """

    size: tuple[int, int]
    resize: Resize = "stretch"
    interpolation: Interpolation = "opencv_linear"
    resize_to: int | None = None
    crop_rounding: Literal["floor", "even"] = "floor"
    pad_value: int = 114
    pad_at: Literal["both", "end"] = "both"
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)
    color: Literal["rgb", "bgr"] = "rgb"

    def layout(self, height: int, width: int) -> Layout:
        """Return where a photo with this height and width is placed on the input."""
        return _layout(self, height, width)

    def with_size(self, size: tuple[int, int]) -> ImageInput:
        """Return the specification for another size, with the same crop in proportion."""
        shorter = self.resize_to and round(self.resize_to * min(size) / min(self.size))
        return replace(self, size=size, resize_to=shorter)

    @property
    def channel_scaling(self) -> tuple[Triple, Triple]:
        """Mean and standard deviation of each channel, in the channel order of the network."""
        return (self.mean, self.std) if self.color == "rgb" else (self.mean[::-1], self.std[::-1])

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the height and width that a photo is resized to, before a crop or padding."""
        return self.layout(height, width).resized

    def __post_init__(self) -> None:
        _check_numbers("size", self.size, 2, Integral)
        _check_numbers("mean", self.mean, 3)
        _check_numbers("std", self.std, 3)
        if min(self.size) < 0:
            msg = f"size must be a height and a width in pixels, got {self.size}"
            raise ValueError(msg)
        check_choice("interpolation", self.interpolation, get_args(Interpolation))
        check_choice("resize", self.resize, get_args(Resize))
        check_choice("crop_rounding", self.crop_rounding, ("floor", "even"))
        check_choice("color", self.color, ("rgb", "bgr"))
        check_choice("pad_at", self.pad_at, ("both", "end"))
        level: object = self.pad_value
        if not (isinstance(level, int) and 0 <= level <= 255):
            msg = f"pad_value must be an integer from 0 to 255, got {self.pad_value!r}"
            raise ValueError(msg)
        if self.resize == "crop" and not self.resize_to:
            msg = "resize='crop' needs resize_to, the length of the shorter side before the crop"
            raise ValueError(msg)
        if 0.0 in self.std:
            msg = f"std must not contain 0, got {self.std}"
            raise ValueError(msg)


def _check_numbers(name: str, value: object, count: int, kind: type[Any] = Real) -> None:
    """Check that a value is a tuple of `count` finite numbers.

    Raises:
        ValueError: It is not.
    """
    numbers = value if isinstance(value, tuple) else ()
    if len(numbers) != count or not all(isinstance(n, kind) and isfinite(n) for n in numbers):
        msg = f"{name} must be a tuple of {count} finite numbers, got {value!r}"
        raise ValueError(msg)


class Layout(NamedTuple):
    """Position of the resized image on the input, for stretch, letterbox and crop."""

    resized: tuple[int, int]
    offset: tuple[int, int]
    scale: float
    pad: tuple[float, float]


def _layout(spec: ImageInput, height: int, width: int) -> Layout:
    if spec.resize == "letterbox":
        return _letterbox(spec, height, width)
    if spec.resize == "crop":
        return _crop(spec, height, width)
    return Layout(spec.size, (0, 0), 1.0, (0.0, 0.0))


def _letterbox(spec: ImageInput, height: int, width: int) -> Layout:
    scale = min(spec.size[0] / height, spec.size[1] / width)
    resized = max(round(height * scale), 1), max(round(width * scale), 1)
    if spec.pad_at == "end":
        return Layout(resized, (0, 0), scale, (0.0, 0.0))
    down, across = (spec.size[0] - resized[0]) / 2, (spec.size[1] - resized[1]) / 2
    offset = round(down - 0.1), round(across - 0.1)  # an odd margin is one larger at the end
    return Layout(resized, offset, scale, (across, down))


def _crop(spec: ImageInput, height: int, width: int) -> Layout:
    shorter, longer = sorted((height, width))
    short = spec.resize_to or shorter
    long = int(short * longer / shorter)
    resized = (short, long) if height <= width else (long, short)
    down, across = (
        _center(length - place, spec.crop_rounding)
        for length, place in zip(resized, spec.size, strict=True)
    )
    offset = -down, -across
    return Layout(resized, offset, short / shorter, (float(offset[1]), float(offset[0])))


def _center(margin: int, rounding: Literal["floor", "even"]) -> int:
    """Return the part of a margin that is before the center; negative means padding."""
    if margin < 0:
        return -(-margin // 2)
    return round(margin / 2) if rounding == "even" else margin // 2


@dataclass(frozen=True, slots=True)
class ImageContext:
    """Geometry of a preprocessed photo, which maps detections back to the photo.

    Attributes:
        width: Width of the photo, in pixels.
        height: Height of the photo, in pixels.
        scale: Resized length over original length (letterbox and crop; 1 for stretch).
        pad: Width and height of the margin before the image; negative if a crop removes pixels.
        stretch: Resized width and height over the photo's, if the photo was stretched.
    """

    width: int
    height: int
    scale: float = 1.0
    pad: tuple[float, float] = (0.0, 0.0)
    stretch: tuple[float, float] | None = None

    def keys(self) -> Iterator[str]:
        """Return the field names, which are the keys of the contexts of 0.10."""
        names = (each.name for each in fields(self))
        return (name for name in names if name != "stretch" or self.stretch is not None)

    def __getitem__(self, key: str) -> Any:
        if key not in self.keys():
            raise KeyError(key)
        return getattr(self, key)


def as_context(value: ImageContext | Mapping[str, Any]) -> ImageContext:
    """Return a context; convert a mapping with the keys of 0.10.

    Raises:
        ValueError: The value is neither a context nor such a mapping.
    """
    if isinstance(value, ImageContext):
        return value
    try:
        known = {"width": 0, "height": 0} | dict(value)
        pad = known.pop("pad", (0.0, 0.0))
        return ImageContext(**known, pad=(float(pad[0]), float(pad[1])))
    except (TypeError, ValueError, IndexError) as error:
        msg = f"expected a context with the keys width, height, scale and pad, got {value!r}"
        raise ValueError(msg) from error


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network of `furiosa_models.networks`.

    Attributes:
        name: Name of the network.
        params: Arguments of its builder.
        layout: Layout of the checkpoints that users may load, see
            `furiosa_models.networks.adapters`.
    """

    name: str
    params: Mapping[str, Any] = field(default_factory=dict)
    layout: str = "native"


class TensorFacts(NamedTuple):
    """Facts about an input or output of a graph.

    Attributes:
        name: Its name.
        shape: Its shape; None for a dimension of any size.
        dtype: Its element type, as numpy names it.
        operations: Types of the operations that computed it, ignoring those that only move values.
        classes: For an output of ArgMax, the number of elements that it chooses from.
        quantization: Scale and zero point of a quantized tensor.
    """

    name: str
    shape: tuple[int | None, ...]
    dtype: str
    operations: frozenset[str] = frozenset()
    classes: int | None = None
    quantization: tuple[float, int] | None = None


FRAMEWORK_KEY = "furiosa_models.framework"
"""Key of the metadata of an ONNX graph that was converted here: its framework."""

DESCRIPTION_KEY = "furiosa_models.model"
"""Key of the metadata of an exported ONNX graph: the fields of `model_info.json`."""

NETWORK_FACTS = "network_graph"
"""Key of the configuration of an exported graph that takes photos: facts about its network."""

DESCRIPTION_MEMBER = "furiosa_models.json"
"""Name of the member of an exported archive (TorchScript, TensorFlow Lite) that has them."""


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """Facts about a graph.

    Attributes:
        inputs: Its inputs.
        outputs: Its outputs.
        metadata: Properties that the exporter wrote into the file.
        format: Format of the file.
    """

    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)
    format: Format = Format.ONNX

    @property
    def operations(self) -> frozenset[str]:
        """Types of the operations that compute the outputs."""
        return frozenset().union(*(output.operations for output in self.outputs))

    @property
    def is_of_tensorflow(self) -> bool:
        """Whether the graph is from TensorFlow, also if it was converted to ONNX here."""
        is_converted = self.metadata.get(FRAMEWORK_KEY) in ("keras", "tensorflow", "tflite")
        return self.format is Format.TFLite or is_converted

    @property
    def shapes(self) -> str:
        """Names and shapes of the outputs, for messages."""
        return ", ".join(f"{o.name} {o.dtype} {_dims(o.shape)}" for o in self.outputs)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width of the graph's input image.

        Raises:
            ShapeError: The graph takes no image, or images of any size, and its metadata has no
                size.
        """
        image = next((tensor for tensor in self.inputs if len(tensor.shape) == 4), None)
        if image is None:
            got = ", ".join(f"{t.name} {_dims(t.shape)}" for t in self.inputs) or "none"
            msg = f"expected a graph with an image (n, c, h, w) or (n, h, w, c), got {got}"
            raise ShapeError(msg)
        is_nhwc = image.shape[3] in (1, 3) and image.shape[1] not in (1, 3)
        height, width = image.shape[1:3] if is_nhwc else image.shape[2:]
        if height is not None and width is not None:
            return height, width
        numbers = [
            part.strip() for part in self.metadata.get("imgsz", "").strip("[]() ").split(",")
        ]
        if 1 <= len(numbers) <= 2 and all(number.isdecimal() for number in numbers):
            return int(numbers[0]), int(numbers[-1])  # as written by YOLO exporters
        msg = (
            f"the graph takes images of any size as {image.name!r}: "
            'pass input={"size": (height, width)}'
        )
        raise ShapeError(msg)

    def to_json(self) -> str:
        """Return the facts as JSON."""
        rows = [
            [[*t[:3], sorted(t.operations), t.classes, t.quantization] for t in ts]
            for ts in self._tensors
        ]
        return json.dumps([*rows, dict(self.metadata), self.format.value])

    @classmethod
    def from_json(cls, text: str | bytes) -> GraphFacts:
        """Return facts from the result of `to_json`."""
        inputs, outputs, metadata, kind = json.loads(text)

        def tensors(rows: Any) -> tuple[TensorFacts, ...]:
            return tuple(
                TensorFacts(n, tuple(s), d, frozenset(o), c, tuple(q) if q else None)
                for n, s, d, o, c, q in rows
            )

        return cls(tensors(inputs), tensors(outputs), metadata, Format(kind))

    def within(self, info: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of a `model_info.json` with these facts."""
        config = {**info.get("config", {}), "graph": json.loads(self.to_json())}
        return {**info, "config": config}

    @classmethod
    def of_description(cls, info: Mapping[str, Any]) -> GraphFacts:
        """Return the facts in the fields of a `model_info.json`.

        Raises:
            WeightsError: There are none, or malformed ones.
        """
        try:
            return cls.from_json(json.dumps(info["config"]["graph"]))
        except (KeyError, TypeError, ValueError) as error:
            msg = f"the description of the model has no facts about its graph: {error!r}"
            raise WeightsError(msg) from error

    @property
    def _tensors(self) -> tuple[tuple[TensorFacts, ...], tuple[TensorFacts, ...]]:
        return self.inputs, self.outputs


UNKNOWN_INPUT = ImageInput(size=(0, 0))
"""Placeholder for an input that is determined from the graph."""


class ClassChannels(NamedTuple):
    """Arrangement of the channels of an output that has scores of classes.

    Attributes:
        groups: Number of groups, such as the default boxes of a cell; each has every class once.
        before: Number of a group's channels before its classes, such as those of a box.
        background: Number of classes before the first one in the table of labels.
        after: Number of a group's channels after its classes, such as that of no object.
        is_class_major: Whether channel `class * groups + group` is a class of a group, rather than
            `group * (before + classes + after) + before + class`.
    """

    groups: int = 1
    before: int = 0
    background: int = 0
    after: int = 0
    is_class_major: bool = False


class Head:
    """Base class of heads, which convert outputs to results; subclasses are frozen dataclasses.

    `decode(outputs, contexts, labels, platform, **options)` returns one result per image of a
    batch. It accepts the options of its task.

    Attributes:
        task: The task of its results: a `furiosa_models.tasks.base.VisionTask`.
    """

    __slots__ = ()

    task: ClassVar[Any]
    decode: ClassVar[Callable[..., list[Any]]]

    def fit(self, graph: GraphFacts) -> Head:
        """Return the head for a graph: this one, or one with fields determined from the graph.

        Raises:
            ShapeError: No head can decode the graph's outputs.
        """
        del graph
        return self

    def input_for(self, graph: GraphFacts) -> ImageInput | None:
        """Return the usual input specification of such networks, or None."""
        del graph
        return None

    def with_labels(
        self, labels: tuple[str, ...] | None, graph: GraphFacts
    ) -> tuple[Head, tuple[str, ...]]:
        """Return the head and the table of labels for its class ids.

        Args:
            labels: Known class names, or None.
            graph: The graph.

        Raises:
            LabelsError: The graph has another number of classes.
        """
        del graph
        return self, labels or ()

    def class_channels(self, outputs: Sequence[TensorFacts]) -> list[ClassChannels | None]:
        """Return how the channels of each output are arranged, or None for one without classes.

        This is what replacing the classes of a network needs, before it is trained on others.

        Raises:
            ShapeError: The outputs have no layer whose channels are scores of classes.
        """
        del outputs
        msg = (
            f"the classes of a network with {type(self).__name__} cannot be replaced: export it "
            "with raw outputs, or pass labels= if its classes are those of the data"
        )
        raise ShapeError(msg)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Specification of a model.

    Attributes:
        network: Network that checkpoints and random weights are loaded into; None for a model that
            takes only whole graphs.
        input: Input specification.
        head: Head, which converts outputs to results.
        labels: Name of the table of labels of the published weights, or the labels themselves.
    """

    network: NetworkSpec | None
    input: ImageInput
    head: Head
    labels: str | tuple[str, ...] = ()

    def override(
        self,
        *,
        input: ImageInput | Mapping[str, Any] | None = None,
        head: Head | Mapping[str, Any] | None = None,
        labels: str | Sequence[str] | None = None,
    ) -> ModelSpec:
        """Return the specification with parts replaced.

        Args:
            input: Another input specification, or some of its fields.
            head: Another head, or some of its fields.
            labels: Name of another table of labels, or the labels themselves.

        Raises:
            TypeError: A field is unknown.
        """
        if labels is None:
            names = self.labels
        else:
            names = labels if isinstance(labels, str) else tuple(labels)
        return ModelSpec(
            self.network, _overridden(self.input, input), _overridden(self.head, head), names
        )


def _overridden(part: Any, by: Any) -> Any:
    """Return a part of a specification, a replacement, or the part with some fields replaced."""
    if by is None:
        return part
    kind = Head if isinstance(part, Head) else ImageInput
    if isinstance(by, kind):
        return by
    known = [each.name for each in fields(part)]
    if not isinstance(by, Mapping):
        msg = f"expected {kind.__name__} or a mapping of its fields, got {by!r}"
        raise TypeError(msg)
    if not known:  # a placeholder head; the fields apply to the head that replaces it
        return part
    if unknown := [name for name in by if name not in known]:
        msg = f"{type(part).__name__} has no {', '.join(map(repr, unknown))}; it has {known}"
        raise TypeError(msg)
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in by.items()}
    return replace(part, **values) if values else part


def _dims(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("n" if size is None else str(size) for size in shape) + ")"
