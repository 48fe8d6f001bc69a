"""Small valid files as seeds."""

from __future__ import annotations

import io
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

SEEDS: dict[str, list[bytes]] = {
    "archives": [
        _zip(),
        _tar("w:gz", "package/member"),
        _tar("w", f"objects/sha256/3a/{_OBJECT}"),
    ],
    "descriptor": [(ROOT / "examples" / "registry" / "artifacts.yaml").read_bytes()],
    "image": [_image(name) for name in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP")],
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
