"""The NPU backend: the vendor's own runtime, passed through."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from .errors import FuriosaRuntimeError

__all__ = ["FuriosaSession"]


class FuriosaSession:
    """A runner of furiosa-runtime.

    Args:
        model: ENF bytes or a path, or what else the vendor runtime takes.
        options: Its keyword arguments; those that are None are left to it.

    Raises:
        FuriosaRuntimeError: The vendor runtime cannot create the runner.
    """

    inputs: None = None  # the vendor runtime checks its inputs itself

    def __init__(self, model: object, **options: object) -> None:
        vendor = importlib.import_module("furiosa.runtime.sync")
        given = {name: value for name, value in options.items() if value is not None}
        try:
            self._runner = vendor.create_runner(model, **given)
        except Exception as error:
            msg = f"furiosa-runtime cannot create a runner: {error}"
            raise FuriosaRuntimeError(msg) from error

    def run(
        self, inputs: Sequence[npt.NDArray[Any]], output_names: Sequence[str] | None = None
    ) -> list[npt.NDArray[Any]]:
        """Outputs for the inputs."""
        outputs = list(self._runner.run(list(inputs)))
        if output_names is None:
            return outputs
        names = [tensor.name for tensor in self._runner.model.outputs()]
        return [outputs[names.index(name)] for name in output_names]

    def close(self) -> None:
        """Free the device."""
        self._runner.close()
