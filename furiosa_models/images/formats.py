"""Image formats that can be read, recognized by their first bytes and by file extension.

A file is opened only by the decoder for its first bytes, never by any other decoder that Pillow
has: the one for EPS starts a program, and most others are for files that are not photos.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

from .._lazy import install_hint

__all__ = [
    "FORMATS",
    "HEIF_MODULES",
    "READABLE_FORMATS",
    "PhotoFormat",
    "describe_foreign",
    "recognize",
    "suffixes",
]

HEIF_MODULES = ("pi_heif", "pillow_heif")
"""Packages that read HEIC; the extra `heif` installs the first."""


class PhotoFormat(NamedTuple):
    """An image format that can be read.

    Attributes:
        name: Name for display.
        suffixes: File extensions.
        plugin: Name of Pillow's decoder; empty if Pillow has none.
        signatures: First bytes of its files, each with its offset.
        feature: Feature that Pillow must be built with.
        brands: Brands of formats based on the ISO base media file format.
    """

    name: str
    suffixes: frozenset[str]
    plugin: str
    signatures: tuple[tuple[int, bytes], ...] = ()
    feature: str = ""
    brands: frozenset[bytes] = frozenset()

    def matches(self, head: bytes) -> bool:
        """Return whether a file with this beginning has the format."""
        if self.brands and head[4:8] == b"ftyp":
            return not self.brands.isdisjoint(_brands(head))
        return any(head.startswith(signature, at) for at, signature in self.signatures)

    @property
    def problem(self) -> str:
        """Why the format cannot be read on this machine, and what to do; empty if it can."""
        return _problem(self)


def _format(
    name: str,
    endings: str,
    *signatures: bytes,
    plugin: str | None = None,
    feature: str = "",
    at: int = 0,
    brands: str = "",
) -> PhotoFormat:
    return PhotoFormat(
        name,
        frozenset(f".{ending}" for ending in endings.split()),
        name.upper() if plugin is None else plugin,
        tuple((at, signature) for signature in signatures),
        feature,
        frozenset(brand.encode() for brand in brands.split()),
    )


FORMATS = (
    _format("JPEG", "jpg jpeg jpe jfif mpo", b"\xff\xd8\xff"),
    _format("PNG", "png apng", b"\x89PNG\r\n\x1a\n"),
    _format("WebP", "webp", b"WEBP", at=8, feature="webp"),
    _format("TIFF", "tif tiff", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    _format("GIF", "gif", b"GIF87a", b"GIF89a"),
    _format("BMP", "bmp", b"BM"),
    _format("AVIF", "avif avifs", brands="avif avis", feature="avif"),
    _format(
        "HEIC",
        "heic heif hif",
        plugin="",
        brands="heic heix heim heis hevc hevx mif1 msf1",
    ),
    _format(
        "JPEG 2000",
        "jp2 j2k jpc jpf jpx j2c",
        b"\0\0\0\x0cjP  \r\n\x87\n",
        b"\xff\x4f\xff\x51",
        plugin="JPEG2000",
        feature="jpg_2000",
    ),
    _format("Netpbm", "ppm pgm pbm pnm", *(b"P%d" % kind for kind in range(1, 7)), plugin="PPM"),
    _format("SGI", "sgi rgb rgba bw", b"\x01\xda"),
    _format("PCX", "pcx", *(bytes((10, version)) for version in (0, 2, 3, 5))),
    _format("TGA", "tga icb vda vst"),  # has no signature
)
"""Supported formats. AVIF comes before HEIC, because its files may also list HEIC brands."""

READABLE_FORMATS = ", ".join(sorted(photo_format.name for photo_format in FORMATS))
"""Names of the supported formats, for messages."""

_TGA = FORMATS[-1]
_FOREIGN = (
    ("EPS or PostScript", b"%!PS", b"\xc5\xd0\xd3\xc6"),
    ("PDF", b"%PDF"),
    ("a Photoshop file", b"8BPS"),
    ("JPEG XL", b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n"),
    ("OpenEXR", b"v/1\x01"),
    ("Radiance HDR", b"#?RADIANCE", b"#?RGBE"),
    ("an icon (ICO)", b"\0\0\1\0"),
    ("an icon (ICNS)", b"icns"),
    ("QOI", b"qoif"),
    ("DDS", b"DDS "),
    ("FITS", b"SIMPLE  ="),
    ("a GIMP file", b"gimp xcf"),
    ("a raw photo of a camera", b"FUJIFILMCCD-RAW", b"IIU\0", b"IIRO", b"\0MRM", b"FOVb"),
    ("PFM", b"Pf\n", b"PF\n"),
    ("PAM", b"P7\n"),
    ("a ZIP archive", b"PK\x03\x04"),
    ("compressed by gzip", b"\x1f\x8b"),
    ("a video or audio file", b"RIFF", b"\x1aE\xdf\xa3", b"OggS", b"ID3"),
)
_MARKUP = (("SVG", b"<svg"), ("an HTML page", b"<html"), ("an HTML page", b"<!doctype html"))
_UNREAD = frozenset(
    f".{ending}"
    for endings in (
        ("3fr", "arw", "cr2", "cr3", "dng", "nef", "orf", "raf", "raw", "rw2", "srw"),
        ("ai", "bpg", "cur", "dds", "eps", "exr", "fits", "hdr", "icns", "ico", "jxl", "jxr"),
        ("pam", "pfm", "psd", "qoi", "svg", "wmf", "xcf"),
    )
    for ending in endings
)


def recognize(head: bytes) -> PhotoFormat | None:
    """Return the format of a file from its first bytes.

    Args:
        head: At least 64 bytes, or the whole file.

    Returns:
        The format. Unknown first bytes mean TGA, which has no signature. None for an empty file,
        and for a known format that is not supported.
    """
    for photo_format in FORMATS:
        if photo_format.matches(head):
            return photo_format
    return None if not head or describe_foreign(head) else _TGA


def describe_foreign(head: bytes) -> str:
    """Describe an unsupported file by its first bytes; return "" if its format is unknown."""
    if not head:
        return "an empty file"
    if head[4:8] == b"ftyp":
        return "a raw photo of a camera" if head[8:12] == b"crx " else "a video or audio file"
    for name, *signatures in _FOREIGN:
        if head.startswith(tuple(signatures)):
            return name
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    for name, signature in _MARKUP:
        if text.startswith(signature) or (text.startswith(b"<?xml") and signature in text):
            return name
    return ""


@cache
def suffixes(*, readable: bool) -> frozenset[str]:
    """Return file extensions of photos, in lower case.

    Args:
        readable: Whether to return the extensions that this machine can read, or the other known
            ones.
    """
    readable_suffixes = frozenset(
        s for photo_format in FORMATS if not photo_format.problem for s in photo_format.suffixes
    )
    if readable:
        return readable_suffixes
    return (
        frozenset().union(_UNREAD, *(photo_format.suffixes for photo_format in FORMATS))
        - readable_suffixes
    )


def heif_module() -> Any:
    """Return the installed package that reads HEIC, or None."""
    from importlib import import_module

    for name in HEIF_MODULES:
        try:
            return import_module(name)
        except ImportError:
            continue
    return None


@cache
def _problem(photo_format: PhotoFormat) -> str:
    if not photo_format.plugin:
        return "" if heif_module() else f"it needs another package: {install_hint('heif')}"
    if not photo_format.feature:
        return ""
    from PIL import features

    known = photo_format.feature in features.get_supported()
    return "" if known else "this Pillow cannot read it: pip install --upgrade pillow"


def _brands(head: bytes) -> set[bytes]:
    """Return the major and compatible brands of an ISO base media file."""
    end = min(int.from_bytes(head[:4], "big"), len(head))
    return {head[8:12], *(head[at : at + 4] for at in range(16, end - 3, 4))}
