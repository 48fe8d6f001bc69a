"""Ranges that were calibrated for sets of weights of the zoo."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ArtifactNotFound

__all__ = [
    "DIGEST_LENGTH",
    "Calibration",
    "calibration_file",
    "fingerprint",
    "load_calibration",
]

DIGEST_LENGTH = 12
"""Digits of the sha256 in the name of a calibration of weights that are no set of the zoo."""

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
        """The int8 program of a uint8 one."""
        from .quantizer import quantize  # with onnx, which running a cached program does without

        return quantize(program, self.ranges, channel_means=self.means, exclude=self.floats)


def load_calibration(model: str, weights: str, digest: str) -> Calibration:
    """The calibration of a set of weights.

    Args:
        model: Class of the model.
        weights: Name of the set.
        digest: sha256 of the weights, which finds those of a user's file, too.

    Raises:
        ArtifactNotFound: These weights were not calibrated.
    """
    import yaml

    from ..artifacts.descriptor import yaml_loader

    path = calibration_file(model, weights, digest)
    document: dict[str, Any] = yaml.load(path.read_bytes(), yaml_loader())
    return Calibration(document["ranges"], document["means"], tuple(document["float"]))


def calibration_file(model: str, weights: str, digest: str) -> Path:
    """File of a calibration; arguments and errors are those of `load_calibration`."""
    names = f"{model}-{weights}", f"{model}-{digest[:DIGEST_LENGTH]}"
    found = next((path for path in map(_path, names) if path.is_file()), None)
    if found is None:
        known = sorted(path.stem for path in _FOLDER.glob("*.yaml"))
        msg = (
            f"{model}/{weights} was not calibrated for int8; these were: {', '.join(known)}. "
            "furiosa_models.quantization.Calibrator calibrates on photos of yours"
        )
        raise ArtifactNotFound(msg)
    return found


@cache
def fingerprint() -> str:
    """sha256 of this package's sources and calibrations: changes whenever a program might."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.suffix in (".py", ".yaml"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _path(name: str) -> Path:
    return _FOLDER / f"{name}.yaml"
