from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest

from furiosa_models.artifacts import Accuracy, sets_of, zoo
from furiosa_models.artifacts.descriptor import parse_zoo
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


def test_what_is_said_once_is_complete_where_it_is_read() -> None:
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


def test_a_model_says_what_it_is() -> None:
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


def spoil(change: Callable[[dict[str, Any]], object]) -> Any:
    document = copy.deepcopy(GOOD)
    change(document["models"][0])
    return document


BAD: dict[str, tuple[Any, str]] = {
    "no object": ([], "no object"),
    "no list": ({}, "descriptor toys has no list under the key 'models'"),
    "a list in its place": ({"models": {}}, "no list under the key 'models'"),
    "no model": ({"models": [3]}, "an item of 'models' has no 'class'"),
    "two models of a name": ({"models": GOOD["models"] * 2}, "Net is there twice"),
    "two sets of a name": (
        spoil(lambda m: m["weights"].append(m["weights"][0])),
        "toys: Net: published is there twice",
    ),
    "no sets": (spoil(lambda m: m.pop("weights")), "Net has no list under the key 'weights'"),
    "no family": (spoil(lambda m: m.pop("family")), "family"),
    "a field that no model has": (spoil(lambda m: m.update(color="red")), "'color'"),
    "a field that no set has": (spoil(lambda m: m["weights"][0].update(color=1)), "'color'"),
    "another task": (spoil(lambda m: m.update(task="JUGGLING")), "JUGGLING"),
    "another measurement": (
        spoil(lambda m: m["weights"][0]["accuracy"][0].update(measurement="none")),
        "there is no 'none'",
    ),
    "no size": (spoil(lambda m: m["weights"][1]["files"][0].pop("size")), "there is no 'size'"),
    "nothing inside": (
        spoil(lambda m: m["weights"][1]["files"][0].update(size=0)),
        "size must be greater than 0",
    ),
    "a hash that is none": (
        spoil(lambda m: m["weights"][1]["files"][0].update(sha256="xyz")),
        "toys: Net/package does not follow the schema: file 'a.pth': 'xyz' is no sha256",
    ),
    "no hash": (
        spoil(lambda m: m["weights"][1]["files"][0].pop("sha256")),
        "neither sha256 nor md5",
    ),
}


@pytest.mark.parametrize(("document", "complaint"), BAD.values(), ids=BAD)
def test_a_malformed_descriptor_is_refused(document: Any, complaint: str) -> None:
    with pytest.raises(DescriptorError, match=re.escape(complaint)) as caught:
        _ = [list(entry.sets.values()) for entry in parse_zoo(document, "toys").values()]
    assert "descriptor toys" in str(caught.value)


def test_a_model_of_the_users_has_no_sets() -> None:
    assert sets_of("MyNet") == {}


def test_published_sets_come_first() -> None:
    for model, entry in zoo().items():
        if "published" in entry.sets:
            assert next(iter(entry.sets)) == "published", model
