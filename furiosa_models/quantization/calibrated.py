"""Ranges that were calibrated for sets of weights of the zoo."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import ArtifactNotFound

__all__ = ["Calibration", "calibration_file", "fingerprint", "load_calibration"]

_FOLDER = Path(__file__).with_name("ranges")


class Calibration(NamedTuple):
    """What `quantize` takes, for one set of weights.

    Attributes:
        ranges: Least and greatest value of each tensor of the uint8 program.
        means: Mean of each channel of the inputs of convolutions.
    """

    ranges: dict[str, list[float]]
    means: dict[str, list[float]]


def load_calibration(model: str, weights: str) -> Calibration:
    """The calibration of a set of weights.

    Args:
        model: Class of the model.
        weights: Name of the set.

    Raises:
        ArtifactNotFound: That set was not calibrated.
    """
    path = calibration_file(model, weights)
    return Calibration(_read(path), _read(path.with_suffix(".means.yaml")))


def calibration_file(model: str, weights: str) -> Path:
    """File of the ranges of a set of weights; arguments and errors are those above."""
    path = _FOLDER / f"{model}-{weights}.yaml"
    if not path.is_file():
        known = sorted(p.stem for p in _FOLDER.glob("*.yaml") if not p.stem.endswith(".means"))
        msg = (
            f"{model}/{weights} was not calibrated for int8; these were: {', '.join(known)}. "
            "furiosa_models.quantization.Calibrator calibrates on photos of yours"
        )
        raise ArtifactNotFound(msg)
    return path


@cache
def fingerprint() -> str:
    """sha256 of this package's sources and calibrations: changes whenever a program might."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*")):
        if path.suffix in (".py", ".yaml"):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _read(path: Path) -> dict[str, Any]:
    import yaml  # with the descriptor slow to import, and needed to build a program only

    from ..artifacts.descriptor import yaml_loader

    document: dict[str, Any] = yaml.load(path.read_bytes(), yaml_loader())
    return document
