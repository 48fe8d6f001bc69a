from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from furiosa_models.data import dataset_splits, read_dataset
from furiosa_models.enums import DatasetLayout, DatasetSplitType, Task
from furiosa_models.errors import DatasetError, FuriosaModelsError

from .made import BOXES, as_rows, write_photo, write_photos, write_voc_labels


def write(root: Path) -> Path:
    write_photos(root / "JPEGImages")
    write_voc_labels(root / "Annotations")
    return root


def test_boxes_are_from_the_first_to_the_last_pixel(tmp_path: Path) -> None:
    photos = read_dataset(write(tmp_path))
    assert photos.layout is DatasetLayout.VOC
    assert photos.task is Task.DETECTION
    assert photos.classes == ("cat", "dog")
    assert as_rows(photos) == BOXES
    assert photos[0].size == (80, 60)


def test_lists_tell_the_parts(tmp_path: Path) -> None:
    root = write(tmp_path / "VOCdevkit" / "VOC2007")
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("c\nb\n")
    (lists / "val.txt").write_text("a\n")
    (lists / "cat_val.txt").write_text("a 1\nb -1\n")
    (lists / "trainval.txt").write_text("a\nb\nc\n")
    devkit = tmp_path / "VOCdevkit"
    assert dataset_splits(devkit) == (DatasetSplitType.TRAIN, DatasetSplitType.VAL)
    train = read_dataset(devkit, split="train")
    assert as_rows(train) == {"c": BOXES["c"], "b": BOXES["b"]}
    assert train.classes == ("cat", "dog")  # though it has no cat
    assert [*as_rows(read_dataset(devkit, split="val"))] == ["a"]


def test_files_beside_photos_have_the_classes_of_all_parts(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        write_photos(tmp_path / part)
        write_voc_labels(tmp_path / part)
    for name in ("a", "b"):
        (tmp_path / "valid" / f"{name}.xml").unlink()
    photos = read_dataset(tmp_path, split="val")
    assert photos.classes == ("cat", "dog")
    assert as_rows(photos) == {"a": [], "b": [], "c": []}


def test_folders_of_labels_and_photos_may_be_given(tmp_path: Path) -> None:
    write(tmp_path)
    photos = read_dataset(tmp_path / "Annotations", images=tmp_path / "JPEGImages")
    assert as_rows(photos) == BOXES


def test_missing_photos_keep_the_name_in_their_labels(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "JPEGImages" / "a.jpg").unlink()
    photos = read_dataset(tmp_path)
    assert photos[0].path == tmp_path / "JPEGImages" / "a.jpg"


def test_difficult_objects_do_not_count(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "Annotations" / "b.xml"
    path.write_text(path.read_text().replace("<difficult>0", "<difficult>1"))
    objects = read_dataset(tmp_path)[1].objects
    assert objects is not None
    assert objects.is_crowd.tolist() == [True]


def test_two_photos_of_one_label_file_are_an_error(tmp_path: Path) -> None:
    write(tmp_path)
    write_photo(tmp_path / "JPEGImages" / "a.png")
    with pytest.raises(DatasetError, match=r"a.jpg and a.png have the same label file, a.xml"):
        read_dataset(tmp_path)


def test_files_may_be_in_another_encoding(tmp_path: Path) -> None:
    write(tmp_path)
    path = tmp_path / "Annotations" / "b.xml"
    text = '<?xml version="1.0" encoding="ISO-8859-1"?>' + path.read_text().replace(
        "dog", "K\xf6ter"
    )
    path.write_bytes(text.encode("latin-1"))
    assert read_dataset(tmp_path).classes == ("K\xf6ter", "cat", "dog")
    path.write_bytes(text.replace("ISO-8859-1", "nonsense").encode("latin-1"))
    with pytest.raises(DatasetError, match="b.xml is not a Pascal VOC"):
        read_dataset(tmp_path)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">'
    + "".join(f'<!ENTITY lol{i} "{f"&lol{i - 1 or str()};" * 10}">' for i in range(1, 10))
    + "]><annotation><filename>&lol9;</filename></annotation>"
)
FILE = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><annotation>&e;</annotation>'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "declares a document type"),
        (FILE, "declares a document type"),
        ("<annotation>" + "<a>" * 100_000, "more than 32 levels"),
        ("<annotation>", "no element found"),
        ("", "no element found"),
        ("<html></html>", "expected <annotation>, got <html>"),
        ("<annotation><object><name>cat</name></object></annotation>", "has no bndbox"),
        ("<annotation><object><bndbox/></object></annotation>", "has no name"),
        (
            "<annotation><object><name>cat</name><bndbox><xmin>x</xmin></bndbox></object>"
            "</annotation>",
            "could not convert string to float",
        ),
        ("<annotation><size><width>inf</width></size></annotation>", "infinity"),
        ("<annotation>\x00</annotation>", "not well-formed"),
    ],
)
def test_hostile_xml_is_an_error_at_once(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path)
    (tmp_path / "Annotations" / "b.xml").write_text(text)
    start = time.process_time()
    with pytest.raises(DatasetError, match=rf"b.xml is not a Pascal VOC.*{message}"):
        read_dataset(tmp_path)
    assert time.process_time() - start < 2


ELEMENT = st.recursive(
    st.sampled_from(["", "1", "nan", "1e400", "cat", "&amp;", "<x/>"]),
    lambda inner: st.builds(
        lambda tag, content: f"<{tag}>{content}</{tag}>",
        st.sampled_from(
            ["object", "name", "bndbox", "xmin", "ymax", "size", "width", "height", "filename"]
        ),
        st.lists(inner, max_size=4).map("".join),
    ),
    max_leaves=12,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.one_of(ELEMENT.map("<annotation>{}</annotation>".format), st.text(max_size=50)))
def test_hostile_files_raise_only_errors_of_the_package(content: str, tmp_path: Path) -> None:
    if not (tmp_path / "Annotations").exists():
        write(tmp_path)
    (tmp_path / "Annotations" / "a.xml").write_text(content, encoding="utf-8")
    with suppress(FuriosaModelsError):
        read_dataset(tmp_path)
