"""Parsers of registry descriptors: `artifacts.yaml`, or `artifacts.py` of furiosa-registry 0.7.

Entries that do not follow the schema raise an error that names the file and the line.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ..errors import DescriptorError
from ..spec import Metadata, Publication
from .yaml_document import MAX_BYTES, Document, read_yaml

__all__ = [
    "ArtifactFile",
    "RegistryArtifact",
    "dump_descriptor",
    "inside",
    "json_schema",
    "parse_code",
    "parse_descriptor",
]

_URL_SCHEMES = frozenset({"file", "gs", "hf", "http", "https", "s3"})
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_MAX_SIZE = 1 << 50
_SERVERS = 4  # each proxy in a chain may decode once: the second one reads `%252e` as `.`


class ArtifactFile(BaseModel):
    """A further file of an entry, in the folder of its `location`.

    Attributes:
        name: Name of the file.
        size: Size in bytes.
        sha256: SHA-256 in hex.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[^/\\:.%][^/\\:%]*$", max_length=200)
    size: int = Field(gt=0, le=_MAX_SIZE)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")

    @field_validator("name")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        return _one_line(value)


class RegistryArtifact(BaseModel):
    """An entry of a registry.

    Attributes:
        name: Name of the model; for `code`, of the factory function.
        family: Family of networks.
        version: Version of the model.
        location: Path of the file relative to the registry; for `onnx` and `tflite` also a URL.
        format: Format of the file: `onnx` and `tflite` files are models; a `code` file creates one.
        doc: Path of the documentation relative to the registry.
        metadata: Description and publication.
        size: Size of the file at `location`, in bytes.
        sha256: SHA-256 of the file at `location`, in hex; a file with another digest is rejected.
        task: What the model does with a photo: `detect`, `classify`, `pose`, `segment` or
            `matte`.
        license: License of the model.
        files: Further files of a saved model, in the folder of `location`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1)
    family: str
    version: str | None = None
    location: str
    format: Literal["code", "onnx", "tflite"]
    doc: str | None = None
    metadata: Metadata | None = None
    size: int | None = Field(default=None, gt=0, le=_MAX_SIZE)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    task: Literal["classify", "detect", "instseg", "matte", "pose", "segment"] | None = None
    license: str | None = None
    files: tuple[ArtifactFile, ...] = ()

    def beside(self, name: str) -> RegistryArtifact | None:
        """Return one of the further files as an entry, or None if there is none of this name."""
        found = next((file for file in self.files if file.name == name), None)
        if found is None:
            return None
        folder = self.location.rpartition("/")[0]
        location = f"{folder}/{name}" if folder else name
        changes = {"location": location, "size": found.size, "sha256": found.sha256, "files": ()}
        return self.model_copy(update=changes)

    @model_validator(mode="before")
    @classmethod
    def _accept_a_description_beside_metadata(cls, item: Any) -> Any:
        """Move `description` into `metadata`: the old README shows it there, against its schema."""
        if not isinstance(item, dict) or "description" not in item:
            return item
        beside = item.get("metadata") or {}
        if isinstance(beside, dict):
            metadata = {"description": item["description"], **beside}
            item = {k: v for k, v in item.items() if k != "description"} | {"metadata": metadata}
        return item

    @field_validator("name", "family", "version", "location", "doc", "license")
    @classmethod
    def _is_one_line(cls, value: str | None) -> str | None:
        return None if value is None else _one_line(value)

    @field_validator("doc")
    @classmethod
    def _doc_is_inside(cls, value: str | None) -> str | None:
        return None if value is None else inside(value)

    @field_validator("location")
    @classmethod
    def _location_is_inside(cls, value: str) -> str:
        return value if urlsplit(value).scheme in _URL_SCHEMES else inside(value)

    @model_validator(mode="after")
    def _code_is_inside(self) -> RegistryArtifact:
        if self.format == "code":
            inside(self.location)
        return self


def parse_descriptor(text: bytes, name: str) -> list[RegistryArtifact]:
    """Return the entries of a descriptor.

    Args:
        text: YAML text.
        name: Name of the descriptor for error messages.

    Raises:
        DescriptorError: The text is not YAML or does not follow the schema; the message names the
            file and the line.
    """
    document = read_yaml(text, name)
    items = document.value.get("artifacts") if isinstance(document.value, dict) else None
    if not isinstance(items, list):
        msg = f"{name}, line 1: expected a list under the top key 'artifacts'"
        raise DescriptorError(msg)
    artifacts = [_parse(item, i, document, name) for i, item in enumerate(items)]
    _refuse_duplicates(artifacts, document, name)
    return artifacts


def dump_descriptor(artifacts: Sequence[RegistryArtifact]) -> bytes:
    """Return entries as the YAML of a descriptor, with the fields that are set."""
    items = [entry.model_dump(mode="json", exclude_defaults=True) for entry in artifacts]
    text = yaml.safe_dump({"artifacts": items}, sort_keys=False, allow_unicode=True, width=100)
    return text.encode()


def parse_code(text: bytes, name: str, location: str) -> list[RegistryArtifact]:
    """Return the models that a Python file defines, without running the file.

    The models are the functions whose return annotation is a model class, as in furiosa-registry
    0.7 and later. String constants that they pass as keywords, such as `family` and `version`,
    become fields of the entries.

    Args:
        text: Python source.
        name: Name of the file for error messages.
        location: Path of the file in the registry.

    Raises:
        DescriptorError: The text is not Python or is too large.
    """
    if len(text) > MAX_BYTES:
        msg = f"{name}: expected at most {MAX_BYTES} bytes, got {len(text)}"
        raise DescriptorError(msg)
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        msg = f"{name} is not valid Python: {error}"
        raise DescriptorError(msg) from error
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    return [
        _made_by(node, location, name)
        for node in tree.body
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and not node.name.startswith("_")
        and _is_model(_last_name(node.returns), classes)
    ]


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a descriptor."""
    entry = RegistryArtifact.model_json_schema(ref_template="#/$defs/{model}")
    definitions = entry.pop("$defs", {})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "artifacts.yaml",
        "type": "object",
        "required": ["artifacts"],
        "properties": {"artifacts": {"type": "array", "items": entry}},
        "$defs": definitions,
    }


def _one_line(value: str) -> str:
    if _CONTROL.search(value):
        msg = f"{value[:60]!r} contains control characters"
        raise ValueError(msg)
    return value


def _is_model(name: str, classes: dict[str, ast.ClassDef]) -> bool:
    """Return whether a class is a model class by its name or its bases in the same file."""
    pending, seen = [name], {name}
    while pending:
        each = pending.pop()
        if each.endswith("Model"):
            return True
        bases = classes[each].bases if each in classes else ()
        others = {_last_name(base) for base in bases} - seen
        pending += others
        seen |= others
    return False


def _last_name(node: ast.expr | None) -> str:
    """Return `Model` for `Model`, `registry.Model` and `"Model"`, else an empty string."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value.rpartition(".")[2]
    return getattr(node, "attr", "") or getattr(node, "id", "")


def _made_by(
    node: ast.FunctionDef | ast.AsyncFunctionDef, location: str, name: str
) -> RegistryArtifact:
    """Return the entry of a factory function, with the string constants that it passes on."""
    keywords: dict[str, str] = {}
    for call in ast.walk(node):
        for keyword in call.keywords if isinstance(call, ast.Call) else ():
            value = keyword.value
            if keyword.arg and isinstance(value, ast.Constant) and isinstance(value.value, str):
                keywords.setdefault(keyword.arg, value.value)
    url = keywords.get("url")
    metadata = Metadata(keywords.get("description"), Publication(url=url) if url else None)
    try:
        return RegistryArtifact(
            name=node.name,
            family=keywords.get("family", ""),
            version=keywords.get("version"),
            location=location,
            format="code",
            metadata=metadata if metadata != Metadata() else None,
        )
    except ValidationError as error:
        _, reason = _first(error)
        msg = f"{name}, line {node.lineno}: {reason}"
        raise DescriptorError(msg) from error


def _parse(item: Any, index: int, document: Document, name: str) -> RegistryArtifact:
    try:
        return RegistryArtifact.model_validate(item)
    except ValidationError as error:
        path, reason = _first(error)
        msg = f"{name}, line {document.line(('artifacts', index, *path))}: {reason}"
        raise DescriptorError(msg) from error


def _first(error: ValidationError) -> tuple[tuple[str | int, ...], str]:
    """Return the location and the message of the first schema violation."""
    first = error.errors(include_context=False, include_input=False, include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or "entry"
    return first["loc"], f"{where}: {first['msg']}"


def _refuse_duplicates(
    artifacts: Sequence[RegistryArtifact], document: Document, name: str
) -> None:
    seen: set[tuple[str, str | None]] = set()
    for index, artifact in enumerate(artifacts):
        key = (artifact.name, artifact.version)
        if key in seen:
            line = document.line(("artifacts", index))
            msg = f"{name}, line {line}: duplicate {artifact.name} {artifact.version or ''}"
            raise DescriptorError(msg)
        seen.add(key)


def inside(path: str) -> str:
    """Check that a path stays in the registry, and return it.

    Args:
        path: Relative path, possibly percent-encoded.

    Raises:
        ValueError: The path leaves the registry, also if a server decodes its percent escapes, or
            contains control characters.
    """
    plain = path
    for _ in range(_SERVERS):
        plain = unquote(plain)
    parts = PurePosixPath(plain.replace("\\", "/"))
    if parts.is_absolute() or ".." in parts.parts or ":" in plain:
        msg = f"{path!r} leaves the registry: expected a relative path without '..'"
        raise ValueError(msg)
    if _CONTROL.search(plain):
        msg = f"{path!r} contains control characters"
        raise ValueError(msg)
    return path
