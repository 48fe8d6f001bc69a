"""Generate the golden values: run independent implementations with the seeded weights.

It needs a separate virtual environment, with the packages of `requirements.txt` beside this
file, and the repositories of `REPOSITORIES`, which are cloned if missing:

```bash
python -m venv build/golden
build/golden/bin/pip install -r tests/golden/requirements.txt
build/golden/bin/python -m tests.golden.generate --sources build/golden-sources
```

It computes in float64 and writes one JSON file per network. Our implementation only provides the
names, shapes and random values of the parameters; its outputs are not computed here.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import re
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, make_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import numpy.typing as npt
import torch

from furiosa_models import networks
from furiosa_models.networks.weights import Array, FloatArray, Parameter

Outputs = list[Any]  # tensors, in the order of our network's outputs
Arrays = Mapping[str, Array]

WEIGHTS_SEED, IMAGE_SEED = 0, 1
INDEX_FACTOR = 2654435761

REPOSITORIES = {
    "dfine": ("https://github.com/Peterande/D-FINE", "4a1f73a8"),
    "focoos": ("https://github.com/FocoosAI/focoos", "26a89867"),
    "inference": ("https://github.com/mlcommons/inference", "b66003e1"),
    "rtdetr": ("https://github.com/lyuwenyu/RT-DETR", "068dfde6"),
    "yolov5": ("https://github.com/ultralytics/yolov5", "956be8e6"),
    "yolox": ("https://github.com/Megvii-BaseDetection/YOLOX", "6ddff482"),
    "yolov7": ("https://github.com/WongKinYiu/yolov7", "cad7acac"),
}
"""URL and commit of each repository."""

MLCOMMONS = "inference/vision/classification_and_detection/python"


class Case(NamedTuple):
    """A network and an independent implementation.

    Attributes:
        network: Its name in `furiosa_models.networks.NETWORKS`.
        reference: Description of the independent implementation.
        run: Takes the folder of repositories, arrays by name and an image; returns its outputs.
        params: Arguments of our builder.
        values: How many values of each output are kept.
    """

    network: str
    reference: str
    run: Callable[[Path, Arrays, Any], Outputs]
    params: Mapping[str, Any] = {}
    values: int = 36


class Recorder:
    """Random weights that are recorded when they are requested."""

    def __init__(self) -> None:
        self.arrays: dict[str, FloatArray] = {}
        self._weights = networks.RandomWeights(WEIGHTS_SEED)

    def get(self, parameter: Parameter) -> FloatArray:
        array = self.arrays[parameter.name] = self._weights.get(parameter)
        return array


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Import `models` and `utils` from a repository; all three repositories use these names."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path[:] = [entry for entry in sys.path if entry != str(folder)]
        for name in [name for name in sys.modules if name.split(".")[0] in ("models", "utils")]:
            del sys.modules[name]


def load(module: Any, arrays: Mapping[str, Any], *, partly: bool = False) -> Any:
    """Return the module in float64 with these parameters; none may be missing, unless `partly`.

    Some modules have parameters that only training uses.
    """
    tensors = {name: torch.as_tensor(np.array(array)) for name, array in arrays.items()}
    module = module.double().eval()
    missing, unexpected = module.load_state_dict(tensors, strict=False)
    counters = ("num_batches_tracked", "anchors", "anchor_grid")  # not parameters
    missing = [name for name in missing if not name.endswith(counters)]
    if (missing and not partly) or unexpected:
        msg = f"missing: {missing[:5]}; unexpected: {unexpected[:5]}"
        raise SystemExit(msg)
    return module


def set_epsilon(module: Any, epsilon: float) -> Any:
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eps = epsilon
    return module


def outputs_of(model: Any, layers: list[Any], image: Any) -> Outputs:
    """Run the model; return the outputs of some of its layers."""
    found: dict[int, Any] = {}
    for index, layer in enumerate(layers):
        layer.register_forward_hook(
            lambda _module, _inputs, output, index=index: found.update({index: output.clone()})
        )
    model(image)
    return [found[index] for index in range(len(layers))]


def torchvision_model(name: str) -> Callable[[Path, Arrays, Any], Outputs]:
    def run(_sources: Path, arrays: Arrays, image: Any) -> Outputs:
        import torchvision

        return [load(getattr(torchvision.models, name)(weights=None), arrays)(image)]

    return run


def resnet50_v1(_sources: Path, arrays: Arrays, image: Any) -> Outputs:
    """Build ResNet-50 v1, with the stride in the first convolution, as in the paper and Keras."""
    import torchvision

    model = set_epsilon(torchvision.models.resnet50(weights=None), 1e-3)
    for stage in (model.layer2, model.layer3, model.layer4):
        stage[0].conv1.stride, stage[0].conv2.stride = (2, 2), (1, 1)
    return [load(model, arrays)(image)]


def efficientnet_b0(_sources: Path, arrays: Arrays, image: Any) -> Outputs:
    from efficientnet_pytorch import EfficientNet

    return [load(EfficientNet.from_name("efficientnet-b0", image_size=224), arrays)(image)]


def efficientnet_lite0(_sources: Path, arrays: Arrays, image: Any) -> Outputs:
    from efficientnet_lite_pytorch import EfficientNet

    return [load(EfficientNet.from_name("efficientnet-lite0"), arrays)(image)]


def ssd_resnet34(sources: Path, arrays: Arrays, image: Any) -> Outputs:
    import torchvision

    untrained = torchvision.models.resnet34(weights=None)  # the original downloads these weights
    patch = mock.patch("torchvision.models.resnet.resnet34", return_value=untrained)
    with importable(sources / MLCOMMONS), patch:
        from models.ssd_r34 import SSD_R34

        model = load(SSD_R34(), arrays)
        return outputs_of(model, [*model.conf, *model.loc], image)


def mobilenet_ssd(sources: Path, arrays: Arrays, image: Any) -> Outputs:
    with importable(sources / MLCOMMONS):
        from models import utils

        class Conv2d(utils.Conv2d_tf):  # type: ignore[misc]
            """The original passes "same" on, which current PyTorch rejects with a stride."""

            def __init__(self, *arguments: Any, padding: str, **options: Any) -> None:
                torch.nn.Conv2d.__init__(self, *arguments, **options)
                self.padding = padding

        utils.Conv2d_tf = Conv2d
        from models.ssd_mobilenet_v1 import create_mobilenetv1_ssd

        model = load(create_mobilenetv1_ssd(91), slim_state(arrays))
        heads = [layer for p in model.predictors for layer in (p.classification, p.regression)]
        return outputs_of(model, heads, image)


def slim_state(arrays: Arrays) -> dict[str, npt.NDArray[np.float64]]:
    """Return TensorFlow's parameters under MLCommons' names, their normalization folded."""
    state: dict[str, npt.NDArray[np.float64]] = {}

    def normalization(scope: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        gamma, beta, mean, variance = (
            arrays[f"{scope}/BatchNorm/{name}"].astype(np.float64)
            for name in ("gamma", "beta", "moving_mean", "moving_variance")
        )
        scale = gamma / np.sqrt(variance + 1e-3)
        return scale, beta - mean * scale

    def convolution(scope: str) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        scale, bias = normalization(scope)
        kernel = arrays[f"{scope}/weights"].astype(np.float64).transpose(3, 2, 0, 1)
        return kernel * scale[:, None, None, None], bias

    backbone = "FeatureExtractor/MobilenetV1/Conv2d"
    state["backbone.0.0.weight"], state["backbone.0.0/BatchNorm.bias"] = convolution(
        f"{backbone}_0"
    )
    for index in range(1, 14):
        depthwise, name = f"{backbone}_{index}_depthwise", f"backbone.{index}"
        kernel = arrays[f"{depthwise}/depthwise_weights"].astype(np.float64)
        state[f"{name}.depthwise.weight"] = kernel.transpose(2, 3, 0, 1)
        scale, bias = normalization(depthwise)
        state[f"{name}.depthwise/BatchNorm.scale"] = scale
        state[f"{name}.depthwise/BatchNorm.bias"] = bias
        kernel, bias = convolution(f"{backbone}_{index}_pointwise")
        state[f"{name}.pointwise.weight"], state[f"{name}.pointwise/BatchNorm.bias"] = kernel, bias
    for index, channels in enumerate((512, 256, 256, 128)):
        scopes = (
            f"{backbone}_13_pointwise_1_Conv2d_{index + 2}_1x1_{channels // 2}",
            f"{backbone}_13_pointwise_2_Conv2d_{index + 2}_3x3_s2_{channels}",
        )
        for layer, scope in zip((0, 2), scopes, strict=True):
            name = f"extras.{index}.{layer}"
            state[f"{name}.weight"], state[f"{name}.bias"] = convolution(scope)
    for index in range(6):
        for theirs, ours in (
            ("classification", "ClassPredictor"),
            ("regression", "BoxEncodingPredictor"),
        ):
            scope, name = f"BoxPredictor_{index}/{ours}", f"predictors.{index}.{theirs}"
            kernel = arrays[f"{scope}/weights"].astype(np.float64)
            state[f"{name}.weight"] = kernel.transpose(3, 2, 0, 1)
            state[f"{name}.bias"] = arrays[f"{scope}/biases"].astype(np.float64)
    return state


def yolov5(variant: str, classes: int) -> Callable[[Path, Arrays, Any], Outputs]:
    def run(sources: Path, arrays: Arrays, image: Any) -> Outputs:
        folder = sources / "yolov5"
        # Only processes of rank -1 and 0 download a font on import.
        with importable(folder), mock.patch.dict(os.environ, RANK="1"):
            from models.yolo import Model

            model = Model(str(folder / "models" / f"yolov5{variant}.yaml"), nc=classes)
            return outputs_of(load(model, arrays), list(model.model[-1].m), image)

    return run


def yolov7_pose(sources: Path, arrays: Arrays, image: Any) -> Outputs:
    folder = sources / "yolov7"
    with importable(folder):
        from models.yolo import Model

        model = load(Model(str(folder / "cfg" / "yolov7-w6-pose.yaml")), arrays)
        head = model.model[-1]
        keypoints = [layers[-1] for layers in head.m_kpt]
        pairs = zip(head.im, keypoints, strict=True)
        return outputs_of(model, [layer for pair in pairs for layer in pair], image)


@contextmanager
def packages(root: Path, *names: str, **replaced: Mapping[str, Any]) -> Iterator[None]:
    """Make packages of a repository importable without running their `__init__` modules.

    Args:
        root: Folder with the first package.
        names: Names of the packages.
        replaced: Contents of modules that are not imported at all, by name with `__` for dots.
    """
    before = set(sys.modules)
    for name in names:
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(root / name.replace(".", "/"))]
    for name, contents in replaced.items():
        module = types.ModuleType(name.replace("__", "."))
        vars(module).update(contents)
        sys.modules[module.__name__] = module
    try:
        yield
    finally:
        roots = {
            name.partition(".")[0] for name in (*names, *(r.replace("__", ".") for r in replaced))
        }
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in roots:
                del sys.modules[name]


def rtdetr(sources: Path, arrays: Arrays, image: Any) -> Outputs:
    folder, zoo = sources / "rtdetr" / "rtdetr_pytorch", "src.zoo.rtdetr"
    names = ("src", "src.nn", "src.nn.backbone", "src.zoo", zoo)
    with packages(folder, *names, src__core={"register": lambda kind: kind}):
        backbone = import_module("src.nn.backbone.presnet").PResNet(
            18, return_idx=[1, 2, 3], freeze_norm=False
        )
        size = {"eval_spatial_size": [*image.shape[2:]]}
        encoder = import_module(f"{zoo}.hybrid_encoder").HybridEncoder(
            [128, 256, 512], expansion=0.5, **size
        )
        decoder = import_module(f"{zoo}.rtdetr_decoder").RTDETRTransformer(
            feat_channels=[256] * 3, num_decoder_layers=3, num_queries=_QUERIES, **size
        )
        parts = {"backbone": backbone, "encoder": encoder, "decoder": decoder}
        model = load(torch.nn.ModuleDict(parts), arrays, partly=True)
        found = model["decoder"](model["encoder"](model["backbone"](image)))
    return [found["pred_logits"], found["pred_boxes"]]


@contextmanager
def focoos(sources: Path) -> Iterator[None]:
    """Make Focoos' networks importable, without the rest of it."""

    class Network(torch.nn.Module):  # type: ignore[misc]
        def __init__(self, _config: Any) -> None:
            super().__init__()

    def backbone(config: Any) -> Any:
        module = import_module(f"focoos.nn.backbone.{config.model_type}")
        return getattr(module, {"stdc": "STDC", "resnet": "ResNet"}[config.model_type])(config)

    record: Any = dataclass(type("Record", (), {}))
    output = make_dataclass("ModelOutput", ["loss"])
    ports = {"ModelConfig": record, "DictClass": record, "ModelOutput": output}
    families = ("bisenetformer", "fai_detr", "fai_mf")
    own = ("models", *(f"models.{family}" for family in families))
    names = (*own, "nn", "nn.layers", "nn.backbone", "utils")
    with packages(
        sources / "focoos",
        "focoos",
        *(f"focoos.{name}" for name in (*names, "utils.distributed")),
        focoos__models__focoos_model={"BaseModelNN": Network},
        focoos__nn__backbone__build={"load_backbone": backbone},
        focoos__ports={**ports, "DatasetEntry": record},
        focoos__utils__env={"TORCH_VERSION": (2, 1)},
        focoos__utils__logger={"get_logger": logging.getLogger},
    ):
        yield


def fai_detr(sources: Path, arrays: Arrays, image: Any) -> Outputs:
    """Build fai-detr-m; its normalization is outside ours, and its boxes have corners."""
    with focoos(sources):
        stdc = import_module("focoos.nn.backbone.stdc").STDCConfig(size="large")
        config = import_module("focoos.models.fai_detr.config").DETRConfig(
            backbone_config=stdc,
            num_classes=80,
            num_queries=_QUERIES,
            pixel_mean=[0, 0, 0],
            pixel_std=[1, 1, 1],
            pixel_decoder_out_dim=128,
            pixel_decoder_feat_dim=128,
            transformer_predictor_out_dim=128,
            transformer_predictor_dec_layers=3,
            head_out_dim=128,
        )
        network = import_module("focoos.models.fai_detr.modelling").FAIDetr(config)
        found = load(network, arrays, partly=True)(image)
    corners = found.boxes
    sizes = corners[..., 2:] - corners[..., :2]
    boxes = torch.cat((corners[..., :2] + sizes / 2, sizes), -1)
    return [torch.logit(found.logits), boxes]


def fai_mf(sources: Path, arrays: Arrays, image: Any) -> Outputs:
    """Build fai-mf with an encoder layer; its normalization is outside ours."""
    with focoos(sources):
        backbone = import_module("focoos.nn.backbone.resnet").ResnetConfig(depth=18)
        config = import_module("focoos.models.fai_mf.config").MaskFormerConfig(
            backbone_config=backbone,
            pixel_decoder_transformer_layers=1,
            transformer_predictor_dec_layers=4,
            **_masks(),
        )
        network = import_module("focoos.models.fai_mf.modelling").FAIMaskFormer(config)
        return _logits_of_masks(load(network, arrays, partly=True), image)


def bisenetformer(sources: Path, arrays: Arrays, image: Any) -> Outputs:
    """Build bisenetformer with the small backbone; its normalization is outside ours."""
    with focoos(sources):
        stdc = import_module("focoos.nn.backbone.stdc").STDCConfig(size="small")
        config = import_module("focoos.models.bisenetformer.config").BisenetFormerConfig(
            backbone_config=stdc, transformer_predictor_dec_layers=3, **_masks()
        )
        network = import_module("focoos.models.bisenetformer.modelling").BisenetFormer(config)
        return _logits_of_masks(load(network, arrays, partly=True), image)


def _masks() -> dict[str, Any]:
    widths = ("pixel_decoder_out", "pixel_decoder_feat", "transformer_predictor_out", "head_out")
    return {
        "num_classes": 150,
        "num_queries": _QUERIES,
        "pixel_mean": [0, 0, 0],
        "pixel_std": [1, 1, 1],
        **{f"{name}_dim": 128 for name in widths},
    }


def _logits_of_masks(network: Any, image: Any) -> Outputs:
    """Return logits of the masks, before they are enlarged, and of the classes."""
    found = network.head.predictor(*reversed(network.pixel_decoder(image)))
    return [found["pred_masks"], found["pred_logits"]]


def dfine(variant: str) -> Callable[[Path, Arrays, Any], Outputs]:
    def run(sources: Path, arrays: Arrays, image: Any) -> Outputs:
        zoo, size = "src.zoo.dfine", {"eval_spatial_size": [*image.shape[2:]]}
        settings: dict[str, Any] = {"feat_strides": [8, 16, 32], "hidden_dim": 256}
        encoder, points, maps = {"expansion": 0.5, "depth_mult": 0.34}, [3, 6, 3], [1, 2, 3]
        if variant == "n":
            settings = {"feat_strides": [16, 32], "hidden_dim": 128, "dim_feedforward": 512}
            encoder = {"expansion": 0.34, "depth_mult": 0.5}
            points, maps = [6, 6], [2, 3]
        channels = [[64, 256, 512, 1024][index] for index in maps]
        names = ("src", "src.nn", "src.nn.backbone", "src.zoo", zoo)
        with packages(sources / "dfine", *names, src__core={"register": unregistered}):
            backbone = import_module("src.nn.backbone.hgnetv2").HGNetv2(
                "B0", use_lab=True, return_idx=maps, freeze_norm=False, pretrained=False
            )
            neck = import_module(f"{zoo}.hybrid_encoder").HybridEncoder(
                channels, use_encoder_idx=[len(maps) - 1], **settings, **encoder, **size
            )
            decoder = import_module(f"{zoo}.dfine_decoder").DFINETransformer(
                num_queries=_QUERIES,
                feat_channels=[settings["hidden_dim"]] * len(maps),
                num_levels=len(maps),
                num_points=points,
                num_layers=3,
                **settings,
                **size,
            )
            parts = {"backbone": backbone, "encoder": neck, "decoder": decoder}
            model = load(torch.nn.ModuleDict(parts), arrays, partly=True)
            found = model["decoder"](model["encoder"](model["backbone"](image)))
        return [found["pred_logits"], found["pred_boxes"]]

    return run


def unregistered() -> Callable[[Any], Any]:
    return lambda kind: kind


def yolox(variant: str) -> Callable[[Path, Arrays, Any], Outputs]:
    def run(sources: Path, arrays: Arrays, image: Any) -> Outputs:
        depth, width = {"nano": (0.33, 0.25), "s": (0.33, 0.5)}[variant]
        unused = ("bboxes_iou", "cxcywh2xyxy", "meshgrid", "visualize_assign")
        loguru = {"logger": logging.getLogger()}
        names = ("yolox", "yolox.models")
        with packages(sources / "yolox", *names, yolox__utils=dict.fromkeys(unused), loguru=loguru):
            settings = {"depthwise": variant == "nano"}
            neck = import_module("yolox.models.yolo_pafpn").YOLOPAFPN(depth, width, **settings)
            head = import_module("yolox.models.yolo_head").YOLOXHead(80, width, **settings)
            head.decode_in_inference = False
            parts = torch.nn.ModuleDict({"backbone": neck, "head": head})
            model = load(set_epsilon(parts, 1e-3), arrays)
            return [model["head"](model["backbone"](image))]

    return run


_QUERIES = 20
"""Few enough that rounding does not exchange two queries with almost equal scores."""
_MLCOMMONS = "MLCommons inference, commit b66003e1, models"
_YOLOV5 = "Ultralytics yolov5, tag v6.0 (commit 956be8e6), models/yolo.py on {torch}"
_DFINE = "Peterande D-FINE, commit 4a1f73a8, src/zoo/dfine on {torch}"
_YOLOX = "Megvii YOLOX, commit 6ddff482, yolox/models on {torch}, boxes not decoded"

CASES = {
    "dfine_n": Case("dfine", _DFINE + ": dfine_hgnetv2_n", dfine("n"), {"num_queries": _QUERIES}),
    "dfine_s": Case(
        "dfine",
        _DFINE + ": dfine_hgnetv2_s",
        dfine("s"),
        {"variant": "s", "num_queries": _QUERIES, "image_size": [320, 480]},
    ),
    "fai_detr": Case(
        "rtdetr",
        "Focoos, commit 26a89867, models/fai_detr on {torch}: fai-detr-m with an encoder layer, "
        "logits of its scores, centers of its boxes",
        fai_detr,
        {"variant": None, "family": "fai_detr", "backbone": "large", "feature_dim": 128}
        | {"decoder_layers": 3, "num_queries": _QUERIES},
    ),
    "fai_mf": Case(
        "maskformer",
        "Focoos, commit 26a89867, models/fai_mf on {torch}: logits of its masks before they are "
        "enlarged, and of its classes",
        fai_mf,
        {"family": "fai_mf", "backbone": 18, "encoder_layers": 1, "decoder_layers": 4}
        | {"num_classes": 150, "num_queries": _QUERIES, "image_size": [320, 480]},
    ),
    "bisenetformer": Case(
        "maskformer",
        "Focoos, commit 26a89867, models/bisenetformer on {torch}: logits of its masks before they "
        "are enlarged, and of its classes",
        bisenetformer,
        {"family": "bisenetformer", "backbone": "small", "decoder_layers": 3}
        | {"num_classes": 150, "num_queries": _QUERIES, "image_size": [320, 480]},
    ),
    "rtdetr": Case(
        "rtdetr",
        "lyuwenyu RT-DETR, commit 068dfde6, rtdetr_pytorch on {torch}: rtdetr_r18vd",
        rtdetr,
        {"variant": "r18", "num_queries": _QUERIES},
    ),
    "rtdetr_wide": Case(
        "rtdetr",
        "lyuwenyu RT-DETR, commit 068dfde6, rtdetr_pytorch on {torch}: rtdetr_r18vd",
        rtdetr,
        {"variant": "r18", "num_queries": _QUERIES, "image_size": [320, 480]},
    ),
    "efficientnet_b0": Case(
        "efficientnet",
        "efficientnet_pytorch 0.7.1 on {torch}: efficientnet-b0, static padding for 224",
        efficientnet_b0,
        {"variant": "b0"},
    ),
    "efficientnet_lite0": Case(
        "efficientnet",
        "efficientnet_lite_pytorch 0.1.0 on {torch}: efficientnet-lite0",
        efficientnet_lite0,
        {"variant": "lite0"},
    ),
    "efficientnet_v2_s": Case(
        "efficientnet_v2",
        "{torchvision}: efficientnet_v2_s",
        torchvision_model("efficientnet_v2_s"),
    ),
    "mobilenet_ssd": Case(
        "mobilenet_ssd",
        _MLCOMMONS + "/ssd_mobilenet_v1.py on {torch}: batch normalization folded beforehand, "
        "heads before they are viewed as lists of boxes",
        mobilenet_ssd,
        values=6,
    ),
    "mobilenet_v2": Case(
        "mobilenet_v2", "{torchvision}: mobilenet_v2", torchvision_model("mobilenet_v2")
    ),
    "resnet18": Case(
        "resnet", "{torchvision}: resnet18", torchvision_model("resnet18"), {"variant": "18"}
    ),
    "resnet50": Case(
        "resnet",
        "{torchvision}: resnet50, stride in the 3x3 convolution (v1.5), eps 1e-5",
        torchvision_model("resnet50"),
        {"variant": "50"},
    ),
    "resnet50_v1": Case(
        "resnet",
        "{torchvision}: resnet50 with the stride moved to the first 1x1 convolution of the "
        "bottlenecks (v1) and eps 1e-3",
        resnet50_v1,
        {"variant": "50_v1"},
    ),
    "ssd_resnet34": Case(
        "ssd_resnet34",
        _MLCOMMONS + "/ssd_r34.py on {torch}: SSD_R34, its heads before they are viewed as lists "
        "of boxes",
        ssd_resnet34,
        values=6,
    ),
    "yolov5l": Case(
        "yolov5",
        _YOLOV5 + ": yolov5l.yaml, heads before the sigmoid",
        yolov5("l", 80),
        {"variant": "l"},
        16,
    ),
    "yolov5m_10": Case(
        "yolov5",
        _YOLOV5 + ": yolov5m.yaml with 10 classes, heads before the sigmoid",
        yolov5("m", 10),
        {"variant": "m", "num_classes": 10},
        16,
    ),
    "yolov5n": Case(
        "yolov5",
        _YOLOV5 + ": yolov5n.yaml, heads before the sigmoid",
        yolov5("n", 80),
        {"variant": "n"},
        16,
    ),
    "yolov5s_10": Case(
        "yolov5",
        _YOLOV5 + ": yolov5s.yaml with 10 classes, heads before the sigmoid",
        yolov5("s", 10),
        {"variant": "s", "num_classes": 10},
        16,
    ),
    "yolov7_pose": Case(
        "yolov7_pose",
        "WongKinYiu yolov7, branch pose (commit cad7acac), models/yolo.py on {torch}: "
        "yolov7-w6-pose.yaml, its heads split into 18 and 153 channels",
        yolov7_pose,
        values=8,
    ),
    "yolox_nano": Case(
        "yolox",
        _YOLOX + ": yolox_nano",
        yolox("nano"),
        {"variant": "nano", "image_size": 416},
    ),
    "yolox_s": Case("yolox", _YOLOX + ": yolox_s", yolox("s"), {"variant": "s"}),
}


def golden(case: Case, sources: Path) -> dict[str, Any]:
    """Run the reference; return the values to store."""
    import torchvision

    recorder = Recorder()
    graph = networks.build(case.network, recorder, **case.params).graph
    dimensions = graph.input[0].type.tensor_type.shape.dim[1:]
    name, shape = graph.input[0].name, (1, *(d.dim_value for d in dimensions))
    pixels = networks.RandomWeights(IMAGE_SEED).get(Parameter(name, shape, gain=1 / 3))
    torch.manual_seed(0)
    with torch.no_grad():
        tensors = case.run(sources, recorder.arrays, torch.as_tensor(pixels).double())
    names = [output.name for output in graph.output]
    pytorch = f"PyTorch {torch.__version__.partition('+')[0]}"
    vision = f"torchvision {torchvision.__version__.partition('+')[0]}"
    versions = {"torch": pytorch, "torchvision": f"{vision} on {pytorch}"}
    return {
        "network": case.network,
        "params": dict(case.params),
        "reference": case.reference.format(**versions)
        + "; float64, loaded by parameter name with the seeded weights",
        "weights_seed": WEIGHTS_SEED,
        "input": {
            "name": name,
            "shape": list(shape),
            "seed": IMAGE_SEED,
            "rule": "RandomWeights(seed), gain 1/3: uniform in [-1, 1)",
        },
        "index_rule": f"k * {INDEX_FACTOR} modulo the size of the tensor, k = 1, 2, ...",
        "outputs": {
            output: kept(tensor.numpy(), case.values)
            for output, tensor in zip(names, tensors, strict=True)
        },
    }


def kept(tensor: Array, count: int) -> dict[str, Any]:
    """Return the shape of an output, its root mean square and some of its values."""
    indices = [k * INDEX_FACTOR % tensor.size for k in range(1, count + 1)]
    return {
        "shape": list(tensor.shape),
        "rms": rounded(np.sqrt(np.mean(np.square(tensor)))),
        "indices": indices,
        "values": [rounded(value) for value in tensor.ravel()[indices]],
    }


def rounded(value: Any) -> float:
    return float(f"{float(value):.9g}")


def written(document: dict[str, Any]) -> str:
    """Return it as JSON with lists of numbers on one line."""
    text = json.dumps(document, indent=2)
    return re.sub(r"\[[^\[\]]*\]", lambda match: _one_line(match[0]), text) + "\n"


def _one_line(numbers: str) -> str:
    return "[" + " ".join(numbers.strip("[]").split()) + "]"


def clone(sources: Path) -> None:
    """Clone the missing repositories."""
    for name, (url, commit) in REPOSITORIES.items():
        folder = sources / name
        if not folder.exists():
            subprocess.run(["git", "clone", "--quiet", url, str(folder)], check=True)
            subprocess.run(["git", "-C", str(folder), "checkout", "--quiet", commit], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sources", type=Path, required=True, help="folder of the repositories")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="where to write")
    parser.add_argument("cases", nargs="*", metavar="CASE", help=", ".join(CASES))
    arguments = parser.parse_args()
    if unknown := set(arguments.cases) - set(CASES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    clone(arguments.sources)
    for name in arguments.cases or CASES:
        document = golden(CASES[name], arguments.sources)
        (arguments.out / f"{name}.json").write_text(written(document))
        print(name)  # noqa: T201


if __name__ == "__main__":
    main()
