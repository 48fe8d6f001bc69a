"""Write the vectors that the tests compare losses with: values and gradients of public packages.

    python -m pip install timm==1.0.20 torchvision==0.29.2 yolov5==7.0.14
    python -m tests.unit.training.losses.make_vectors

- classification: `timm.loss.LabelSmoothingCrossEntropy`, smoothing 0.1.
- ssd: `torchvision.models.detection.ssd.SSD.compute_loss`, box coder (10, 10, 5, 5), IoU 0.5, three
  negatives for each positive, on the default boxes of our head.
- yolov5: `yolov5.utils.loss.ComputeLoss` (Ultralytics' code, packaged by fcakyon) with the gains of
  hyp.scratch-low.yaml, scaled as in its train.py, and `sort_obj_iou`, so that of several objects at
  one place the best one counts. The total is divided by the batch size.

Inputs are exact in float16, in which they are stored.
"""

from __future__ import annotations

from importlib.metadata import version
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from timm.loss import LabelSmoothingCrossEntropy
from torch import nn
from torchvision.models.detection import _utils, ssd
from torchvision.ops import box_iou
from yolov5.utils.loss import ComputeLoss

from furiosa_models.heads import SSDHead, YOLOv5Head

from .cases import FOLDER, SSD_HEADS

Array = npt.NDArray[Any]
SSD_SIZE = (48, 64)
SSD_CLASSES = 3
YOLO_CASES = {
    "plain": ((64, 64), 2, 0.0),
    "smooth": ((32, 64), 3, 0.1),
    "single": ((64, 32), 1, 0.0),
}


def numbers(random: np.random.Generator, *shape: int, scale: float = 2.0) -> Array:
    return (random.normal(size=shape) * scale).astype(np.float16)


def objects(
    random: np.random.Generator, size: tuple[int, int], classes: int, counts: list[int]
) -> tuple[list[Array], list[Array]]:
    """Return class ids and boxes of images, some of them partly outside."""
    height, width = size
    ids, boxes = [], []
    for count in counts:
        center = random.uniform(0.05, 0.95, (count, 2)) * (width, height)
        side = random.uniform(0.08, 0.9, (count, 2)) * (width, height)
        corners = np.concatenate((center - side / 2, center + side / 2), axis=1)
        boxes.append((np.round(corners * 8) / 8).astype(np.float32))
        ids.append(random.integers(0, classes, count))
    return ids, boxes


def classification() -> dict[str, Array]:
    random = np.random.default_rng(1)
    logits, classes = numbers(random, 6, 9), random.integers(0, 9, 6)
    leaf = torch.tensor(logits.astype(np.float32), requires_grad=True)
    loss = LabelSmoothingCrossEntropy(smoothing=0.1)(leaf, torch.tensor(classes))
    loss.backward()
    return {
        "made_with": np.array(f"timm {version('timm')}"),
        "logits": logits,
        "classes": classes,
        "loss": loss.detach().numpy(),
        "gradient": leaf.grad.numpy(),
    }


def maps_of(rows: Array, head: SSDHead) -> list[Array]:
    """Return rows (n, anchors, k) as maps, in the order of a head's boxes and channels."""
    maps, first, count = [], 0, rows.shape[2]
    for side, per_cell in zip(head.feature_maps, per_cells(head), strict=True):
        level = rows[:, first : first + side * side * per_cell]
        if head.channels == "class":
            split = level.reshape(-1, per_cell, side, side, count).transpose(0, 4, 1, 2, 3)
        else:
            split = level.reshape(-1, side, side, per_cell, count).transpose(0, 3, 4, 1, 2)
        maps.append(split.reshape(len(rows), per_cell * count, side, side))
        first += side * side * per_cell
    assert first == rows.shape[1]
    return maps


def per_cells(head: SSDHead) -> tuple[int, ...]:
    return (4, 6, 6, 6, 4, 4) if head.anchors == "default_boxes" else (3, 6, 6)


def arranged(scores: Array, deltas: Array, head: SSDHead) -> list[Array]:
    """Return rows as the outputs of a network with a head."""
    ordered = deltas if head.deltas == "xywh" else deltas[..., [1, 0, 3, 2]]
    classes, boxes = maps_of(scores, head), maps_of(ordered, head)
    if head.outputs == "grouped":
        return [*classes, *boxes]
    return [each for pair in zip(classes, boxes, strict=True) for each in pair]


def ssd_case(name: str) -> dict[str, Array]:
    random = np.random.default_rng(2)
    head, (height, width) = SSD_HEADS[name], SSD_SIZE
    boxes = torch.tensor(head.default_boxes())
    corners = torch.cat((boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2), dim=1)
    anchors = corners * torch.tensor([width, height, width, height])
    counts = [5, 1, 0]
    ids, of_images = objects(random, SSD_SIZE, SSD_CLASSES, counts)
    scores = numbers(random, len(counts), len(anchors), 1 + SSD_CLASSES)
    deltas = numbers(random, len(counts), len(anchors), 4)
    leaves = [torch.tensor(x.astype(np.float32), requires_grad=True) for x in (scores, deltas)]
    targets = [
        {"boxes": torch.tensor(b), "labels": torch.tensor(i) + 1}
        for b, i in zip(of_images, ids, strict=True)
    ]
    matcher, matches = _utils.SSDMatcher(0.5), []
    for target in targets:
        overlap = box_iou(target["boxes"], anchors)
        best = overlap.argmax(dim=1).tolist()
        assert len(set(best)) == len(best), "objects that share their best box have no fixed order"
        none = torch.full((len(anchors),), -1, dtype=torch.int64)
        matches.append(matcher(overlap) if len(best) else none)
    losses = ssd.SSD.compute_loss(
        SimpleNamespace(box_coder=_utils.BoxCoder((10.0, 10.0, 5.0, 5.0)), neg_to_pos_ratio=3),
        targets,
        {"bbox_regression": leaves[1], "cls_logits": leaves[0]},
        [anchors] * len(targets),
        matches,
    )
    torch.stack(list(losses.values())).sum().backward()
    found = {
        "loss_class": losses["classification"].detach().numpy(),
        "loss_box": losses["bbox_regression"].detach().numpy(),
    }
    for i, (image_boxes, image_ids) in enumerate(zip(of_images, ids, strict=True)):
        found |= {f"boxes.{i}": image_boxes, f"class_ids.{i}": image_ids}
    gradients = [leaf.grad.numpy() for leaf in leaves]
    found |= {f"output.{i}": x for i, x in enumerate(arranged(scores, deltas, head))}
    found |= {f"gradient.{i}": x for i, x in enumerate(arranged(gradients[0], gradients[1], head))}
    return found | {"size": np.array(SSD_SIZE)}


class _Detect(nn.Module):  # type: ignore[misc]  # the class is untyped
    """What `ComputeLoss` reads of a network."""

    def __init__(
        self, head: YOLOv5Head, classes: int, size: tuple[int, int], smooth: float
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        levels, per_cell = head.anchors.shape[:2]
        layer = SimpleNamespace(
            nl=levels,
            na=per_cell,
            nc=classes,
            anchors=torch.tensor(head.anchors),
            stride=torch.tensor(head.strides),
        )
        self.model = [layer]
        self.hyp = {
            "box": 0.05 * 3 / levels,
            "cls": 0.5 * classes / 80 * 3 / levels,
            "obj": 1.0 * (size[0] * size[1] / 640**2) * 3 / levels,
            "cls_pw": 1.0,
            "obj_pw": 1.0,
            "anchor_t": 4.0,
            "fl_gamma": 0.0,
            "label_smoothing": smooth,
        }


def yolo_case(name: str) -> dict[str, Array]:
    size, classes, smooth = YOLO_CASES[name]
    random = np.random.default_rng(6)
    head, (height, width) = YOLOv5Head(), size
    counts = [6, 0]
    ids, boxes = objects(random, size, classes, counts)
    boxes[0][1:3] = boxes[0][0] + np.array([[0, 0, 1, 1], [0, 0, 2, -2]])  # in one cell
    rows = []
    for image, (image_boxes, image_ids) in enumerate(zip(boxes, ids, strict=True)):
        low, high = image_boxes[:, :2], image_boxes[:, 2:]
        places = np.concatenate(((low + high) / 2, high - low), axis=1)
        places = places / np.array([width, height, width, height], np.float32)
        image_ids = image_ids[:, None].astype(np.float32)
        rows.append(np.concatenate((np.full_like(image_ids, image), image_ids, places), axis=1))
    targets = torch.tensor(np.concatenate(rows), dtype=torch.float32)
    outputs = [
        numbers(random, len(counts), 3 * (5 + classes), height // stride, width // stride)
        for stride in head.strides
    ]
    leaves = [torch.tensor(x.astype(np.float32), requires_grad=True) for x in outputs]
    compute = ComputeLoss(_Detect(head, classes, size, smooth))
    compute.sort_obj_iou = True
    total, parts = compute([x.unflatten(1, (3, -1)).movedim(2, 4) for x in leaves], targets)
    (total / len(counts)).sum().backward()
    names = ("loss_box", "loss_objectness", "loss_class")
    found = {name: part.numpy() for name, part in zip(names, parts, strict=True)}
    for i, (image_boxes, image_ids) in enumerate(zip(boxes, ids, strict=True)):
        found |= {f"boxes.{i}": image_boxes, f"class_ids.{i}": image_ids}
    for i, (output, leaf) in enumerate(zip(outputs, leaves, strict=True)):
        found |= {f"output.{i}": output, f"gradient.{i}": leaf.grad.numpy()}
    return found | {"size": np.array(size), "label_smoothing": np.array(smooth)}


def write(name: str, arrays: dict[str, Array], package: str = "") -> None:
    if package:
        arrays = {"made_with": np.array(f"{package} {version(package)}"), **arrays}
    np.savez_compressed(FOLDER / f"{name}.npz", allow_pickle=False, **arrays)


if __name__ == "__main__":
    write("classification", classification())
    for each in SSD_HEADS:
        write(f"ssd_{each}", ssd_case(each), "torchvision")
    for each in YOLO_CASES:
        write(f"yolov5_{each}", yolo_case(each), "yolov5")
