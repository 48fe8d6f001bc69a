from __future__ import annotations

from importlib.util import find_spec

# `make test-torch` has an environment of its own.
NEEDING_TORCH = [
    "test_batches.py",
    "test_checkpoints.py",
    "test_interrupts.py",
    "test_mask_targets.py",
    "test_optimization.py",
    "test_records.py",
]
collect_ignore = [] if find_spec("torch") else NEEDING_TORCH
