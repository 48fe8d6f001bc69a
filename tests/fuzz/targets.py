"""Readers of untrusted bytes as functions that may only raise their documented errors."""

from __future__ import annotations

import contextlib
import io
import shutil
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

from PIL import Image

from furiosa_models.artifacts import Store, maintenance
from furiosa_models.artifacts.sources import SourceError
from furiosa_models.artifacts.sources.archives import copy_tar_member, copy_zip_member
from furiosa_models.data import read_dataset
from furiosa_models.data.archive import unpack
from furiosa_models.errors import (
    ArtifactError,
    ConversionError,
    DatasetError,
    DescriptorError,
    ImageError,
    WeightsError,
)
from furiosa_models.frameworks.tflite import TfliteModel
from furiosa_models.images.read import read_image
from furiosa_models.networks import read_weights
from furiosa_models.registry.descriptor import parse_descriptor
from furiosa_models.registry.transports import _unpack


class Limited(io.BytesIO):
    """A sink of at most one MiB."""

    size = 1 << 20

    @property
    def position(self) -> int:
        return self.tell()

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if self.tell() + len(data) > self.size:
            msg = "too many bytes"
            raise SourceError(msg)
        return super().write(data)

    def resume(self) -> None:
        pass

    def rewind(self) -> None:
        self.seek(0)


def weights(reader: str) -> Callable[[bytes], None]:
    """Return a target that reads weights; for TF.js, the JSON file, with empty shards."""

    def target(data: bytes) -> None:
        with contextlib.suppress(WeightsError):
            read_weights(reader, {"model.json": data, "group1-shard1of1.bin": data})
        if reader != "tfjs":
            with contextlib.suppress(WeightsError):
                read_weights(reader, {"weights": data})

    return target


def tflite_to_onnx(data: bytes) -> None:
    """Convert a TensorFlow Lite file."""
    with contextlib.suppress(WeightsError, ConversionError):
        TfliteModel(data).to_onnx()


def image(data: bytes) -> None:
    """Read a photo; our own limit is tested, not the warning of Pillow."""
    limit = mock.patch.object(Image, "MAX_IMAGE_PIXELS", None)
    with limit, contextlib.suppress(ImageError):
        read_image(data)


def descriptor(data: bytes) -> None:
    """Read the artifacts.yaml of a registry."""
    with contextlib.suppress(DescriptorError):
        parse_descriptor(data, "artifacts.yaml")


def archives(data: bytes) -> None:
    """Read a wheel, an npm tarball, archives of a registry and of data, an export of a cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "archive")
        path.write_bytes(data)
        for copy in (copy_zip_member, copy_tar_member):
            with contextlib.suppress(SourceError):
                copy(path, "member", Limited())
        (Path(folder) / "out").mkdir()
        for unpack_into in (_unpack_registry, _import_cache, _unpack_zip, _unpack_tar):
            with contextlib.suppress(ArtifactError, DatasetError):
                unpack_into(path, Path(folder) / "out")
        outside = {p.name for p in Path(folder).iterdir()} - {"archive", "out"}
        if outside:
            msg = f"written outside: {outside}"
            raise RuntimeError(msg)


def _unpack_registry(path: Path, out: Path) -> None:
    with path.open("rb") as file:
        _unpack(file, out / "registry", "archive")


def _import_cache(path: Path, out: Path) -> None:
    maintenance.import_from(Store(out / "cache", shared=()), path)


def _unpack_zip(path: Path, out: Path) -> None:
    shutil.copy(path, out / "data.zip")
    unpack(out / "data.zip")


def _unpack_tar(path: Path, out: Path) -> None:
    shutil.copy(path, out / "table.tar.gz")
    unpack(out / "table.tar.gz")


def labels(data: bytes) -> None:
    """Read the bytes as a file of labels of each layout."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for inner in ("images", "labels", "masks"):
            (root / inner).mkdir()
        for photo in ("images/a.png", "masks/a.png", "masks/a_mask.png"):
            Image.new("L", (8, 6)).save(root / photo)
        files = ("_annotations.coco.json", "x.csv", "x.yaml", "labels/a.txt", "masks/_classes.csv")
        for name in (*files, "images/a.xml"):
            (root / name).write_bytes(data)
        for name in (*files[:3], "images", "masks"):
            with contextlib.suppress(DatasetError), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                read_dataset(root / name)
        with contextlib.suppress(DatasetError):
            read_dataset(root / "labels", images=root / "images")


TARGETS: dict[str, Callable[[bytes], None]] = {
    "archives": archives,
    "descriptor": descriptor,
    "graphdef": weights("graphdef"),
    "image": image,
    "labels": labels,
    "pytorch": weights("pytorch"),
    "tfjs": weights("tfjs"),
    "tflite": weights("tflite"),
    "tflite_to_onnx": tflite_to_onnx,
}
