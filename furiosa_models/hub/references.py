"""References of models on hubs: which hub one means, by its form."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import HubError
from .base import Hub, Pushed
from .focoos import FocoosHUB
from .huggingface import HuggingFaceHub
from .own import OwnHub

__all__ = ["hub_of", "pull", "push"]

_FORM = "expected hub://REF, hf://OWNER/NAME, or a folder, file://, s3:// or gs:// and a name"

_FOCOOS = "hub"
HUBS: dict[str, Callable[[], Hub]] = {_FOCOOS: FocoosHUB, "hf": HuggingFaceHub}
"""Hubs by the scheme of their references; all other references are of hubs of one's own."""


def hub_of(ref: str | os.PathLike[str], hub: FocoosHUB | None = None) -> tuple[Hub, str]:
    """Return the hub that a reference means, and the name of the model there.

    Args:
        ref: `hub://REF`, `hf://OWNER/NAME[@REVISION]`, or `PLACE/NAME[@VERSION]`, where PLACE is a
            folder, or a URI that begins with `file://`, `s3://` or `gs://`.
        hub: The hub of `hub://` references; by default that of the settings.

    Raises:
        HubError: The reference is malformed, or the hub cannot be opened.
    """
    text = os.fspath(ref)
    scheme, separator, name = text.partition("://")
    if hub is not None and scheme != _FOCOOS:
        msg = f"hub= is for hub:// references, got {text!r}"
        raise HubError(msg)
    is_known = bool(separator) and scheme in HUBS
    place = ""
    if not is_known:
        place, name = text.rpartition("/")[::2] if separator else os.path.split(text)
    if not name or (separator and place.endswith("/")):
        msg = f"{text!r} names no model: {_FORM}"
        raise HubError(msg)
    if is_known:
        return hub or HUBS[scheme](), name
    return OwnHub(place or "."), name


def push(
    folder: str | os.PathLike[str],
    ref: str | os.PathLike[str],
    *,
    private: bool | None = None,
    message: str | None = None,
    hub: FocoosHUB | None = None,
) -> Pushed:
    """Push a saved model to a hub.

    Args:
        folder: Folder of the saved model, as `Model.save` and training write it.
        ref: Where to; see `hub_of`. Of `hub://`, the name of the new model.
        private: Whether only its owner may read it; for Hugging Face only.
        message: What is new; for Hugging Face only.
        hub: The hub of `hub://` references; by default that of the settings.

    Raises:
        HubError: The folder is not a saved model, the reference is malformed, or the hub does not
            take it.
    """
    found, name = hub_of(ref, hub)
    return found.push(Path(folder), name, private=private, message=message)


def pull(ref: str | os.PathLike[str], *, cache: bool = True, hub: FocoosHUB | None = None) -> Path:
    """Return the folder of a model of a hub in the cache, complete and verified.

    Args:
        ref: Where from; see `hub_of`.
        cache: Whether files that are in the cache already are used.
        hub: The hub of `hub://` references; by default that of the settings.

    Raises:
        HubError: The reference is malformed, the hub has no such model or fails, or the network is
            off and the model is not in the cache.
        ArtifactCorrupted: The hub delivers other bytes than were pushed.
    """
    found, name = hub_of(ref, hub)
    return found.pull(name, cache=cache)
