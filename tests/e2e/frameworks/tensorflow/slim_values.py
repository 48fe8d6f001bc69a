"""Values of variables and images that depend on nothing but names and shapes."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
SIZES = {"overfeat": 231, "inception_v3": 299}
UNITS = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3), "200": (3, 24, 36, 3)}


def value(name: str, shape: Sequence[int]) -> Array:
    """Return the value of a variable, of a size that keeps activations between 0.1 and 10."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    kind = name.rpartition("/")[2]
    if kind.endswith("weights"):
        fan_in = np.prod(shape[:2] if kind == "depthwise_weights" else shape[:3])
        scale = (2 / fan_in) ** 0.5 * (0.2 if "conv3" in name and "unit" in name else 1)
        return (random.standard_normal(shape, np.float32) * scale).astype(np.float32)
    if kind in ("gamma", "moving_variance"):
        return random.uniform(0.7, 1.3, shape).astype(np.float32)
    return (random.standard_normal(shape, np.float32) * 0.1).astype(np.float32)


def image(network: str) -> Array:
    size = SIZES.get(network, 224)
    return np.random.default_rng(0).normal(size=(2, size, size, 3)).astype(np.float32)


def base(network: str) -> str:
    """Return the network that has the same variables but for the number of units."""
    family, _, depth = network.rpartition("_")
    return f"{family}_50" if depth in UNITS and family.startswith("resnet") else network
