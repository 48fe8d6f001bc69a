from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from furiosa_models.artifacts.sources import http
from furiosa_models.hub import FocoosHUB
from furiosa_models.vision import EfficientNetLite0

from .server import KEY, FocoosServer, serve


@pytest.fixture(autouse=True)
def _fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BACKOFF_S", 0.001)
    monkeypatch.setattr(http, "MAX_BACKOFF_S", 0.01)


@pytest.fixture
def server() -> Iterator[FocoosServer]:
    with serve() as running:
        yield running


@pytest.fixture
def hub(server: FocoosServer) -> FocoosHUB:
    return FocoosHUB(KEY, server.url)


@pytest.fixture(scope="session")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a saved model."""
    folder = tmp_path_factory.mktemp("models") / "saved"
    with EfficientNetLite0(weights="random") as model:
        model.save(folder)
    return folder
