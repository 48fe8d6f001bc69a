"""Which formats are read, by which decoder, and the errors of the others."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import EpsImagePlugin, Image, features

from furiosa_models.errors import ImageError
from furiosa_models.images import formats
from furiosa_models.images.read import read_image

RGB = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 48\n%%EndComments\nshowpage\n%%EOF\n"
HEIC = Path(__file__).with_name("turned.heic")


def encoded(kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(RGB).save(file, kind, **options)
    return file.getvalue()


@pytest.fixture
def ghostscript_calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Calls of Ghostscript."""
    calls: list[str] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: calls.append("gs"))
    return calls


@pytest.mark.parametrize("head", [b"", b"\xc5\xd0\xd3\xc6" + (32).to_bytes(4, "little") * 7])
def test_postscript_does_not_start_ghostscript(
    head: bytes, tmp_path: Path, ghostscript_calls: list[str]
) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(head + EPS)
    for source in (path, path.read_bytes(), io.BytesIO(head + EPS)):
        with pytest.raises(ImageError, match="EPS or PostScript"):
            read_image(source)
    with Image.open(path) if not head else Image.open(io.BytesIO(EPS)) as image:
        assert image.format == "EPS"
        with pytest.raises(ImageError, match=r"call its load\(\) first"):
            read_image(image)
    assert not ghostscript_calls


@pytest.mark.parametrize("kind", ["PNG", "BMP", "GIF", "TIFF", "PPM", "SGI", "PCX", "TGA", "WEBP"])
def test_formats_are_detected_by_content(kind: str, tmp_path: Path) -> None:
    data = encoded(kind, **({"lossless": True} if kind == "WEBP" else {}))
    path = tmp_path / "photo.jpg"  # the suffix does not matter
    path.write_bytes(data)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    with Image.open(path) as image:
        for source in (data, path, image):
            np.testing.assert_array_equal(read_image(source).rgb, expected)


@pytest.mark.parametrize(("kind", "feature"), [("AVIF", "avif"), ("JPEG2000", "jpg_2000")])
def test_optional_formats_of_pillow(
    kind: str, feature: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if feature not in features.get_supported():
        pytest.skip(f"this Pillow has no {kind}")
    data = encoded(kind)
    expected = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    np.testing.assert_array_equal(read_image(data).rgb, expected)
    monkeypatch.setattr(features, "get_supported", lambda: ["jpg"])
    formats._problem.cache_clear()
    with pytest.raises(ImageError, match="pip install --upgrade pillow"):
        read_image(data)
    formats._problem.cache_clear()


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html><html>", "an HTML page"),
        (b'<?xml version="1.0"?><svg>', "SVG"),
        (b"qoif" + bytes(20), "QOI"),
        (b"\0\0\1\0\1\0\x10\x10", "an icon"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "a video"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", "a raw photo"),
        (b"\xff\x0a" + bytes(20), "JPEG XL"),
        (b"", "an empty file"),
        (b"words", "its format is unknown"),
    ],
)
def test_unsupported_formats_are_named_in_the_error(data: bytes, what: str) -> None:
    with pytest.raises(ImageError, match=what) as caught:
        read_image(data)
    assert "JPEG, JPEG 2000" in str(caught.value)
    assert "<_io" not in str(caught.value)


def test_heic_is_read_upright_with_the_extra() -> None:
    pytest.importorskip("pi_heif", reason="HEIC needs the extra `heif`")
    for source in (HEIC, HEIC.read_bytes()):
        pixels = read_image(source).rgb.astype(int)
        assert pixels.shape == (64, 48, 3)
        np.testing.assert_allclose(pixels[5, 40], (200, 30, 60), atol=8)  # stored at the upper left
    with pytest.raises(ImageError, match="as HEIC"):
        read_image(HEIC.read_bytes()[:300])


def test_heic_without_the_extra_names_the_pip_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "heif_module", lambda: None)
    formats._problem.cache_clear()
    with pytest.raises(ImageError, match=r"turned\.heic.*it is HEIC.*pip install .*heif"):
        read_image(HEIC)
    formats._problem.cache_clear()
