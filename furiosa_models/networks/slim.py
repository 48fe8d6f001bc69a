"""Blocks of TensorFlow-Slim networks, and the parts that its SSD detectors share.

Kernels are in TensorFlow's layouts: (kh, kw, in, out), or (kh, kw, channels, 1) for depthwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import batch_norm
from .graph import Graph, Value
from .weights import FloatArray, Kind, Parameter, Weights

__all__ = ["Slim"]

_ANCHORS = (3, 6, 6, 6, 6, 6)
_EXTRA_DEPTHS = (512, 256, 256, 128)


class Slim:
    """Layers that take their parameters from `weights` by scope.

    Args:
        graph: Where the layers are added.
        weights: Parameters under the names of TensorFlow's checkpoints.
    """

    def __init__(self, graph: Graph, weights: Weights) -> None:
        self._graph = graph
        self._weights = weights

    def conv(
        self,
        x: Value,
        scope: str,
        channels: int,
        size: int = 1,
        *,
        stride: int = 1,
        linear: bool = False,
    ) -> Value:
        """Convolution, batch normalisation and, unless `linear`, ReLU6."""
        kernel = self._kernel(f"{scope}/weights", (size, size, x.shape[0], channels), linear)
        return self._normalised(x, kernel.transpose(3, 2, 0, 1), scope, stride, 1, linear)

    def depthwise(self, x: Value, scope: str, *, stride: int = 1) -> Value:
        """Depthwise 3x3 convolution, batch normalisation, ReLU6."""
        channels = x.shape[0]
        kernel = self._kernel(f"{scope}/depthwise_weights", (3, 3, channels, 1), False)
        return self._normalised(x, kernel.transpose(2, 3, 0, 1), scope, stride, channels, False)

    def extra_maps(
        self, x: Value, scope: str, depth: Callable[[int], int], *, depthwise: bool
    ) -> list[Value]:
        """The four feature maps behind the backbone, each half the size of the one before."""
        maps = []
        for index, channels in enumerate(map(depth, _EXTRA_DEPTHS), start=2):
            squeezed = depth(_EXTRA_DEPTHS[index - 2] // 2)
            x = self.conv(x, f"{scope}_1_Conv2d_{index}_1x1_{squeezed}", squeezed)
            name = f"{scope}_2_Conv2d_{index}_3x3_s2_{channels}"
            if depthwise:
                x = self.conv(self.depthwise(x, f"{name}_depthwise", stride=2), name, channels)
            else:
                x = self.conv(x, name, channels, 3, stride=2)
            maps.append(x)
        return maps

    def box_predictors(self, maps: Sequence[Value], num_classes: int, size: int) -> None:
        """The graph's outputs: per map, class logits `class_k` and box encodings `box_k`.

        Args:
            maps: Feature maps (C, H, W), finest first.
            num_classes: Classes including the background.
            size: Kernel size of the predictors.
        """
        for index, (x, anchors) in enumerate(zip(maps, _ANCHORS, strict=True)):
            scope = f"BoxPredictor_{index}"
            logits = self._biased(x, f"{scope}/ClassPredictor", anchors * num_classes, size)
            self._graph.output(logits, f"class_{index}")
            boxes = self._biased(x, f"{scope}/BoxEncodingPredictor", anchors * 4, size)
            self._graph.output(boxes, f"box_{index}")

    def _biased(self, x: Value, scope: str, channels: int, size: int) -> Value:
        kernel = self._kernel(f"{scope}/weights", (size, size, x.shape[0], channels), True)
        bias = self._weights.get(Parameter(f"{scope}/biases", (channels,), Kind.BIAS))
        return self._graph.conv(x, kernel.transpose(3, 2, 0, 1), bias, scope)

    def _normalised(
        self, x: Value, kernel: FloatArray, scope: str, stride: int, groups: int, linear: bool
    ) -> Value:
        kernel, bias = batch_norm.normalised_kernel(
            kernel, self._weights, scope, batch_norm.SLIM, batch_norm.TENSORFLOW_EPSILON
        )
        x = self._graph.conv(x, kernel, bias, scope, stride=stride, groups=groups)
        return x if linear else self._graph.activate(x, "relu6", f"{scope}/Relu6")

    def _kernel(self, name: str, shape: tuple[int, int, int, int], linear: bool) -> FloatArray:
        depthwise = shape[3] == 1 and name.endswith("/depthwise_weights")
        fan_in = shape[0] * shape[1] * (1 if depthwise else shape[2])
        gain = 1.0 if linear else 2.0
        return self._weights.get(Parameter(name, shape, fan_in=fan_in, gain=gain))
