"""Made videos with known objects: boxes that move, cross, hide each other and leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from furiosa_models.tasks import Detections

from .metrics import Frame

SIZE = (640, 480)
NAMES = ("person", "car")


@dataclass
class Scene:
    """A video: what is there, and what a detector with faults finds."""

    truth: list[Frame]
    found: list[Detections]


def scene(
    *,
    objects: int = 8,
    frames: int = 120,
    jitter: float = 0.02,
    dropped: float = 0.1,
    false: float = 0.5,
    seed: int = 0,
) -> Scene:
    """Return a video.

    Args:
        objects: Number of objects.
        frames: Number of frames.
        jitter: Standard deviation of the edges of detections, as a fraction of the sides.
        dropped: Probability that an object is not detected.
        false: Mean number of false detections per frame.
        seed: Seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    sizes = random.uniform(40, 90, (objects, 2)) * [0.7, 1.4]
    start = random.uniform([60, 90], [580, 390], (objects, 2))
    speed = random.uniform(-3.5, 3.5, (objects, 2))
    classes = random.integers(0, 2, objects)
    truth: list[Frame] = []
    found: list[Detections] = []
    position = start
    for _ in range(frames):
        position = position + speed
        low, high = sizes / 2, np.array(SIZE) - sizes / 2
        speed = np.where((position < low) | (position > high), -speed, speed)
        position = np.clip(position, low, high)
        boxes = np.concatenate((position - sizes / 2, position + sizes / 2), axis=1)
        truth.append((np.arange(objects), boxes.astype(np.float32)))
        found.append(_detected(random, boxes, classes, jitter, dropped, false))
    return Scene(truth, found)


def _detected(
    random: np.random.Generator,
    boxes: np.ndarray,
    classes: np.ndarray,
    jitter: float,
    dropped: float,
    false: float,
) -> Detections:
    # An object that is behind another one has a low score; one that is hidden is not found.
    shown = [_part_shown(boxes, i) for i in range(len(boxes))]
    seen = [i for i, part in enumerate(shown) if part > 0.15 and random.random() > dropped]
    sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)[seen]
    own = boxes[seen] + random.normal(0, jitter, (len(seen), 4)) * sides
    scores = np.array([shown[i] * random.uniform(0.75, 0.95) for i in seen])
    count = random.poisson(false)
    corner = random.uniform(0, 400, (count, 2))
    others = np.concatenate((corner, corner + random.uniform(30, 90, (count, 2))), axis=1)
    every = np.concatenate((own, others))
    all_scores = np.concatenate((scores, random.uniform(0.1, 0.7, count)))
    ids = np.concatenate((classes[seen], random.integers(0, 2, count)))
    order = np.argsort(-all_scores)
    return Detections(
        every[order].astype(np.float32),
        all_scores[order].astype(np.float32),
        ids[order].astype(np.int64),
        NAMES,
    )


def _part_shown(boxes: np.ndarray, index: int) -> float:
    """Return which part of a box is not behind those in front of it, which come later."""
    left, top, right, bottom = boxes[index]
    y, x = np.mgrid[top:bottom:20j, left:right:20j]
    hidden = np.zeros(x.shape, bool)
    for a, b, c, d in boxes[index + 1 :]:
        hidden |= (x >= a) & (x <= c) & (y >= b) & (y <= d)
    return 1 - float(hidden.mean())
