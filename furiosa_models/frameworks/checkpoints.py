"""Checkpoints: weights without a network, which a network of this package is built with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import networks
from ..errors import WeightsError
from ..spec import NetworkSpec

if TYPE_CHECKING:
    from .onnx import OnnxModel

__all__ = ["READERS", "recognize"]

READERS = {".pt": "pytorch", ".pth": "pytorch", ".safetensors": "safetensors"}
"""Reader of the files with each suffix."""


def recognize(
    source: Any,
    *,
    network: str | NetworkSpec | None = None,
    params: Mapping[str, Any] | None = None,
    **options: Any,
) -> OnnxModel | None:
    """Return the network of a checkpoint file as ONNX.

    Args:
        source: A file of weights: `.safetensors`, `.pth` or `.pt`. It executes no code.
        network: The network: a `NetworkSpec`, such as `SSDMobileNet.spec.network`, or the name of a
            builder in `furiosa_models.networks.NETWORKS`.
        params: Parameters of the builder, if `network` is a name.
        options: Options of `OnnxModel`.

    Raises:
        WeightsError: No network is given, or the weights do not fit it.
    """
    if not isinstance(source, Path) or not source.is_file():
        return None
    reader = READERS.get(source.suffix.lower())
    if reader is None:
        return None
    if network is None:
        msg = (
            f"{source} has weights without a network: pass network=, such as "
            "SSDMobileNet.spec.network, or open it with the class of its network"
        )
        raise WeightsError(msg)
    from .onnx import OnnxModel

    spec = NetworkSpec(network, params or {}) if isinstance(network, str) else network
    found = networks.read_weights(reader, {source.name: source.read_bytes()}, spec.layout)
    arrays = networks.state_of(spec.name, found, **spec.params)
    built, _ = networks.build_checkpoint(spec.name, arrays, **spec.params)
    return OnnxModel(built, form=source.suffix.lower().removeprefix("."), **options)
