"""`ModelManager.get`: one call that makes a model from a name, hub, registry, folder or object."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .catalog import model_class, open_model
from .described import REMOTE, downloaded, model_of
from .errors import ConfigurationError, ModelNotFound, WeightsError
from .export.targets import default_folder
from .model import Model
from .model_info import ModelInfo
from .model_registry import ModelRegistry, alternatives
from .overrides import as_dict, combined, make
from .saved import INFO

__all__ = ["ModelManager"]

_DESCRIPTOR = "artifacts.yaml"
_SUFFIXES = (".onnx", ".tflite", ".pt")
_SHOWN = 9


class ModelManager:
    """Makes models from whatever describes them."""

    @classmethod
    def get(
        cls,
        name: Any,
        model_info: ModelInfo | None = None,
        config: Any = None,
        hub: Any = None,
        cache: bool = True,
        **overrides: Any,
    ) -> Model[Any]:
        """Return a model.

        Args:
            name: What to make it from, in this order:

                - with `model_info`: any name, as the description says it all;
                - `hub://REF`, `hf://OWNER/NAME`, `s3://PLACE/NAME`: a model on a hub;
                - the URL of a file of a model;
                - the name of a model of the catalog, such as `SSDMobileNetV2`;
                - a folder with `model_info.json`, or a file of a model; if it is relative, in the
                  current folder or in `~/FocoosAI/models`;
                - `URI#NAME` or `URI#NAME@VERSION`: a model of a registry (`artifacts.yaml`);
                - an object: a module of PyTorch, a `ModelProto`, bytes.
            model_info: Description of the model.
            config: Overrides as a dictionary, or as an object with attributes.
            hub: Hub of `hub://`; by default that of Focoos, with the key in its settings.
            cache: Whether to use what was downloaded before.
            overrides: `classes`, `im_size`, `threshold`; fields of the head, such as
                `iou_threshold`; and arguments of the constructor, such as `weights`. They take
                precedence over `config`.

        Raises:
            ArtifactError: Files of the model are not available.
            ConfigurationError: There is no such override; the message lists those that there are.
            LabelsError: The network has another number of classes.
            ModelNotFound: There is no such model, or its network is not built here.
            ShapeError: The network does not take that size of images.
            WeightsError: A description or a file is malformed, or the weights are missing.
        """
        given = combined(as_dict(config), overrides)
        if model_info is not None:
            folder = getattr(model_info, "folder", None)
            return model_of(model_info, given, folder, cache=cache)
        if not isinstance(name, (str, os.PathLike)):
            return make(partial(open_model, name), {}, given)
        text = os.fspath(name)
        if not text.strip():
            msg = "the name of the model is empty: see ModelRegistry.list_models() for the names"
            raise ModelNotFound(msg)
        if _is_file_by_url(text):
            file = downloaded(text, cache=cache)
            return make(partial(open_model, str(file)), {}, given)
        if "://" in text and "#" not in text:
            from .hub import pull  # hubs and registries load more than all else here

            return _in_folder(pull(text, hub=hub, cache=cache), given, cache=cache)
        path = next((p for p in (Path(text), default_folder(text)) if p.exists()), None)
        if isinstance(name, str) and ModelRegistry.exists(name) and not Path(name).exists():
            return _by_name(name, given)
        if path is None:
            return _in_registry(text, given) if "#" in text else make(model_class(text), {}, given)
        if path.is_dir():
            return _in_folder(path, given, cache=cache)
        return make(partial(open_model, str(path)), {}, given)


def _by_name(name: str, given: Mapping[str, Any]) -> Model[Any]:
    """Return a model of the catalog by its name.

    Raises:
        ModelNotFound: It is a model of Focoos.
    """
    if not ModelRegistry.is_of_focoos(name):
        return make(model_class(name), {}, given)
    info = ModelRegistry.get_model_info(name)
    others = ", ".join(alternatives(info.task)) or "none yet"
    family = str(getattr(info.model_family, "value", ""))
    advice = (
        "open the folder with model_info.json and model_final.pth or model.onnx of it"
        if family in ("fai_cls", "fai_detr")
        else "its network is not built here yet"
    )
    msg = (
        f"{name!r} is a model of Focoos ({family}), whose weights are only on the servers of "
        f"Focoos: {advice}. Models for {info.task.value} here: {others}"
    )
    raise ModelNotFound(msg)


def _in_folder(folder: Path, given: Mapping[str, Any], *, cache: bool) -> Model[Any]:
    """Return the model in a folder.

    Raises:
        ModelNotFound: It is a registry.
        WeightsError: It contains no description.
    """
    if (folder / INFO).is_file():
        return model_of(ModelInfo.from_json(folder / INFO), given, folder, cache=cache)
    if (folder / _DESCRIPTOR).is_file():
        from .registry import sync as registry

        names = ", ".join(entry.name for entry in registry.list(str(folder)))
        msg = f"{folder} is a registry: choose one of its models, {folder}#NAME, of {names}"
        raise ModelNotFound(msg)
    found = ", ".join(sorted(each.name for each in folder.iterdir())[:_SHOWN])
    msg = f"{folder} has no {INFO}, which describes a model; it has {found or 'no files'}"
    raise WeightsError(msg)


def _in_registry(uri: str, given: Mapping[str, Any]) -> Any:
    """Return a model of a registry, `URI#NAME@VERSION`.

    Raises:
        ConfigurationError: There are overrides.
    """
    from .registry import sync as registry

    place, _, name = uri.rpartition("#")
    name, _, version = name.partition("@")
    if given:
        msg = f"models of registries take no overrides, got {', '.join(given)}"
        raise ConfigurationError(msg)
    return registry.load(place.removesuffix(_DESCRIPTOR), name, version or None)


def _is_file_by_url(name: str) -> bool:
    """Return whether a name is the URL of a file with a network, rather than a model on a hub."""
    parts = urlsplit(name)
    return parts.scheme in REMOTE and Path(parts.path).suffix.lower() in _SUFFIXES
