"""Run an embedded graph under this package: its options, and its outputs as results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import numpy_helper

from ...networks import edit
from ...ops.checks import check_at_least, check_unit
from ...tasks.classification import Classification
from ...tasks.detection import Detections
from ...tasks.matte import Matte
from ...tasks.pose import Poses
from ...tasks.segmentation import SemanticMap

__all__ = ["results_of", "with_options"]


def with_options(model: bytes, options: Mapping[str, Any]) -> bytes:
    """Return an embedded graph whose options are constants.

    Args:
        model: The graph; options that are not given keep their defaults.
        options: Options of the task by name; those that are None keep their defaults, too. Those
            that the graph lacks change nothing, as in `decode` of its head, which does not use
            them either: a graph that finds one person does not suppress others.

    Raises:
        TypeError: A value is not a number.
        ValueError: A threshold is not between 0 and 1, or `top_k` is less than 1.
    """
    proto = edit.parse(model)
    image, *_ = proto.graph.input
    given = {name: value for name, value in options.items() if value is not None}
    for name, value in given.items():
        if name.endswith("_threshold"):
            check_unit(name, value)
        else:
            check_at_least(name, value, 1)
    for tensor in proto.graph.initializer:
        if tensor.name in given:
            dtype = numpy_helper.to_array(tensor).dtype
            array = np.asarray(given[tensor.name], dtype)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    del proto.graph.input[:]
    proto.graph.input.append(image)
    return edit.to_bytes(proto)


def results_of(
    outputs: Mapping[str, npt.NDArray[Any]], labels: Sequence[str]
) -> Detections | Poses | Classification | SemanticMap | Matte:
    """Return the outputs of an embedded graph for one photo as a result.

    Args:
        outputs: The outputs by name.
        labels: The names of the classes.
    """
    if "class_map" in outputs:
        return SemanticMap(outputs["class_map"], labels)
    if "alpha" in outputs:
        return Matte(outputs["alpha"], *labels[:1])
    scores = outputs["scores"]
    if "keypoints" in outputs:
        return Poses(outputs["boxes"], scores, outputs["keypoints"])
    classes = outputs["classes"]
    if "boxes" in outputs:
        return Detections(outputs["boxes"], scores, classes, labels)
    return Classification(classes, scores, [labels[index] for index in classes.tolist()])
