"""A hub of one's own: a registry in the form of furiosa-artifacts, in a folder or a bucket.

```
artifacts.yaml                  all entries, for `furiosa_models.registry`
models/NAME/VERSION.yaml        one entry, as it was pushed
models/NAME/DIGEST/             its files, which never change
```

A push writes the files, then the entry, and at last gathers all entries into `artifacts.yaml`,
until the entries that it wrote are those that are there. So of pushes at the same time, the last
one to write sees the entries of the others. None is lost, without a lock: buckets have none.
Entries of `artifacts.yaml` that others wrote are kept.
"""

from __future__ import annotations

import hashlib
import logging
import re
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path, PurePosixPath
from typing import Any

from .. import settings
from ..artifacts.descriptor import File
from ..artifacts.store import Store, hash_file
from ..enums import Task
from ..errors import DescriptorError, HubError
from ..model_info import ModelInfo
from ..registry.descriptor import ArtifactFile, RegistryArtifact, dump_descriptor, parse_descriptor
from ..registry.sync import DESCRIPTOR, find_entry, read_entries
from ..registry.transports import Folder, Transport, transport_for
from ..saved import INFO
from ..spec import Metadata
from .base import Pushed, check_name, files_of, info_of, split_version
from .cache import PulledModel
from .model_card import CARD, card_of
from .places import Place, place_for

__all__ = ["OwnHub"]

logger = logging.getLogger(__name__)

_ENTRY = re.compile(r"models/[^/]+/[^/]+\.yaml")
_ROUNDS = 100
_FORMATS = {".onnx": "onnx", ".tflite": "tflite"}
_TASKS: Mapping[Any, str] = {
    Task.DETECTION: "detect",
    Task.CLASSIFICATION: "classify",
    Task.KEYPOINT: "pose",
    Task.SEMSEG: "segment",
    Task.INSTANCE_SEGMENTATION: "instseg",
    Task.MATTE: "matte",
}


class OwnHub:
    """A hub of one's own.

    Args:
        uri: A folder, `file://...`, `s3://BUCKET/PREFIX` or `gs://BUCKET/PREFIX`; models can be
            pulled from any registry that `furiosa_models.registry` reads.

    Raises:
        ArtifactUnavailable: The URI is malformed.
        TransportNotFound: There are no such URIs.
    """

    def __init__(self, uri: str) -> None:
        self._transport: Transport = transport_for(uri)
        self.uri = self._transport.name.rstrip("/")

    def __repr__(self) -> str:
        return f"OwnHub({self.uri!r})"

    def push(
        self, folder: Path, name: str, *, private: bool | None = None, message: str | None = None
    ) -> Pushed:
        """Push a saved model as a new version, or replace a version; see `Hub.push`.

        Args:
            folder: Folder of the saved model.
            name: Name of the model, or `NAME@VERSION`. By default, the version is the time of the
                push, which is newer than those before it.
            private: None: who may read the place may read the model.
            message: None: entries have no such field.

        Raises:
            HubError: The folder is not a saved model with an ONNX or TensorFlow Lite graph; the
                place cannot be written; or an option is set.
            DescriptorError: An entry of the hub does not follow the schema.
        """
        if private is not None or message is not None:
            msg = "a hub of your own has neither private= nor message=: leave them out"
            raise HubError(msg)
        plain, version = split_version(name)
        check_name(plain, "the name of a model")
        info = info_of(folder)
        files = files_of(folder)
        place = place_for(self._transport)
        entry = _entry(plain, version, info, files)
        home = str(PurePosixPath(entry.location).parent)
        for path in files:
            if path.name != CARD:
                place.copy(path, f"{home}/{path.name}")
        ref = f"{self.uri}/{plain}@{entry.version}"
        place.write(f"{home}/{CARD}", card_of(folder, info, ref))
        text = dump_descriptor([entry])
        place.write(f"models/{plain}/{entry.version}.yaml", text)
        self._gather(place)
        return Pushed(ref, entry.version)

    def pull(self, name: str, *, cache: bool = True) -> Path:
        """Return the folder of a model in the cache, verified by its hashes; see `Hub.pull`.

        Args:
            name: Name of the model, or `NAME@VERSION`; by default the newest version.
            cache: Whether files that are in the cache already are used.

        Raises:
            ModelNotFound: The hub has no such model or version.
            HubError: It is not a saved model; or the network is off and it is not in the cache.
            ArtifactUnavailable: A file cannot be read.
            ArtifactCorrupted: A file has another size or hash than was pushed.
            DescriptorError: The descriptor does not follow the schema.
        """
        plain, version = split_version(name)
        pulled = PulledModel("own", self.uri, name)
        if settings.is_offline() and not isinstance(self._transport, Folder):
            if cache and (folder := pulled.find()) is not None:
                return folder
            msg = f"{self.uri}/{name} is not in the cache, and FURIOSA_MODELS_OFFLINE is set"
            raise HubError(msg)
        entry = find_entry(read_entries(self._transport), plain, version, self.uri)
        files = self._files(entry)
        with _set_aside([] if cache else [Store().path(file) for file in files]):
            return pulled.add(entry.version or "", files, self._transport.origin)

    def _files(self, entry: RegistryArtifact) -> list[File]:
        """Return the files of an entry, with their addresses."""
        if entry.sha256 is None or entry.beside(INFO) is None:
            msg = (
                f"{self.uri}/{entry.name} is not a saved model, because its entry lists no {INFO}: "
                "load it with furiosa_models.registry"
            )
            raise HubError(msg)
        others = [found for file in entry.files if (found := entry.beside(file.name))]
        return [
            File(
                PurePosixPath(each.location).name,
                each.size,
                (self._transport.locate(each.location),),
                sha256=each.sha256,
            )
            for each in (entry, *others)
        ]

    def _gather(self, place: Place) -> None:
        """Write all entries into the descriptor, until none is missing."""
        for _ in range(_ROUNDS):
            before = self._pushed(place)
            text = place.read(DESCRIPTOR)
            where = f"{self.uri}/{DESCRIPTOR}"
            listed = [] if text is None else parse_descriptor(text, where)
            keys = {(entry.name, entry.version) for entry in before}
            others = [entry for entry in listed if (entry.name, entry.version) not in keys]
            place.write(DESCRIPTOR, dump_descriptor([*others, *before]))
            if self._pushed(place) == before:
                return
        msg = f"{where} changes all the time: push again"
        raise HubError(msg)

    def _pushed(self, place: Place) -> list[RegistryArtifact]:
        """Return the entries that were pushed, by name and version."""
        found: list[RegistryArtifact] = []
        for path in place.list("models"):
            if _ENTRY.fullmatch(path) and (text := place.read(path)) is not None:
                try:
                    found += parse_descriptor(text, f"{self.uri}/{path}")
                except DescriptorError as error:  # it must not keep others from pushing
                    logger.warning("left out of %s: %s", DESCRIPTOR, error)
        return found


@contextmanager
def _set_aside(paths: Sequence[Path]) -> Iterator[None]:
    """Move files away while a block replaces them; put back those that it does not replace."""
    moved = []
    for path in paths:
        if path.is_file():
            aside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
            path.rename(aside)
            moved.append((path, aside))
    try:
        yield
    finally:
        for path, aside in moved:
            if path.exists():
                aside.unlink()
            else:
                aside.rename(path)


def _entry(
    name: str, version: str | None, info: ModelInfo, files: Sequence[Path]
) -> RegistryArtifact:
    """Return the entry of a saved model."""
    rows = [_row(path) for path in files if path.name != CARD]
    graph = next((row for row in rows if row.name == info.weights_uri), None)
    suffix = PurePosixPath(graph.name if graph else "").suffix
    if graph is None or suffix not in _FORMATS:
        msg = (
            f"the weights_uri of {name} is {info.weights_uri!r}: expected an ONNX or TensorFlow "
            "Lite file in the folder, as Model.save writes it"
        )
        raise HubError(msg)
    digest = hashlib.sha256("".join(row.sha256 for row in rows).encode()).hexdigest()
    now = datetime.now(timezone.utc)
    home = f"models/{name}/{digest[:16]}"
    return RegistryArtifact.model_validate(
        {
            "name": name,
            "family": str(getattr(info.model_family, "value", info.model_family)),
            "version": _checked(version) or f"{now:%Y.%m.%d.%H%M%S}+{digest[:8]}",
            "location": f"{home}/{graph.name}",
            "format": _FORMATS[suffix],
            "doc": f"{home}/{CARD}",
            "metadata": Metadata(info.description) if info.description else None,
            "size": graph.size,
            "sha256": graph.sha256,
            "task": _TASKS.get(info.task),
            "license": info.config.get("license"),
            "files": [row for row in rows if row is not graph],
        }
    )


def _checked(version: str | None) -> str | None:
    return None if version is None else check_name(version, "the version of a model")


def _row(path: Path) -> ArtifactFile:
    size = path.stat().st_size
    if not size:
        msg = f"{path} is empty: remove it, or write it again"
        raise HubError(msg)
    return ArtifactFile(name=path.name, size=size, sha256=hash_file(path, "sha256"))
