"""YOLOv7-W6-Pose, a detector of people and their keypoints.

Wang et al., "YOLOv7: trainable bag-of-freebies" (2022); Maji et al., "YOLO-Pose" (2022).
"""

from __future__ import annotations

from collections.abc import Sequence

from ..graph import Graph, Implicit, Kernel, Layer, Value
from ..layers import STEM_GAIN, YoloLayers, image_shape
from ..weights import Kind, Parameter

__all__ = ["build"]

_STRIDE = 64
_ANCHORS = 3
_DETECTION = 6
_HEAD = "model.118"
# Index of the first module and output channels of the stages.
_BACKBONE = ((2, 128), (11, 256), (20, 512), (29, 768), (38, 1024))
_TOP_DOWN = ((48, 384), (60, 256), (72, 128))
_BOTTOM_UP = ((84, 256), (94, 384), (104, 512))
_LAST = ((114, 256), (115, 512), (116, 768), (117, 1024))
_STEM_CHANNELS = 64
_POOLED_CHANNELS = 512


def build(
    *,
    image_size: int | Sequence[int] = (384, 640),
    num_keypoints: int = 17,
    batch_size: int | None = None,
) -> Graph:
    """Describe the network up to its heads: without sigmoid, box decoding and NMS.

    The input `images` is float32 (N, 3, H, W), RGB in [0, 1]. The outputs for k = 0..3 are `box_k`
    (N, 18, H / s, W / s) and `keypoints_k` (N, 153, H / s, W / s), alternating, with the strides s
    of 8, 16, 32 and 64. Concatenate both along the channels to get 171 channels, grouped by three
    anchors: x, y, w, h, objectness, person, and x, y, visibility of every keypoint.

    Parameters have the names of the authors' state dict (`model.1.conv.weight`).

    Args:
        image_size: Height and width of the input, multiples of 64; one number for a square.
        num_keypoints: Number of keypoints of a person.
        batch_size: Fixed batch size, or None for a dynamic one.

    Raises:
        ShapeError: `image_size` is not a multiple of 64.
    """
    graph = Graph("yolov7_pose", batch_size)
    image = graph.input("images", image_shape(image_size, _STRIDE))
    stages = _Stages(graph)
    for index, x in enumerate(stages.features(image)):
        graph.output(stages.boxes(x, index), f"box_{index}")
        graph.output(stages.keypoints(x, index, num_keypoints), f"keypoints_{index}")
    return graph


class _Stages:
    """The modules `model.0` to `model.118`."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._layers = YoloLayers(graph)

    def features(self, image: Value) -> list[Value]:
        """Return feature maps with strides of 8, 16, 32 and 64, each combined with the others."""
        x = self._stem(image)
        maps = []
        for first, channels in _BACKBONE:
            x = self._backbone_stage(x, first, channels)
            maps.append(x)
        _, *finer, coarsest = maps
        ways = [self._pooled(coarsest, 47)]
        for (first, channels), x in zip(_TOP_DOWN, reversed(finer), strict=True):
            ways.append(self._top_down(ways[-1], x, first, channels))
        outputs = [ways.pop()]
        for (first, channels), x in zip(_BOTTOM_UP, reversed(ways), strict=True):
            outputs.append(self._bottom_up(outputs[-1], x, first, channels))
        return [
            self._layers.unit(x, f"model.{index}", channels, 3)
            for (index, channels), x in zip(_LAST, outputs, strict=True)
        ]

    def boxes(self, x: Value, index: int) -> Value:
        """Add the predictor of boxes and scores, with its implicit constants."""
        channels, size, name = _ANCHORS * _DETECTION, x.shape[0], f"{_HEAD}.m.{index}"
        weight = Parameter(f"{name}.weight", (channels, size, 1, 1), fan_in=size, gain=0.01)
        shift = Parameter(f"{_HEAD}.ia.{index}.implicit", (1, size, 1, 1), Kind.BIAS)
        scale = Parameter(f"{_HEAD}.im.{index}.implicit", (1, channels, 1, 1), Kind.GAMMA)
        bias = Parameter(f"{name}.bias", (channels,), Kind.BIAS)
        layer = Layer(Kernel(weight), bias, implicit=Implicit(shift, scale))
        return self._graph.conv(x, layer, name)

    def keypoints(self, x: Value, index: int, count: int) -> Value:
        """Add depthwise and pointwise convolutions alternately, then the keypoint predictor."""
        name, channels = f"{_HEAD}.m_kpt.{index}", x.shape[0]
        for part in range(0, 10, 2):
            x = self._layers.unit(x, f"{name}.{part}", channels, 3, groups=channels)
            x = self._layers.unit(x, f"{name}.{part + 1}", channels)
        x = self._layers.unit(x, f"{name}.10", channels, 3, groups=channels)
        return self._layers.predictor(x, f"{name}.11", _ANCHORS * 3 * count)

    def _stem(self, image: Value) -> Value:
        """Add space-to-depth of 2x2 pixels and a 3x3 convolution, merged into a 6x6 convolution."""
        name = "model.1"
        shape = (_STEM_CHANNELS, 12, 3, 3)
        weight = Parameter(f"{name}.conv.weight", shape, fan_in=108, gain=STEM_GAIN)
        layer = Layer(_on_pixels(weight), norm=self._layers.norm(f"{name}.bn", _STEM_CHANNELS))
        x = self._graph.conv(image, layer, name, stride=2, padding=2)
        return self._graph.activate(x, "swish", f"{name}/act")

    def _backbone_stage(self, x: Value, first: int, channels: int) -> Value:
        """Add a convolution that halves the size, and two branches, one with four convolutions."""
        unit, half = self._layers.unit, channels // 2
        x = unit(x, f"model.{first}", channels, 3, stride=2)
        past = unit(x, f"model.{first + 1}", half)
        branches = [unit(x, f"model.{first + 2}", half)]
        for index in range(first + 3, first + 7):
            branches.append(unit(branches[-1], f"model.{index}", half, 3))
        kept = [branches[4], branches[2], branches[0], past]
        both = self._graph.concat(kept, f"model.{first + 7}")
        return unit(both, f"model.{first + 8}", channels)

    def _aggregated(self, x: Value, first: int, channels: int) -> Value:
        """Add two branches, one with four convolutions, and concatenate all outputs."""
        unit = self._layers.unit
        branches = [unit(x, f"model.{first + index}", channels) for index in range(2)]
        for index in range(first + 2, first + 6):
            branches.append(unit(branches[-1], f"model.{index}", channels // 2, 3))
        both = self._graph.concat(branches[::-1], f"model.{first + 6}")
        return unit(both, f"model.{first + 7}", channels)

    def _top_down(self, coarse: Value, fine: Value, first: int, channels: int) -> Value:
        """Combine a map of the backbone with the next coarser one."""
        unit = self._layers.unit
        coarse = unit(coarse, f"model.{first}", channels)
        fine = unit(fine, f"model.{first + 2}", channels)
        wide = self._graph.resize_nearest(coarse, 2, f"model.{first + 1}")
        both = self._graph.concat([fine, wide], f"model.{first + 3}")
        return self._aggregated(both, first + 4, channels)

    def _bottom_up(self, fine: Value, coarse: Value, first: int, channels: int) -> Value:
        """Combine a map of the top-down path with the next finer one."""
        fine = self._layers.unit(fine, f"model.{first}", channels, 3, stride=2)
        both = self._graph.concat([fine, coarse], f"model.{first + 1}")
        return self._aggregated(both, first + 2, channels)

    def _pooled(self, x: Value, index: int) -> Value:
        """Add the module `SPPCSPC`: spatial pyramid pooling in one of two branches."""
        name, unit, width = f"model.{index}", self._layers.unit, _POOLED_CHANNELS
        y = unit(unit(x, f"{name}.cv1", width), f"{name}.cv3", width, 3)
        y = self._layers.pooled(unit(y, f"{name}.cv4", width), name)
        y = unit(unit(y, f"{name}.cv5", width), f"{name}.cv6", width, 3)
        both = self._graph.concat([y, unit(x, f"{name}.cv2", width)], f"{name}/branches")
        return unit(both, f"{name}.cv7", width)


def _on_pixels(weight: Parameter) -> Kernel:
    """Return the kernel (O, 3, 6, 6) on pixels for one (O, 12, 3, 3) on blocks of 2x2 pixels.

    The twelve channels are the colors of the upper left, lower left, upper right and lower right
    pixel.
    """
    outputs = weight.shape[0]
    blocks = (outputs, 2, 2, 3, 3, 3)  # output, column, row, color, y, x
    return Kernel(weight, (0, 3, 4, 2, 5, 1), split=blocks, joined=(outputs, 3, 6, 6))
