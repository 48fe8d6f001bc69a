"""Mattes: how much of each pixel belongs to the foreground."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from .._lazy import require
from ..data.classes import match_classes
from ..data.label_maps import covered, list_mattes, read_matte
from ..data.recognize import read_dataset
from ..enums import ModelTaskType, Task
from ..errors import ImageError
from ..images.color_conversion import Background, parse_background
from ..images.icc_profile import color_profile
from ..images.read import DecodedImage
from ..ops.checks import check_unit
from ..ops.masks import box_of_mask, outlines
from ..ops.rle import compress_rle
from .base import Photo, Result, Truth, VisionTask, encoded, write_picture

if TYPE_CHECKING:
    from PIL.Image import Image as PILImage

    from ..data.records import LabeledPhotos

__all__ = ["FOREGROUND", "MATTE", "Matte", "MatteTask"]

FOREGROUND = "foreground"
"""Label of mattes of whatever is in the foreground, rather than of one class such as people."""

_THRESHOLD = 0.5
_WITH_ALPHA = frozenset({".png", ".tif", ".tiff", ".webp"})
_CHECKS = (255, 204)  # gray levels behind transparent parts


class Matte(Result):
    """How much of each pixel of one photo belongs to the foreground.

    Attributes:
        alpha: (h, w) uint8, of the photo's size: 0 for the background, 255 for the foreground, and
            values between them at edges and for hair.
        label: What the foreground is, such as `person`.
        stretched_from: Lowest and highest opacity that the network gave, if the head has stretched
            those between them to the whole range; else None.
        image: The photo, if known (`predict` sets it).
        image_size: Its width and height in pixels, if known.
        speed: Time of each stage of the prediction, if known.
    """

    __slots__ = ("alpha", "image", "image_size", "label", "speed", "stretched_from")

    picture_suffix: ClassVar[str] = ".png"
    is_table: ClassVar[bool] = False

    def __init__(
        self,
        alpha: npt.NDArray[np.uint8],
        label: str = FOREGROUND,
        image: Photo | None = None,
        *,
        stretched_from: tuple[float, float] | None = None,
    ) -> None:
        self.alpha = alpha
        self.label = label
        self.stretched_from = stretched_from
        self.image = image
        self.image_size = None
        self.speed = None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Matte):
            return NotImplemented
        return self.label == other.label and np.array_equal(self.alpha, other.alpha)

    __hash__ = None  # type: ignore[assignment]  # holds an array

    def __repr__(self) -> str:
        return f"<matte: {self.label} {self.fraction:.0%}>"

    @property
    def fraction(self) -> float:
        """Share of the photo that belongs to the foreground, between 0 and 1."""
        return float(self.alpha.mean(dtype=np.float64)) / 255 if self.alpha.size else 0.0

    def mask(self, threshold: float = _THRESHOLD) -> npt.NDArray[np.bool_]:
        """Return which pixels belong to the foreground, (h, w) bool.

        Args:
            threshold: Least share of a pixel that belongs to it, between 0 and 1.

        Raises:
            ValueError: The threshold is not between 0 and 1.
        """
        check_unit("threshold", threshold)
        mask: npt.NDArray[np.bool_] = self.alpha >= threshold * 255
        return mask

    def polygons(self, threshold: float = _THRESHOLD) -> list[npt.NDArray[np.float32]]:
        """Return the outlines of `mask`, (m, 2) float32 each; see `ops.masks.outlines`."""
        return outlines(self.mask(threshold))

    def rle(self, threshold: float = _THRESHOLD) -> dict[str, Any]:
        """Return `mask` in COCO's compressed run-length encoding, `{"size", "counts"}`."""
        return compress_rle(self.mask(threshold))

    def cutout(self, image: Photo | None = None) -> PILImage:
        """Return the photo with a transparent background, as an RGBA picture.

        Args:
            image: As for `Result.plot`.

        Raises:
            FuriosaModelsError: There is no photo.
            ImageError: The photo has another size than the matte.
        """
        from PIL import Image

        photo = self._pixels(image)
        return Image.fromarray(np.dstack((photo, self.alpha)))

    def composite(self, background: Background | Photo, image: Photo | None = None) -> PILImage:
        """Return the foreground on another background, as an RGB picture.

        Args:
            background: A color (its name, `#rrggbb`, or red, green and blue), or a picture: a file
                as a `Path`, a Pillow image or an RGB array, which is scaled to cover the photo.
            image: The photo, as for `Result.plot`.

        Raises:
            FuriosaModelsError: There is no photo.
            ImageError: The photo has another size than the matte, or the background cannot be read.
            ValueError: The color is unknown.
        """
        from PIL import Image, ImageOps

        photo = self._pixels(image)
        height, width = self.alpha.shape
        if isinstance(background, (str, tuple)) and not isinstance(background, DecodedImage):
            behind: Any = np.array(parse_background(background), np.float32)
        else:
            scene = Image.fromarray(self._photo(background))
            behind = np.asarray(ImageOps.fit(scene, (width, height)))
        return Image.fromarray(self._blended(photo, behind))

    def plot(self, image: Photo | None = None) -> PILImage:
        """Return the foreground on a checkerboard; see `Result.plot`."""
        from PIL import Image

        photo = self._pixels(image)
        side = max(8, min(photo.shape[:2]) // 32)
        y, x = (np.arange(length) // side for length in photo.shape[:2])
        board = np.where((y[:, None] + x) % 2, _CHECKS[0], _CHECKS[1])[:, :, None]
        return Image.fromarray(self._blended(photo, board))

    def picture(self, extension: str = ".png") -> bytes:
        """Return the cutout in encoded form; `plot` in a format without transparency.

        The picture is upright and keeps the photo's color profile, but no other metadata.

        Args:
            extension: File extension of the format.

        Raises:
            FuriosaModelsError: There is no photo.
            ValueError: The file extension is not a picture format.
        """
        made = self.cutout() if extension.lower() in _WITH_ALPHA else self.plot()
        return encoded(made, extension, color_profile(self.image))

    def mask_picture(self) -> PILImage:
        """Return the matte as a gray picture."""
        from PIL import Image

        return Image.fromarray(self.alpha)

    def save_mask(self, path: str | Path) -> Path:
        """Write `mask_picture` as PNG; return the path.

        Raises:
            FuriosaModelsError: The file cannot be written.
            ValueError: The name does not end in `.png`.
        """
        return write_picture(self.mask_picture(), path)

    def describe(self) -> Iterator[str]:
        """Yield a line of text."""
        box = ", ".join(map(str, box_of_mask(self.mask())))
        yield f"{self.fraction:6.1%}  {self.label}  [{box}]"

    def to_dict(self) -> list[dict[str, Any]]:
        """Return `[{"label", "index", "area", "fraction", "box", "mask"}]`; empty if all is behind.

        Area, box and mask are those of `mask()`; the mask is in COCO's compressed run-length
        encoding.
        """
        mask = self.mask()
        area = int(np.count_nonzero(mask))
        row = {
            "label": self.label,
            "index": 0,
            "area": area,
            "fraction": self.fraction,
            "box": list(box_of_mask(mask)),
            "mask": compress_rle(mask),
        }
        return [row] if area else []

    def to_coco(self, image_id: int, category_id: int = 1) -> list[dict[str, Any]]:
        """Return entries of a COCO results file for segmentation, without scores.

        Args:
            image_id: COCO's id of the photo.
            category_id: COCO's category id of the foreground; 1 is a person.
        """
        entries = []
        for row in self.to_dict():
            left, top, right, bottom = row["box"]
            entries.append(
                {
                    "image_id": image_id,
                    "category_id": category_id,
                    "segmentation": row["mask"],
                    "area": row["area"],
                    "bbox": [left, top, right - left, bottom - top],
                }
            )
        return entries

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with left, top, right, bottom, area, fraction, label.

        Raises:
            ExtraRequired: pandas is not installed.
        """
        names = ["left", "top", "right", "bottom", "area", "fraction", "label"]
        rows = [(*r["box"], r["area"], r["fraction"], r["label"]) for r in self.to_dict()]
        pandas = require("pandas", "to_pandas() needs pandas")
        return pandas.DataFrame(rows, columns=names)

    def to_supervision(self) -> Any:
        """Return a `supervision.Detections` with the mask, if there is a foreground.

        Raises:
            ExtraRequired: supervision is not installed.
        """
        mask = self.mask()
        masks = mask[None] if mask.any() else np.zeros((0, *mask.shape), np.bool_)
        boxes = [box_of_mask(each) for each in masks]
        return require("supervision", "to_supervision() needs supervision").Detections(
            xyxy=np.array(boxes, np.float32).reshape(-1, 4),
            mask=masks,
            class_id=np.zeros(len(masks), np.int64),
            data={"class_name": np.array([self.label] * len(masks), dtype=str)},
        )

    def _pixels(self, image: Photo | None) -> npt.NDArray[np.uint8]:
        """Return the photo, which must have the size of the matte."""
        photo = self._photo(image)
        if photo.shape[:2] != self.alpha.shape:
            msg = (
                f"expected a photo of (height, width) {self.alpha.shape}, as the matte, got "
                f"{photo.shape[:2]}"
            )
            raise ImageError(msg)
        return photo

    def _blended(
        self, photo: npt.NDArray[np.uint8], behind: npt.NDArray[Any]
    ) -> npt.NDArray[np.uint8]:
        """Return the foreground on gray, a color or a picture."""
        share = self.alpha[:, :, None].astype(np.float32) / 255
        mixed: npt.NDArray[np.uint8] = (
            (behind + (photo - behind.astype(np.float32)) * share).round().astype(np.uint8)
        )
        return mixed


class MatteTask(VisionTask[Matte]):
    """Estimation of mattes; measured by the mean absolute error, and by the IoU of masks."""

    name = "matte_estimation"
    task = Task.MATTE
    task_type = ModelTaskType.MATTE_ESTIMATION
    has_masks = True

    def read_truth(self, labels: Path, images: Path) -> Truth:
        """Read mattes, a folder of gray PNG files with the names of the photos; or outlines.

        Outlines of objects may be in any layout of `data.read_dataset` that has them.
        """
        if labels.is_dir() and (pairs := list_mattes(labels, images)):
            return Truth([photo for photo, _ in pairs], [matte for _, matte in pairs])
        return Truth.of(read_dataset(labels, images=images, task=self.task))

    def check_classes(self, labels: LabeledPhotos, names: Sequence[str]) -> None:
        """Check that the labels have the class of the foreground, unless it is any class."""
        if FOREGROUND not in names:
            match_classes(labels, names)

    def measure(self, truth: Truth, results: Iterable[Matte]) -> dict[str, float]:
        """Return IoU and mean absolute error, both the mean over the photos.

        The IoU is that of the masks at a threshold of one half; it is 1 for a photo without a
        foreground where none was found. If labels are outlines, the foreground is the objects of
        the matte's class, or of any class; groups of objects are ignored.
        """
        errors, overlaps = [], []
        for label, result in zip(truth.labels, results, strict=True):
            if isinstance(label, Path):
                expected = read_matte(label, result.alpha.shape)
                counts = np.ones(expected.shape, np.bool_)
            else:
                wanted = foreground_classes(truth.labels, result.label)
                found, crowd = covered(truth.labels, label, wanted, result.alpha.shape)
                expected, counts = found.astype(np.uint8) * 255, ~crowd
            difference = expected[counts].astype(np.float32) - result.alpha[counts]
            errors.append(np.abs(difference).mean() / 255 if difference.size else 0.0)
            theirs, ours = expected[counts] >= 127.5, result.mask()[counts]
            union = int((theirs | ours).sum())
            overlaps.append(int((theirs & ours).sum()) / union if union else 1.0)
        if not errors:
            return {}
        return {"IoU": float(np.mean(overlaps)), "mean absolute error": float(np.mean(errors))}


def foreground_classes(labels: LabeledPhotos, label: str) -> frozenset[int] | None:
    """Return the classes of a data set that are the foreground of a matte; None for all.

    Args:
        labels: The data set.
        label: Class of the matte.

    Raises:
        DatasetError: The data set does not have that class.
    """
    return None if label == FOREGROUND else frozenset(match_classes(labels, [label]).values())


MATTE = MatteTask()
