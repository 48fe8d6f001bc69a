from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from furiosa_models.data import read_dataset
from furiosa_models.enums import DatasetLayout, Task
from furiosa_models.errors import DatasetError

from .made import write_photos

TABLE = "Pixel Value, Class\n0, background\n1, cat\n3, dog\n"


def write(folder: Path, table: str = TABLE) -> Path:
    for photo in write_photos(folder):
        Image.fromarray(np.zeros((60, 80), np.uint8)).save(folder / f"{photo.stem}_mask.png")
    (folder / "_classes.csv").write_text(table)
    return folder


def test_photos_have_masks(tmp_path: Path) -> None:
    write(tmp_path / "train")
    photos = read_dataset(tmp_path)
    assert photos.layout is DatasetLayout.ROBOFLOW_SEG
    assert photos.task is Task.SEMSEG
    assert photos.classes == ("background", "cat", "dog")
    assert photos.class_numbers == (0, 1, 3)
    assert [(p.path.name, Path(str(p.mask)).name) for p in photos] == [
        ("a.jpg", "a_mask.png"), ("b.jpg", "b_mask.png"), ("c.jpg", "c_mask.png")
    ]  # fmt: skip


def test_classes_may_be_put_in_another_order_but_not_left_out(tmp_path: Path) -> None:
    write(tmp_path)
    photos = read_dataset(tmp_path, classes=["dog", "background", "cat"])
    assert photos.class_numbers == (3, 0, 1)
    with pytest.raises(DatasetError, match="has no class horse"):
        read_dataset(tmp_path, classes=["dog", "horse"])


def test_a_photo_without_a_mask_is_an_error(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "b_mask.png").unlink()
    with pytest.raises(DatasetError, match=r"1 photos without a mask \(b.jpg\)"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    "table", ["", "a,b\n", "a,b\nx,cat\n", "a,b\n1\n", "a,b\n1,x\n1,y\n", "a\n255,x"]
)
def test_wrong_tables_of_classes_are_errors(tmp_path: Path, table: str) -> None:
    write(tmp_path, table)
    with pytest.raises(DatasetError, match=r"_classes.csv is not a table of classes"):
        read_dataset(tmp_path)
