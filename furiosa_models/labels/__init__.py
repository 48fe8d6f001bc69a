"""Tables of labels: class names by class id."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from ..errors import LabelsError

__all__ = [
    "BACKGROUNDS",
    "TABLES",
    "class_names",
    "coco_ids",
    "given_names",
    "load_labels",
    "ordered_names",
    "parse_names",
    "parse_yaml",
    "plain_name",
    "read_labels",
    "replaced_names",
    "table_of",
]


BACKGROUNDS = frozenset({"background", "__background__", "???", "unlabeled"})
"""Names of the background class in tables of labels."""

_DIGITS = 10  # maximum length of a class id; int() rejects numbers of thousands of digits

_MAX_DEPTH = 32  # nesting of YAML

TABLES = (
    *("ade20k", "bdd100k", "coco80", "coco81", "coco91", "foreground", "imagenet1k", "objects365"),
    *("person", "voc21"),
)
"""Names of the tables of this package."""

_SYNONYMS = {
    "aeroplane": "airplane",
    "motorbike": "motorcycle",
    "sofa": "couch",
    "tvmonitor": "tv",
}
"""Names of Pascal VOC for classes that COCO has, too."""


@cache
def load_labels(table: str) -> tuple[str, ...]:
    """Return the class names of a table by class id.

    Args:
        table: Name of a table.

            | table | classes |
            |---|---|
            | `imagenet1k` | the 1000 of ILSVRC-2012 |
            | `coco80` | the 80 of COCO's annotations, in order |
            | `coco81` | those behind `background` at 0 |
            | `coco91` | by category ids of COCO, 1 to 90, behind `background` |
            | `bdd100k` | the 10 of BDD100K's detection task |
            | `ade20k` | the 150 of ADE20K's scene parsing, without background |
            | `foreground` | one: whatever is in the foreground |
            | `person` | one: people |
            | `voc21` | the 20 of Pascal VOC behind `background` |
            | `objects365` | the 365 of Objects365, version 2, with the names of its annotations |
    """
    path = Path(__file__).with_name(f"{table}.txt")
    return tuple(path.read_text(encoding="utf-8").splitlines())


@lru_cache(maxsize=8)
def coco_ids(names: tuple[str, ...]) -> tuple[int, ...] | None:
    """Return COCO's category id of each class by its name; None if a class is not in COCO."""
    table = {name: index for index, name in enumerate(load_labels("coco91"))}
    if not names or any(name not in table for name in names):
        return None
    return tuple(table[name] for name in names)


def class_names(labels: tuple[str, ...] | None, count: int) -> tuple[str, ...]:
    """Return the labels of `count` classes; make up names if they are unknown.

    Raises:
        LabelsError: The number of labels is wrong.
    """
    if labels is None:
        return tuple(f"class_{i}" for i in range(count))
    if len(labels) != count:
        few = ", ".join(labels[:3])
        msg = (
            f"the network has {count} classes, but there are {len(labels)} labels ({few}, ...): "
            f"pass labels=[...] with the {count} names in the order of its outputs"
        )
        raise LabelsError(msg)
    return labels


def given_names(labels: object) -> str | tuple[str, ...]:
    """Normalize a user's labels: the name of a table or file, or the class names.

    Args:
        labels: A name; or class names in order; or a mapping of names by class id, such as
            `model.names` of YOLO.

    Raises:
        LabelsError: They have no order, or are not strings.
    """
    if isinstance(labels, (str, os.PathLike)):
        return os.fspath(labels)
    if isinstance(labels, Mapping):
        found = ordered_names(dict(labels))
    elif isinstance(labels, Iterable) and not isinstance(labels, (bytes, AbstractSet)):
        found = tuple(labels)
    else:
        found = ()
    if not found or not all(isinstance(name, str) for name in found):
        msg = (
            f"labels must be class names in order, or a mapping of names by class id, got "
            f"{type(labels).__name__} {str(labels)[:60]}"
        )
        raise LabelsError(msg)
    return tuple(str(name) for name in found)


def replaced_names(table: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names that replace those of a table; its background may be omitted.

    Raises:
        LabelsError: The number of names is wrong.
    """
    if len(names) == len(table) - 1 and table[0] in BACKGROUNDS:
        return (table[0], *names)
    return class_names(names, len(table))


def read_labels(source: str | os.PathLike[str]) -> tuple[str, ...]:
    """Return the labels of a table of this package, or of a file.

    Args:
        source: Name of a table; or a file: one name per line; JSON (a list, or an object with names
            by class id or class ids by name); or YAML with such `names`, as in YOLO data sets.

    Raises:
        LabelsError: There is neither such a table nor such a file, or it contains no names.
    """
    name = os.fspath(source)
    if name in TABLES:
        return load_labels(name)
    try:
        text = Path(name).read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        tables = ", ".join(TABLES)
        msg = f"labels {name!r} are neither a table ({tables}) nor a readable file: {error}"
        raise LabelsError(msg) from error
    is_yaml = Path(name).suffix.lower() in (".yaml", ".yml")
    found = _names_in_yaml(text) if is_yaml else parse_names(text)
    if not found:
        msg = f"labels {name!r} contain no names: expected one per line, JSON, or YAML with `names`"
        raise LabelsError(msg)
    return found


def table_of(labels: str | tuple[str, ...]) -> tuple[str, ...]:
    """Return labels; read them if given as the name of a table or file.

    Raises:
        LabelsError: The table or file cannot be read.
    """
    return read_labels(labels) if isinstance(labels, str) else labels


def parse_names(text: str) -> tuple[str, ...]:
    """Return the class names in a text: JSON, a Python literal, or lines. Empty if there are none.

    YOLO exporters write a dictionary of names by class id as a Python literal, others a list or
    lines. Missing class ids get names such as `class_7`.
    """
    stripped = text.strip()
    if stripped[:1] in ("{", "["):
        try:
            value = json.loads(stripped)
        except (ValueError, RecursionError):
            import ast

            try:
                value = ast.literal_eval(stripped)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                return ()
        return ordered_names(value)
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def plain_name(name: str) -> str:
    """Return a name as names are compared: without case, spaces, dashes and underscores.

    The names of Pascal VOC become those of COCO, such as `airplane` for `aeroplane`.
    """
    plain = "".join(c for c in name.casefold() if c.isalnum()) or name  # such as an emoji
    return _SYNONYMS.get(plain, plain)


def parse_yaml(text: str) -> Any:
    """Return the value of an untrusted YAML document; its scalars are strings.

    Raises:
        ValueError: It is not YAML, is nested too deeply, or has aliases, which may expand to any
            size.
    """
    import yaml

    try:
        depth = 0
        for event in yaml.parse(text):
            starts = isinstance(event, (yaml.SequenceStartEvent, yaml.MappingStartEvent))
            depth += starts - isinstance(event, (yaml.SequenceEndEvent, yaml.MappingEndEvent))
            if isinstance(event, yaml.AliasEvent):
                msg = "it has aliases, which are not supported"
                raise ValueError(msg)
            if depth > _MAX_DEPTH:  # PyYAML is quadratic in the depth
                msg = f"it has more than {_MAX_DEPTH} levels of lists and mappings"
                raise ValueError(msg)
        return yaml.load(text, yaml.BaseLoader)
    except (yaml.YAMLError, TypeError, RecursionError) as error:  # TypeError: an unhashable key
        raise ValueError(str(error)) from error


def _names_in_yaml(text: str) -> tuple[str, ...]:
    """Return the class names in a data set's YAML; empty if there are none."""
    try:
        value = parse_yaml(text)
    except ValueError:
        return ()
    if isinstance(value, dict):
        value = value.get("names", ())
    if isinstance(value, dict) and all(str(index).isdecimal() for index in value.values()):
        value = {name: int(index) for name, index in value.items()}
    return ordered_names(value)


def ordered_names(value: object) -> tuple[str, ...]:
    """Return class names in order from a list, or from a mapping of or by class ids.

    Missing class ids get names such as `class_7`. The result is empty for anything else.
    """
    if isinstance(value, (list, tuple)):
        return tuple(str(name) for name in value)
    if not isinstance(value, dict) or not value:
        return ()
    pairs = list(value.items())
    if all(isinstance(index, int) for _, index in pairs):  # class ids by name
        pairs = [(index, name) for name, index in pairs]
    if not all(str(index).isdecimal() and len(str(index)) < _DIGITS for index, _ in pairs):
        return ()
    names = {int(index): str(name) for index, name in pairs}
    max_id = max(names)
    if max_id > 10 * len(names) + 1000:
        return ()
    return tuple(names.get(i, f"class_{i}") for i in range(max_id + 1))
