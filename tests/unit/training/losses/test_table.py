from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from furiosa_models.errors import ConfigurationError, ExtraRequired
from furiosa_models.heads import BoxesHead, SSDHead
from furiosa_models.spec import Head
from furiosa_models.training.losses import loss_of, register_loss, table
from furiosa_models.training.targets import Target


@dataclass(frozen=True)
class OwnHead(Head):
    width: int = 3


@dataclass(frozen=True)
class WiderHead(OwnHead):
    width: int = 6


@dataclass(frozen=True)
class OwnLoss:
    head: Head
    scale: float = 1.0

    def __call__(
        self, outputs: Sequence[Any], targets: Sequence[Target], size: tuple[int, int]
    ) -> dict[str, Any]:
        raise NotImplementedError


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_FACTORIES", dict(table._FACTORIES))
    register_loss(OwnHead, OwnLoss)


def test_an_unknown_head_is_an_error_that_says_what_is_known() -> None:
    with pytest.raises(ConfigurationError, match="BoxesHead, only for Class.*SSD.*pass loss="):
        loss_of(BoxesHead((640, 640)))


@pytest.mark.usefixtures("registered")
def test_a_registered_loss_is_found_for_a_head_and_its_subclasses() -> None:
    assert loss_of(OwnHead(), scale=2.0) == OwnLoss(OwnHead(), 2.0)
    assert loss_of(WiderHead()) == OwnLoss(WiderHead())


@pytest.mark.usefixtures("registered")
def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(TypeError, match="gain"):
        loss_of(OwnHead(), gain=2.0)


def test_without_pytorch_a_loss_is_an_error_with_the_pip_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ExtraRequired, match="pip install .*torch"):
        loss_of(SSDHead((4, 2, 1)))


def test_the_choice_of_a_loss_imports_no_pytorch() -> None:
    choosing = "import sys; from furiosa_models.training.losses import loss_of"
    code = f"{choosing}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
