"""Convert images of any Pillow mode to 8-bit RGB, as a person sees them.

An image is converted in bands of rows, to limit memory. Pixels equal those of Pillow's own
conversion, except where Pillow clips values instead of scaling them: these are scaled as in OpenCV.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from ..errors import ImageError

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["Background", "ValueRange", "parse_background", "scale_to_bytes", "to_rgb"]

Background: TypeAlias = "str | tuple[int, int, int]"
"""A color: its name or `#rrggbb`, or red, green and blue."""

ValueRange: TypeAlias = "tuple[float, float]"
"""The values of black and of white."""

_Pixels: TypeAlias = npt.NDArray[np.uint8]
_BAND = 1 << 20  # pixels converted at once
_WITH_ALPHA = frozenset({"RGBA", "LA", "PA", "RGBa", "La"})
_STRAIGHT_ALPHA_MODES = {"La": "LA", "RGBa": "RGBA", "P": "RGBA", "PA": "RGBA"}
_SIXTEEN_BITS = (0.0, 65535.0)
_SIXTEEN_BIT_FORMATS = frozenset({"PNG", "PPM", "JPEG2000"})


def parse_background(background: Background | None) -> tuple[int, int, int] | None:
    """Return a color as a tuple (red, green, blue), or None for None.

    Raises:
        ValueError: The color is unknown or malformed.
    """
    if background is None:
        return None
    if isinstance(background, str):
        from PIL import ImageColor

        try:
            red, green, blue = ImageColor.getrgb(background)[:3]
        except ValueError:
            pass
        else:
            return red, green, blue
    elif len(background) == 3 and all(0 <= part <= 255 for part in background):
        return background[0], background[1], background[2]
    msg = (
        f"background={background!r} is not a color: expected a name, '#rrggbb', or three numbers "
        "from 0 to 255"
    )
    raise ValueError(msg)


def to_rgb(
    image: PILImage,
    name: str,
    *,
    background: tuple[int, int, int] | None = None,
    limits: ValueRange | None = None,
) -> _Pixels:
    """Return an image as (h, w, 3) uint8 RGB.

    Args:
        image: The image; it is not modified.
        name: Name of the image, for error messages.
        background: Color to composite an image with an alpha channel or a transparent color onto.
            By default alpha is dropped.
        limits: Values of black and white, for pixels that are not bytes.

    Raises:
        ImageError: The value range is unknown, or Pillow cannot convert the mode.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _scale(image, name, limits)
    shown = background is not None and (
        image.mode in _WITH_ALPHA or image.info.get("transparency") is not None
    )
    if image.width * image.height <= _BAND and image.mode == "RGB" and not shown:
        whole: _Pixels = np.asarray(image)
        return whole
    out = np.empty((image.height, image.width, 3), np.uint8)
    rows = max(1, _BAND // max(1, image.width))
    for top in range(0, image.height, rows):
        box = (0, top, image.width, min(top + rows, image.height))
        band = image if rows >= image.height else image.crop(box)
        if shown and background is not None:
            band = _composite(band, background)
        out[top : box[3]] = np.asarray(_convert(band, name))
    return out


def _convert(image: PILImage, name: str) -> PILImage:
    # Convert via alpha: Pillow lacks some direct conversions, and warns of others.
    if image.mode in _STRAIGHT_ALPHA_MODES:
        image = image.convert(_STRAIGHT_ALPHA_MODES[image.mode])
    try:
        return image if image.mode == "RGB" else image.convert("RGB")
    except ValueError as error:
        msg = (
            f"image {name!r} has the colors {image.mode}, which are not converted: save it as RGB "
            "first"
        )
        raise ImageError(msg) from error


def _composite(image: PILImage, background: tuple[int, int, int]) -> PILImage:
    from PIL import Image

    straight = image.convert(_STRAIGHT_ALPHA_MODES.get(image.mode, "RGBA")).convert("RGBA")
    composite = Image.new("RGB", image.size, background)
    composite.paste(straight, mask=straight)
    return composite


def _scale(image: PILImage, name: str, limits: ValueRange | None) -> _Pixels:
    """Scale pixels that are not bytes to bytes."""
    if limits is None:
        if image.mode.startswith("I;"):
            limits = _SIXTEEN_BITS
        elif image.mode == "I" and image.format in _SIXTEEN_BIT_FORMATS:
            limits = _SIXTEEN_BITS  # older versions of Pillow use mode I
        else:
            kind = "float" if image.mode == "F" else "32-bit integer"
            msg = f"image {name!r} has {kind} pixels of unknown range: convert it to 8 bits first"
            raise ImageError(msg)
    values: npt.NDArray[Any] = np.asarray(image)
    if image.mode == "I" and limits[1] >= 1 << 31:
        values = values.view(np.uint32)
    out = np.empty((*values.shape, 3), np.uint8)
    rows = max(1, _BAND // max(1, image.width))
    for top in range(0, len(values), rows):
        band = values[top : top + rows]
        out[top : top + rows] = scale_to_bytes(band, *limits).astype(np.uint8)[:, :, None]
    return out


def scale_to_bytes(values: npt.NDArray[Any], black: float, white: float) -> npt.NDArray[Any]:
    """Return values scaled so that `black` is 0 and `white` is 255.

    Integers whose range is a power of two are shifted right, as in OpenCV; all others are rounded.
    """
    if values.dtype.kind == "u" and (black, white) == _SIXTEEN_BITS:
        return values >> 8
    if values.dtype.kind in "iu" and (white - black + 1) % 256 == 0:  # like OpenCV: the upper byte
        wide = values.astype(np.int64) - int(black)
        return np.clip(wide // (int(white - black + 1) // 256), 0, 255)
    scaled = (values.astype(np.float64) - black) * (255.0 / (white - black))
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255))
