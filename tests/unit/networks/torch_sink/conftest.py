from __future__ import annotations

from importlib.util import find_spec

# `make test-torch` has an environment of its own.
collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]
