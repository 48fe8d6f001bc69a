"""Small valid files as seeds."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

from tests.unit.frameworks.tflite import samples
from tests.unit.networks.samples import FILES

ROOT = Path(__file__).parents[2]


def _image(format: str) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).convert("RGB").save(buffer, format=format)
    return buffer.getvalue()


def _zip() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("member", b"data" * 50)
        archive.writestr("top/member", b"data")
    return buffer.getvalue()


def _tar(mode: str, name: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
        info = tarfile.TarInfo(name)
        info.size = 4
        tar.addfile(info, io.BytesIO(b"data"))
    return buffer.getvalue()


_MATRIX = np.eye(4, 8, dtype=np.float32)
_OBJECT = "3a6eb0790f39ac87c94f3856b2dd2c5d110e6811602261a9a923d3bb23adc8b7"

_COCO = {
    "images": [{"id": 1, "file_name": "a.png", "width": 8, "height": 6}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 1, 2, 2], "keypoints": [1, 1, 2],
         "segmentation": {"size": [6, 8], "counts": "P1"}},
        {"id": 2, "image_id": 1, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 4]]},
    ],
    "categories": [
        {"id": 0, "name": "all"},
        {"id": 1, "name": "cat", "supercategory": "all", "keypoints": ["nose"]},
    ],
}  # fmt: skip

SEEDS: dict[str, list[bytes]] = {
    "archives": [
        _zip(),
        _tar("w:gz", "package/member"),
        _tar("w", f"objects/sha256/3a/{_OBJECT}"),
    ],
    "descriptor": [(ROOT / "examples" / "registry" / "artifacts.yaml").read_bytes()],
    "image": [_image(name) for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")],
    "labels": [
        json.dumps(_COCO).encode(),
        b"file,label\na.png,cat\n",
        b"file,class_index\na.png,3\n",
        b"train: images\nval: [images]\nnames: {0: cat, 1: dog}\nkpt_shape: [1, 3]\n",
        b"0 .5 .5 .5 .5\n1 .1 .1 .2 .2 .3 .1\n",
        b"<annotation><filename>a.png</filename><size><width>8</width><height>6</height></size>"
        b"<object><name>cat</name><bndbox><xmin>1</xmin><ymin>2</ymin><xmax>5</xmax><ymax>6</ymax>"
        b"</bndbox></object></annotation>",
        b"value,class\n0,cat\n1,dog\n",
    ],
    **{
        reader: [
            data for format, files in FILES.values() if format == reader for data in files.values()
        ]
        for reader in ("graphdef", "pytorch", "tfjs", "tflite")
    },
    "tflite_to_onnx": [
        samples.small(),
        samples.quantized(),
        samples.sparse_network(_MATRIX, *samples.sparse_rows(_MATRIX, 4, "Uint8")),
        samples.detection(4),
    ],
}
