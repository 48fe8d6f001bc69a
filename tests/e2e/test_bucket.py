"""The published models, fetched from a fake of FuriosaAI's bucket; see `conftest.py`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from furiosa_models import get_model
from furiosa_models.enums import ModelTaskType
from furiosa_models.errors import ArtifactCorrupted, ArtifactUnavailable

from .conftest import PUBLISHED


@pytest.mark.slow
@pytest.mark.parametrize("name", PUBLISHED)
def test_published_weights_are_fetched_from_the_bucket(
    name: str, use_bucket: Callable[..., Path], photos: list[Path]
) -> None:
    use_bucket(name)
    with get_model(name) as model:
        # Networks with random weights detect objects everywhere: keep the best scores.
        is_classifier = model.task_type is ModelTaskType.IMAGE_CLASSIFICATION
        options: dict[str, Any] = {} if is_classifier else {"score_threshold": 0.8}
        result = model.predict(photos[1], device="cpu", **options)
        assert model.weights == "published"
        assert result.to_dict() is not None
        assert model.tensor_name_to_range == {"x": [0.0, 1.0]}
        tensor, contexts = model.preprocess(photos[1])
        assert model.postprocess(model._runner("cpu").run(tensor), contexts)


def test_old_bucket_layout_is_the_fallback(
    use_bucket: Callable[..., Path], photos: list[Path]
) -> None:
    use_bucket("EfficientNetB0", old_layout=True)
    model = get_model("EfficientNetB0")
    assert model.predict(photos[0])
    assert model.weights == "published"


def test_wrong_file_in_the_bucket_is_rejected(use_bucket: Callable[..., Path]) -> None:
    bucket = use_bucket("EfficientNetB0")
    for path in bucket.rglob("*"):
        if path.is_file():
            path.write_bytes(b"?" * path.stat().st_size)
    with pytest.raises(ArtifactCorrupted, match="expected md5"):
        _ = get_model("EfficientNetB0").origin


def test_error_for_an_empty_bucket_lists_tried_urls(use_bucket: Callable[..., Path]) -> None:
    bucket = use_bucket("SSDResNet34")
    for path in bucket.rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(ArtifactUnavailable, match="HTTP 404") as caught:
        _ = get_model("SSDResNet34").origin
    assert "files/md5" in str(caught.value)
    assert "weights='random'" in str(caught.value)


def test_published_resnet50_class_is_output_index_minus_one(
    use_bucket: Callable[..., Path], photos: list[Path]
) -> None:
    use_bucket("ResNet50")
    model = get_model("ResNet50")
    tensor, _ = model.preprocess(photos[0])
    index = int(model._runner("cpu").run(tensor)[0][0])
    assert model.predict(photos[0], device="cpu").class_id == index - 1
