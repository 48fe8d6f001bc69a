from __future__ import annotations

from importlib.util import find_spec

# `make test-torch` has an environment of its own.
NEEDING_TORCH = [
    "test_classification.py",
    "test_detr.py",
    "test_dfine.py",
    "test_gradients.py",
    "test_masks.py",
    "test_networks.py",
    "test_pixels.py",
    "test_ssd.py",
    "test_yolov5.py",
]
collect_ignore = [] if find_spec("torch") else NEEDING_TORCH
