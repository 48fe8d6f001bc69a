from __future__ import annotations

import logging
from importlib.util import find_spec

# `make test-torch` has an environment of its own.
collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]

# PyTorch writes whole graphs into this log as soon as it has a handler, as pytest's.
logging.getLogger("torch.__trace").disabled = True
