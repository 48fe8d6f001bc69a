from __future__ import annotations

import hashlib
import http.server
import os
import threading
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


_build_random = weights.build_random


@pytest.fixture(scope="session")
def folder_of_the_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the processes of a run share: the parent of their folders."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


@pytest.fixture(autouse=True)
def _random_networks_are_built_once(
    monkeypatch: pytest.MonkeyPatch, folder_of_the_run: Path
) -> None:
    """Keep the networks with random weights for the other tests of this run."""

    def build(network: NetworkSpec) -> bytes:
        name = hashlib.sha256(repr(network).encode()).hexdigest()
        path = folder_of_the_run / "networks" / name
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            scratch = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            scratch.write_bytes(_build_random(network))
            scratch.replace(path)
        return path.read_bytes()

    monkeypatch.setattr(weights, "build_random", build)


@pytest.fixture(scope="session")
def warm_cache(folder_of_the_run: Path) -> Path:
    """One cache for the tests that fetch real weights, so that each is fetched once per run."""
    if given := os.environ.get("FURIOSA_MODELS_TEST_CACHE"):
        return Path(given)
    folder = folder_of_the_run / "warm"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture
def use_warm_cache(monkeypatch: pytest.MonkeyPatch, warm_cache: Path) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(warm_cache))


@pytest.fixture
def random_cache(monkeypatch: pytest.MonkeyPatch, folder_of_the_run: Path) -> None:
    """Share one cache between tests that start processes, so that each builds less."""
    monkeypatch.setenv("FURIOSA_MODELS_CACHE_HOME", str(folder_of_the_run / "random"))


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
