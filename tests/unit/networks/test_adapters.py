from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from furiosa_models import networks
from furiosa_models.errors import WeightsError
from furiosa_models.networks.adapters import adapt
from furiosa_models.networks.graph import Norm
from furiosa_models.networks.layers import SLIM, TENSORFLOW_EPSILON, TORCH
from furiosa_models.networks.onnx_sink import normalized_kernel

from .recorded import RecordedWeights

Array = npt.NDArray[np.float32]


def _random(*shape: int) -> Array:
    return np.random.default_rng(len(shape)).normal(size=shape).astype(np.float32)


def test_batch_norm_is_folded_exactly() -> None:
    kernel, x = _random(4, 3, 1, 1), _random(3)
    values = {
        "bn.weight": np.array([1, 2, 0.5, -1], np.float32),
        "bn.bias": _random(4),
        "bn.running_mean": _random(4),
        "bn.running_var": np.array([1, 0.1, 10, 1e-6], np.float32),
    }
    norm = Norm.of("bn", TORCH, 4, epsilon=1e-3, momentum=0.9)
    folded, bias = normalized_kernel(kernel, norm, networks.NamedWeights(values))
    y = kernel[:, :, 0, 0].astype(np.float64) @ x
    expected = (y - values["bn.running_mean"]) / np.sqrt(values["bn.running_var"] + 1e-3)
    expected = expected * values["bn.weight"] + values["bn.bias"]
    np.testing.assert_allclose(folded[:, :, 0, 0] @ x + bias, expected, rtol=1e-5)


def test_fake_quant_checkpoints_are_converted_to_slim() -> None:
    scope, leaf = "FeatureExtractor/MobilenetV1", "weights_quant/FakeQuantWithMinMaxVars"
    kernel, depthwise, bias = _random(8, 3, 2, 4), _random(1, 3, 2, 4), _random(8)
    adapted = adapt(
        "slim_fake_quant",
        {
            f"{scope}/MobilenetV1/Conv2d_0/{leaf}": kernel,
            f"{scope}/MobilenetV1/Conv2d_0/Conv2D_Fold_bias": bias,
            f"{scope}/MobilenetV1/Conv2d_1_depthwise/{leaf}": depthwise,
            "BoxPredictor_0/ClassPredictor/Conv2D_bias": bias,
            "anchors": _random(3, 4),
        },
    )
    np.testing.assert_array_equal(adapted[f"{scope}/Conv2d_0/weights"], np.moveaxis(kernel, 0, -1))
    depthwise_name = f"{scope}/Conv2d_1_depthwise/depthwise_weights"
    np.testing.assert_array_equal(adapted[depthwise_name][..., 0], depthwise[0])
    assert adapted["BoxPredictor_0/ClassPredictor/biases"] is bias
    oihw = kernel.transpose(0, 3, 1, 2)
    weights = networks.NamedWeights(adapted)
    norm = Norm.of(f"{scope}/Conv2d_0", SLIM, 8, epsilon=TENSORFLOW_EPSILON, momentum=0.9)
    folded = normalized_kernel(oihw, norm, weights)
    np.testing.assert_array_equal(folded[0], oihw)
    np.testing.assert_array_equal(folded[1], bias)


def test_tfjs_checkpoints_are_converted_to_pytorch() -> None:
    model, numbered = "StatefulPartitionedCall/model", "Func/StatefulPartitionedCall/input/_"
    pointwise, depthwise, bias = _random(3, 5, 4, 8), _random(3, 5, 8, 1), _random(8)
    files = {
        f"{model}/stem_conv2d/Conv2D_weights": pointwise,
        f"{model}/stem_conv2d/Conv2D_bn_offset": bias,
        f"{model}/stack_0/block_0/depthwise_conv2d/depthwise_weights": depthwise,
        f"{model}/stack_0/block_0/depthwise_conv2d/depthwise_bn_offset": bias,
        f"{numbered}100": _random(2, 7),  # after _9 in numeric order
        f"{numbered}9": bias + 4,
        f"{numbered}8": pointwise + 3,
        f"{numbered}7": bias + 2,
        f"{numbered}6": pointwise + 1,
        f"{numbered}101": bias + 6,
        f"{model}/se_squeeze/Mean/reduction_indices": np.zeros(2, np.float32),
    }
    adapted = adapt("efficientnet_tfjs", files)
    expected = {
        "_conv_stem.weight": pointwise.transpose(3, 2, 0, 1),
        "_bn0.bias": bias,
        "_blocks.0._depthwise_conv.weight": depthwise.transpose(2, 3, 0, 1),
        "_blocks.0._bn1.bias": bias,
        "_blocks.0._se_reduce.weight": (pointwise + 1).transpose(3, 2, 0, 1),
        "_blocks.0._se_reduce.bias": bias + 2,
        "_blocks.0._se_expand.weight": (pointwise + 3).transpose(3, 2, 0, 1),
        "_blocks.0._se_expand.bias": bias + 4,
        "_fc.weight": _random(2, 7).T,
        "_fc.bias": bias + 6,
    }
    for name, array in expected.items():
        np.testing.assert_array_equal(adapted[name], array, err_msg=name)
    folded = {name.rpartition(".")[0] for name in adapted if name.endswith("running_var")}
    assert folded == {"_bn0", "_blocks.0._bn1"}
    del files[f"{numbered}9"]
    with pytest.raises(WeightsError, match="efficientnet_tfjs"):
        adapt("efficientnet_tfjs", files)


def test_keras_resnets_are_converted_to_pytorch() -> None:
    kernel, bias, vector = _random(1, 1, 3, 5), _random(5), _random(5) + 2
    norm = {leaf: vector + i for i, leaf in enumerate(("gamma", "beta"))}
    norm |= {"moving_mean": vector + 2, "moving_variance": vector + 3}
    scopes = {
        ("conv1", "bn_conv1"): ("conv1", "bn1"),
        ("res2a_branch1", "bn2a_branch1"): ("layer1.0.downsample.0", "layer1.0.downsample.1"),
        ("res5c_branch2b", "bn5c_branch2b"): ("layer4.2.conv2", "layer4.2.bn2"),
    }
    files = {"fc1000/kernel": _random(5, 7), "fc1000/bias": _random(7)}
    for conv, bn in scopes:
        files |= {f"{conv}/kernel": kernel, f"{conv}/bias": bias}
        files |= {f"{bn}/{leaf}": array for leaf, array in norm.items()}
    adapted = adapt("resnet_tfjs", files)
    np.testing.assert_array_equal(adapted["fc.weight"], _random(5, 7).T)
    x = _random(3).astype(np.float64)
    for conv, bn in scopes.values():
        weight = adapted[f"{conv}.weight"]
        weight = weight[:, ::-1] if conv == "conv1" else weight  # RGB where Keras' is BGR
        norms = Norm.of(bn, TORCH, 5, epsilon=1e-3, momentum=0.9)
        folded, shift = normalized_kernel(weight, norms, networks.NamedWeights(adapted))
        y = x @ kernel[0, 0] + bias - norm["moving_mean"]
        expected = y / np.sqrt(norm["moving_variance"] + 1e-3) * norm["gamma"] + norm["beta"]
        np.testing.assert_allclose(folded[:, :, 0, 0] @ x + shift, expected, rtol=1e-5)
    with pytest.raises(WeightsError, match="res2a_branch3"):
        adapt("resnet_tfjs", {"res2a_branch3/kernel": kernel})


@pytest.mark.parametrize(("layout", "order"), [("tflite", (0, 2, 3, 1)), ("tfjs", (2, 3, 1, 0))])
def test_yolov5_exports_are_converted_to_pytorch(layout: str, order: tuple[int, ...]) -> None:
    recorded = RecordedWeights(networks.RandomWeights())
    networks.build("yolov5", recorded, variant="n", num_classes=1)
    modules = _modules([name for name in recorded.asked if name.endswith("v.weight")])
    modules["24"] = [f"model.24.m.{head}.weight" for head in range(3)]
    files, biases, number = {}, {}, 202
    for module, names in modules.items():
        for name in names:
            kernel = recorded.get(recorded.asked[name])
            scope = f"model_3/tf_{module}/sequential/conv2d_{number}"
            files[f"{scope}/Conv2D"] = kernel.transpose(order)
            biases[name] = np.full(len(kernel), number, np.float32)
            files[f"{scope}/BiasAdd;model_3/tf_0/conv2d_1/Conv2D"] = biases[name]
            number += 1
    adapted = adapt(f"yolov5_{layout}", dict(reversed(files.items())))
    for name, bias in biases.items():
        np.testing.assert_array_equal(adapted[name], recorded.get(recorded.asked[name]))
        target = name.replace(".conv.weight", ".bn.bias").replace(".weight", ".bias")
        np.testing.assert_array_equal(adapted[target], bias)
    networks.build("yolov5", networks.NamedWeights(adapted), variant="n", num_classes=1)
    with pytest.raises(WeightsError, match=f"yolov5_{layout}"):
        adapt(f"yolov5_{layout}", {"model/tf_conv/conv2d/Conv2D": _random(1, 1, 1, 1)})


def _modules(names: list[str]) -> dict[str, list[str]]:
    """Return the kernels of YOLOv5 by module, in the order of PyTorch."""
    modules: dict[str, list[str]] = {}
    for name in sorted(names, key=lambda name: (int(name.split(".")[1]), ".m." in name)):
        modules.setdefault(name.split(".")[1], []).append(name)
    return {index: sorted(found, key=_rank) for index, found in modules.items()}


def _rank(name: str) -> tuple[bool, str]:
    return ".m." in name, name


def test_prefix_of_training_checkpoints_is_removed() -> None:
    files = {"model.model.0.conv.weight": _random(1), "epoch": _random(1)}
    assert set(adapt("yolo_pickle", files)) == {"model.0.conv.weight", "epoch"}
