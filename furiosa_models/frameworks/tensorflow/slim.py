"""Checkpoints of TF-Slim: variables of known networks, whose graphs are built here.

Widths, kernels, batch norms and biases are those of the checkpoint, so only the order of the
operations, strides and padding are known here. Names are those of TF-Slim.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import ConversionError, WeightsError
from .framework import quiet, tensorflow

__all__ = ["NETWORKS", "slim_graph"]

_RESNET_UNITS = {
    "50": (3, 4, 6, 3),
    "101": (3, 4, 23, 3),
    "152": (3, 8, 36, 3),
    "200": (3, 24, 36, 3),
}
_VGG_REPEATS = {"a": (1, 1, 2, 2, 2), "16": (2, 2, 3, 3, 3), "19": (2, 2, 4, 4, 4)}


def slim_graph(prefix: Path, name: str) -> bytes:
    """Return the frozen graph of a checkpoint as a GraphDef in the wire format.

    Its input is `input`, and its output the probabilities, or the logits of networks that have no
    softmax in TF-Slim.

    Args:
        prefix: A checkpoint file of TensorFlow's first format, or the prefix of another one.
        name: Name of the network, one of `NETWORKS`.

    Raises:
        ConversionError: There is no such network.
        WeightsError: The checkpoint cannot be read, or is not of this network.
        ExtraRequired: TensorFlow is not installed.
    """
    if name not in NETWORKS:
        msg = f"{name!r} is no network of TF-Slim that is known here: {', '.join(NETWORKS)}"
        raise ConversionError(msg)
    tf = tensorflow(f"reading {prefix}")
    build, size = NETWORKS[name]
    graph = tf.Graph()
    try:
        with quiet(), graph.as_default():
            reader = tf.train.load_checkpoint(str(prefix))
            image = tf.compat.v1.placeholder(tf.float32, (None, size, size, 3), "input")
            build(_Builder(tf, reader, prefix, name), image)
    except WeightsError:
        raise
    except Exception as error:  # TensorFlow raises errors of many types
        msg = f"{prefix} is no checkpoint of {name}: {str(error).partition(chr(10))[0]}"
        raise WeightsError(msg) from error
    data: bytes = graph.as_graph_def().SerializeToString(deterministic=True)
    return data


class _Builder:
    """Adds operations with the variables of a checkpoint to the current graph.

    Args:
        tf: TensorFlow.
        reader: Reader of the checkpoint.
        prefix: Path of the checkpoint.
        name: Name of the network.
    """

    def __init__(self, tf: Any, reader: Any, prefix: Path, name: str) -> None:
        self.tf = tf
        self.name = name
        self._reader = reader
        self._prefix = prefix
        self._names = sorted(reader.get_variable_to_shape_map())

    def has(self, name: str) -> bool:
        """Return whether the checkpoint has a variable."""
        return bool(self._reader.has_tensor(name))

    def layers(self, scope: str) -> list[str]:
        """Return the convolutions in a scope, in the order of their names."""
        found = {n.removesuffix("/weights") for n in self._names if n.endswith("/weights")}
        return sorted(each for each in found if each.rpartition("/")[0] == scope)

    def variable(self, name: str) -> Any:
        """Return a variable as a constant.

        Raises:
            WeightsError: The checkpoint does not have it.
        """
        if not self.has(name):
            msg = f"{self._prefix} is no checkpoint of {self.name}: it has no variable {name!r}"
            raise WeightsError(msg)
        return self.tf.constant(self._reader.get_tensor(name), name=name)

    def conv(
        self,
        x: Any,
        scope: str,
        stride: int = 1,
        padding: str = "SAME",
        *,
        activate: bool = True,
        epsilon: float = 1e-3,
    ) -> Any:
        """Add a convolution with what the checkpoint has of batch norm and biases."""
        if self.has(f"{scope}/depthwise_weights"):
            x = self.tf.nn.separable_conv2d(
                x,
                self.variable(f"{scope}/depthwise_weights"),
                self.variable(f"{scope}/pointwise_weights"),
                [1, stride, stride, 1],
                padding,
                name=f"{scope}/separable_conv2d",
            )
        else:
            weights = self.variable(f"{scope}/weights")
            x = self.tf.nn.conv2d(x, weights, stride, padding, name=f"{scope}/Conv2D")
        if self.has(f"{scope}/BatchNorm/beta"):
            x = self.batch_norm(x, f"{scope}/BatchNorm", epsilon, activate=False)
        elif self.has(f"{scope}/biases"):
            x = self.tf.nn.bias_add(x, self.variable(f"{scope}/biases"), name=f"{scope}/BiasAdd")
        return self.tf.nn.relu(x, name=f"{scope}/Relu") if activate else x

    def batch_norm(self, x: Any, scope: str, epsilon: float, *, activate: bool = True) -> Any:
        """Add a batch norm, which may have no gamma."""
        beta = self.variable(f"{scope}/beta")
        if self.has(f"{scope}/gamma"):
            gamma = self.variable(f"{scope}/gamma")
        else:
            gamma = self.tf.constant(np.ones(beta.shape, np.float32), name=f"{scope}/Const")
        x, *_ = self.tf.compat.v1.nn.fused_batch_norm(
            x,
            gamma,
            beta,
            self.variable(f"{scope}/moving_mean"),
            self.variable(f"{scope}/moving_variance"),
            epsilon,
            is_training=False,
            name=f"{scope}/FusedBatchNormV3",
        )
        return self.tf.nn.relu(x, name=f"{scope}/Relu") if activate else x

    def max_pool(self, x: Any, scope: str, size: int, stride: int, padding: str) -> Any:
        return self.tf.nn.max_pool2d(x, size, stride, padding, name=f"{scope}/MaxPool")

    def squeezed(self, x: Any, name: str) -> Any:
        return self.tf.squeeze(x, [1, 2], name=name)

    def softmax(self, x: Any, scope: str) -> Any:
        """Add the probabilities, with the name that TF-Slim's last operation has."""
        return self.tf.nn.softmax(x, name=f"{scope}/Reshape_1")


_Build = Callable[[_Builder, Any], Any]


def _alexnet(b: _Builder, x: Any) -> Any:
    x = b.conv(x, "alexnet_v2/conv1", 4, "VALID")
    x = b.max_pool(x, "alexnet_v2/pool1", 3, 2, "VALID")
    x = b.conv(x, "alexnet_v2/conv2")
    x = b.max_pool(x, "alexnet_v2/pool2", 3, 2, "VALID")
    for layer in ("conv3", "conv4", "conv5"):
        x = b.conv(x, f"alexnet_v2/{layer}")
    return _fully_connected(b, b.max_pool(x, "alexnet_v2/pool5", 3, 2, "VALID"))


def _overfeat(b: _Builder, x: Any) -> Any:
    x = b.conv(x, "overfeat/conv1", 4, "VALID")
    x = b.max_pool(x, "overfeat/pool1", 2, 2, "VALID")
    x = b.conv(x, "overfeat/conv2", 1, "VALID")
    x = b.max_pool(x, "overfeat/pool2", 2, 2, "VALID")
    for layer in ("conv3", "conv4", "conv5"):
        x = b.conv(x, f"overfeat/{layer}")
    return _fully_connected(b, b.max_pool(x, "overfeat/pool5", 2, 2, "VALID"))


def _vgg(repeats: Sequence[int]) -> _Build:
    def build(b: _Builder, x: Any) -> Any:
        for stage, count in enumerate(repeats, start=1):
            for layer in range(1, count + 1):
                x = b.conv(x, f"{b.name}/conv{stage}/conv{stage}_{layer}")
            x = b.max_pool(x, f"{b.name}/pool{stage}", 2, 2, "VALID")
        return _fully_connected(b, x)

    return build


def _fully_connected(b: _Builder, x: Any) -> Any:
    """Add the fully connected layers, which are convolutions over all that is left."""
    x = b.conv(x, f"{b.name}/fc6", 1, "VALID")
    x = b.conv(x, f"{b.name}/fc7")
    return b.squeezed(b.conv(x, f"{b.name}/fc8", activate=False), f"{b.name}/fc8/squeezed")


# --- ResNet -----------------------------------------------------------------------------------

_RESNET_EPSILON = 1e-5


def _resnet(units: Sequence[int], *, before: bool) -> _Build:
    """Return a ResNet: version 2 has batch norms `before` convolutions."""
    unit = _unit_2 if before else _unit_1

    def build(b: _Builder, x: Any) -> Any:
        x = _conv_same(b, x, f"{b.name}/conv1", 7, 2, activate=not before)
        x = b.max_pool(x, f"{b.name}/pool1", 3, 2, "SAME")
        for block, count in enumerate(units, start=1):
            for number in range(1, count + 1):
                is_last = number == count and block < len(units)
                scope = f"{b.name}/block{block}/unit_{number}/bottleneck_v{2 if before else 1}"
                x = unit(b, x, scope, 2 if is_last else 1)
        if before:
            x = b.batch_norm(x, f"{b.name}/postnorm", _RESNET_EPSILON)
        x = b.tf.reduce_mean(x, [1, 2], keepdims=True, name=f"{b.name}/pool5")
        x = b.conv(x, f"{b.name}/logits", activate=False)
        return b.softmax(x, f"{b.name}/predictions")

    return build


def _unit_1(b: _Builder, x: Any, scope: str, stride: int) -> Any:
    shortcut = _shortcut(b, x, x, scope, stride)
    x = b.conv(x, f"{scope}/conv1", epsilon=_RESNET_EPSILON)
    x = _conv_same(b, x, f"{scope}/conv2", 3, stride)
    x = b.conv(x, f"{scope}/conv3", activate=False, epsilon=_RESNET_EPSILON)
    return b.tf.nn.relu(b.tf.add(shortcut, x, name=f"{scope}/add"), name=f"{scope}/Relu")


def _unit_2(b: _Builder, x: Any, scope: str, stride: int) -> Any:
    before = b.batch_norm(x, f"{scope}/preact", _RESNET_EPSILON)
    shortcut = _shortcut(b, x, before, scope, stride)
    x = b.conv(before, f"{scope}/conv1", epsilon=_RESNET_EPSILON)
    x = _conv_same(b, x, f"{scope}/conv2", 3, stride)
    x = b.conv(x, f"{scope}/conv3", activate=False, epsilon=_RESNET_EPSILON)
    return b.tf.add(shortcut, x, name=f"{scope}/add")


def _shortcut(b: _Builder, x: Any, before: Any, scope: str, stride: int) -> Any:
    scope = f"{scope}/shortcut"
    if b.has(f"{scope}/weights"):
        return b.conv(before, scope, stride, activate=False, epsilon=_RESNET_EPSILON)
    return x if stride == 1 else b.max_pool(x, scope, 1, stride, "SAME")


def _conv_same(
    b: _Builder, x: Any, scope: str, size: int, stride: int, *, activate: bool = True
) -> Any:
    """Add a convolution with the same padding on both sides, whatever the size of the image."""
    padding = "SAME"
    if stride > 1:
        pads = [(size - 1) // 2, size - 1 - (size - 1) // 2]
        x = b.tf.pad(x, [[0, 0], pads, pads, [0, 0]], name=f"{scope}/Pad")
        padding = "VALID"
    return b.conv(x, scope, stride, padding, activate=activate, epsilon=_RESNET_EPSILON)


# --- Inception --------------------------------------------------------------------------------


def _inception_1(b: _Builder, x: Any) -> Any:
    net = "InceptionV1"
    x = b.conv(x, f"{net}/Conv2d_1a_7x7", 2)
    x = b.max_pool(x, f"{net}/MaxPool_2a_3x3", 3, 2, "SAME")
    x = b.conv(b.conv(x, f"{net}/Conv2d_2b_1x1"), f"{net}/Conv2d_2c_3x3")
    x = b.max_pool(x, f"{net}/MaxPool_3a_3x3", 3, 2, "SAME")
    x = _mixed(b, x, net, ("3b", "3c"), "MAX")
    x = b.max_pool(x, f"{net}/MaxPool_4a_3x3", 3, 2, "SAME")
    x = _mixed(b, x, net, ("4b", "4c", "4d", "4e", "4f"), "MAX")
    x = b.max_pool(x, f"{net}/MaxPool_5a_2x2", 2, 2, "SAME")
    x = _mixed(b, x, net, ("5b", "5c"), "MAX")
    x = b.tf.nn.avg_pool2d(x, 7, 1, "VALID", name=f"{net}/Logits/AvgPool_0a_7x7/AvgPool")
    x = b.conv(x, f"{net}/Logits/Conv2d_0c_1x1", activate=False)
    x = b.squeezed(x, f"{net}/Logits/SpatialSqueeze")
    return b.softmax(x, f"{net}/Logits/Predictions")


def _inception_2(b: _Builder, x: Any) -> Any:
    net = "InceptionV2"
    x = b.conv(x, f"{net}/Conv2d_1a_7x7", 2)
    x = b.max_pool(x, f"{net}/MaxPool_2a_3x3", 3, 2, "SAME")
    x = b.conv(b.conv(x, f"{net}/Conv2d_2b_1x1"), f"{net}/Conv2d_2c_3x3")
    x = b.max_pool(x, f"{net}/MaxPool_3a_3x3", 3, 2, "SAME")
    x = _mixed(b, x, net, ("3b", "3c"), "AVG")
    x = _reduction(b, x, f"{net}/Mixed_4a", "SAME")
    x = _mixed(b, x, net, ("4b", "4c", "4d", "4e"), "AVG")
    x = _reduction(b, x, f"{net}/Mixed_5a", "SAME")
    x = _mixed(b, x, net, ("5b",), "AVG")
    x = _mixed(b, x, net, ("5c",), "MAX")
    return _inception_head(b, x, net, 7)


def _inception_3(b: _Builder, x: Any) -> Any:
    net = "InceptionV3"
    x = b.conv(x, f"{net}/Conv2d_1a_3x3", 2, "VALID")
    x = b.conv(x, f"{net}/Conv2d_2a_3x3", 1, "VALID")
    x = b.conv(x, f"{net}/Conv2d_2b_3x3")
    x = b.max_pool(x, f"{net}/MaxPool_3a_3x3", 3, 2, "VALID")
    x = b.conv(x, f"{net}/Conv2d_3b_1x1", 1, "VALID")
    x = b.conv(x, f"{net}/Conv2d_4a_3x3", 1, "VALID")
    x = b.max_pool(x, f"{net}/MaxPool_5a_3x3", 3, 2, "VALID")
    x = _mixed(b, x, net, ("5b", "5c", "5d"), "AVG")
    x = _reduction(b, x, f"{net}/Mixed_6a", "VALID")
    x = _mixed(b, x, net, ("6b", "6c", "6d", "6e"), "AVG")
    x = _reduction(b, x, f"{net}/Mixed_7a", "VALID")
    x = _mixed(b, x, net, ("7b", "7c"), "AVG")
    return _inception_head(b, x, net, 8)


def _inception_head(b: _Builder, x: Any, net: str, size: int) -> Any:
    pool = f"{net}/Logits/AvgPool_1a_{size}x{size}/AvgPool"
    x = b.tf.nn.avg_pool2d(x, size, 2, "VALID", name=pool)
    x = b.conv(x, f"{net}/Logits/Conv2d_1c_1x1", activate=False)
    x = b.squeezed(x, f"{net}/Logits/SpatialSqueeze")
    return b.softmax(x, f"{net}/Predictions")


def _mixed(b: _Builder, x: Any, net: str, names: Iterable[str], pool: str) -> Any:
    """Add modules with three branches of convolutions and one that pools first."""
    for name in names:
        scope = f"{net}/Mixed_{name}"
        pooled = b.tf.nn.pool(
            x, [3, 3], pool, padding="SAME", name=f"{scope}/Branch_3/{pool.title()}Pool_0a_3x3"
        )
        branches = [_branch(b, x, f"{scope}/Branch_{number}", "SAME") for number in range(3)]
        x = b.tf.concat(
            [*branches, _branch(b, pooled, f"{scope}/Branch_3", "SAME")], 3, f"{scope}/concat"
        )
    return x


def _reduction(b: _Builder, x: Any, scope: str, padding: str) -> Any:
    """Add a module that halves the image: two branches of convolutions, and one that pools."""
    branches = [_branch(b, x, f"{scope}/Branch_{number}", padding) for number in range(2)]
    pooled = b.max_pool(x, f"{scope}/Branch_2/MaxPool_1a_3x3", 3, 2, padding)
    return b.tf.concat([*branches, pooled], 3, f"{scope}/concat")


def _branch(b: _Builder, x: Any, scope: str, padding: str) -> Any:
    """Add the convolutions of a branch in the order of their names.

    `_1a_` in a name stands for a stride of 2. Two convolutions of 1x3 and 3x1 are parallel.

    Args:
        b: The builder.
        x: Input of the branch.
        scope: Scope of the branch.
        padding: Padding of the convolutions with a stride.
    """
    layers = b.layers(scope)
    if not layers:
        b.variable(f"{scope}/Conv2d_0a_1x1/weights")  # raises
    while layers:
        layer, *layers = layers
        if layer.endswith("_1x3") and layers:
            other, *layers = layers
            x = b.tf.concat([b.conv(x, layer), b.conv(x, other)], 3, f"{scope}/concat")
        elif "_1a_" in layer:
            x = b.conv(x, layer, 2, padding)
        else:
            x = b.conv(x, layer)
    return x


NETWORKS: dict[str, tuple[_Build, int]] = {
    "alexnet_v2": (_alexnet, 224),
    "overfeat": (_overfeat, 231),
    **{f"vgg_{name}": (_vgg(repeats), 224) for name, repeats in _VGG_REPEATS.items()},
    "inception_v1": (_inception_1, 224),
    "inception_v2": (_inception_2, 224),
    "inception_v3": (_inception_3, 299),
    **{
        f"resnet_v{version}_{depth}": (_resnet(units, before=version == 2), 224)
        for version in (1, 2)
        for depth, units in _RESNET_UNITS.items()
    },
}
"""Builder and image size of each network."""
