"""Descriptions within exported files, from which any class of the task can load them.

An ONNX file has them as metadata: the fields of `model_info.json` under one key, and what other
programs read (`names`, `imgsz`, `task`, `description`, `license`) under theirs. TorchScript and
TensorFlow Lite files have a member of their archive, and other files `model_info.json` in their
folder.
"""

from __future__ import annotations

import io
import json
import logging
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from . import networks
from .errors import WeightsError
from .saved import INFO, Description
from .spec import DESCRIPTION_KEY, DESCRIPTION_MEMBER, GraphFacts

__all__ = [
    "described_in_file",
    "described_in_graph",
    "metadata_of",
    "with_archive",
    "with_metadata",
]

logger = logging.getLogger(__name__)

_MAX_TEXT = 1 << 24
_TASKS = {
    "classification": "classify",
    "detection": "detect",
    "instseg": "segment",
    "keypoint": "pose",
    "semseg": "segment",
}
"""Words of exporters of YOLO for tasks."""


def metadata_of(info: Mapping[str, Any], license: str | None) -> dict[str, str]:
    """Return the metadata of an exported ONNX file.

    Args:
        info: The fields of `model_info.json`.
        license: License of the weights.
    """
    found = {
        DESCRIPTION_KEY: json.dumps(info),
        "names": json.dumps(info["classes"], ensure_ascii=False),
        "imgsz": json.dumps(info["im_size"]),
        "task": _TASKS.get(info["task"], info["task"]),
        "description": info.get("description"),
        "license": license,
    }
    return {key: value for key, value in found.items() if value}


def with_metadata(model: bytes, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX model with metadata; present values under other keys stay."""
    proto = networks.edit.parse(model)
    kept = {entry.key: entry.value for entry in proto.metadata_props}
    del proto.metadata_props[:]
    for key, value in {**kept, **metadata}.items():
        proto.metadata_props.add(key=key, value=value)
    return networks.to_bytes(proto)


def with_archive(file: bytes, info: Mapping[str, Any]) -> bytes:
    """Return a file with an archive at its end that contains the fields of `model_info.json`.

    They replace those of an earlier export.
    """
    if zipfile.is_zipfile(io.BytesIO(file)):
        with zipfile.ZipFile(io.BytesIO(file)) as archive:
            members = archive.infolist()
        if [member.filename for member in members] == [DESCRIPTION_MEMBER]:
            file = file[: members[0].header_offset]
    stream = io.BytesIO(file)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr(DESCRIPTION_MEMBER, json.dumps(info))
    return stream.getvalue()


def described_in_graph(graph: GraphFacts, source: str) -> Description | None:
    """Return the description in the metadata of an exported graph; None if there is none.

    A graph with other outputs than the exported one has been edited: its description is ignored,
    and its head is recognized as that of any other graph.

    Args:
        graph: Facts about the graph.
        source: Name of the file, for messages.

    Raises:
        WeightsError: The description is malformed.
    """
    text = graph.metadata.get(DESCRIPTION_KEY)
    if text is None:
        return None
    found = _parsed(text, source)
    outputs = [output.name for output in graph.outputs]
    expected = [output.name for output in GraphFacts.of_description(found.info).outputs]
    if outputs != expected:
        logger.info(
            "%s has the outputs %s, but was exported with %s: ignoring its description",
            source,
            ", ".join(outputs),
            ", ".join(expected),
        )
        return None
    return found


def described_in_file(path: Path) -> Description | None:
    """Return the description in the archive of a file, or in its folder; None if there is none.

    Raises:
        WeightsError: The description is malformed.
    """
    text = None if path.suffix.lower() == ".onnx" else _member(path)
    return _beside(path) if text is None else _parsed(text, str(path))


def _beside(path: Path) -> Description | None:
    """Return the description in the folder of a file; None if it is foreign, or of another file."""
    try:
        info = json.loads(path.with_name(INFO).read_text(encoding="utf-8"))
        is_ours = info["weights_uri"] == path.name and "head" in info["config"]
    except (OSError, KeyError, TypeError, ValueError, RecursionError):
        return None
    return Description.of(info, path.with_name(INFO)) if is_ours else None


def _parsed(text: str, source: str) -> Description:
    try:
        info = json.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"{source} contains a description that is not JSON: {error}"
        raise WeightsError(msg) from error
    return Description.of(info, source)


def _member(path: Path) -> str | None:
    """Return the text of the member of an archive, or None."""
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if (
                    Path(member.filename).name == DESCRIPTION_MEMBER
                    and member.file_size <= _MAX_TEXT
                ):
                    return archive.read(member).decode("utf-8")
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error):
        pass
    except UnicodeDecodeError as error:
        msg = f"{path} contains a description that is not UTF-8: {error}"
        raise WeightsError(msg) from error
    return None
