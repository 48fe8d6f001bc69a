from __future__ import annotations

import http.server
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import settings

from furiosa_models import weights
from furiosa_models.spec import NetworkSpec

ROOT = Path(__file__).parent.parent

# The time of an example depends more on the machine than on the code. Each run takes the same
# examples, so that a change fails by what it changes; `make explore` looks for new ones.
settings.register_profile("furiosa", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("brief", settings.get_profile("furiosa"), max_examples=15)
settings.register_profile(
    "explore", settings.get_profile("furiosa"), derandomize=False, max_examples=1000
)
settings.load_profile(os.environ.get("FURIOSA_MODELS_TEST_PROFILE", "furiosa"))


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the user's settings and cache from all tests."""
    for name in [*os.environ]:
        if name.startswith(("FOCOOS_", "FURIOSA_", "NPU_")) and name != "FURIOSA_MODELS_TEST_DATA":
            monkeypatch.delenv(name)
    monkeypatch.delenv("DEFAULT_HOST_URL", raising=False)
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FURIOSA_MODELS_PROGRESS", "0")


_built_random: OrderedDict[str, bytes] = OrderedDict()
_build_random = weights.build_random


@pytest.fixture(autouse=True)
def _random_networks_are_built_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the networks with random weights that this process built last: each takes seconds."""

    def build(network: NetworkSpec) -> bytes:
        key = repr(network)
        if key not in _built_random:
            _built_random[key] = _build_random(network)
        _built_random.move_to_end(key)
        while len(_built_random) > 8:
            _built_random.popitem(last=False)
        return _built_random[key]

    monkeypatch.setattr(weights, "build_random", build)


@pytest.fixture(scope="session")
def warm_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for the tests that fetch real weights, so that each is fetched once per run.

    The processes of a run share it, because they share the parent of their folders.
    """
    if given := os.environ.get("FURIOSA_MODELS_TEST_CACHE"):
        return Path(given)
    if "PYTEST_XDIST_WORKER" in os.environ:
        return tmp_path_factory.getbasetemp().parent / "warm"
    return tmp_path_factory.mktemp("warm")


@pytest.fixture
def use_warm_cache(monkeypatch: pytest.MonkeyPatch, warm_cache: Path) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(warm_cache))


@pytest.fixture(scope="session")
def data() -> Path:
    """The labeled photos of the accuracy tests."""
    path = Path(os.environ.get("FURIOSA_MODELS_TEST_DATA") or ROOT.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no labeled photos at {path} (FURIOSA_MODELS_TEST_DATA)")
    return path


@pytest.fixture(scope="session")
def photos() -> list[Path]:
    """The example photos."""
    return sorted((ROOT / "examples" / "images").glob("*.[jp][pn]g"))


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def serve() -> Iterator[Callable[[Path], str]]:
    """Return a function that serves a folder over HTTP and returns its URL."""
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(folder: Path) -> str:
        handler = partial(_QuietHandler, directory=str(folder))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
