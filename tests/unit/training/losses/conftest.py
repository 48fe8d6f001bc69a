from __future__ import annotations

from importlib.util import find_spec

# `make test-torch` has an environment of its own.
NEEDING_TORCH = ["test_classification.py", "test_ssd.py", "test_yolov5.py"]
collect_ignore = [] if find_spec("torch") else NEEDING_TORCH
