"""Safe parser of untrusted YAML.

PyYAML's safe loader does not defend against hostile files: 500 bytes of aliases merged into each
other take it minutes; it silently takes the last of duplicate keys; and values such as `2001-99-99`
or `!!int abc` raise errors of the standard library. This parser limits the size, the depth and the
number of values, counts an alias as many values as it expands to, and reports problems as a
`DescriptorError` that names the file, the line and the field.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import yaml
from yaml.composer import ComposerError

from ..errors import DescriptorError

__all__ = ["MAX_BYTES", "Document", "read_yaml"]

MAX_BYTES = 2 << 20
MAX_DEPTH = 32
MAX_VALUES = 100_000

_TAG = "tag:yaml.org,2002:"
_SCALARS = frozenset(
    _TAG + name for name in ("bool", "float", "int", "merge", "null", "str", "timestamp", "value")
)
_NO_TEXT = re.compile("[\x00\ud800-\udfff]")


class Document(NamedTuple):
    """Contents of a file, with line numbers.

    Attributes:
        value: Dictionaries, lists and scalars.
        root: Root of the YAML nodes.
    """

    value: Any
    root: yaml.Node

    def line(self, path: Sequence[str | int]) -> int:
        """Return the line of the value at a path, or of the deepest existing node on the path."""
        node = self.root
        for step in path:
            if isinstance(node, yaml.MappingNode):
                found = [pair for pair in node.value if pair[0].value == step]
                if not found:
                    break
                key, node = found[-1]
                if not isinstance(node, (yaml.MappingNode, yaml.SequenceNode)):
                    return int(key.start_mark.line) + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                node = node.value[step]
        return int(node.start_mark.line) + 1


def read_yaml(text: bytes, name: str) -> Document:
    """Parse a YAML file.

    Args:
        text: Bytes of the file.
        name: Name of the file for error messages.

    Raises:
        DescriptorError: The file is not YAML, is too large, or contains something that descriptors
            do not allow.
    """
    if len(text) > MAX_BYTES:
        msg = f"{name}: expected at most {MAX_BYTES} bytes, got {len(text)}"
        raise DescriptorError(msg)
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            if root is None:
                msg = f"{name}, line 1: the file is empty"
                raise DescriptorError(msg)
            return Document(_value(loader, root, ()), root)
        finally:
            loader.dispose()
    except _InvalidValue as error:
        place = ".".join(map(str, error.path))
        msg = f"{name}, line {error.line}: {place or 'the file'}: {error}"
        raise DescriptorError(msg) from error.__cause__
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        msg = f"{name} is not valid YAML: {error}"
        raise DescriptorError(msg) from error


class _Loader(yaml.SafeLoader):
    """A loader that limits the number of nodes and counts an alias as what it expands to."""

    def __init__(self, text: bytes) -> None:
        super().__init__(text)
        self._depth = 0
        self._count = 0
        self._counts: dict[int, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            target = self.anchors.get(event.anchor)
            if target is not None:
                if id(target) not in self._counts:
                    raise _composer_error(event, "an alias of a node that contains it")
                self._add(self._counts[id(target)], event)
            return super().compose_node(parent, index)
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _composer_error(event, f"more than {MAX_DEPTH} levels of lists and mappings")
        before = self._count
        self._add(1, event)
        node = super().compose_node(parent, index)
        self._depth -= 1
        self._counts[id(node)] = self._count - before
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in seen:
                    raise _composer_error(key, f"duplicate key {key.value[:60]!r}")
                seen.add((key.tag, key.value))
        return node

    def _add(self, count: int, place: yaml.Event) -> None:
        self._count += count
        if self._count > MAX_VALUES:
            raise _composer_error(place, f"more than {MAX_VALUES} values after expanding aliases")


class _InvalidValue(Exception):
    """A value that descriptors do not allow.

    Attributes:
        path: Keys and list indices that lead to the value.
        line: Line of the value.
    """

    def __init__(self, reason: str, node: yaml.Node, path: tuple[str | int, ...]) -> None:
        super().__init__(reason)
        self.path = path
        self.line = int(node.start_mark.line) + 1


def _composer_error(place: Any, reason: str) -> ComposerError:
    return ComposerError(None, None, reason, place.start_mark)


def _value(loader: _Loader, node: yaml.Node, path: tuple[str | int, ...]) -> Any:
    if isinstance(node, yaml.MappingNode) and node.tag == f"{_TAG}map":
        loader.flatten_mapping(node)
        return {
            (name := _key(key, path)): _value(loader, value, (*path, name))
            for key, value in node.value
        }
    if isinstance(node, yaml.SequenceNode) and node.tag == f"{_TAG}seq":
        return [_value(loader, item, (*path, index)) for index, item in enumerate(node.value)]
    if isinstance(node, yaml.ScalarNode) and node.tag in _SCALARS:
        return _scalar(loader, node, path)
    msg = f"the tag {node.tag[:60]!r} is not allowed in a descriptor"
    raise _InvalidValue(msg, node, path)


def _key(node: yaml.Node, path: tuple[str | int, ...]) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag != f"{_TAG}str":
        msg = f"a key must be a string, got {str(node.value)[:60]!r}: put it in quotes"
        raise _InvalidValue(msg, node, path)
    return str(node.value)


def _scalar(loader: _Loader, node: yaml.ScalarNode, path: tuple[str | int, ...]) -> Any:
    kind = node.tag.removeprefix(_TAG)
    try:
        value = loader.construct_object(node)
    except Exception as error:  # PyYAML passes on those of int(), datetime and codecs
        msg = f"{node.value[:60]!r} is not a valid {kind}: put strings in quotes"
        raise _InvalidValue(msg, node, path) from error
    if isinstance(value, str) and _NO_TEXT.search(value):
        msg = f"{value[:60]!r} contains NUL or surrogate characters"
        raise _InvalidValue(msg, node, path)
    return value
