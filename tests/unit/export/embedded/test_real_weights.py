"""Embedded graphs of real weights on labeled photos, compared with `predict`."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from furiosa_models import get_model
from furiosa_models.export.embedded import embed
from furiosa_models.images.read import read_image
from furiosa_models.labels import table_of

from .running import run, session

pytestmark = [
    pytest.mark.accuracy,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.usefixtures("use_warm_cache"),
]

PHOTOS = 25
COLUMNS = {"boxes": "boxes", "scores": "scores", "classes": "class_ids"}


@pytest.mark.parametrize(
    ("name", "weights", "folder"),
    [
        ("SSDMobileNetV2", None, "coco/images"),
        ("YOLOv5s", "coco", "coco/images"),
        ("EfficientNetB0", "tfjs", "imagenet/fullsize"),
        ("MobileNetV2", None, "imagenet/fullsize"),
    ],
)
def test_real_photos_give_the_results_of_predict(
    name: str,
    weights: str | None,
    folder: str,
    data: Path,
    record_property: Callable[[str, object], None],
) -> None:
    count, worst = 0, dict.fromkeys(COLUMNS, 0.0)
    with get_model(name, weights=weights) as model:
        spec = model._weights.known
        runner = session(embed(model.origin, spec, table_of(spec.labels)))
        for path in islice(sorted((data / folder).iterdir()), PHOTOS):
            pixels = read_image(path, color="rgb").rgb
            found = run(runner, {"image": pixels})
            columns = model.predict(pixels, color="rgb").columns()
            for column, array in found.items():
                wanted = columns[COLUMNS[column]]
                assert array.shape == wanted.shape, path.name
                difference = np.abs(array.astype(np.float64) - wanted).max(initial=0.0)
                worst[column] = max(worst[column], float(difference))
            count += len(found["scores"])
    record_property("measured", f"{name}: {count} items, {worst}")
    assert count >= PHOTOS
    assert worst["classes"] == 0
    assert worst["scores"] <= 1e-5
    assert worst["boxes"] <= 0.01
