from __future__ import annotations

from dataclasses import asdict

import pytest

from furiosa_models.artifacts import zoo
from furiosa_models.artifacts.brief import brief_zoo


def test_it_has_the_sets_of_the_descriptor_in_their_order() -> None:
    assert {m: list(sets) for m, sets in brief_zoo().items()} == {
        model: list(sets) for model, sets in zoo().items()
    }


@pytest.mark.parametrize("model", zoo())
def test_it_says_what_the_descriptor_says(model: str) -> None:
    for weights, artifact in zoo()[model].items():
        facts = brief_zoo()[model][weights]
        assert (facts.name, facts.weights, facts.title) == (model, weights, artifact.title)
        for ours, theirs in zip(facts.files, artifact.files, strict=True):
            assert asdict(ours) == theirs.model_dump()
            assert (ours.algorithm, ours.digest) == (theirs.algorithm, theirs.digest)
        ranges = asdict(facts.tensor_ranges) if facts.tensor_ranges else None
        assert ranges == (artifact.tensor_ranges and artifact.tensor_ranges.model_dump())
        network = asdict(facts.network) if facts.network else None
        assert network == (artifact.network.model_dump() if artifact.network else None)
        assert (facts.input, facts.head, facts.labels) == (
            artifact.input,
            artifact.head,
            artifact.labels,
        )
