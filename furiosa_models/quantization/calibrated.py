"""Calibrated ranges of the zoo's sets of weights."""

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
"""Number of sha256 digits in the file name of a calibration for weights outside the zoo."""

RECIPE = 2
"""Recipe number of `quantize`. Increment it when the same calibration gives another program.
Programs that were built with an older number are then rebuilt once."""

_FOLDER = Path(__file__).with_name("ranges")


class Calibration(NamedTuple):
    """Arguments of `quantize` for one set of weights.

    Attributes:
        ranges: Range (minimum, maximum) of each tensor of the uint8 program, by tensor name.
        means: Mean of each channel of the convolutions' inputs, by tensor name; None if unknown.
        floats: Names of nodes that stay float.
    """

    ranges: dict[str, list[float]]
    means: dict[str, list[float]] | None = None
    floats: tuple[str, ...] = ()

    def quantize(self, program: bytes, *, reduce_range: bool = True) -> bytes:
        """Quantize a float32 program with uint8 input, and return the int8 program.

        Args:
            program: The program.
            reduce_range: Whether weights have 7 bits, as for CPUs.
        """
        from .quantizer import quantize

        return quantize(
            program,
            self.ranges,
            channel_means=self.means,
            exclude=self.floats,
            reduce_range=reduce_range,
        )


def calibration_file(model: str, weights: str, digest: str) -> Path:
    """Return the path of the calibration of a set of weights.

    Args:
        model: Class name of the model.
        weights: Name of the set.
        digest: sha256 of the weights, which identifies weights of a user's file.

    Raises:
        ArtifactNotFound: These weights are not calibrated.
    """
    for name in (weights, digest[:DIGEST_LENGTH]):
        path = _FOLDER / f"{model}-{name}.yaml"
        if path.parent == _FOLDER and path.is_file():  # a user's file may have slashes in its name
            return path
    msg = (
        f"{model}/{weights} was not calibrated for int8: calibrate it on your photos with "
        "model.quantize(photos) or `furiosa-models quantize MODEL --images DIR`"
    )
    raise ArtifactNotFound(msg)


def read_calibration(path: Path) -> Calibration:
    """Read a calibration file."""
    document: dict[str, Any] = read_yaml(path)
    return Calibration(document["ranges"], document["means"], tuple(document["float"]))


def read_yaml(path: Path) -> Any:
    """Parse a YAML file, with libyaml if PyYAML was built with it."""
    import yaml  # slow to import, and needed only to build a program

    return yaml.load(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
