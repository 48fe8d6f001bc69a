"""Write the zoo as a registry that anyone can host: artifacts.yaml, models/ and docs/.

    python artifacts/publish.py DIR                         # every model, with its default weights
    python artifacts/publish.py DIR ResNet50 SSDMobileNet
    python artifacts/publish.py DIR --weights random        # seeded weights, for tests

`artifacts.yaml` has only the fields of furiosa-artifacts: `name`, `family`, `version`, `location`,
`format`, `doc` and `metadata`. A model has an entry for each of its names, including those of
furiosa-artifacts (`MLCommonsResNet50`). The entries share one file, whose metadata names the model,
so that `registry.load(...).predict(photo)` works. `doc` states the origin and the license of the
weights: read it before you host them.

Models whose weights are unreachable are skipped; the exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
import yaml

from furiosa_models import get_model, list_models
from furiosa_models.artifacts import Artifact, ModelEntry, zoo
from furiosa_models.catalog import model_class
from furiosa_models.errors import ArtifactError
from furiosa_models.registry.model import DESCRIPTION_KEY

RANDOM = "random"


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish the models of the command line, and return the exit code."""
    options = parse_arguments(arguments)
    names = [model_class(name).__name__ for name in options.models] or list_models()
    skipped = publish(options.folder, names, options.weights)
    for name, reason in skipped.items():
        print(f"skipped {name}: {reason}", file=sys.stderr)
    print(f"{options.folder}: {len(names) - len(skipped)} models")
    return 1 if skipped else 0


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", metavar="DIR", type=Path, help="folder to create")
    parser.add_argument(
        "models", metavar="MODEL", nargs="*", help="models to publish (default: all)"
    )
    parser.add_argument(
        "--weights", help="set of weights, or random (default: the model's default set)"
    )
    return parser.parse_args(arguments)


def publish(folder: Path, names: Sequence[str], weights: str | None = None) -> dict[str, str]:
    """Write a registry of some models.

    Args:
        folder: Folder of the registry, which must be new or empty.
        names: Class names of the models.
        weights: Set of weights, as for a model's constructor.

    Returns:
        The skipped models with the reasons.

    Raises:
        FileExistsError: The folder is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        msg = f"{folder} is not empty: choose a new or empty folder"
        raise FileExistsError(msg)
    for part in ("models", "docs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    items: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for name in names:
        model = get_model(name, weights=weights)
        try:
            origin = model.origin
        except ArtifactError as error:
            skipped[name] = str(error)
            continue
        artifact = zoo()[name].sets.get(model.weights)
        (folder / "models" / f"{name}.onnx").write_bytes(described(origin, name, artifact))
        (folder / "docs" / f"{name}.md").write_text(document(zoo()[name], artifact))
        items += entries(zoo()[name], artifact)
    text = yaml.safe_dump({"artifacts": items}, sort_keys=False, allow_unicode=True, width=100)
    (folder / "artifacts.yaml").write_text(text)
    return skipped


def described(origin: bytes, name: str, artifact: Artifact | None) -> bytes:
    """Return a network with metadata: its model, and the preprocessing that its weights need.

    Args:
        origin: ONNX network.
        name: Class name of the model.
        artifact: Set of weights, or None for random ones.
    """
    proto = onnx.load_from_string(origin)
    metadata: dict[str, Any] = {"model": name}
    if artifact is not None:
        metadata |= {"labels": artifact.labels}
        parts = {"input": artifact.input, "head": artifact.head}
        metadata |= {part: dict(fields) for part, fields in parts.items() if fields}
    entry = proto.metadata_props.add()
    entry.key, entry.value = DESCRIPTION_KEY, json.dumps(metadata)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def entries(model: ModelEntry, artifact: Artifact | None) -> Iterator[dict[str, Any]]:
    """Return the entries of a model, one for each of its names.

    Args:
        model: Model of the zoo.
        artifact: Set of weights, or None for random ones.
    """
    metadata = model.metadata.model_dump(mode="json", exclude_none=True)
    if artifact is None:
        metadata["description"] += ", with seeded random weights: for tests only"
    elif artifact.description is not None:
        metadata["description"] = artifact.description
    for name in dict.fromkeys([model.class_name, model.name, *model.aliases]):
        yield {
            "name": name,
            "family": model.family,
            "version": artifact.version if artifact else model.version,
            "location": f"models/{model.class_name}.onnx",
            "format": "onnx",
            "doc": f"docs/{model.class_name}.md",
            # Copies, because YAML would write aliases of a shared dictionary.
            "metadata": {**metadata},
        }


def document(model: ModelEntry, artifact: Artifact | None) -> str:
    """Return a document about a model and the origin of its weights."""
    lines = [f"# {model.class_name}", "", model.summary, ""]
    if artifact is None:
        return "\n".join([*lines, "Its weights are seeded random ones: for tests only.", ""])
    found = artifact.license
    terms = found.origin + (f" (the package says {found.carrier})" if found.carrier else "")
    lines += [
        f"- weights: `{artifact.weights}`, from <{artifact.location}>",
        f"- license of the weights: {terms}" + (f"; {found.note}" if found.note else ""),
        f"- labels: `{artifact.labels}`",
    ]
    for figure in artifact.accuracy:
        where = f"{figure.dataset}, {figure.measured_by}"
        lines.append(f"- {figure.metric}: {figure.value:.4f} ({where})")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
