"""Modules of TensorFlow 2 in memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import ConversionError
from .framework import first_line, quiet, tensorflow
from .saved_model import SIGNATURE, ExportedModel

__all__ = ["ModuleModel"]


class ModuleModel(ExportedModel):
    """A `tf.Module`, as the SavedModel that it has when it is first used.

    Its `__call__`, or its only other method, must be a `tf.function` with an `input_signature`.

    Args:
        module: The module.
        form: Form of the model.
    """

    def __init__(self, module: Any, *, form: str = "tf.Module") -> None:
        super().__init__(form)
        self._module = module

    @property
    def raw(self) -> Any:
        """The module."""
        return self._module

    def _export(self, folder: Path) -> None:
        tf = tensorflow("saving a tf.Module")
        function = _function(self._module)
        with quiet():
            try:
                signatures = {SIGNATURE: function}
                tf.saved_model.save(self._module, str(folder), signatures=signatures)
            except Exception as error:  # TensorFlow raises errors of many types
                msg = f"TensorFlow cannot save {type(self._module).__name__}: {first_line(error)}"
                raise ConversionError(msg) from error


def _function(module: Any) -> Any:
    """Return the function of a module with an input signature."""
    names = ["__call__", *(name for name in dir(type(module)) if not name.startswith("_"))]
    functions = {name: getattr(module, name, None) for name in names}
    known = {
        name: function
        for name, function in functions.items()
        if getattr(function, "input_signature", None) is not None
    }
    if "__call__" in known:
        return known["__call__"]
    if len(known) != 1:
        msg = (
            f"{type(module).__name__} does not say its inputs: decorate __call__ with "
            f"tf.function(input_signature=[...]); with a signature: {', '.join(known) or 'none'}"
        )
        raise ConversionError(msg)
    return next(iter(known.values()))
