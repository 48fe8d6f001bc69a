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
"""Folders that are this registry: the package's, and the one that holds its descriptor."""


def entries() -> list[RegistryArtifact]:
    """Return an entry for each version of each model."""
    return [_entry(model, version) for model in zoo().values() for version in _versions(model)]


def load(name: str, version: str | None = None, *args: Any, **kwargs: Any) -> Any:
    """Return a model of the zoo.

    Args:
        name: Name of the model, as for `furiosa_models.get_model`.
        version: A version of it, which chooses its set of weights.
        args: Arguments of its constructor.
        kwargs: Keyword arguments of its constructor.

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
    """Return what a model of the zoo is, in words; raises as `load` does."""
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
    """Its own version, and others that its sets of weights make."""
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
