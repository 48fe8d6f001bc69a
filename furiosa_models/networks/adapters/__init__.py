"""Adapters that convert names and layouts of weight files to those of the networks.

The networks use the parameter names of the public checkpoints. Converted files store the same
parameters under other names, transposed, or with batch normalization folded into the convolutions;
an adapter reverses these conversions. Folded normalization becomes a normalization that only adds
the bias.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errors import WeightsError
from ..options import choose
from ._arrays import Array, Arrays
from .efficientnet import efficientnet_tfjs
from .posenet import posenet_tflite
from .resnet import resnet_tfjs
from .segmentation import deeplab_tflite, selfie_tflite, u2netp_onnx
from .slim import slim_fake_quant
from .yolo import yolo_pickle, yolov5_tfjs, yolov5_tflite

__all__ = ["LAYOUTS", "adapt"]


def adapt(layout: str, arrays: Arrays) -> dict[str, Array]:
    """Convert arrays to the names and layouts of the public checkpoint.

    Args:
        layout: Origin of the arrays, a key of `LAYOUTS`.
        arrays: Arrays of the file by name.

    Raises:
        WeightsError: The layout is unknown, or the arrays do not have it.
    """
    adapter = choose(LAYOUTS, layout, "weights layout", WeightsError)
    try:
        return adapter(arrays)
    except (LookupError, ValueError) as error:
        msg = f"the weights do not have the layout {layout!r}: {error}"
        raise WeightsError(msg) from error


def _native(arrays: Arrays) -> dict[str, Array]:
    """Return the arrays of a file that has the names and layouts of the public checkpoint."""
    return dict(arrays)


LAYOUTS: dict[str, Callable[[Arrays], dict[str, Array]]] = {
    "native": _native,
    "deeplab_tflite": deeplab_tflite,
    "efficientnet_tfjs": efficientnet_tfjs,
    "posenet_tflite": posenet_tflite,
    "resnet_tfjs": resnet_tfjs,
    "selfie_tflite": selfie_tflite,
    "slim_fake_quant": slim_fake_quant,
    "u2netp_onnx": u2netp_onnx,
    "yolo_pickle": yolo_pickle,
    "yolov5_tfjs": yolov5_tfjs,
    "yolov5_tflite": yolov5_tflite,
}
