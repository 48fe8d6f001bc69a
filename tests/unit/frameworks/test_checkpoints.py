from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from furiosa_models import networks
from furiosa_models.errors import WeightsError
from furiosa_models.frameworks import wrap
from furiosa_models.networks.weights import RandomWeights
from furiosa_models.vision import MobileNetV2
from tests.unit.networks.recorded import RecordedWeights


def safetensors(arrays: dict[str, np.ndarray[Any, Any]]) -> bytes:
    """Write float32 arrays by the specification of the format."""
    header, blob = {}, b""
    for name, array in arrays.items():
        data = np.ascontiguousarray(array, np.float32).tobytes()
        offsets = [len(blob), len(blob) + len(data)]
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": offsets}
        blob += data
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + blob


@pytest.fixture(scope="module")
def arrays() -> dict[str, np.ndarray[Any, Any]]:
    recorded = RecordedWeights(RandomWeights())
    networks.build("mobilenet_v2", recorded)
    return {name: RandomWeights().get(asked) for name, asked in recorded.asked.items()}


@pytest.mark.parametrize("network", ["mobilenet_v2", MobileNetV2.spec and MobileNetV2.spec.network])
def test_safetensors_and_network_code_are_a_model(
    network: Any, arrays: dict[str, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(safetensors(arrays))
    model = wrap(path, network=network)
    assert (model.framework, model.form) == ("onnx", "safetensors")
    built = networks.build("mobilenet_v2", networks.NamedWeights(arrays))
    assert model.to_onnx() == built
    own = MobileNetV2(path)
    assert own.origin == networks.to_bytes(built)


def test_state_is_loaded_into_the_network(arrays: dict[str, np.ndarray[Any, Any]]) -> None:
    built = networks.build("mobilenet_v2", networks.NamedWeights(arrays))
    assert MobileNetV2(arrays).origin == networks.to_bytes(built)
    with pytest.raises(WeightsError, match="are missing among 1 arrays"):
        _ = MobileNetV2({"features.0.0.bias": np.zeros(3, np.float32)}).origin


def test_weights_alone_need_a_network(
    arrays: dict[str, np.ndarray[Any, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(safetensors(arrays))
    with pytest.raises(WeightsError, match="weights without a network: pass network="):
        wrap(path)
    with pytest.raises(WeightsError, match="are missing"):
        wrap(path, network="resnet")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (b"", "not a valid safetensors file"),
        (b"\xff" * 8, "a header of 18446744073709551615 bytes, but the file has 8"),
        (b"\x10" + b"\0" * 7 + b"{}", "a header of 16 bytes, but the file has 10"),
    ],
    ids=["empty", "huge", "cut"],
)
def test_damaged_safetensors_are_an_error(damage: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(damage)
    with pytest.raises(WeightsError, match=message):
        wrap(path, network="mobilenet_v2")
