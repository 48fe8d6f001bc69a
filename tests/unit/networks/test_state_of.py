"""The state of a network inside of the files that programs write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models import networks
from furiosa_models.errors import WeightsError
from furiosa_models.networks.checkpoint_params import state_of
from furiosa_models.networks.writers import to_pytorch, to_safetensors
from furiosa_models.vision import MobileNetV2, YOLOv5n

NAMES = ("a.weight", "a.bias", "b.weight")


def arrays(prefix: str, *names: str) -> dict[str, Any]:
    return {f"{prefix}{name}": np.full(2, i, np.float32) for i, name in enumerate(names)}


@pytest.mark.parametrize("wrapper", ["", "module.", "state_dict.", "model.module.", "model."])
def test_a_wrapped_state_is_found(wrapper: str) -> None:
    wrapped = arrays(wrapper, *NAMES) | arrays("optimizer.state.", "0.exp_avg", "1.weight")
    found = state_of(wrapped, NAMES)
    for name, array in arrays("", *NAMES).items():
        assert found[name] is wrapped[f"{wrapper}{name}"]
        np.testing.assert_array_equal(found[name], array)


def test_the_plain_state_comes_before_an_average_of_it() -> None:
    both = arrays("ema.", *NAMES) | arrays("", *NAMES)
    assert state_of(both, NAMES) == both
    assert {*state_of(arrays("other.", "c"), NAMES)} == {"other.c"}
    assert state_of({}, NAMES) == {}


@pytest.mark.parametrize("wrapper", ["", "module.", "state_dict."])
@pytest.mark.parametrize("cls", [MobileNetV2, YOLOv5n])
def test_models_load_wrapped_states(cls: Any, wrapper: str, tmp_path: Path) -> None:
    model = cls("random")
    spec = model.network
    weights, graph = networks.RandomWeights(), networks.describe(spec.name, **spec.params)
    state = {f"{wrapper}{name}": weights.get(p) for name, p in graph.parameters.items()}
    state["epoch"] = np.array([3.0], np.float32)
    for name, write in (("net.pth", to_pytorch), ("net.safetensors", to_safetensors)):
        path = tmp_path / name
        path.write_bytes(write(state))
        assert cls(path).origin == model.origin
    assert cls(state).origin == model.origin


def test_a_state_of_another_network_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(to_safetensors(arrays("model.", *NAMES)))
    with pytest.raises(WeightsError, match="are missing among 3 arrays"):
        MobileNetV2(path).origin  # noqa: B018 - it is built on access
