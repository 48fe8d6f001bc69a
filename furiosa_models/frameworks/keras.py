"""Keras: models in memory, `.keras` and `.h5` files, and saved model folders.

| model | recognized by | `save` writes |
|---|---|---|
| `keras.Model`, `tf_keras.Model` | its class | SavedModel folder |
| `.keras`, `.h5` | the suffix | SavedModel folder |
| Keras saved model | folder with `saved_model.pb` and `keras_metadata.pb` | SavedModel folder |

`keras.layers.TFSMLayer` and `tf.saved_model.load` read a saved folder. A folder that Keras 3 has
exported is a SavedModel; see `tensorflow`.
"""

from __future__ import annotations

import mmap
import zipfile
from functools import cached_property
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

from .._lazy import require
from ..errors import ConversionError, WeightsError
from .tensorflow.framework import first_line, quiet, tensorflow
from .tensorflow.frozen import FrozenGraph
from .tensorflow.model import TensorFlowModel
from .tensorflow.saved_model import ExportedModel, FrozenModel, SavedModelModel, is_saved_model

__all__ = ["KerasModel", "KerasSavedModel", "is_keras_model", "recognize"]

_METADATA = "keras_metadata.pb"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_HDF5_NETWORK = b"model_config"  # an attribute of the file, which has plain names


def recognize(source: Any, **options: Any) -> TensorFlowModel | None:
    """Return the model of a Keras object or path.

    Args:
        source: An object, or a path.
        options: `signature` for a Keras saved model.

    Raises:
        WeightsError: A file is not of its format, or contains weights only.
        TypeError: The model has no such option.
    """
    if not isinstance(source, Path):
        return KerasModel(source, **options) if is_keras_model(source) else None
    if source.name in ("saved_model.pb", _METADATA) and source.is_file():
        return recognize(source.parent, **options)
    if is_saved_model(source) and (source / _METADATA).is_file():
        return KerasSavedModel(source, form="Keras saved model", **options)
    suffix = source.suffix.lower()
    if source.is_file() and suffix in (".keras", ".h5", ".hdf5"):
        _check_file(source, suffix)
        return KerasModel(source, form=f"{suffix} file", **options)
    return None


def is_keras_model(source: Any) -> bool:
    """Return whether an object is a Keras model, without an import of Keras."""
    return any(
        kind.__name__ == "Model" and kind.__module__.partition(".")[0] in ("keras", "tf_keras")
        for kind in type(source).__mro__
    )


def _check_file(path: Path, suffix: str) -> None:
    """Raise WeightsError if a file cannot contain a Keras model."""
    try:
        with path.open("rb") as file:
            start = file.read(len(_HDF5))
            is_hdf5 = start == _HDF5
            has_network = is_hdf5 and _contains(file, _HDF5_NETWORK)
        is_zip = zipfile.is_zipfile(path)
    except OSError as error:
        msg = f"{path} cannot be read: {error.strerror or error}"
        raise WeightsError(msg) from error
    if not (is_zip if suffix == ".keras" else is_hdf5):
        expected = "a zip archive" if suffix == ".keras" else "an HDF5 file"
        msg = f"{path} is not a Keras model: expected {expected}, but it starts with {start!r}"
        raise WeightsError(msg)
    if suffix != ".keras" and not has_network:
        msg = (
            f"{path} contains weights, but no network: load it into its Keras model with "
            "model.load_weights(path), and pass the model"
        )
        raise WeightsError(msg)


def _contains(file: BinaryIO, text: bytes) -> bool:
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(text) >= 0


class KerasSavedModel(SavedModelModel):
    """A SavedModel that Keras 2 has written."""

    framework: ClassVar[str] = "keras"

    def _from_frozen(self, graph: FrozenGraph) -> TensorFlowModel:
        return FrozenKerasModel(graph, self.signature, self.form)


class FrozenKerasModel(FrozenModel):
    """A SavedModel that the frozen graph of a Keras model becomes."""

    framework: ClassVar[str] = "keras"


class KerasModel(ExportedModel):
    """A Keras model, as the SavedModel that it exports when it is first used.

    Wrap the model again after it was trained.

    Args:
        source: The model, or the path of a `.keras` or `.h5` file.
        form: Form of the model.
    """

    framework: ClassVar[str] = "keras"

    def __init__(self, source: Any, *, form: str = "keras.Model") -> None:
        super().__init__(form)
        self._source = source

    @cached_property
    def raw(self) -> Any:
        """The Keras model.

        Raises:
            ExtraRequired: Keras is not installed.
            WeightsError: Keras cannot read the file.
        """
        return _load(self._source) if isinstance(self._source, Path) else self._source

    def _declared_inputs(self) -> list[str]:
        tensors = getattr(self.raw, "inputs", None) or []  # a subclassed model has none
        return [str(tensor.name).partition(":")[0] for tensor in tensors]

    def _export(self, folder: Path) -> None:
        tensorflow("exporting a Keras model")
        model = self.raw
        if not model.built:
            msg = (
                f"{type(model).__name__} does not know the shape of its input: call it once on "
                "data, or build it, and pass it again"
            )
            raise ConversionError(msg)
        with quiet():
            try:
                if _is_keras_3(model):
                    model.export(str(folder), verbose=False)
                else:
                    model.save(str(folder), save_format="tf")
            except Exception as error:  # Keras raises errors of many types
                msg = f"Keras cannot export {type(model).__name__}: {first_line(error)}"
                raise ConversionError(msg) from error

    def _from_frozen(self, graph: FrozenGraph) -> TensorFlowModel:
        return FrozenKerasModel(graph, self.signature, self.form)


def _load(path: Path) -> Any:
    keras = require("keras", f"reading {path} needs Keras", extra="tensorflow")
    with quiet():
        try:
            return keras.models.load_model(path, compile=False)
        except Exception as error:  # Keras raises errors of many types
            msg = (
                f"Keras cannot read {path} (if Keras 2 has written it, read it with tf_keras, and "
                f"pass the model): {first_line(error)}"
            )
            raise WeightsError(msg) from error


def _is_keras_3(model: Any) -> bool:
    return any(kind.__module__.partition(".")[0] == "keras" for kind in type(model).__mro__)
