"""Thresholds under one naming, whichever of 0.10's three is used."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["renamed"]

_ALIASES = {
    "confidence_threshold": "score_threshold",
    "conf_thres": "score_threshold",
    "iou_thres": "iou_threshold",
}


def renamed(
    given: Mapping[str, float | None], aliases: Mapping[str, float | None]
) -> dict[str, float | None]:
    """The thresholds under this package's names.

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
