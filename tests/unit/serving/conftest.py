"""Real servers that run in threads."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from furiosa_models.serving import Limits
from furiosa_models.serving.server import listen, make_server
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet

Start = Callable[..., int]


@contextmanager
def served(app: Any, limits: Limits | None = None) -> Iterator[int]:
    """Serve an application; yield the port."""
    server = make_server(app, limits)
    server.config.log_level = "error"
    server.config.configure_logging()
    with listen("127.0.0.1", 0) as socket:
        port: int = socket.getsockname()[1]
        thread = threading.Thread(target=server.run, args=([socket],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield port
        server.should_exit = True
        thread.join()


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that serves an application until the test ends and returns the port."""
    with ExitStack() as stack:
        yield lambda app, limits=None: stack.enter_context(served(app, limits))


@pytest.fixture(scope="session")
def classifier() -> EfficientNetLite0:
    return EfficientNetLite0(weights="random")


@pytest.fixture(scope="session")
def detector() -> SSDMobileNet:
    return SSDMobileNet(weights="random")
