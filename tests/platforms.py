"""Marks for tests of code that has two implementations, in Rust and in numpy."""

from __future__ import annotations

import pytest

from furiosa_models.types import Platform

BOTH = pytest.mark.parametrize("platform", [Platform.RUST, Platform.PYTHON])
"""Run a test with each of the two platforms."""
