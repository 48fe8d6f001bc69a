"""Choice of the loss by the type of the head; nothing here imports torch by itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Protocol, TypeAlias

from ..._lazy import require
from ...errors import ConfigurationError
from ...heads import (
    ClassificationHead,
    DFineHead,
    MaskQueriesHead,
    MatteHead,
    QueryHead,
    SemanticHead,
    SemanticQueriesHead,
    SSDHead,
    YOLOv5Head,
)
from ...spec import Head
from ..targets import Target, Tensor

__all__ = ["Loss", "LossFactory", "loss_of", "register_loss", "takes_auxiliary"]


class Loss(Protocol):
    """What training minimizes: a function of the outputs and labels of a batch.

    A loss with a true attribute `takes_auxiliary` is called with another argument, `auxiliary`: the
    outputs that only training needs, of networks that have some, such as those of each decoder
    layer (`networks.AUXILIARY`).
    """

    def __call__(
        self, outputs: Sequence[Tensor], targets: Sequence[Target], size: tuple[int, int]
    ) -> dict[str, Tensor]:
        """Return named scalars, already weighted, whose sum is minimized.

        Args:
            outputs: The network's outputs, in the order that its head reads; float32, float16 or
                bfloat16. The loss is computed in float32.
            targets: Labels of each image of the batch, on any device.
            size: Height and width of the network's input.

        Raises:
            ShapeError: Outputs or targets have the wrong count or shape.
            LabelsError: A class id does not belong to the network's classes.
        """
        ...


LossFactory: TypeAlias = Callable[..., Loss]
"""A function of a head and options that returns its loss, such as a class."""


def loss_of(head: Head, **options: Any) -> Loss:
    """Return the loss that networks with a head are trained with.

    Args:
        head: A head that has been fitted to its graph; a subclass is treated as its base.
        options: Options of this loss, such as `label_smoothing`.

    Raises:
        ConfigurationError: No loss is known for the head, or the head cannot be trained.
        TypeError: The loss does not have such an option.
        ExtraRequired: PyTorch is not installed.
    """
    known = (_FACTORIES.get(kind) for kind in type(head).__mro__)
    factory = next((found for found in known if found is not None), None)
    if factory is None:
        names = ", ".join(sorted(kind.__name__ for kind in _FACTORIES))
        msg = (
            f"no loss is known for {type(head).__name__}, only for {names}: pass loss=, a function "
            "of outputs, targets and size, or register one with register_loss"
        )
        raise ConfigurationError(msg)
    return factory(head, **options)


def takes_auxiliary(loss: Loss) -> bool:
    """Return whether a loss takes the outputs that only training needs."""
    return bool(getattr(loss, "takes_auxiliary", False))


def register_loss(head_type: type[Head], factory: LossFactory) -> None:
    """Make a loss known for a type of head, and for its subclasses.

    Args:
        head_type: The type; if it has a loss already, the new one replaces it.
        factory: Called with the head and the options of `loss_of`.
    """
    _FACTORIES[head_type] = factory


def _from(module: str, name: str) -> LossFactory:
    """Return the class of a module of this package as a factory, imported on first use."""

    def make(head: Head, **options: Any) -> Loss:
        require("torch", "training needs PyTorch", extra="train")
        loss: Loss = getattr(import_module(f".{module}", __package__), name)(head, **options)
        return loss

    return make


_FACTORIES: dict[type[Head], LossFactory] = {
    ClassificationHead: _from("classification", "ClassificationLoss"),
    DFineHead: _from("dfine", "DFineLoss"),
    MaskQueriesHead: _from("masks", "MaskQueriesLoss"),
    MatteHead: _from("pixels", "MatteLoss"),
    QueryHead: _from("detr", "DETRLoss"),
    SemanticHead: _from("pixels", "SemanticLoss"),
    SemanticQueriesHead: _from("masks", "MaskQueriesLoss"),
    SSDHead: _from("ssd", "SSDLoss"),
    YOLOv5Head: _from("yolov5", "YOLOv5Loss"),
}
