"""Choice of the head for a graph without a specification.

The choice depends on the shapes and names of the outputs, and on the operations that computed them.
Properties that do not follow from these are fields of the head; users can set them with
`head={...}`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from ..errors import ShapeError
from ..spec import GraphFacts, Head, TensorFacts
from .anchor_free import GridHead
from .boxes import BoxesHead
from .mask_queries import (
    ClassActivation,
    MaskActivation,
    MaskQueriesHead,
    SemanticQueriesHead,
    has_queries,
)
from .matte import MatteHead
from .pose import PoseColumnsHead
from .queries import QueryHead
from .semantic import MapLayout, SemanticHead
from .yolo import YOLOv5Head

__all__ = ["detector_head", "instance_head", "matte_head", "pose_head", "semantic_head"]

_MANY = 1000  # graphs with NMS, and DETR with its queries, have fewer boxes
_POSE_COLUMNS = 56  # box, score, and 17 keypoints of 3 values
_BOX_NAMES = ("box", "loc")
_MAX_STRIDE = 64
_NANODET_BINS = (8, 11, 12, 16, 17)


def detector_head(graph: GraphFacts) -> Head:
    """Return the head for a detector's graph.

    Raises:
        ShapeError: The outputs have an unknown format.
    """
    size, outputs = graph.image_size, graph.outputs
    found = (
        _by_name(outputs, size)
        or _raw_yolov5(graph)
        or _grid(outputs, size)
        or _one_output(graph, size)
        or _boxes_and_scores(outputs, size)
    )
    if found is None:
        msg = (
            f"the graph's outputs fit no known detector ({graph.shapes}): pass head=, "
            f"such as BoxesHead(size={size}, ...)"
        )
        raise ShapeError(msg)
    return found


def pose_head(graph: GraphFacts) -> Head:
    """Return the head for a pose estimator's graph.

    Raises:
        ShapeError: The outputs have an unknown format.
    """
    shape = graph.outputs[0].shape
    if len(graph.outputs) == 1 and len(shape) == 3 and _POSE_COLUMNS in shape[1:]:
        return PoseColumnsHead(graph.image_size, transposed=shape[1] == _POSE_COLUMNS)
    msg = f"the graph's outputs fit no known pose estimator ({graph.shapes}): pass head="
    raise ShapeError(msg)


def semantic_head(graph: GraphFacts) -> Head:
    """Return the head for a graph of semantic segmentation.

    Its output is one map of scores or of class ids; or masks and scores of queries. Of several maps
    of one shape, such as those of training with auxiliary losses, that with the name `out`,
    `output` or `logits` counts.

    Raises:
        ShapeError: The outputs are no maps, or the order of their dimensions is not clear.
    """
    size = graph.image_size
    if has_queries(graph):
        return SemanticQueriesHead(size, *_activations(graph))
    index = _main_map(graph, "SemanticHead", size, ("out", "output", "logits"))
    output = graph.outputs[index]
    is_whole = output.dtype.startswith(("int", "uint"))
    flat = tuple(length for length in output.shape[1:] if length != 1)
    if "ArgMax" in output.operations or (is_whole and len(flat) == 2):
        if len(flat) == 2 and _fits(flat, size):
            return SemanticHead(size, index, "classes")
    elif len(output.shape) == 4 and not is_whole:
        layout = _layout(graph, output, size, "SemanticHead")
        if output.shape[1 if layout == "channels_first" else 3] == 1:
            msg = (
                f"the graph gives one value per pixel ({graph.shapes}), not a score per class: "
                "open it with MatteEstimator"
            )
            raise ShapeError(msg)
        return SemanticHead(size, index, layout=layout)
    msg = (
        f"the graph's outputs fit no known semantic segmentation ({graph.shapes}): pass head=, "
        f"such as SemanticHead(size={size}, ...)"
    )
    raise ShapeError(msg)


def instance_head(graph: GraphFacts) -> Head:
    """Return the head for a graph of masks and scores of queries.

    What a softmax or a sigmoid in the graph computed is taken as scores of the classes only, as in
    exports of Focoos.

    Raises:
        ShapeError: The outputs are none.
    """
    if not has_queries(graph):
        msg = (
            f"the graph's outputs fit no known instance segmentation ({graph.shapes}): expected "
            "masks (n, queries, h, w) and scores (n, queries, classes)"
        )
        raise ShapeError(msg)
    return MaskQueriesHead(graph.image_size, *_activations(graph))


def _activations(graph: GraphFacts) -> tuple[ClassActivation, MaskActivation]:
    """Return what remains to be done with the scores and the masks of queries."""
    operations = {len(output.shape): output.operations for output in graph.outputs}
    is_scored = bool(operations[3] & {"Sigmoid", "Softmax"})
    return (
        "none" if is_scored else "softmax",
        "none" if "Sigmoid" in operations[4] else "sigmoid",
    )


def matte_head(graph: GraphFacts) -> Head:
    """Return the head for a graph of mattes: a map with one value per pixel.

    Of several maps of one shape, as those of U-2-Net, the first one is the matte, and its values
    are stretched to the whole range as by its authors. Without a sigmoid in the graph, its values
    are logits.

    Raises:
        ShapeError: The outputs are no such maps.
    """
    size = graph.image_size
    output = graph.outputs[0]
    shapes = {tuple(each.shape) for each in graph.outputs if None not in each.shape[1:]}
    is_map = len(output.shape) == 4 and output.dtype.startswith("float")
    if is_map and len(shapes) <= 1:
        layout = _layout(graph, output, size, "MatteHead")
        if output.shape[1 if layout == "channels_first" else 3] in (1, None):
            is_inside = bool(output.operations & {"Sigmoid", "Clip", "HardSigmoid"})
            return MatteHead(
                size,
                activation="none" if is_inside else "sigmoid",
                normalize=len(graph.outputs) > 1,
                layout=layout,
            )
    msg = (
        f"the graph's outputs fit no known matte, (n, 1, h, w) or (n, h, w, 1) ({graph.shapes}): "
        f"pass head=, such as MatteHead(size={size}, channel=1, ...)"
    )
    raise ShapeError(msg)


def _main_map(graph: GraphFacts, head: str, size: tuple[int, int], names: Sequence[str]) -> int:
    """Return the index of the output that counts."""
    outputs = graph.outputs
    if len(outputs) == 1:
        return 0
    named = [i for i, output in enumerate(outputs) if output.name.lower() in names]
    if len(named) == 1 and all(len(output.shape) == 4 for output in outputs):
        return named[0]
    msg = (
        f"the graph has {len(outputs)} outputs ({graph.shapes}), and none of them alone is named "
        f"{', '.join(names)}: pass head={head}(size={size}, output=...) with the index of the map"
    )
    raise ShapeError(msg)


def _layout(graph: GraphFacts, output: TensorFacts, size: tuple[int, int], head: str) -> MapLayout:
    """Return the order of dimensions of a map with 4.

    Raises:
        ShapeError: It is not clear, or neither order fits the input.
    """
    _, first, middle, last = output.shape
    is_first, is_last = _fits((middle, last), size), _fits((first, middle), size)
    if is_first and is_last and {first, last} & {1, None}:  # a channel is small, and often known
        is_first, is_last = first is not None and last != 1, last is not None and first != 1
    if is_first != is_last:
        return "channels_first" if is_first else "channels_last"
    why = "may be" if is_first else "is neither"
    msg = (
        f"the output {graph.shapes} {why} (n, classes, h, w) {'or' if is_first else 'nor'} (n, h, "
        f'w, classes) for an input of {size}: pass head={head}(size={size}, layout="channels_first"'
        ') or layout="channels_last"'
    )
    raise ShapeError(msg)


def _fits(shape: Sequence[int | None], size: tuple[int, int]) -> bool:
    """Return whether height and width may be those of a map, with a whole number as stride."""
    height, width = shape
    if height is None or width is None:
        return height is None and width is None
    return any(
        height in (size[0] // stride, -(-size[0] // stride))
        and width in (size[1] // stride, -(-size[1] // stride))
        for stride in range(1, _MAX_STRIDE + 1)
    )


def _by_name(outputs: Sequence[TensorFacts], size: tuple[int, int]) -> Head | None:
    """Return the head for graphs with NMS or DETR, by output names and integer outputs."""
    boxes = _ending_in_four(outputs)
    if boxes is None:
        return None
    names = [output.name.lower() for output in outputs]
    integer = next((i for i, o in enumerate(outputs) if o.dtype.startswith(("int", "uint"))), None)
    flat = [i for i, o in enumerate(outputs) if i != boxes and len(o.shape) in (1, 2)]
    if len(outputs) == 3 and integer is not None and len(flat) == 2:
        scores = next(i for i in flat if i != integer)
        return BoxesHead(
            size,
            boxes=boxes,
            scores=scores,
            classes=integer,
            box_format="xyxy",
            suppress=False,
        )
    if len(outputs) == 4 and len(flat) == 3:
        return _tensorflow(outputs, names, boxes, size)
    logits = next((i for i, name in enumerate(names) if "logit" in name), None)
    if logits is not None and len(outputs[logits].shape) == 3:
        return _detr(boxes, logits, size)
    return None


def _tensorflow(
    outputs: Sequence[TensorFacts], names: Sequence[str], boxes: int, size: tuple[int, int]
) -> Head:
    """Return the head for TFLite_Detection_PostProcess and TensorFlow's detection models."""
    pairs = [i for i, o in enumerate(outputs) if i != boxes and len(o.shape) == 2]
    scores = next((i for i in pairs if "score" in names[i]), None)
    classes = next((i for i in pairs if "class" in names[i] or "label" in names[i]), None)
    if scores is None or classes is None:
        classes, scores = pairs[:2]  # the operation's order is boxes, classes, scores, count
    return BoxesHead(
        size,
        boxes=boxes,
        scores=scores,
        classes=classes,
        box_format="yxyx",
        unit="fraction",
        suppress=False,
    )


def _detr(boxes: int, logits: int, size: tuple[int, int]) -> QueryHead:
    return QueryHead(size, boxes=boxes, scores=logits, multi_label=False)


def _raw_yolov5(graph: GraphFacts) -> Head | None:
    head = YOLOv5Head()
    return head.fit(graph) if head.reads_maps(graph) else None


def _grid(outputs: Sequence[TensorFacts], size: tuple[int, int]) -> Head | None:
    """Return the head for NanoDet, and for YOLOX with raw outputs."""
    shapes = [output.shape for output in outputs]
    if any(len(shape) != 3 for shape in shapes):
        return None
    if len(outputs) == 1 and shapes[0][1] == _cells(size, (8, 16, 32)):
        if {"Conv", "Sigmoid"} == outputs[0].operations:
            return GridHead(size)
        return None
    for strides in ((8, 16, 32), (8, 16, 32, 64)):
        counts = sorted([_cells(size, (stride,)) for stride in strides] * 2)
        if len(outputs) == 2 * len(strides) and sorted(s[1] or 0 for s in shapes) == counts:
            bins = _bins([shape[2] for shape in shapes])
            return None if bins is None else GridHead(size, "nanodet", strides, bins)
        if len(outputs) == 1 and shapes[0][1] == _cells(size, strides) and len(strides) == 4:
            return GridHead(size, "nanodet", strides, 8)
    return None


def _bins(widths: Sequence[int | None]) -> int | None:
    return next((bins for bins in _NANODET_BINS if 4 * bins in widths), None)


def _cells(size: tuple[int, int], strides: Sequence[int]) -> int:
    return sum(-(-size[0] // stride) * -(-size[1] // stride) for stride in strides)


def _one_output(graph: GraphFacts, size: tuple[int, int]) -> Head | None:
    """Return the head for exports with boxes and scores in one output."""
    output = graph.outputs[0]
    if len(output.shape) != 3 or any(len(other.shape) == 3 for other in graph.outputs[1:]):
        return None
    _, first, second = output.shape
    if second == 6 and (first is None or first <= _MANY):
        return BoxesHead(size, chosen=True, box_format="xyxy", unit="auto", suppress=False)
    columns = first is not None and first > 4 and (second is None or first < second)
    if columns:
        return BoxesHead(size, transposed=True, unit="auto")
    if second is not None and second > 5 and (first is None or second < first):
        return BoxesHead(size, objectness=True, unit="auto", multi_label=True)
    return None


def _boxes_and_scores(outputs: Sequence[TensorFacts], size: tuple[int, int]) -> Head | None:
    """Return the head for two outputs: boxes, and a score per class."""
    boxes = _ending_in_four(outputs)
    if boxes is None or len(outputs) != 2 or len(outputs[1 - boxes].shape) != 3:
        return None
    count = outputs[boxes].shape[1]
    if count is not None and count <= _MANY:
        return _detr(boxes, 1 - boxes, size)
    kinds = outputs[1 - boxes].operations
    if "Sigmoid" in kinds:  # independent scores, without a background class
        return BoxesHead(size, boxes=boxes, scores=1 - boxes, box_format="xyxy", unit="auto")
    activation: Literal["none", "softmax"] = "none" if "Softmax" in kinds else "softmax"
    return BoxesHead(
        size,
        boxes=boxes,
        scores=1 - boxes,
        box_format="xyxy",
        unit="auto",
        activation=activation,
        background="first",
    )


def _ending_in_four(outputs: Sequence[TensorFacts]) -> int | None:
    found = [i for i, o in enumerate(outputs) if o.shape and o.shape[-1] == 4 and len(o.shape) > 1]
    if len(found) > 1:  # one of them has scores of four classes
        found = [i for i in found if any(word in outputs[i].name.lower() for word in _BOX_NAMES)]
    return found[0] if len(found) == 1 else None
