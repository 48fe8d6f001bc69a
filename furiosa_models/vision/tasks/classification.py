"""Image classification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy.typing as npt

from ...conventions import specialised
from ...enums import ModelTaskType
from ...errors import ShapeError
from ...heads import ClassificationHead
from ...images.preprocess import ImageContext
from ...images.read import Color
from ...images.sources import is_single
from ...tasks import Classification
from .base import ImageModel, Outputs, Photos, as_list

__all__ = ["ImageClassificationModel"]


class ImageClassificationModel(ImageModel[Classification]):
    """A model that says what a photo shows."""

    task_type = ModelTaskType.IMAGE_CLASSIFICATION

    head: ClassVar[ClassificationHead]

    def preprocess(
        self,
        image: Photos,
        with_scaling: bool = False,
        *,
        color: Color = "bgr",
        draft: bool = False,
    ) -> tuple[npt.NDArray[Any], list[ImageContext] | None]:
        """Photos as the network's input.

        Args:
            image: A photo, or a sequence, folder or glob of them.
            with_scaling: Give the scaled float32 that `origin` takes, instead of uint8.
            color: Channel order of numpy arrays.
            draft: Decode large JPEGs at a fraction of their size; see `predict`.

        Returns:
            A contiguous (n, 3, h, w) tensor, uint8 or float32, and the contexts of the photos;
            None for a single photo, as in 0.10.

        Raises:
            ImageError: A photo cannot be read.
        """
        tensor, contexts = self._preprocess(image, color, with_scaling=with_scaling, draft=draft)
        return tensor, None if is_single(image) else contexts

    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]] | None = None,
        *,
        top_k: int = 5,
    ) -> Any:
        """Classes of each photo.

        Args:
            model_outputs: What the runner gave.
            contexts: What `preprocess` gave.
            top_k: Number of classes to keep.

        Returns:
            A list of `Classification`; without contexts (a single photo), one `Classification`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: `top_k` is less than 1.
        """
        results = self._decode(as_list(model_outputs), [], {"top_k": top_k})
        if contexts is None and len(results) == 1:
            return results[0]
        if contexts is not None and len(contexts) != len(results):
            msg = f"expected {len(results)} contexts, one for each photo, got {len(contexts)}"
            raise ShapeError(msg)
        return results

    def _decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        options: Mapping[str, Any],
    ) -> list[Classification]:
        return specialised(self.head, self._conventions.head).decode(
            outputs, contexts, self._names(), self.platform, top_k=options["top_k"]
        )
