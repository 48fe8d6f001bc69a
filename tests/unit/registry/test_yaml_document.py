"""Third-party descriptors: invalid content quickly raises an error with file, line and field."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from furiosa_models.errors import DescriptorError
from furiosa_models.registry import yaml_document
from furiosa_models.registry.descriptor import inside, parse_code, parse_descriptor

ENTRY = """
artifacts:
  - name: Net
    family: Nets
    version: v1
    location: net.onnx
    format: onnx
    metadata:
      description: A net
      publication:
        date: 2015-12-10
"""


def nested_merges(levels: int) -> bytes:
    """Make a small document whose merge keys expand to `10 ** levels` mappings."""
    lines = ["a0: &a0 {k: v}"]
    for level in range(1, levels):
        each = ", ".join([f"*a{level - 1}"] * 10)
        lines.append(f"a{level}: &a{level} {{<<: [{each}]}}")
    return "\n".join(lines).encode()


def billion_laughs(levels: int) -> bytes:
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]")
    return "\n".join(lines).encode()


ODD: dict[str, tuple[str, str]] = {
    "a date that is none": (
        "version: 2001-99-99",
        "artifacts.0.version: '2001-99-99' is not a valid time",
    ),
    "a date": ("version: 2001-01-01", "version: Input should be a valid string"),
    "a number": ("version: 1.5", "version: Input should be a valid string"),
    "a list": ("version: [v1]", "version: Input should be a valid string"),
    "nested lists": ("version: [[[[]]]]", "version: Input should be a valid string"),
    "a word for a number": ("version: !!int abc", "artifacts.0.version: 'abc' is not a valid int"),
    "nothing for a number": ("version: !!int ''", "artifacts.0.version: '' is not a valid int"),
    "a word for a truth": ("version: !!bool maybe", "'maybe' is not a valid bool"),
    "a word for a date": ("version: !!timestamp soon", "'soon' is not a valid timestamp"),
    "a word for a float": ("version: !!float x", "'x' is not a valid float"),
    "too many digits": (f"version: {'9' * 5000}", "is not a valid int"),
    "sixties of sixties": (f"version: 1{':59' * 1000}", "version: Input should be"),
    "bytes": ("version: !!binary '====='", "tag .*binary' is not allowed"),
    "a set": ("version: !!set {a, b}", "tag .*set' is not allowed"),
    "an object": ("version: !!python/object:os.system {}", "tag .*os.system' is not allowed"),
    "a mapping that is text": ("version: !!str {a: b}", "tag .*str' is not allowed"),
    "a tag of one's own": ("version: !mine x", "tag '!mine' is not allowed"),
    "NUL": ('version: "a\\0b"', "contains NUL or surrogate characters"),
    "half a character": ('version: "\\ud800"', "contains NUL or surrogate characters"),
    "a control character": ('version: "a\\x1bb"', "version: .*contains control characters"),
    "a line break": ('version: "a\\nb"', "version: .*contains control characters"),
    "a key twice": ("version: v1\n    version: v2", "duplicate key 'version'"),
    "a merge twice": ("<<: {}\n    <<: {}", "duplicate key '<<'"),
    "a key that is a number": ("3: v1", "artifacts.0: a key must be a string, got '3'"),
    "a key that is a truth": ("on: v1", "artifacts.0: a key must be a string, got 'on'"),
    "a key that is a list": ("? [a]\n    : v1", "artifacts.0: a key must be a string"),
    "an alias of itself": ("version: &v [*v]", "an alias of a node that contains it"),
    "an alias of nothing": ("version: *nothing", "undefined alias"),
    "a merge of no mapping": ("<<: 3", "mapping"),
    "a size beyond": (f"size: {10**30}", "size: Input should be"),
    "an endless size": ("size: .inf", "size: Input should be"),
    "no size": ("size: .nan", "size: Input should be"),
    "metadata that is none": ("description: x\n    metadata: 3", "description|metadata"),
}


@pytest.mark.parametrize(("odd", "complaint"), ODD.values(), ids=ODD)
def test_error_names_file_line_and_field(odd: str, complaint: str) -> None:
    text = ENTRY.replace("version: v1", odd)
    if "metadata: 3" in odd:
        text = text.partition("    metadata:\n")[0]
    with pytest.raises(DescriptorError, match=complaint) as caught:
        parse_descriptor(text.encode(), "here/artifacts.yaml")
    assert str(caught.value).startswith("here/artifacts.yaml")
    assert "line " in str(caught.value)


@pytest.mark.parametrize(
    ("odd", "field"),
    [
        ("description: [x]", "metadata.description"),
        ("publication: x", "metadata.publication"),
        ("publication: {date: 2001-99-99}", "artifacts.0.metadata.publication.date"),
        ("publication: {date: yesterday}", "metadata.publication"),
        ("publication: {authors: 3}", "metadata.publication.authors"),
        ("publication: {authors: [[x]]}", "metadata.publication.authors"),
        ("publication: {color: red}", "metadata.publication"),
    ],
)
def test_metadata_error_names_file_line_and_field(odd: str, field: str) -> None:
    text = ENTRY.partition("      description:")[0] + f"      {odd}\n"
    with pytest.raises(DescriptorError, match=rf"here, line \d+: {field}"):
        parse_descriptor(text.encode(), "here")


TEXTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "line 1: the file is empty"),
    "spaces": (b" \n\n", "the file is empty"),
    "a comment": (b"# artifacts", "the file is empty"),
    "null": (b"~", "expected a list"),
    "a word": (b"artifacts", "expected a list"),
    "a list": (b"- a", "expected a list"),
    "no list": (b"artifacts: {}", "expected a list"),
    "an entry that is a word": (b"artifacts: [net]", "entry"),
    "an entry that is a list": (b"artifacts: [[]]", "entry"),
    "two documents": (b"artifacts: []\n---\nartifacts: []", "single document"),
    "no UTF-8": (b"artifacts: \xff\xfe\x80", "is not valid YAML"),
    "half of UTF-16": (b"\xff\xfea\x00\x00", "is not valid YAML"),
    "NUL": (b"artifacts: \x00", "is not valid YAML"),
    "a zip": (b"PK\x03\x04", "is not valid YAML"),
    "merges of merges": (nested_merges(12), "more than 100000 values"),
    "lists of lists": (billion_laughs(12), "more than 100000 values"),
    "brackets": (b"[" * 100_000, "more than 32 levels"),
    "braces": (b"{" * 100_000, "more than 32 levels"),
    "dashes": (b"- " * 100_000, "more than 32 levels"),
    "questions": (b"? " * 100_000, "more than 32 levels"),
    "many values": (b"[" + b"a," * 200_000 + b"]", "more than 100000 values"),
    "a long text": (
        b"a: " + b"x" * (yaml_document.MAX_BYTES + 1),
        "expected at most .* bytes, got",
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("text", "complaint"), TEXTS.values(), ids=TEXTS)
def test_invalid_descriptors_are_rejected_quickly(text: bytes, complaint: str) -> None:
    with pytest.raises(DescriptorError, match=complaint) as caught:
        parse_descriptor(text, "here")
    assert str(caught.value).startswith("here")
    assert len(str(caught.value)) < 1000


def test_aliases_and_merges_within_limits_are_read() -> None:
    text = """
defaults: &defaults {family: Nets, format: onnx}
artifacts:
  - {<<: *defaults, name: One, location: one.onnx}
  - {<<: *defaults, name: Two, location: two.onnx, family: Others}
"""
    one, two = parse_descriptor(b"x: 1\n" + text.encode(), "here")
    assert (one.name, one.family, one.format) == ("One", "Nets", "onnx")
    assert (two.name, two.family) == ("Two", "Others")


def test_values_equal_those_of_pyyaml() -> None:
    text = ENTRY.encode()
    assert yaml_document.read_yaml(text, "here").value == yaml.safe_load(text)


ALPHABET = "aZ09 \n\t:-?,[]{}#&*!|>'\"%@`<~.=_/\\\0\x85\ufeff\u2028é\U0001f600"
PIECES = st.lists(
    st.sampled_from(["a", "- ", "? ", ": ", "\n", "  ", "[", "]", "{", "}", ", ", "&a ", "*a ",
                     "<<: ", "!!int ", "!!set ", "!!binary ", "!!timestamp ", "!<", "2001-99-99",
                     "0x", "1:60", "'", '"', "\\x0", "|", ">", "---", "...", "%YAML 9.9", "~",
                     "artifacts:", "name: ", "=", ".inf"]),
    max_size=40,
).map("".join)  # fmt: skip


@settings(max_examples=1500, deadline=2000)
@given(st.one_of(st.binary(max_size=200), st.text(ALPHABET, max_size=80).map(str.encode),
                 PIECES.map(str.encode)))  # fmt: skip
@example(b"artifacts: &a [*a]")
@example(b"!!timestamp x: y")
def test_any_bytes_are_read_or_raise_descriptor_error(text: bytes) -> None:
    with contextlib.suppress(DescriptorError):
        yaml_document.read_yaml(text, "here")
    with contextlib.suppress(DescriptorError):
        parse_descriptor(text, "here")
    with contextlib.suppress(DescriptorError):
        parse_code(text, "here", "artifacts.py")


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.dates(), st.text(max_size=9),
              st.sampled_from(["onnx", "code", "a/b", "../a", "http://[", "2001-01-01"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["description", "publication", "authors", "date", "url", "x"]), inner),
    ),
    max_leaves=6,
)  # fmt: skip
FIELDS = st.sampled_from(["name", "family", "version", "location", "format", "doc", "metadata",
                          "size", "sha256", "task", "description", "x"])  # fmt: skip


@settings(max_examples=500, deadline=2000)
@given(st.one_of(VALUES, st.lists(st.dictionaries(FIELDS, VALUES), max_size=3)))
def test_any_entries_are_read_or_raise_descriptor_error(items: Any) -> None:
    good = {"name": "n", "family": "f", "location": "l", "format": "onnx"}
    if isinstance(items, list):
        items = [{**good, **item} if isinstance(item, dict) else item for item in items]
    text = yaml.safe_dump({"artifacts": items}).encode()
    with contextlib.suppress(DescriptorError):
        parse_descriptor(text, "here")


# --- artifacts.py -------------------------------------------------------------------------------


@pytest.mark.timeout(60)
def test_deep_class_hierarchies_are_read_quickly() -> None:
    lines = ["class A0: pass"]
    lines += [f"class A{i}(A{i - 1}, B{i - 1}): pass\nclass B{i}(A{i - 1}): pass"
              for i in range(1, 60)]  # fmt: skip
    text = "\n".join([*lines, "class C(C): pass", "def net() -> A59: ...", "def own() -> C: ..."])
    assert parse_code(text.encode(), "here", "artifacts.py") == []


@pytest.mark.parametrize(
    "text",
    [
        b"(" * 5000,
        b"x = " + b"-" * 100_000 + b"1",
        b"x = " + b"9" * 5000,
        b"\x00",
        b"# coding: nonsense",
        b"x" * (yaml_document.MAX_BYTES + 1),
        b"def Net() -> Model: return Model(version='a\\x00b')",
    ],
    ids=range(7),
)
def test_invalid_python_is_rejected(text: bytes) -> None:
    with pytest.raises(DescriptorError, match="here"):
        parse_code(text, "here", "artifacts.py")


# --- Paths --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "../a",
        "a/../../b",
        "/a",
        "//host/a",
        "\\a",
        "a\\..\\b",
        "C:a",
        "%2e%2e/a",
        "a/%2E%2e/%2e%2e/b",
        "..%2fa",
        "..%5ca",
        "%2fa",
        "%252e%252e/a",
        "%25252e%25252e%25252fa",
        "a%00b",
        "a%0d%0ab",
        "http%3a//host/a",
    ],
)
def test_path_outside_the_registry_is_rejected(path: str) -> None:
    with pytest.raises(ValueError, match="leaves the registry|control characters"):
        inside(path)
    text = ENTRY.replace("net.onnx", f"'{path}'")
    with pytest.raises(DescriptorError, match=r"here, line \d+: location"):
        parse_descriptor(text.encode(), "here")


@pytest.mark.parametrize("path", ["a", "a/b.onnx", "a..b", "100%", "a%20b", "ä/ö", "a b"])
def test_path_inside_the_registry_is_accepted(path: str) -> None:
    assert inside(path) == path
