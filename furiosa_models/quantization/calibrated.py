"""Ranges that were calibrated for sets of weights of the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ArtifactNotFound

__all__ = [
    "DIGEST_LENGTH",
    "RECIPE",
    "Calibration",
    "calibration_file",
    "read_calibration",
    "read_yaml",
]

DIGEST_LENGTH = 12
"""Digits of the sha256 in the name of a calibration of weights that are no set of the zoo."""

RECIPE = 1
"""Recipe number of `quantize`: raise it when another program comes of the same calibration.
What was built with an older number is built again, once."""

_FOLDER = Path(__file__).with_name("ranges")


class Calibration(NamedTuple):
    """What `quantize` takes, for one set of weights.

    Attributes:
        ranges: Least and greatest value of each tensor of the uint8 program.
        means: Mean of each channel of the inputs of convolutions; None where they are not known.
        floats: Names of nodes that stay float.
    """

    ranges: dict[str, list[float]]
    means: dict[str, list[float]] | None = None
    floats: tuple[str, ...] = ()

    def quantize(self, program: bytes) -> bytes:
        """Return the int8 program of a uint8 one."""
        from .quantizer import quantize

        return quantize(program, self.ranges, channel_means=self.means, exclude=self.floats)


def calibration_file(model: str, weights: str, digest: str) -> Path:
    """Return the file of the calibration of a set of weights.

    Args:
        model: Class of the model.
        weights: Name of the set.
        digest: sha256 of the weights, which finds those of a user's file, too.

    Raises:
        ArtifactNotFound: These weights were not calibrated; says what calibrates them.
    """
    for name in (weights, digest[:DIGEST_LENGTH]):
        path = _FOLDER / f"{model}-{name}.yaml"
        if path.parent == _FOLDER and path.is_file():  # the name of a user's file has slashes
            return path
    msg = (
        f"{model}/{weights} was not calibrated for int8: model.quantize(photos), or "
        "`furiosa-models quantize MODEL --images DIR`, does so on photos of yours"
    )
    raise ArtifactNotFound(msg)


def read_calibration(path: Path) -> Calibration:
    """Return the calibration that is in a file."""
    document: dict[str, Any] = read_yaml(path)
    return Calibration(document["ranges"], document["means"], tuple(document["float"]))


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds, read by libyaml where PyYAML was built with it."""
    import yaml  # slow to import, and needed to build a program only

    return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
