"""Models whose variables are those of a checkpoint of TensorFlow 2."""

from __future__ import annotations

from typing import Any

from .checkpoint import CheckpointFiles, restore
from .model import TensorFlowModel
from .module import ModuleModel

__all__ = ["restored_model"]

_FORM = "TF2 checkpoint"


def restored_model(files: CheckpointFiles, model: Any, **options: Any) -> TensorFlowModel:
    """Restore the variables of the user's model, and return the model.

    Args:
        files: The checkpoint.
        model: A Keras model, or a `tf.Module`; its variables are changed.
        options: Options of the model.

    Raises:
        ConversionError: The checkpoint does not have the variables of the model.
        ExtraRequired: TensorFlow is not installed.
    """
    from ..keras import KerasModel, is_keras_model

    restore(files, model)
    if is_keras_model(model):
        return KerasModel(model, form=_FORM, **options)
    return ModuleModel(model, form=_FORM, **options)
