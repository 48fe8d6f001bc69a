"""What detection and pose estimation share: thresholds, and a place in the photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from ...conventions import specialised
from ...images.preprocess import ImageContext, as_context
from ...images.read import Color
from .base import ImageModel, Outputs, Photos, Result, as_list

__all__ = ["FindingModel", "renamed"]

_ALIASES = {
    "confidence_threshold": "score_threshold",
    "conf_thres": "score_threshold",
    "iou_thres": "iou_threshold",
}


class FindingModel(ImageModel[Result]):
    """A model that finds things in a photo."""

    def preprocess(
        self,
        images: Photos,
        with_scaling: bool = False,
        *,
        color: Color = "bgr",
        draft: bool = False,
    ) -> tuple[npt.NDArray[Any], list[ImageContext]]:
        """Photos as the network's input.

        Args:
            images: A photo, or a sequence, folder or glob of them.
            with_scaling: Give the scaled float32 that `origin` takes, instead of uint8.
            color: Channel order of numpy arrays.
            draft: Decode large JPEGs at a fraction of their size; see `predict`.

        Returns:
            A contiguous (n, 3, h, w) tensor, uint8 or float32, and what `postprocess` has to know
            of each photo.

        Raises:
            ImageError: A photo cannot be read.
        """
        return self._preprocess(images, color, with_scaling=with_scaling, draft=draft)

    def postprocess(
        self,
        model_outputs: Outputs,
        contexts: Sequence[ImageContext | Mapping[str, Any]],
        score_threshold: float | None = None,
        iou_threshold: float | None = None,
        **aliases: Any,
    ) -> list[Result]:
        """What was found in each photo.

        Args:
            model_outputs: What the runner gave.
            contexts: What `preprocess` gave.
            score_threshold: Least score, between 0 and 1; the model's by default.
            iou_threshold: Largest overlap of two things of one class.
            aliases: The names of 0.10: `confidence_threshold`, `conf_thres`, `iou_thres`.

        Raises:
            ShapeError: Outputs or contexts of the wrong count, shape or dtype.
            ValueError: A threshold is not between 0 and 1.
            TypeError: An unknown argument, or one given under two names.
        """
        given = {"score_threshold": score_threshold, "iou_threshold": iou_threshold}
        options = renamed(given, aliases)
        return self._decode(as_list(model_outputs), [as_context(c) for c in contexts], options)

    def _decode(
        self,
        outputs: Sequence[npt.NDArray[Any]],
        contexts: Sequence[ImageContext],
        options: Mapping[str, Any],
    ) -> list[Result]:
        thresholds = {name: options[name] for name in ("score_threshold", "iou_threshold")}
        found: list[Result] = self._own_head().decode(
            outputs, contexts, self._names(), self.platform, **thresholds
        )
        return found

    def _own_head(self) -> Any:
        """The head, as the weights in use want it."""
        return specialised(self.head, self._conventions.head)  # type: ignore[type-var]


def renamed(given: Mapping[str, Any], aliases: Mapping[str, Any]) -> dict[str, Any]:
    """The thresholds under this package's names, whichever of 0.10's three is used.

    Raises:
        TypeError: An unknown argument, or one given under two names.
    """
    options = dict(given)
    for alias, value in aliases.items():
        name = _ALIASES.get(alias)
        if name is None or options[name] is not None:
            what = f"unknown argument {alias!r}" if name is None else f"{name} given twice"
            msg = f"{what}; expected score_threshold and iou_threshold"
            raise TypeError(msg)
        options[name] = value
    return options
