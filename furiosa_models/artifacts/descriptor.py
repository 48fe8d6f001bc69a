"""The descriptor: every model of the zoo, its sets of weights, and the sources of their files.

`zoo.json` is maintained by hand and is also the index of the catalog. To avoid repetition it states
each fact once; this module fills in the rest:

| in `zoo.json` | becomes |
|---|---|
| `bucket` | sources of the files of sets without a `location`: FuriosaAI's public bucket |
| `measurements` | metric, data set and author of each accuracy figure that refers to one |
| a model's `family`, `version` and `labels` | those of its sets, unless a set overrides them |
| a set's `location` and `folder` | the source of each of its files, under the file's name |
| a file's `member`, `sources` | its path in `location`, or its URIs, where the rule above fails |
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar

from ..enums import ModelTaskType
from ..errors import DescriptorError

if TYPE_CHECKING:
    from ..spec import Metadata

__all__ = [
    "Accuracy",
    "Artifact",
    "File",
    "License",
    "ModelEntry",
    "Network",
    "is_sha256",
    "object_path",
    "parse_zoo",
    "read_pin",
    "read_zoo",
    "sets_of",
    "zoo",
]

ZOO = Path(__file__).with_name("zoo.json")

_DIGITS = {"sha256": 64, "md5": 32}
_MAX_SIZE = 1 << 50
_V = TypeVar("_V")

# Every prediction imports this module. Named tuples are ten times faster to define than
# dataclasses, so they are used where no check is needed; metadata is parsed on demand.


@dataclass(frozen=True)
class File:
    """One file of an artifact: its identity and its sources.

    Attributes:
        name: File name, unique in its artifact. For display only: it does not identify the file.
        size: Size in bytes, or None if unknown.
        sources: URIs in order of preference; see `furiosa_models.artifacts.sources`.
        sha256: SHA-256 of the bytes, in hex. Identifies the file if present.
        md5: MD5 of the bytes, in hex. Identifies files that were published without a SHA-256.

    Raises:
        TypeError: The size is not an integer, or a name, source or hash is not a string.
        ValueError: The size is out of range, the hash is malformed, or there is no hash.
    """

    name: str
    size: int | None
    sources: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None

    def __post_init__(self) -> None:
        for text in (self.name, *self.sources):
            if type(text) is not str:
                msg = f"file {self.name!r}: names and sources must be strings, got {text!r}"
                raise TypeError(msg)
        if self.size is not None and type(self.size) is not int:
            msg = f"file {self.name!r}: size must be an integer, got {self.size!r}"
            raise TypeError(msg)
        if self.size is not None and not 0 < self.size <= _MAX_SIZE:
            msg = f"file {self.name!r}: size must be in 1..{_MAX_SIZE}, got {self.size}"
            raise ValueError(msg)
        if not (self.sha256 or self.md5):
            msg = f"file {self.name!r} has neither sha256 nor md5"
            raise ValueError(msg)
        for algorithm, digits in _DIGITS.items():
            digest = getattr(self, algorithm)
            if digest is not None and not _is_hex(digest, digits):
                msg = f"file {self.name!r}: {algorithm} must be {digits} hex digits, got {digest!r}"
                raise ValueError(msg)

    @property
    def algorithm(self) -> Literal["sha256", "md5"]:
        """Hash algorithm that identifies the file."""
        return "sha256" if self.sha256 else "md5"

    @property
    def digest(self) -> str:
        """Hash that identifies the file, in hex."""
        return self.sha256 or self.md5 or ""


class License(NamedTuple):
    """Licenses of a set of weights, as SPDX expressions.

    Attributes:
        origin: License granted by the authors of the weights.
        carrier: License declared by the package that distributes them, if a package does.
        note: What a user has to know.
    """

    origin: str
    carrier: str | None = None
    note: str | None = None

    @property
    def is_permissive(self) -> bool:
        """Whether the weights may be used in closed products, with attribution."""
        return self.origin in PERMISSIVE

    @property
    def terms(self) -> str:
        """What the license of the authors means for a user, in short; not legal advice."""
        if self.is_permissive:
            return (
                "You may use, change and sell the network, also in closed products; keep the "
                "authors' notices."
            )
        name = self.origin.partition("-")[0]
        return COPYLEFT.get(name, "Read the license before you use the network.")


PERMISSIVE = frozenset(
    {"0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC0-1.0", "ISC", "MIT"}
    | {"Unlicense", "Zlib"}
)
"""Licenses, as SPDX names, that only demand attribution, or nothing."""

COPYLEFT = MappingProxyType(
    {
        "AGPL": (
            "You may use, change and sell the network, but whoever receives a program with it, or "
            "uses a service with it over a network, must be offered the source of the whole under "
            "the AGPL. Ask the authors for another license for closed products."
        ),
        "GPL": (
            "You may use, change and sell the network, but whoever receives a program with it must "
            "be offered the source of the whole under the GPL."
        ),
    }
)
"""What licenses mean that extend to whatever contains the network, by the start of their names."""


class Accuracy(NamedTuple):
    """One measured accuracy figure of a set of weights.

    Attributes:
        metric: `top-1`, `top-5`, `mAP`, `OKS mAP`, or what it measures in words.
        value: The figure, between 0 and 1.
        dataset: Data set of the measurement.
        measured_by: Who measured it, and with which tool.
    """

    metric: str
    value: float
    dataset: str
    measured_by: str


class Network(NamedTuple):
    """How to build an ONNX graph from a checkpoint.

    Attributes:
        name: Name of a network in `furiosa_models.networks`.
        reader: Format of the weights, a reader of `furiosa_models.networks.readers`.
        layout: Origin of the weights: a layout of `furiosa_models.networks.adapters`.
        params: Arguments of the network's builder.
    """

    name: str
    reader: str
    layout: str = "native"
    params: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Artifact:
    """One set of weights of one model.

    Attributes:
        name: Class name of the model.
        weights: Name of this set of weights, unique within the model.
        family: Family of networks.
        version: Version of the model with these weights.
        format: `onnx` and `tflite` files are programs; `code` is network code plus weights.
        location: Web page of the weights, or the package that contains them.
        labels: Name of the table of class labels.
        license: Licenses.
        files: Files of the set.
        description: What is special about this set, if the model's description does not say it.
        network: How to build a graph from the checkpoint, for `code`.
        input: Overrides of the model's input specification.
        head: Overrides of the model's head specification.
        accuracy: Measured accuracy figures.
        tensor_ranges: Calibrated ranges of the tensors of the origin graph.
        enf: ENF files by compiler IR version and number of processing elements (`1pe`, `2pe`).
        dfg: Intermediate graphs of the compiler of furiosa-models 0.8, with the same keys.
        int8: Quantized ONNX graphs by the version that published them: `whole`, and `truncated`,
            which leaves the last steps to the postprocessor.
    """

    name: str
    weights: str
    family: str
    version: str
    format: Literal["onnx", "tflite", "code"]
    location: str
    labels: str
    license: License
    files: tuple[File, ...]
    description: str | None = None
    network: Network | None = None
    input: Mapping[str, Any] = field(default_factory=dict)
    head: Mapping[str, Any] = field(default_factory=dict)
    accuracy: tuple[Accuracy, ...] = ()
    tensor_ranges: File | None = None
    enf: Mapping[str, Mapping[str, File]] = field(default_factory=dict)
    dfg: Mapping[str, Mapping[str, File]] = field(default_factory=dict)
    int8: Mapping[str, Mapping[str, File]] = field(default_factory=dict)

    @property
    def all_files(self) -> list[File]:
        """Files, NPU programs and tensor ranges."""
        versions = [*self.enf.values(), *self.dfg.values(), *self.int8.values()]
        programs = [file for sizes in versions for file in sizes.values()]
        ranges = [self.tensor_ranges] if self.tensor_ranges else []
        return [*self.files, *programs, *ranges]

    @property
    def size(self) -> int:
        """Size of the files in bytes, without NPU programs and tensor ranges."""
        return sum(file.size or 0 for file in self.files)

    @property
    def title(self) -> str:
        """Name for messages: model, set, and the first accuracy figure if there is one."""
        label = f"{self.name}/{self.weights}"
        if not self.accuracy:
            return label
        first = self.accuracy[0]
        return f"{label} ({first.metric} {first.value:.3f} on {first.dataset})"


@dataclass(frozen=True)
class ModelEntry:
    """One model of the zoo.

    Attributes:
        class_name: Name of its class, which is its name in the catalog.
        name: Its `name` attribute, as in furiosa-models 0.10.
        module: Module of its class, below `furiosa_models.zoo`.
        task: Its task.
        family: Family of networks.
        version: Version of the model.
        labels: Name of its table of class labels.
        summary: One-line description: what it is, its classes, its size.
        facts: Fields of its `metadata`.
        aliases: Other names that find it, as in furiosa-artifacts.
        sets: Its sets of weights by name, in order of preference.
    """

    class_name: str
    name: str
    module: str
    task: ModelTaskType
    family: str
    version: str
    labels: str
    summary: str
    facts: Mapping[str, Any]
    aliases: tuple[str, ...]
    sets: Mapping[str, Artifact]

    @property
    def metadata(self) -> Metadata:
        """Description, authors and publication."""
        from ..spec import Metadata

        return Metadata.model_validate(self.facts)


def is_sha256(text: str) -> bool:
    """Return whether a string is a SHA-256 in lowercase hex."""
    return _is_hex(text, _DIGITS["sha256"])


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and not text.strip("0123456789abcdef")


def read_pin(path: Path) -> str | None:
    """Return the SHA-256 stored in a pin file, or None if the file is missing or malformed.

    Raises:
        OSError: The file cannot be read.
    """
    if not path.is_file():
        return None
    text = path.read_bytes().decode("ascii", errors="replace")
    return text if is_sha256(text) else None


def object_path(algorithm: str, digest: str) -> str:
    """Return the path of a file below `objects` in a store, and below a mirror."""
    return f"{algorithm}/{digest[:2]}/{digest}"


@cache
def zoo() -> Mapping[str, ModelEntry]:
    """Return the models of the zoo by class name, in alphabetical order."""
    return read_zoo(ZOO.read_bytes(), ZOO.name)


def sets_of(model: str) -> Mapping[str, Artifact]:
    """Return the sets of weights of a model by name, in order of preference.

    Args:
        model: Class name of the model. An unknown model has no sets.
    """
    entry = zoo().get(model)
    return entry.sets if entry else {}


def read_zoo(text: bytes, name: str) -> Mapping[str, ModelEntry]:
    """Parse a descriptor file; see `parse_zoo`.

    Raises:
        DescriptorError: The text is not valid JSON, has a duplicate key, or contains NaN or
            Infinity.
    """
    try:
        document = json.loads(
            text, object_pairs_hook=_reject_duplicate_keys, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError) as error:
        msg = f"descriptor {name} is not valid JSON: {error}"
        raise DescriptorError(msg) from error
    return parse_zoo(document, name)


def parse_zoo(document: Any, name: str) -> Mapping[str, ModelEntry]:
    """Return the models of a descriptor by class name.

    Entries are parsed lazily: a malformed entry raises `DescriptorError` on first access.

    Args:
        document: The parsed JSON document.
        name: Name of the descriptor, for error messages.

    Raises:
        DescriptorError: The document is not an object with a list of uniquely named models.
    """
    if not isinstance(document, dict):
        msg = f"descriptor {name}: expected an object, got {type(document).__name__}"
        raise DescriptorError(msg)
    reader = _Reader(document, f"descriptor {name}")
    return _LazyMapping(
        _index_by_name(document, "models", "class", f"descriptor {name}"), reader.read_model
    )


class _LazyMapping(Mapping[str, _V]):
    """Values by name, each made from its item on first access."""

    def __init__(self, items: Mapping[str, Any], make: Callable[[Any], _V]) -> None:
        self._items = items
        self._make = make
        self._made: dict[str, _V] = {}

    def __getitem__(self, name: str) -> _V:
        if name not in self._made:
            self._made[name] = self._make(self._items[name])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)


class _Reader:
    """Build complete entries from the document, where each fact is stated once."""

    def __init__(self, document: Mapping[str, Any], place: str) -> None:
        self._place = place
        self._bucket = document.get("bucket", {})
        self._measurements = document.get("measurements", {})

    def read_model(self, item: Mapping[str, Any]) -> ModelEntry:
        place = f"{self._place}: {item['class']}"
        sets = _index_by_name(item, "weights", "name", place)

        def read_set(each: Mapping[str, Any]) -> Artifact:
            return _build_checked(lambda: self._artifact(item, each), f"{place}/{each['name']}")

        return _build_checked(lambda: self._entry(item, _LazyMapping(sets, read_set)), place)

    def _entry(self, item: Mapping[str, Any], sets: Mapping[str, Artifact]) -> ModelEntry:
        values = {**item}
        del values["weights"]
        entry = ModelEntry(
            class_name=values.pop("class"),
            task=ModelTaskType(values.pop("task")),
            facts=_check_object(values.pop("metadata"), "metadata"),
            aliases=_check_strings(values.pop("aliases", ()), "aliases"),
            sets=sets,
            **values,
        )
        plain = ("name", "module", "family", "version", "labels", "summary")
        _check_strings([getattr(entry, name) for name in plain], " ".join(plain))
        return entry

    def _artifact(self, model: Mapping[str, Any], item: Mapping[str, Any]) -> Artifact:
        values = {**item}
        location = values.pop("location", None)
        folder = values.pop("folder", None)
        network = values.pop("network", None)
        ranges = values.pop("tensor_ranges", None)
        base = location if folder is None else f"{location}/{folder}"
        artifact = Artifact(
            name=model["class"],
            weights=values.pop("name"),
            family=model["family"],
            version=values.pop("version", model["version"]),
            location=location or self._bucket["location"],
            labels=values.pop("labels", model["labels"]),
            license=License(**values.pop("license")),
            files=tuple(self._file(file, base, location) for file in values.pop("files")),
            network=Network(**network) if network else None,
            accuracy=tuple(map(self._accuracy, values.pop("accuracy", ()))),
            tensor_ranges=self._file(ranges) if ranges else None,
            enf=self._programs(values.pop("enf", {})),
            dfg=self._programs(values.pop("dfg", {})),
            int8=self._programs(values.pop("int8", {})),
            **values,
        )
        plain = ("weights", "family", "version", "format", "location", "labels")
        _check_strings([getattr(artifact, name) for name in plain], " ".join(plain))
        return artifact

    def _programs(self, table: Mapping[str, Any]) -> Mapping[str, Mapping[str, File]]:
        return {
            version: {size: self._file(file) for size, file in files.items()}
            for version, files in table.items()
        }

    def _file(
        self, item: Mapping[str, Any], folder: str | None = None, location: str | None = None
    ) -> File:
        values = {**item}
        member, sources = values.pop("member", None), values.pop("sources", None)
        if sources is None and location is None:
            sources = self._published(values["md5"])
        elif sources is None:
            sources = [f"{location}/{member}" if member else f"{folder}/{values['name']}"]
        if not isinstance(sources, list):
            msg = f"sources must be a list, got {sources!r}"
            raise TypeError(msg)
        return File(size=values.pop("size"), sources=tuple(sources), **values)

    def _published(self, md5: str) -> list[str]:
        endpoint, paths = self._bucket["endpoint"], self._bucket["paths"]
        return [f"{endpoint}/{path.format(head=md5[:2], tail=md5[2:])}" for path in paths]

    def _accuracy(self, item: Mapping[str, Any]) -> Accuracy:
        values = {**item}
        name = values.pop("measurement", None)
        figure = Accuracy(**(self._measurements[name] if name else {}), **values)
        _check_strings(
            [figure.metric, figure.dataset, figure.measured_by], "metric, dataset and measured_by"
        )
        if type(figure.value) not in (int, float) or not 0 <= figure.value <= 1:
            msg = f"{figure.metric} must be between 0 and 1, got {figure.value!r}"
            raise ValueError(msg)
        return figure


def _index_by_name(item: Mapping[str, Any], key: str, name: str, place: str) -> dict[str, Any]:
    """Index the items of the list `item[key]` by their unique field `name`."""
    found: dict[str, Any] = {}
    items = item.get(key)
    if not isinstance(items, list):
        msg = f"{place} has no list under the key {key!r}"
        raise DescriptorError(msg)
    for each in items:
        if not isinstance(each, dict) or not isinstance(each.get(name), str):
            msg = f"{place}: an item of {key!r} has no {name!r}"
            raise DescriptorError(msg)
        if each[name] in found:
            msg = f"{place}: duplicate entry {each[name]!r}"
            raise DescriptorError(msg)
        found[each[name]] = each
    return found


def _build_checked(make: Callable[[], _V], place: str) -> _V:
    """Return `make()`, and raise a malformed value as a `DescriptorError` that names the place."""
    try:
        return make()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"missing key {error}" if isinstance(error, KeyError) else error
        msg = f"{place} does not follow the schema: {reason}"
        raise DescriptorError(msg) from error


def _check_strings(values: Any, name: str) -> tuple[str, ...]:
    """Return a list of strings as a tuple; reject a bare string, which is also iterable."""
    if not isinstance(values, (list, tuple)) or any(type(value) is not str for value in values):
        msg = f"{name}: expected strings, got {str(values)[:80]}"
        raise TypeError(msg)
    return tuple(values)


def _check_object(value: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        msg = f"{name}: expected an object, got {str(value)[:80]}"
        raise TypeError(msg)
    return value


def _reject_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        msg = f"the key {next(name for name in names if names.count(name) > 1)!r} occurs twice"
        raise ValueError(msg)
    return found


def _reject_constant(number: str) -> None:
    msg = f"{number} is not a JSON number"
    raise ValueError(msg)
