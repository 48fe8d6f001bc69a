from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from furiosa_models.data import read_dataset
from furiosa_models.enums import DatasetLayout
from furiosa_models.errors import DatasetError, FuriosaModelsError

from .made import write_photos


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_numbers_are_class_ids(tmp_path: Path) -> None:
    write_photos(tmp_path)
    labels = write(tmp_path / "x.csv", "file,class_index\na.jpg,4\nb.jpg,-1\n\nc.jpg,0\n")
    photos = read_dataset(labels)
    assert photos.layout is DatasetLayout.CSV
    assert [photo.class_id for photo in photos] == [4, -1, 0]
    assert photos.classes == tuple(f"class_{i}" for i in range(5))
    assert photos.class_numbers == (0, 1, 2, 3, 4)
    assert [photo.path for photo in photos] == [tmp_path / f"{name}.jpg" for name in "abc"]
    names = ["v", "w", "x", "y", "z"]
    assert read_dataset(labels, classes=names).classes == tuple(names)
    with pytest.raises(DatasetError, match="between -1 and 4, expected .* less than 2"):
        read_dataset(labels, classes=["v", "w"])


@pytest.mark.parametrize(
    "header", ["filename,label", "Image Size,class,path", "image,category", "label,file_name"]
)
def test_names_are_classes(tmp_path: Path, header: str) -> None:
    write_photos(tmp_path / "images")
    columns = header.lower().split(",")
    rows = [
        ",".join(name if c in ("label", "class", "category") else f"{photo}.jpg" for c in columns)
        for photo, name in (("a", "dog"), ("b", "cat"))
    ]
    photos = read_dataset(write(tmp_path / "x.csv", "\n".join([header, *rows])))
    assert photos.classes == ("cat", "dog")
    assert photos.class_numbers == ()
    assert [photo.class_id for photo in photos] == [1, 0]
    assert all(photo.path.is_file() for photo in photos)


def test_numbers_in_a_column_of_labels_are_class_ids(tmp_path: Path) -> None:
    write_photos(tmp_path)
    photos = read_dataset(write(tmp_path / "x.csv", "\ufefffile,label\na.jpg,10\nb.jpg,9\n"))
    assert [photo.class_id for photo in photos] == [10, 9]


def test_files_named_for_parts_share_their_classes(tmp_path: Path) -> None:
    write_photos(tmp_path)
    write(tmp_path / "train.csv", "file,label\na.jpg,dog\n")
    write(tmp_path / "valid.csv", "file,label\nb.jpg,ox\nc.jpg,ant\n")
    photos = read_dataset(tmp_path, split="val")
    assert photos.classes == ("ant", "dog", "ox")
    assert [photo.class_id for photo in photos] == [2, 0]
    write(tmp_path / "valid.csv", "file,label\nb.jpg,1\n")
    with pytest.raises(DatasetError, match="some of .* have numbers of classes, and others names"):
        read_dataset(tmp_path, split="val")


def test_a_folder_for_each_part_may_have_a_table(tmp_path: Path) -> None:
    for part in ("train", "test"):
        write_photos(tmp_path / part)
        write(tmp_path / part / "labels.csv", "file,label\na.jpg,dog\n")
    assert read_dataset(tmp_path, split="test")[0].path == tmp_path / "test" / "a.jpg"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", "its columns are a, b"),
        ("file,class_index\na.jpg,cat\n", "invalid literal"),
        ("file,class_index\na.jpg\n", "IndexError"),
        ("file,class_index\n", "contains no photo"),
        ("", "its columns are"),
        ("file,label\na.jpg,dog\na.jpg,cat\n", "a.jpg is in two classes, dog and cat"),
        ("file,class_index\na.jpg,1000000000\n", "less than"),
        ("file,class_index\na.jpg,-2\n", "between -2 and -2"),
        ("file,label\nx.jpg,dog\n", "'x.jpg', is not beside it: pass images="),
    ],
)
def test_wrong_tables_are_errors(tmp_path: Path, text: str, message: str) -> None:
    write_photos(tmp_path)
    with pytest.raises(DatasetError, match=rf"x.csv.*{message}"):
        read_dataset(write(tmp_path / "x.csv", text))


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.text(max_size=60), head=st.sampled_from(["", "file,label\n", "file,index\n"]))
def test_hostile_tables_raise_only_errors_of_the_package(
    content: str, head: str, tmp_path: Path
) -> None:
    path = tmp_path / "x.csv"
    path.write_text(head + content, encoding="utf-8", newline="")
    with suppress(FuriosaModelsError):
        read_dataset(path, images=tmp_path)
