from __future__ import annotations

import logging
import signal
from importlib.util import find_spec

# `make test-torch` has an environment of its own.
collect_ignore_glob = [] if find_spec("torch") else ["test_*.py"]

# PyTorch writes whole graphs into this log as soon as it has a handler, as pytest's.
logging.getLogger("torch.__trace").disabled = True


if not collect_ignore_glob:
    from collections.abc import Iterator

    import pytest
    import torch

    @pytest.fixture(autouse=True)
    def _usual_interrupts() -> Iterator[None]:
        """Interrupt as usual: a job in the background of a shell ignores Ctrl-C."""
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        yield
        signal.signal(signal.SIGINT, before)

    @pytest.fixture(autouse=True)
    def _one_thread() -> Iterator[None]:
        """Compute with one thread, so that results are the same in every process."""
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        yield
        torch.set_num_threads(before)
