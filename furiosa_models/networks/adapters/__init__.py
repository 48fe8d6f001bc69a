"""From names and layouts of particular files to those that the networks ask for.

A network's parameters have one set of names, those of its public checkpoint. Converted files have
the same numbers under other names, transposed, or with batch normalization already folded in; an
adapter undoes that. Folded normalization comes back as one that only adds the bias.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import WeightsError
from ..options import choose
from ._arrays import Array, Arrays
from .efficientnet import efficientnet_tfjs
from .resnet import resnet_tfjs
from .slim import slim_fake_quant
from .yolo import yolo_pickle, yolov5_tfjs, yolov5_tflite

__all__ = ["LAYOUTS", "adapt"]


def adapt(layout: str, arrays: Arrays) -> dict[str, Array]:
    """`arrays` under the names and in the layouts of the public checkpoint.

    Args:
        layout: Where the arrays are from, a key of `LAYOUTS`.
        arrays: What the file holds.

    Raises:
        WeightsError: No layout has that name, or the arrays are not from there.
    """
    adapter = choose(LAYOUTS, layout, "weights layout", WeightsError)
    try:
        return adapter(arrays)
    except (LookupError, ValueError) as error:
        msg = f"the weights do not have the layout {layout!r}: {error}"
        raise WeightsError(msg) from error


def _native(arrays: Arrays) -> dict[str, Array]:
    """Files that have the names and layouts of the public checkpoint."""
    return dict(arrays)


LAYOUTS: dict[str, Callable[[Arrays], dict[str, Array]]] = {
    "native": _native,
    "efficientnet_tfjs": efficientnet_tfjs,
    "resnet_tfjs": resnet_tfjs,
    "slim_fake_quant": slim_fake_quant,
    "yolo_pickle": yolo_pickle,
    "yolov5_tfjs": yolov5_tfjs,
    "yolov5_tflite": yolov5_tflite,
}
