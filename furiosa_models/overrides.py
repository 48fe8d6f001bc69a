"""Changes to a model that `ModelManager.get` is asked for: classes, size, thresholds, fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from .errors import ConfigurationError
from .labels import given_names
from .model import Model
from .saved import checked
from .spec import Head

__all__ = ["as_dict", "combined", "make"]

_ARGUMENTS = ("weights", "labels", "input", "head", "postprocessor_type")
_COMMON = ("classes", "im_size", "threshold", "num_classes")
_THRESHOLD = "score_threshold"


def as_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as a dictionary.

    Args:
        config: None, a dictionary, a dataclass, or another object with attributes.

    Raises:
        ConfigurationError: It is none of these.
    """
    if config is None:
        return {}
    if isinstance(config, Mapping):
        return dict(config)
    if is_dataclass(config) and not isinstance(config, type):
        return {each.name: getattr(config, each.name) for each in fields(config)}
    if hasattr(config, "__dict__") and not isinstance(config, type):
        return dict(vars(config))
    msg = f"config must be a dictionary or an object with attributes, got {config!r}"
    raise ConfigurationError(msg)


def combined(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Return overrides, of which the second take precedence, also under another name."""
    names = {"threshold", _THRESHOLD}
    hidden = names if names & second.keys() else set()
    return {**{name: v for name, v in first.items() if name not in hidden}, **second}


def make(
    create: Callable[..., Model[Any]], arguments: Mapping[str, Any], overrides: Mapping[str, Any]
) -> Model[Any]:
    """Return a model with overrides.

    Args:
        create: The model's class, or a function with the same arguments.
        arguments: Its arguments.
        overrides: Arguments, fields of the head, `classes` (the argument `labels`), `im_size`,
            `threshold` (the head's `score_threshold`), and `num_classes`, which is only checked.
            Those that are None are left out.

    Raises:
        ConfigurationError: There is no such override, or a value contradicts another one.
        ShapeError: The network does not take images of that size.
    """
    overrides = {str(name): value for name, value in overrides.items() if value is not None}
    known = {**arguments, **_only(overrides, _ARGUMENTS)}
    if "classes" in overrides:
        known["labels"] = given_names(overrides["classes"])
    model = create(**known)
    changes = _changes(model.head, overrides)
    if changes:
        _check(replace(model.head, **changes))  # type: ignore[type-var]
        model = create(**{**known, "head": _merged(known.get("head"), changes)})
    count = overrides.get("num_classes", len(model.labels))
    if count != len(model.labels):
        msg = (
            f"num_classes={count}, but the model has {len(model.labels)} classes: train it on data "
            "with other classes, which replaces its last layer"
        )
        raise ConfigurationError(msg)
    size = overrides.get("im_size")
    return model if size is None else model.resized(size)


def _changes(head: Head, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the head that are overridden.

    Raises:
        ConfigurationError: An override is unknown.
    """
    names = [each.name for each in fields(head)]  # type: ignore[arg-type]
    has_threshold = _THRESHOLD in names
    common = [name for name in _COMMON if name != "threshold" or has_threshold]
    if unknown := [name for name in overrides if name not in (*_ARGUMENTS, *common, *names)]:
        valid = ", ".join([*common, *_ARGUMENTS, *names])
        msg = f"unknown {', '.join(unknown)}: this model takes {valid}"
        raise ConfigurationError(msg)
    changes = _only(overrides, names)
    if "threshold" in overrides and _THRESHOLD in changes:
        msg = f"got both threshold and {_THRESHOLD}, which is its name here: pass one of them"
        raise ConfigurationError(msg)
    if "threshold" in overrides:
        changes[_THRESHOLD] = overrides["threshold"]
    return changes


def _check(head: Head) -> None:
    """Check the fields of a head.

    Raises:
        ConfigurationError: A field has a wrong type, or is out of range.
    """
    try:
        checked(head)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(str(error)) from error


def _only(values: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: values[name] for name in names if name in values}


def _merged(head: Any, changes: dict[str, Any]) -> Any:
    """Return the constructor's argument `head` with more fields."""
    if isinstance(head, Head):
        return replace(head, **changes)  # type: ignore[type-var]
    return {**(head or {}), **changes}
