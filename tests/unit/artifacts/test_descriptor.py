from __future__ import annotations

import contextlib
import copy
import re
from collections.abc import Callable
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies as st

from furiosa_models.artifacts import Accuracy, sets_of, zoo
from furiosa_models.artifacts.descriptor import parse_zoo, read_zoo
from furiosa_models.errors import DescriptorError

SHA, MD5 = "a" * 64, "0123456789abcdef" * 2
GOOD: dict[str, Any] = {
    "bucket": {
        "location": "https://example.com/docs",
        "endpoint": "https://example.com",
        "paths": ["{head}/{tail}", "old/{head}/{tail}"],
    },
    "measurements": {"toys": {"metric": "top-1", "dataset": "toys", "measured_by": "us"}},
    "models": [
        {
            "class": "Net",
            "name": "NetOne",
            "module": "net",
            "task": "IMAGE_CLASSIFICATION",
            "family": "Nets",
            "version": "v1",
            "labels": "toys",
            "summary": "A net.",
            "metadata": {"description": "A net", "publication": {"date": "2015-12-10"}},
            "aliases": ["OldNet"],
            "weights": [
                {
                    "name": "published",
                    "format": "onnx",
                    "license": {"origin": "MIT"},
                    "accuracy": [{"measurement": "toys", "value": 0.5}],
                    "files": [{"name": "net.onnx", "size": 3, "md5": MD5}],
                    "tensor_ranges": {"name": "ranges.yaml", "size": 4, "md5": MD5},
                    "enf": {"0.10": {"1pe": {"name": "net.enf", "size": 5, "md5": MD5}}},
                },
                {
                    "name": "package",
                    "version": "v2",
                    "format": "code",
                    "labels": "more toys",
                    "location": "pypi:net==1.0",
                    "folder": "net/models",
                    "network": {"name": "resnet", "reader": "pytorch"},
                    "license": {"origin": "MIT", "carrier": "BSD-3-Clause"},
                    "files": [
                        {"name": "a.pth", "size": 3, "sha256": SHA},
                        {"name": "b.pth", "size": 3, "sha256": SHA, "member": "net/b.pth "},
                        {"name": "c.pth", "size": 3, "sha256": SHA, "sources": ["c.pth"]},
                    ],
                },
            ],
        }
    ],
}


def test_shared_fields_are_inherited_by_every_set() -> None:
    net = parse_zoo(GOOD, "toys")["Net"]
    published, package = net.sets.values()
    assert (published.version, package.version) == ("v1", "v2")
    assert (published.family, package.family) == ("Nets", "Nets")
    assert (published.labels, package.labels) == ("toys", "more toys")
    assert published.location == "https://example.com/docs"
    assert published.accuracy == (Accuracy("top-1", 0.5, "toys", "us"),)
    assert published.title == "Net/published (top-1 0.500 on toys)"
    head, tail = MD5[:2], MD5[2:]
    sources = (f"https://example.com/{head}/{tail}", f"https://example.com/old/{head}/{tail}")
    assert {file.sources for file in published.all_files} == {sources}
    assert [file.size for file in published.all_files] == [3, 5, 4]
    assert [file.sources for file in package.files] == [
        ("pypi:net==1.0/net/models/a.pth",),
        ("pypi:net==1.0/net/b.pth ",),
        ("c.pth",),
    ]
    assert package.title == "Net/package"
    assert (package.size, package.files[0].algorithm, package.files[0].digest) == (9, "sha256", SHA)


def test_model_entry_has_name_task_and_metadata() -> None:
    net = parse_zoo(GOOD, "toys")["Net"]
    assert (net.name, net.aliases, net.task.value) == (
        "NetOne",
        ("OldNet",),
        "IMAGE_CLASSIFICATION",
    )
    assert net.metadata.publication is not None
    assert net.metadata.model_dump(mode="json", exclude_none=True) == {
        "description": "A net",
        "publication": {"date": "2015-12-10"},
    }


def with_change(change: Callable[[dict[str, Any]], object]) -> Any:
    document = copy.deepcopy(GOOD)
    change(document["models"][0])
    return document


BAD: dict[str, tuple[Any, str]] = {
    "expected an object": ([], "expected an object"),
    "no list": ({}, "descriptor toys has no list under the key 'models'"),
    "a list in its place": ({"models": {}}, "no list under the key 'models'"),
    "no model": ({"models": [3]}, "an item of 'models' has no 'class'"),
    "two models of a name": ({"models": GOOD["models"] * 2}, "duplicate entry 'Net'"),
    "two sets of a name": (
        with_change(lambda m: m["weights"].append(m["weights"][0])),
        "toys: Net: duplicate entry 'published'",
    ),
    "no sets": (with_change(lambda m: m.pop("weights")), "Net has no list under the key 'weights'"),
    "no family": (with_change(lambda m: m.pop("family")), "family"),
    "a field that no model has": (with_change(lambda m: m.update(color="red")), "'color'"),
    "a field that no set has": (with_change(lambda m: m["weights"][0].update(color=1)), "'color'"),
    "another task": (with_change(lambda m: m.update(task="JUGGLING")), "JUGGLING"),
    "another measurement": (
        with_change(lambda m: m["weights"][0]["accuracy"][0].update(measurement="none")),
        "missing key 'none'",
    ),
    "no size": (
        with_change(lambda m: m["weights"][1]["files"][0].pop("size")),
        "missing key 'size'",
    ),
    "nothing inside": (
        with_change(lambda m: m["weights"][1]["files"][0].update(size=0)),
        "size must be in 1..",
    ),
    "a hash that is none": (
        with_change(lambda m: m["weights"][1]["files"][0].update(sha256="xyz")),
        "toys: Net/package does not follow the schema: file 'a.pth': sha256 must be 64 hex digits",
    ),
    "a size that is no number": (
        with_change(lambda m: m["weights"][1]["files"][0].update(size="3")),
        "size must be an integer, got '3'",
    ),
    "a size that is a truth": (
        with_change(lambda m: m["weights"][1]["files"][0].update(size=True)),
        "size must be an integer",
    ),
    "a size that is endless": (
        with_change(lambda m: m["weights"][1]["files"][0].update(size=float("inf"))),
        "size must be an integer",
    ),
    "a size beyond any disk": (
        with_change(lambda m: m["weights"][1]["files"][0].update(size=10**30)),
        "size must be in 1..",
    ),
    "one source in place of a list": (
        with_change(lambda m: m["weights"][1]["files"][0].update(sources="c.pth")),
        "sources must be a list, got 'c.pth'",
    ),
    "a source that is no text": (
        with_change(lambda m: m["weights"][1]["files"][0].update(sources=[3])),
        "names and sources must be strings, got 3",
    ),
    "a name that is no text": (
        with_change(lambda m: m["weights"][1]["files"][0].update(name=3)),
        "names and sources must be strings",
    ),
    "a hash that is no text": (
        with_change(lambda m: m["weights"][1]["files"][0].update(sha256=3)),
        "Net/package",
    ),
    "a version that is a list": (
        with_change(lambda m: m.update(version=["v1"])),
        "expected strings",
    ),
    "labels that are a number": (
        with_change(lambda m: m["weights"][0].update(labels=3)),
        "expected strings",
    ),
    "one alias in place of a list": (
        with_change(lambda m: m.update(aliases="OldNet")),
        "aliases: expected strings",
    ),
    "metadata that is a list": (
        with_change(lambda m: m.update(metadata=[])),
        "metadata: expected an object",
    ),
    "a figure beyond one": (
        with_change(lambda m: m["weights"][0]["accuracy"][0].update(value=50)),
        "top-1 must be between 0 and 1, got 50",
    ),
    "a figure that is none": (
        with_change(lambda m: m["weights"][0]["accuracy"][0].update(value=float("nan"))),
        "top-1 must be between 0 and 1, got nan",
    ),
    "no hash": (
        with_change(lambda m: m["weights"][1]["files"][0].pop("sha256")),
        "neither sha256 nor md5",
    ),
}


@pytest.mark.parametrize(("document", "complaint"), BAD.values(), ids=BAD)
def test_malformed_descriptor_is_rejected(document: Any, complaint: str) -> None:
    with pytest.raises(DescriptorError, match=re.escape(complaint)) as caught:
        _ = [list(entry.sets.values()) for entry in parse_zoo(document, "toys").values()]
    assert "descriptor toys" in str(caught.value)


def test_bucket_with_invalid_paths_is_rejected() -> None:
    for paths in (["{0}"], ["{head.x}"], [3], 3, ["{"]):
        document = {**GOOD, "bucket": {**GOOD["bucket"], "paths": paths}}
        with pytest.raises(DescriptorError, match="toys: Net/published"):
            list(parse_zoo(document, "toys")["Net"].sets.values())


TEXTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is not valid JSON"),
    "no JSON": (b"{", "is not valid JSON"),
    "no UTF-8": (b'{"a": "\xff\xfe"}', "is not valid JSON"),
    "NUL": (b"\x00", "is not valid JSON"),
    "too deep": (b"[" * 100_000, "is not valid JSON"),
    "too many digits": (b'{"a": ' + b"9" * 5000 + b"}", "is not valid JSON"),
    "endless": (b'{"a": Infinity}', "Infinity is not a JSON number"),
    "no number": (b'{"a": [NaN]}', "NaN is not a JSON number"),
    "a key twice": (b'{"models": [], "models": []}', "the key 'models' occurs twice"),
    "a list": (b"[]", "expected an object"),
}


@pytest.mark.parametrize(("text", "complaint"), TEXTS.values(), ids=TEXTS)
def test_text_that_is_not_a_descriptor_is_rejected(text: bytes, complaint: str) -> None:
    with pytest.raises(DescriptorError, match=complaint) as caught:
        read_zoo(text, "toys")
    assert str(caught.value).startswith("descriptor toys")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=5), inner)
    ),
    max_leaves=5,
)
PLACES: list[tuple[Any, ...]] = [
    (), ("bucket",), ("bucket", "paths"), ("measurements",), ("measurements", "toys"), ("models",),
    *[("models", 0, key) for key in GOOD["models"][0]],
    *[("models", 0, "weights", i, key) for i in (0, 1) for key in GOOD["models"][0]["weights"][i]],
    *[("models", 0, "weights", 1, "files", 0, key) for key in ("name", "size", "sha256")],
    ("models", 0, "weights", 0, "enf", "0.10"), ("models", 0, "weights", 0, "accuracy", 0),
]  # fmt: skip


@hypothesis.settings(max_examples=1000, deadline=None)
@hypothesis.given(st.sampled_from(PLACES), JSON)
def test_any_value_in_any_field_is_read_or_rejected(place: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy({"": GOOD})
    target: Any = document
    for step in ("", *place[:-1]):
        target, last = target[step], step
    if place:
        target[place[-1]] = value
    else:
        document[last] = value
    with contextlib.suppress(DescriptorError):
        for entry in parse_zoo(document[""], "toys").values():
            _ = [artifact.all_files for artifact in entry.sets.values()]


def test_user_model_has_no_published_weights() -> None:
    assert sets_of("MyNet") == {}


def test_published_weights_come_first() -> None:
    for model, entry in zoo().items():
        if "published" in entry.sets:
            assert next(iter(entry.sets)) == "published", model
