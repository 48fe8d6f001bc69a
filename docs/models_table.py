"""The table of models in the README and in the documentation, from the catalog and benchmarks.

`python docs/models_table.py` writes it into the README.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from records import speed_of

from furiosa_models import get_model, list_models
from furiosa_models.artifacts import Artifact
from furiosa_models.model import Model
from furiosa_models.networks.cost import Cost, cost_of

__all__ = ["cost_by_name", "models_table", "with_table"]

ROOT = Path(__file__).parents[1]
BEGIN, END = "<!-- models -->", "<!-- /models -->"
PACKAGES = ("pypi:", "npm:")
TASKS = {
    "image_classification": "classify",
    "object_detection": "detect",
    "matte_estimation": "matte",
    "pose_estimation": "poses",
    "semantic_segmentation": "segment",
}
HEADER = ["model", "task", "accuracy", "parameters", "GFLOPs", "CPU", "license", "at once"]


def models_table(link: Callable[[str], str] = lambda name: f"`{name}`") -> str:
    """Return the table of all models as Markdown.

    Args:
        link: Returns the text of a model's name.
    """
    rows = [f"| {' | '.join(HEADER)} |", "|---|---|---|---:|---:|---:|---|---|"]
    for name in list_models():
        model, cost = get_model(name), cost_by_name(name)
        cells = [
            link(name),
            TASKS[model.vision_task.name],
            accuracy(model),
            f"{cost.parameters / 1e6:.1f} M",
            "" if cost.gflops is None else f"{cost.gflops:.1f}",
            milliseconds(name),
            license_of(model),
            at_once(model),
        ]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


@functools.cache
def cost_by_name(name: str) -> Cost:
    """Return parameters and operations of a model: its network is built once for all pages."""
    return cost_of(get_model(name, weights="random").origin)


def with_table(text: str, table: str) -> str:
    """Return a page with the table between its markers."""
    pattern = re.compile(f"{re.escape(BEGIN)}.*?{re.escape(END)}", re.DOTALL)
    return pattern.sub(f"{BEGIN}\n{table}\n{END}", text)


def milliseconds(name: str) -> str:
    """Return the recorded time of a model's network, or an empty text."""
    record = speed_of(name)
    return "" if record is None else f"{record['run_p50_ms']:.0f} ms"


def best(model: Model[Any]) -> Artifact | None:
    """Return the set of weights that works at once, or else the preferred one."""
    sets = [*model.catalog().values()]
    return next((a for a in sets if is_packaged(a)), sets[0] if sets else None)


def is_packaged(artifact: Artifact) -> bool:
    """Return whether a package index has the weights."""
    return artifact.location.startswith(PACKAGES)


def accuracy(model: Model[Any]) -> str:
    """Return the accuracy on the full published set, or else on some photos of it."""
    figures = [a for artifact in model.catalog().values() for a in artifact.accuracy]
    full = next((a for a in figures if "photos" not in a.dataset), None)
    artifact = best(model)
    own = next(iter(artifact.accuracy), None) if artifact else None
    if own is not None and own is not full:
        return f"{own.metric} {own.value:.3f} on {own.dataset.split(' at ')[0]}"
    return "" if full is None else f"{full.metric} {full.value:.3f} on {full.dataset}"


def license_of(model: Model[Any]) -> str:
    """Return the license of the weights."""
    artifact = best(model)
    return artifact.license.origin if artifact else ""


def at_once(model: Model[Any]) -> str:
    """Return whether the weights come from a package index, and how to select them."""
    artifact = best(model)
    if artifact is None:
        return "bring weights"
    if not is_packaged(artifact):
        sources = artifact.files[0].sources
        places = {"hf:": "Hugging Face", "github:": "GitHub", "https://github.com/": "GitHub"}
        found = [name for start, name in places.items() if sources[0].startswith(start)]
        return f"no: from {found[0] if found else 'the bucket of FuriosaAI'}"
    is_default = next(iter(model.catalog().values())) is artifact
    return "yes" if is_default else f'`weights="{artifact.weights}"`'


if __name__ == "__main__":
    readme = ROOT / "README.md"
    readme.write_text(with_table(readme.read_text(), models_table()))
