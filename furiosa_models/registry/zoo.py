"""The zoo as a registry: its entries and models in the form of furiosa-artifacts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..artifacts.descriptor import ZOO, ModelEntry, zoo
from ..catalog import model_class
from ..errors import ModelNotFound
from .descriptor import RegistryArtifact

__all__ = ["FOLDERS", "entries", "help", "load"]

FOLDERS = frozenset({Path(__file__).parents[1].resolve(), ZOO.parent.resolve()})
"""Folders of this registry: of the package, and of its descriptor."""


def entries() -> list[RegistryArtifact]:
    """Return an entry for each version of each model."""
    return [_entry(model, version) for model in zoo().values() for version in _versions(model)]


def load(name: str, version: str | None = None, *args: Any, **kwargs: Any) -> Any:
    """Load a model of the zoo.

    Args:
        name: Name of the model, as for `furiosa_models.get_model`.
        version: Version of the model; it selects a set of weights.
        args: Arguments of the model's constructor.
        kwargs: Keyword arguments of the model's constructor.

    Raises:
        ModelNotFound: The zoo has no such model or version.
    """
    found = model_class(name)
    model = _checked(found.__name__, version)
    if version is not None:
        sets = [key for key, artifact in model.sets.items() if artifact.version == version]
        kwargs = {**({"weights": sets[0]} if sets else {}), **kwargs}
    return found(*args, **kwargs)


def help(name: str, version: str | None = None) -> str:
    """Return a short description of a model of the zoo.

    Raises:
        ModelNotFound: The zoo has no such model or version.
    """
    model = _checked(model_class(name).__name__, version)
    publication = model.metadata.publication
    where = publication and (publication.url or publication.title)
    return f"{model.summary}\n{where}" if where else model.summary


def _checked(name: str, version: str | None) -> ModelEntry:
    model = zoo()[name]
    if version is not None and version not in _versions(model):
        known = ", ".join(f"{name} {each}" for each in _versions(model))
        msg = f"the zoo has no model {name} {version}; it has {known}"
        raise ModelNotFound(msg)
    return model


def _versions(model: ModelEntry) -> list[str]:
    """Return the model's own version and those of its sets of weights."""
    return [*dict.fromkeys([model.version, *(each.version for each in model.sets.values())])]


def _entry(model: ModelEntry, version: str) -> RegistryArtifact:
    return RegistryArtifact(
        name=model.class_name,
        family=model.family,
        version=version,
        location=f"zoo/{model.module}.py",
        format="code",
        metadata=model.metadata,
    )
