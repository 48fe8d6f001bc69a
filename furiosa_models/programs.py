"""What a model is run with on a CPU: a float program, or an int8 one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from . import networks
from .artifacts.store import Store, recipe_key
from .conventions import scaled_inside
from .errors import ArtifactNotFound
from .images.preprocess import ImageInput
from .runtime.sync import Precision
from .weights import WeightSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .artifacts.descriptor import Artifact, File

__all__ = ["Programs"]


class Programs(ABC):
    """The programs of a model of the zoo, each made on first use and kept in the store."""

    name: ClassVar[str]
    _store: Store

    @property
    @abstractmethod
    def weights(self) -> str:
        """Name of the weights in use."""

    @classmethod
    @abstractmethod
    def catalogue(cls) -> Mapping[str, Artifact]:
        """The model's sets of weights, by name."""

    @classmethod
    @abstractmethod
    def _catalogue_name(cls) -> str: ...

    @abstractmethod
    def _weights(self) -> WeightSet: ...

    @abstractmethod
    def _input_spec(self) -> ImageInput: ...

    @property
    def tensor_name_to_range(self) -> dict[str, list[float]]:
        """Calibrated range, [least, greatest], of each tensor of the published `origin`.

        Raises:
            ArtifactNotFound: The weights in use have none.
        """
        from .quantization.calibrated import read_yaml

        (path,) = self._store.fetch([self._published_ranges()]).values()
        ranges: dict[str, list[float]] = read_yaml(path)
        return ranges

    def cpu_program(self, *, precision: Precision = "fp32") -> Path:
        """File of ONNX that takes uint8 (n, 3, h, w), with the scaling of `preprocess` inside.

        Args:
            precision: `"int8"` for the quantized program.

        Raises:
            ArtifactNotFound: The weights in use were not calibrated for int8.
        """
        if precision == "int8":
            return self._int8_program()
        weights, spec = self._weights(), self._input_spec()
        recipe = [weights.digest, spec.mean, spec.std, networks.fingerprint()]
        return self._store.derive(recipe_key(*recipe), lambda: scaled_inside(weights.origin, spec))

    def _int8_program(self) -> Path:
        from .quantization import calibrated

        program, path = self.cpu_program(), self._calibration_file()
        origin = path.name if path else self._published_ranges().digest

        def build() -> bytes:
            calibration = (
                calibrated.read_calibration(path)
                if path
                else calibrated.Calibration(self.tensor_name_to_range)
            )
            return calibration.quantize(program.read_bytes())

        return self._store.derive(recipe_key(program.name, calibrated.fingerprint(), origin), build)

    def _calibration_file(self) -> Path | None:
        """File of the zoo's calibration of the weights; None for the ranges published with them.

        Raises:
            ArtifactNotFound: There are neither.
        """
        from .quantization import calibrated

        model, weights = self._catalogue_name(), self._weights()
        try:
            return calibrated.calibration_file(model, weights.name, weights.digest)
        except ArtifactNotFound:
            if weights.artifact is None or weights.artifact.tensor_ranges is None:
                raise
            return None

    def _published_ranges(self) -> File:
        """File of the ranges that were published with the weights in use.

        Raises:
            ArtifactNotFound: There is none.
        """
        artifact = self._weights().artifact
        if artifact is None or artifact.tensor_ranges is None:
            msg = f"the weights {self.weights!r} of {self.name} have no calibrated tensor ranges"
            raise ArtifactNotFound(msg)
        return artifact.tensor_ranges
