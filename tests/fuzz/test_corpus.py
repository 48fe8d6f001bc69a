"""Every target runs on its seeds, on damaged seeds, and on all inputs that once crashed it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from .seeds import SEEDS
from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def test_every_target_has_seeds() -> None:
    assert set(TARGETS) == set(SEEDS)


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_and_old_crashes_raise_only_documented_errors(name: str) -> None:
    for data in [*SEEDS[name], *(path.read_bytes() for path in (CORPUS / name).glob("*"))]:
        TARGETS[name](data)


@pytest.mark.parametrize("name", TARGETS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_damaged_seeds_raise_only_documented_errors(name: str, data: st.DataObject) -> None:
    seed = data.draw(st.sampled_from(SEEDS[name]))
    at = data.draw(st.integers(0, len(seed)))
    patch = data.draw(st.binary(max_size=16))
    cut = data.draw(st.integers(0, 16))
    TARGETS[name](seed[:at] + patch + seed[at + cut :])
