"""The descriptor: every model of the zoo, its sets of weights, and where their bytes are.

`zoo.json` is maintained by hand, and is the catalog's index as well. It says each fact once, and
what this module reads from it is complete:

| in `zoo.json` | becomes |
|---|---|
| `bucket` | sources of the files of sets without a `location`: where FuriosaAI published them |
| `measurements` | metric, data set and author of each figure that names one of them |
| a model's `family`, `version` and `labels` | those of its sets; a set may state others |
| a set's `location` and `folder` | the source of each of its files, under the file's name |
| a file's `member`, `sources` | its path in `location` or its URIs, where that is not so |
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

# A prediction reads this module. Named tuples take a tenth of the time of dataclasses to define,
# so they are used where nothing is checked; and what a model says of itself is built on demand.


@dataclass(frozen=True)
class File:
    """One file of an artifact: its identity, and where its bytes can be had.

    Attributes:
        name: File name, unique in its artifact; shown to people, never decides what is served.
        size: Size in bytes, or None where it is not known.
        sources: URIs in order of preference; see `furiosa_models.artifacts.sources`.
        sha256: SHA-256 of the bytes, in hex; the identity where it is known.
        md5: MD5 of the bytes, in hex; the identity of what was published with nothing better.

    Raises:
        TypeError: A size is no number, or a name, a source or a hash is no text.
        ValueError: The size is not positive, or there is no hash, or it is none.
    """

    name: str
    size: int | None
    sources: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None

    def __post_init__(self) -> None:
        for text in (self.name, *self.sources):
            if type(text) is not str:
                msg = f"file {self.name!r}: names and sources are text, got {text!r}"
                raise TypeError(msg)
        if self.size is not None and type(self.size) is not int:
            msg = f"file {self.name!r}: size must be a whole number, got {self.size!r}"
            raise TypeError(msg)
        if self.size is not None and not 0 < self.size <= _MAX_SIZE:
            msg = f"file {self.name!r}: size must be greater than 0 and no more than {_MAX_SIZE}"
            raise ValueError(msg)
        if not (self.sha256 or self.md5):
            msg = f"file {self.name!r} has neither sha256 nor md5"
            raise ValueError(msg)
        for algorithm, digits in _DIGITS.items():
            digest = getattr(self, algorithm)
            if digest is not None and not _is_hex(digest, digits):
                msg = f"file {self.name!r}: {digest!r} is no {algorithm} in hex"
                raise ValueError(msg)

    @property
    def algorithm(self) -> Literal["sha256", "md5"]:
        """Hash algorithm that identifies the file."""
        return "sha256" if self.sha256 else "md5"

    @property
    def digest(self) -> str:
        """Hash, in hex, that identifies the file."""
        return self.sha256 or self.md5 or ""


class License(NamedTuple):
    """Licenses of a set of weights, as SPDX expressions.

    Attributes:
        origin: What the authors of the weights grant.
        carrier: What the package that carries them declares, where a package carries them.
        note: What a user has to know.
    """

    origin: str
    carrier: str | None = None
    note: str | None = None


class Accuracy(NamedTuple):
    """One measured figure of a set of weights.

    Attributes:
        metric: `top-1`, `top-5`, `mAP` or `OKS mAP`.
        value: The figure, between 0 and 1.
        dataset: What it was measured on.
        measured_by: Who measured it, with what.
    """

    metric: str
    value: float
    dataset: str
    measured_by: str


class Network(NamedTuple):
    """How a checkpoint becomes an ONNX graph.

    Attributes:
        name: Network of `furiosa_models.networks`.
        reader: Format of the weights, a reader of `furiosa_models.networks.readers`.
        layout: Where the weights are from, a layout of `furiosa_models.networks.adapters`.
        params: Arguments of the network.
    """

    name: str
    reader: str
    layout: str = "native"
    params: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Artifact:
    """One set of weights of one model.

    Attributes:
        name: Class of the model.
        weights: Name of this set of weights, unique for the model.
        family: Family of networks.
        version: Version of the model that it makes.
        format: `onnx` and `tflite` files are programs; `code` is network code plus weights.
        location: Where people can read of it, or the package that carries it.
        labels: Name of the table of labels of what it finds.
        license: Licenses.
        files: The files it is made of.
        description: What it is, where the model's own description does not say it.
        network: How the checkpoint becomes a graph, for `code`.
        input: What differs from the model's own input specification.
        head: What differs from the model's own head specification.
        accuracy: Measured figures.
        tensor_ranges: Calibrated ranges of the origin's tensors.
        enf: ENF files by compiler IR version and number of processing elements (`1pe`, `2pe`).
        dfg: Intermediate graphs of 0.8's compiler, likewise.
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
        """Its files, its NPU programs and its tensor ranges."""
        versions = [*self.enf.values(), *self.dfg.values(), *self.int8.values()]
        programs = [file for sizes in versions for file in sizes.values()]
        ranges = [self.tensor_ranges] if self.tensor_ranges else []
        return [*self.files, *programs, *ranges]

    @property
    def size(self) -> int:
        """Bytes of its files, without NPU programs and tensor ranges."""
        return sum(file.size or 0 for file in self.files)

    @property
    def title(self) -> str:
        """Name for messages: model, set, and the first accuracy that is known."""
        label = f"{self.name}/{self.weights}"
        if not self.accuracy:
            return label
        first = self.accuracy[0]
        return f"{label} ({first.metric} {first.value:.3f} on {first.dataset})"


@dataclass(frozen=True)
class ModelEntry:
    """One model of the zoo.

    Attributes:
        class_name: Name of its class, by which the catalog knows it.
        name: Its `name`, as in furiosa-models 0.10.
        module: Module of its class, in `furiosa_models.zoo`.
        task: What it is for.
        family: Family of networks.
        version: Version of the model.
        labels: Name of its table of labels.
        summary: One line: what it is, its classes, its size.
        facts: Fields of its `metadata`.
        aliases: Other names that find it: those of furiosa-artifacts.
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
        """What it is, in words."""
        from ..spec import Metadata

        return Metadata.model_validate(self.facts)


def is_sha256(text: str) -> bool:
    """Return whether a text is a SHA-256 in hex."""
    return _is_hex(text, _DIGITS["sha256"])


def _is_hex(text: str, digits: int) -> bool:
    return len(text) == digits and not text.strip("0123456789abcdef")


def read_pin(path: Path) -> str | None:
    """Return the SHA-256 that a pin holds; None where there is none, or what is no SHA-256.

    Raises:
        OSError: It cannot be read.
    """
    if not path.is_file():
        return None
    text = path.read_bytes().decode("ascii", errors="replace")
    return text if is_sha256(text) else None


def object_path(algorithm: str, digest: str) -> str:
    """Return where a file is below `objects` in a store, and below a mirror."""
    return f"{algorithm}/{digest[:2]}/{digest}"


@cache
def zoo() -> Mapping[str, ModelEntry]:
    """Return the models of the zoo by class name, in alphabetical order."""
    return read_zoo(ZOO.read_bytes(), ZOO.name)


def sets_of(model: str) -> Mapping[str, Artifact]:
    """Return the sets of weights of a model by name, in order of preference.

    Args:
        model: Name of its class; one that the zoo does not have has no sets.
    """
    entry = zoo().get(model)
    return entry.sets if entry else {}


def read_zoo(text: bytes, name: str) -> Mapping[str, ModelEntry]:
    """Return the models that a descriptor describes; as `parse_zoo`, of a file.

    Raises:
        DescriptorError: It is no JSON, says a key twice, or holds a number that JSON does not have.
    """
    try:
        document = json.loads(
            text, object_pairs_hook=_reject_duplicate_keys, parse_constant=_reject_constant
        )
    except (ValueError, RecursionError) as error:
        msg = f"descriptor {name} is no JSON: {error}"
        raise DescriptorError(msg) from error
    return parse_zoo(document, name)


def parse_zoo(document: Any, name: str) -> Mapping[str, ModelEntry]:
    """Return the models that a descriptor describes, by class name.

    An entry is read, and its `DescriptorError` raised, when it is first asked for.

    Args:
        document: The descriptor, from JSON.
        name: What to call it in messages.

    Raises:
        DescriptorError: It is no list of models, each with a name of its own.
    """
    if not isinstance(document, dict):
        msg = f"descriptor {name} is no object"
        raise DescriptorError(msg)
    reader = _Reader(document, f"descriptor {name}")
    return _LazyMapping(
        _index_by_name(document, "models", "class", f"descriptor {name}"), reader.read_model
    )


class _LazyMapping(Mapping[str, _V]):
    """Values by name, each made of its item when it is first read."""

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
    """Makes complete entries of what the document says once."""

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
    """The items of a list by a field that each has a value of its own for."""
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
            msg = f"{place}: {each[name]} is there twice"
            raise DescriptorError(msg)
        found[each[name]] = each
    return found


def _build_checked(make: Callable[[], _V], place: str) -> _V:
    """What `make` returns; what it finds malformed is an error that names the place."""
    try:
        return make()
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        reason = f"there is no {error}" if isinstance(error, KeyError) else error
        msg = f"{place} does not follow the schema: {reason}"
        raise DescriptorError(msg) from error


def _check_strings(values: Any, name: str) -> tuple[str, ...]:
    """A list of texts; not one text, which Python takes for the list of its letters."""
    if not isinstance(values, (list, tuple)) or any(type(value) is not str for value in values):
        msg = f"{name}: expected text, got {str(values)[:80]}"
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
        msg = f"the key {next(name for name in names if names.count(name) > 1)!r} is there twice"
        raise ValueError(msg)
    return found


def _reject_constant(number: str) -> None:
    msg = f"{number} is no number of JSON"
    raise ValueError(msg)
