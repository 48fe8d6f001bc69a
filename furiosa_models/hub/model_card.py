"""Model cards: what a `README.md` on a hub says about a saved model."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from ..enums import Task
from ..model_info import ModelInfo

__all__ = ["CARD", "card_of", "model_card"]

CARD = "README.md"
"""Name of a model card."""

_PIPELINES = {
    Task.DETECTION: "object-detection",
    Task.CLASSIFICATION: "image-classification",
    Task.KEYPOINT: "keypoint-detection",
    Task.SEMSEG: "image-segmentation",
    Task.INSTANCE_SEGMENTATION: "image-segmentation",
    Task.MATTE: "image-segmentation",
}
_CLASSES = {
    Task.DETECTION: "Detector",
    Task.CLASSIFICATION: "Classifier",
    Task.KEYPOINT: "PoseEstimator",
    Task.SEMSEG: "Segmenter",
    Task.INSTANCE_SEGMENTATION: "InstanceSegmenter",
    Task.MATTE: "MatteEstimator",
}
_LICENSES = (
    *("agpl-3.0", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "cc-by-4.0", "cc-by-nc-4.0"),
    *("cc-by-sa-4.0", "cc0-1.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0", "mit", "mpl-2.0", "unlicense"),
)
_SHOWN = 200  # class names


def card_of(folder: Path, info: ModelInfo, ref: str) -> bytes:
    """Return the card in the folder of a saved model, or else a new one; see `model_card`."""
    own = folder / CARD
    return own.read_bytes() if own.is_file() else model_card(info, ref).encode()


def model_card(info: ModelInfo, ref: str) -> str:
    """Return the card of a model, as Markdown with a YAML header.

    Args:
        info: Description of the model.
        ref: Reference of the model, which `pull` takes.
    """
    family = str(getattr(info.model_family, "value", info.model_family))
    license_name = info.config.get("license")
    header = {
        **(_license(str(license_name)) if license_name else {}),
        "library_name": "furiosa_models",
        "pipeline_tag": _PIPELINES[info.task],
        "tags": ["vision", "onnx", info.task.value, family],
    }
    height, width = info.size
    facts = {
        "Task": info.task.value,
        "Family": family,
        "Input": f"{height} x {width} pixels (height x width)",
        "Classes": len(info.classes),
        "License": license_name,
        "Data": info.val_dataset,
    }
    lines = ["---", yaml.safe_dump(header, sort_keys=False).rstrip(), "---"]
    lines += ["", f"# {info.name}", ""]
    lines += [info.description, ""] if info.description else []
    lines += [f"- {name}: {_plain(value)}" for name, value in facts.items() if value is not None]
    lines += ["", "## Use", "", "```python", *_usage(info, ref), "```", ""]
    if info.val_metrics:
        lines += ["## Accuracy", "", "| metric | value |", "|---|---|"]
        lines += [f"| {_plain(k)} | {_figure(v)} |" for k, v in info.val_metrics.items()]
        lines += [""]
    shown = [f"`{_plain(name)}`" for name in info.classes[:_SHOWN]]
    more = len(info.classes) - len(shown)
    lines += ["## Labels", "", ", ".join(shown) + (f" and {more} more" if more else ""), ""]
    return "\n".join(lines)


def _usage(info: ModelInfo, ref: str) -> list[str]:
    kind = _CLASSES.get(info.task, "Detector")
    return [
        f"from furiosa_models import {kind}",
        "from furiosa_models.hub import pull",
        "",
        f"model = {kind}(pull({ref!r}))",
        'print(model.predict("photo.jpg"))',
    ]


def _license(name: str) -> dict[str, str]:
    """Return the fields of the header for a license; Hugging Face knows some by identifier."""
    identifier = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-")
    if identifier in _LICENSES:
        return {"license": identifier}
    return {"license": "other", "license_name": identifier}


def _figure(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _plain(value)


def _plain(value: object) -> str:
    """Return a value as text in one line that is not read as Markdown."""
    text = " ".join(str(value).split())
    return "".join(f"\\{each}" if each in "\\|<>[]" else each for each in text.replace("`", "'"))
