"""Generate the vectors of the set losses: values and gradients of the authors' own code.

    build/golden/bin/python -m tests.golden.losses --sources build/golden-sources

Environment and repositories are those of `generate.py`. It writes `detr`, `dfine`, `masks` and
`masks_sigmoid` into `tests/unit/training/losses/vectors`, and `gradients.json` beside them: for a
whole network in training mode without denoising, the length of the gradient of each parameter
behind the backbone, which shows where the authors stop gradients.

- detr: `SetCriterion` of RT-DETR with the weights of rtdetr_r50vd.yml.
- dfine: `DFINECriterion` with the weights of dfine_hgnetv2.yml.
- masks: `SetCriterion` of Focoos' fai_mf with its default weights; random points are drawn in the
  same order by the same generator.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from furiosa_models import networks

from .generate import REPOSITORIES, Recorder, focoos, load, packages, unregistered

FOLDER = Path(__file__).parents[1] / "unit/training/losses/vectors"
GRADIENTS = FOLDER / "gradients.json"
SIZE = (64, 96)
COUNTS = (3, 0, 1)
QUERIES, CLASSES, BINS, LAYERS = 6, 4, 33, 3
POINTS, POINTS_SEED = 64, 5
SIDE = 96
"""Height and width of the image of `gradients.json`."""
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {
    "rtdetr": ("rtdetr", {"variant": "r18", "num_queries": QUERIES, "image_size": SIDE}),
    "dfine": ("dfine", {"variant": "n", "num_queries": QUERIES, "image_size": SIDE}),
}
"""Networks of `gradients.json`, with their arguments here."""

Array = npt.NDArray[Any]
_ALONE = {"get_world_size": lambda: 1, "is_dist_available_and_initialized": lambda: False}


def numbers(random: np.random.Generator, *shape: int) -> Array:
    return (random.normal(size=shape) * 1.5).astype(np.float16)


def boxes_of(random: np.random.Generator, *shape: int) -> Array:
    """Return boxes cxcywh as fractions, exact in float16."""
    return random.uniform(0.1, 0.6, (*shape, 4)).astype(np.float16)


def objects(random: np.random.Generator) -> list[dict[str, Any]]:
    """Return labels of images in the form of the authors."""
    return [
        {
            "labels": torch.tensor(random.integers(0, CLASSES, count)),
            "boxes": torch.tensor(boxes_of(random, count).astype(np.float32)),
        }
        for count in COUNTS
    ]


def corners(boxes: Any) -> Array:
    """Return boxes in pixels, left, top, right, bottom."""
    center, size = boxes.split(2, dim=1)
    height, width = SIZE
    edges = torch.cat((center - size / 2, center + size / 2), dim=1)
    found: Array = (edges * torch.tensor([width, height, width, height])).numpy()
    return found


def leaf(array: Array) -> Any:
    return torch.tensor(array.astype(np.float32), requires_grad=True)


def finished(
    losses: Mapping[str, Any],
    names: Mapping[str, str],
    given: Sequence[Array],
    leaves: Sequence[Any],
) -> dict[str, Array]:
    """Return the sums of the losses by our names, and the outputs with their gradients."""
    torch.stack([value for value in losses.values() if value.requires_grad]).sum().backward()
    found = {
        ours: np.array(sum(float(v.detach()) for k, v in losses.items() if k.startswith(theirs)))
        for theirs, ours in names.items()
    }
    for i, (array, each) in enumerate(zip(given, leaves, strict=True)):
        gradient = torch.zeros_like(each) if each.grad is None else each.grad
        found |= {f"output.{i}": array, f"gradient.{i}": gradient.numpy()}
    return found


def labeled(targets: Sequence[Mapping[str, Any]]) -> dict[str, Array]:
    found: dict[str, Array] = {"size": np.array(SIZE)}
    for i, each in enumerate(targets):
        found |= {f"boxes.{i}": corners(each["boxes"]), f"class_ids.{i}": each["labels"].numpy()}
    return found


_COSTS = {"cost_class": 2, "cost_bbox": 5, "cost_giou": 2}
_WEIGHTS = {"loss_vfl": 1, "loss_bbox": 5, "loss_giou": 2}
_NAMES = {"loss_vfl": "loss_class", "loss_bbox": "loss_box", "loss_giou": "loss_giou"}


def detr(sources: Path) -> dict[str, Array]:
    """Return the loss of the last layer, of two others, and of the chosen queries."""
    random = np.random.default_rng(11)
    targets = objects(random)
    given = []
    for _ in range(LAYERS + 1):
        given += [numbers(random, len(COUNTS), QUERIES, CLASSES)]
        given += [boxes_of(random, len(COUNTS), QUERIES)]
    leaves = [leaf(array) for array in given]
    layers = [
        {"pred_logits": a, "pred_boxes": b} for a, b in zip(leaves[::2], leaves[1::2], strict=True)
    ]
    zoo = "src.zoo.rtdetr"
    with packages(
        sources / "rtdetr" / "rtdetr_pytorch",
        *("src", "src.zoo", zoo),
        src__core={"register": lambda kind: kind},
        src__misc__dist=_ALONE,
    ):
        matcher = import_module(f"{zoo}.matcher").HungarianMatcher(_COSTS, use_focal_loss=True)
        criterion = import_module(f"{zoo}.rtdetr_criterion").SetCriterion(
            matcher, _WEIGHTS, ["vfl", "boxes"], alpha=0.75, gamma=2.0, num_classes=CLASSES
        )
        losses = criterion({**layers[0], "aux_outputs": layers[1:]}, targets)
    return labeled(targets) | finished(losses, _NAMES, given, leaves)


def dfine(sources: Path) -> dict[str, Array]:
    """Return the loss with the outputs in the order of our builder."""
    random = np.random.default_rng(12)
    targets, images = objects(random), len(COUNTS)
    pairs = [
        [numbers(random, images, QUERIES, CLASSES), boxes_of(random, images, QUERIES)]
        for _ in range(2 + LAYERS)
    ]
    bins = [numbers(random, images, QUERIES, 4 * BINS) for _ in range(LAYERS)]
    last, encoder, start, *before = pairs
    given = [*last, *encoder, *start]
    for pair, own in zip(before, bins, strict=False):
        given += [*pair, own]
    given.append(bins[-1])
    leaves = [leaf(array) for array in given]
    settings = {"up": torch.tensor([0.5]), "reg_scale": torch.tensor([4.0])}
    reference = {"ref_points": leaves[5].detach()}
    teacher = {"teacher_corners": leaves[-1], "teacher_logits": leaves[0]}
    layers = [
        {"pred_logits": a, "pred_boxes": b, "pred_corners": c, **reference, **teacher}
        for a, b, c in zip(leaves[6:-1:3], leaves[7:-1:3], leaves[8:-1:3], strict=True)
    ]
    outputs = {
        "pred_logits": leaves[0],
        "pred_boxes": leaves[1],
        "pred_corners": leaves[-1],
        **reference,
        **settings,
        "aux_outputs": layers,
        "enc_aux_outputs": [{"pred_logits": leaves[2], "pred_boxes": leaves[3]}],
        "pre_outputs": {"pred_logits": leaves[4], "pred_boxes": leaves[5]},
        "enc_meta": {"class_agnostic": False},
    }
    zoo = "src.zoo.dfine"
    with packages(
        sources / "dfine",
        *("src", "src.zoo", zoo),
        src__core={"register": unregistered},
        src__misc__dist_utils=_ALONE,
    ):
        matcher = import_module(f"{zoo}.matcher").HungarianMatcher(_COSTS, use_focal_loss=True)
        weights = {**_WEIGHTS, "loss_fgl": 0.15, "loss_ddf": 1.5}
        criterion = import_module(f"{zoo}.dfine_criterion").DFINECriterion(
            matcher, weights, ["vfl", "boxes", "local"], alpha=0.75, num_classes=CLASSES
        )
        losses = criterion(outputs, targets)
    names = {**_NAMES, "loss_fgl": "loss_edge", "loss_ddf": "loss_distillation"}
    return labeled(targets) | finished(losses, names, given, leaves)


def masks(sources: Path, *, sigmoid: bool) -> dict[str, Array]:
    """Return the loss of the last layer and of two others."""
    random = np.random.default_rng(13)
    images, (height, width) = len(COUNTS), SIZE
    drawn = [random.random((count, height // 8, width // 8)) < 0.4 for count in COUNTS]
    blocks = [each.repeat(8, axis=1).repeat(8, axis=2) for each in drawn]
    ids = [random.integers(0, CLASSES, count) for count in COUNTS]
    given = []
    for _ in range(LAYERS):
        given += [numbers(random, images, QUERIES, height // 8, width // 8)]
        given += [numbers(random, images, QUERIES, CLASSES + 1)]
    leaves = [leaf(array) for array in given]
    layers = [
        {"pred_masks": a, "pred_logits": b} for a, b in zip(leaves[::2], leaves[1::2], strict=True)
    ]
    with focoos(sources):
        module = import_module("focoos.models.fai_mf.loss")
        record = import_module("focoos.models.fai_mf.ports").MaskFormerTargets
        targets = [
            record(labels=torch.tensor(a), masks=torch.tensor(b))
            for a, b in zip(ids, blocks, strict=True)
        ]
        criterion = module.SetCriterion(
            num_classes=CLASSES,
            matcher=module.MaskHungarianMatcher(2, 5, 5, POINTS, cls_sigmoid=sigmoid),
            weight_dict={"loss_ce": 2, "loss_mask": 5, "loss_dice": 5},
            losses=["labels", "masks"],
            eos_coef=0.1,
            num_points=POINTS,
            oversample_ratio=3.0,
            importance_sample_ratio=0.75,
            loss_class_type="bce_loss" if sigmoid else "ce_loss",
            cls_sigmoid=sigmoid,
        )
        torch.manual_seed(POINTS_SEED)
        losses = criterion({**layers[0], "aux_outputs": layers[1:]}, targets)
    names = {"loss_ce": "loss_class", "loss_mask": "loss_mask", "loss_dice": "loss_dice"}
    found = finished(losses, names, given, leaves)
    for i, (a, b) in enumerate(zip(ids, blocks, strict=True)):
        found |= {f"class_ids.{i}": a, f"masks.{i}": np.packbits(b)}
    return found | {
        "size": np.array(SIZE),
        "seed": np.array(POINTS_SEED),
        "points": np.array(POINTS),
    }


def gradients(sources: Path, name: str) -> dict[str, float]:
    """Return the length of the gradient of each parameter for the mean square of all outputs."""
    network, params = NETWORKS[name]
    graph = networks.describe(network, **params, auxiliary=True)
    recorder = Recorder()
    for parameter in graph.parameters.values():
        recorder.get(parameter)
    torch.manual_seed(0)
    run = {"rtdetr": _rtdetr, "dfine": _dfine}[name]
    module = run(sources, recorder.arrays)
    module.train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.eval()
    image = torch.rand(
        2, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    parts = list(module.children())
    found = parts[2](parts[1](parts[0](image)))
    outputs = [found["pred_logits"], found["pred_boxes"]]
    for each in [*found["aux_outputs"], *found.get("enc_aux_outputs", [])]:
        outputs += [each["pred_logits"], each["pred_boxes"]]
        outputs += [each["pred_corners"]] if "pred_corners" in each else []
    if "pre_outputs" in found:
        outputs += [*found["pre_outputs"].values(), found["pred_corners"]]
    torch.stack([each.square().mean() for each in outputs]).sum().backward()
    return {
        key: float(f"{value.grad.norm():.7g}")
        for key, value in module.named_parameters()
        if value.grad is not None and key in recorder.arrays and not key.startswith("backbone.")
    }


def _rtdetr(sources: Path, arrays: Mapping[str, Array]) -> Any:
    zoo = "src.zoo.rtdetr"
    names = ("src", "src.nn", "src.nn.backbone", "src.zoo", zoo)
    folder = sources / "rtdetr" / "rtdetr_pytorch"
    with packages(folder, *names, src__core={"register": lambda kind: kind}):
        backbone = import_module("src.nn.backbone.presnet").PResNet(
            18, return_idx=[1, 2, 3], freeze_norm=False
        )
        encoder = import_module(f"{zoo}.hybrid_encoder").HybridEncoder(
            [128, 256, 512], expansion=0.5
        )
        decoder = import_module(f"{zoo}.rtdetr_decoder").RTDETRTransformer(
            feat_channels=[256] * 3, num_decoder_layers=3, num_queries=QUERIES, num_denoising=0
        )
        parts = {"backbone": backbone, "encoder": encoder, "decoder": decoder}
        return _as_float64(load(torch.nn.ModuleDict(parts), arrays, partly=True))


def _dfine(sources: Path, arrays: Mapping[str, Array]) -> Any:
    zoo = "src.zoo.dfine"
    names = ("src", "src.nn", "src.nn.backbone", "src.zoo", zoo)
    settings: dict[str, Any] = {"feat_strides": [16, 32], "hidden_dim": 128, "dim_feedforward": 512}
    with packages(sources / "dfine", *names, src__core={"register": unregistered}):
        backbone = import_module("src.nn.backbone.hgnetv2").HGNetv2(
            "B0", use_lab=True, return_idx=[2, 3], freeze_norm=False, pretrained=False
        )
        neck = import_module(f"{zoo}.hybrid_encoder").HybridEncoder(
            [512, 1024], use_encoder_idx=[1], expansion=0.34, depth_mult=0.5, **settings
        )
        decoder = import_module(f"{zoo}.dfine_decoder").DFINETransformer(
            num_queries=QUERIES,
            feat_channels=[128, 128],
            num_levels=2,
            num_points=[6, 6],
            num_layers=3,
            num_denoising=0,
            **settings,
        )
        parts = {"backbone": backbone, "encoder": neck, "decoder": decoder}
        return _as_float64(load(torch.nn.ModuleDict(parts), arrays, partly=True))


def _as_float64(module: Any) -> Any:
    """Return the module; what it makes while it runs, such as anchors, is float64, too."""
    torch.set_default_dtype(torch.float64)
    return module


CASES: dict[str, tuple[str, Callable[[Path], dict[str, Array]]]] = {
    "detr": ("rtdetr", detr),
    "dfine": ("dfine", dfine),
    "masks": ("focoos", lambda sources: masks(sources, sigmoid=False)),
    "masks_sigmoid": ("focoos", lambda sources: masks(sources, sigmoid=True)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path, required=True)
    sources = parser.parse_args().sources
    for name, (repository, make) in CASES.items():
        url, commit = REPOSITORIES[repository]
        arrays = {"made_with": np.array(f"{url}, commit {commit}"), **make(sources)}
        np.savez_compressed(FOLDER / f"{name}.npz", allow_pickle=False, **arrays)
    found = {name: gradients(sources, name) for name in NETWORKS}
    GRADIENTS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
