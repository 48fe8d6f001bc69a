from __future__ import annotations

import csv
from pathlib import Path

import pytest

from furiosa_models import get_model
from furiosa_models.artifacts import zoo
from furiosa_models.errors import ArtifactNotFound
from furiosa_models.evaluation import evaluate
from furiosa_models.quantization.calibrated import _FOLDER, load_calibration
from furiosa_models.vision import EfficientNetLite0

CALIBRATED = sorted(p.stem for p in _FOLDER.glob("*.yaml") if not p.stem.endswith(".means"))


@pytest.mark.parametrize("name", CALIBRATED)
def test_every_calibration_is_of_a_set_and_sound(name: str) -> None:
    model, _, weights = name.partition("-")
    assert weights in zoo()[model]
    calibration = load_calibration(model, weights)
    assert all(low <= high for low, high in calibration.ranges.values())
    assert calibration.means


def test_what_was_not_calibrated_names_what_was() -> None:
    model = EfficientNetLite0(weights="random")
    with pytest.raises(ArtifactNotFound, match="EfficientNetLite0-pytorch"):
        model.model_source(precision="int8")


@pytest.mark.network
@pytest.mark.accuracy
@pytest.mark.slow
@pytest.mark.usefixtures("use_warm_cache")
@pytest.mark.parametrize("name", CALIBRATED)
def test_int8_loses_little(name: str, data: Path, tmp_path: Path) -> None:
    class_name, _, weights = name.partition("-")
    model = get_model(class_name, weights=weights)
    published = zoo()[class_name][weights].accuracy[0]
    if published.metric == "mAP":
        images, labels = data / "coco" / "images", data / "coco" / "instances.json"
    else:
        images, labels = data / "imagenet" / "val227", tmp_path / "labels.csv"
        with (data / "imagenet" / "val227.csv").open() as file:
            rows = [(row["file"], row["class_index"]) for row in csv.DictReader(file)]
        lines = ["file,class_index", *(",".join(row) for row in rows)]
        labels.write_text("\n".join(lines))
    measured = evaluate(model, images, labels, precision="int8").figures[published.metric]
    assert measured >= published.value * 0.99 - 1e-9
