from __future__ import annotations

import subprocess
import sys
from dataclasses import asdict
from typing import Any

import pytest

from furiosa_models.data.augmentations import DatasetAugmentations, get_default_by_task
from furiosa_models.enums import Task
from furiosa_models.errors import ConfigurationError

PLAIN = asdict(DatasetAugmentations())
COMMON = {"color_augmentation": 1.0, "horizontal_flip": 0.5, "scale_ratio": 0.5, "crop": True}


def changed(augmentations: DatasetAugmentations) -> dict[str, Any]:
    """Return the fields that differ from the defaults."""
    fields = asdict(augmentations)
    return {name: value for name, value in fields.items() if value != PLAIN[name]}


@pytest.mark.parametrize(
    ("task", "advanced", "expected"),
    [
        (Task.DETECTION, False, {**COMMON, "square": 1.0, "max_size": 800}),
        (
            Task.DETECTION,
            True,
            {
                "color_augmentation": 1.0,
                "horizontal_flip": 0.5,
                "aspect_ratio": 0.5,
                "zoom_out": 0.5,
                "square": 1.0,
                "scale_ratio": 0.5,
            },
        ),
        (Task.SEMSEG, False, COMMON),
        (Task.SEMSEG, True, {**COMMON, "scale_ratio": 1.0, "max_size": 2048}),
        (Task.INSTANCE_SEGMENTATION, False, COMMON),
        (Task.INSTANCE_SEGMENTATION, True, {**COMMON, "scale_ratio": 1.0, "max_size": 2048}),
        (Task.CLASSIFICATION, False, COMMON),
        (Task.CLASSIFICATION, True, COMMON),
        (Task.KEYPOINT, False, {**COMMON, "horizontal_flip": 0.0}),
        (Task.KEYPOINT, True, {**COMMON, "horizontal_flip": 0.0}),
    ],
)
def test_the_defaults_of_a_task(task: Task, advanced: bool, expected: dict[str, Any]) -> None:
    train, val = get_default_by_task(task, advanced=advanced)
    assert changed(train) == {k: v for k, v in expected.items() if v != PLAIN[k]}
    assert changed(val) == ({"square": 1.0} if task is Task.DETECTION else {})


def test_the_defaults_have_the_given_resolution() -> None:
    train, val = get_default_by_task(Task.DETECTION, (320, 480))
    assert train.resolution == val.resolution == (320, 480)
    assert train.max_size == 600
    train.horizontal_flip = 1.0
    assert get_default_by_task(Task.DETECTION)[0].horizontal_flip == 0.5


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("horizontal_flip", 1.5, "horizontal_flip must lie between 0 and 1"),
        ("square", -0.1, "square must lie between 0 and 1"),
        ("color_augmentation", 2.0, "color_augmentation must lie between 0 and 1"),
        ("color_base_hue", 91, "color_base_hue must be at least 0 and 90, got 91"),
        ("color_base_brightness", -1, "color_base_brightness must be at least 0 and 255"),
        ("zoom_out_side", 0.5, "zoom_out_side must be at least 1 and finite"),
        ("aspect_ratio", float("nan"), "aspect_ratio must be at least 0 and finite"),
        ("scale_ratio", float("inf"), "scale_ratio must be at least 0 and finite"),
        ("resolution", 0, "resolution and crop_size must be at least 1"),
        ("resolution", (640, 0), "resolution and crop_size must be at least 1"),
        ("crop_size", 0, "resolution and crop_size must be at least 1"),
        ("max_size", -1, "max_size must be at least 0"),
    ],
)
def test_a_value_out_of_range_is_an_error(name: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DatasetAugmentations(**{name: value})


def test_a_limit_out_of_range_names_the_setting() -> None:
    with pytest.raises(ConfigurationError, match="zoom_out_side"):
        DatasetAugmentations(zoom_out_side=0.0)


def test_augmentations_are_described_without_pytorch() -> None:
    code = "import sys, furiosa_models.data.augment; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
