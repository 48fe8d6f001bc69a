"""What all results share: they can be drawn, saved and exported."""

from __future__ import annotations

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from ...errors import ExtraRequired, FuriosaModelsError
from ...images.read import DecodedImage, read_image

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

__all__ = ["ArrayResult", "Photo", "Result", "import_extra", "to_xywh"]

Photo: TypeAlias = "DecodedImage | npt.NDArray[np.uint8] | str | Path"
"""A photo to draw on: decoded, (h, w, 3) uint8 RGB, or a file."""

Item = TypeVar("Item")


class Result(ABC):
    """What was found in one photo.

    Attributes:
        image: The photo, where it is known (`predict` sets it).
    """

    __slots__ = ()

    image: Photo | None

    @abstractmethod
    def plot(self, image: Photo | None = None) -> PILImage:
        """The photo with the result drawn on it.

        Args:
            image: The photo: a file, decoded, or (h, w, 3) uint8 RGB; the one that `predict`
                saw where it is left out.

        Raises:
            FuriosaModelsError: There is no photo to draw on.
        """

    @abstractmethod
    def to_dict(self) -> list[dict[str, Any]]:
        """Plain Python, one dictionary for each thing found."""

    def to_json(self, *, indent: int | None = None) -> str:
        """`to_dict` as JSON."""
        return json.dumps(self.to_dict(), indent=indent)

    def save(self, path: str | Path) -> Path:
        """Write the annotated photo, or JSON where the name ends in `.json`; returns the path."""
        path = Path(path)
        if path.suffix.lower() == ".json":
            path.write_text(self.to_json(indent=2) + "\n", encoding="utf-8")
        else:
            self.plot().save(path)
        return path

    def _photo(self, image: Photo | None) -> npt.NDArray[np.uint8]:
        """Pixels to draw on."""
        image = self.image if image is None else image
        if image is None:
            msg = (
                "there is no photo to draw on: pass plot(image=...), or get the result by predict()"
            )
            raise FuriosaModelsError(msg)
        if isinstance(image, np.ndarray):
            return image
        return _whole(read_image(image) if isinstance(image, (str, Path)) else image)


def _whole(image: DecodedImage) -> npt.NDArray[np.uint8]:
    """Pixels in the photo's own size, in which results are."""
    if image.drafted_from is None:
        return image.rgb
    from PIL import Image

    height, width = image.drafted_from
    return np.asarray(Image.fromarray(image.rgb).resize((width, height)))


class ArrayResult(Result, Sequence[Item]):
    """A sequence of things found, best first, kept as arrays.

    Attributes:
        boxes: (n, 4) float32; left, top, right, bottom in pixels of the photo.
        scores: (n,) float32, between 0 and 1, descending.
    """

    __slots__ = ()

    boxes: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.scores)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence) or isinstance(other, str):
            return NotImplemented
        return list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # holds arrays

    def _repr_png_(self) -> bytes | None:
        from ..draw import to_png

        return None if self.image is None else to_png(self.plot())


def to_xywh(boxes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Left, top, width and height of boxes (n, 4)."""
    converted: npt.NDArray[np.float32] = np.concatenate(
        [boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1
    )
    return converted


def import_extra(package: str) -> Any:
    """A package that is not among the dependencies.

    Raises:
        ExtraRequired: It is not installed; the message holds the pip command.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        msg = f"this needs {package}, which is not installed: pip install {package}"
        raise ExtraRequired(msg) from error
