"""Files of PyTorch that contain a network: TorchScript and exported programs.

PyTorch unpickles objects, imports compiled libraries, and looks functions up by name when it loads
an exported program. What no program of PyTorch's own operations needs is refused before that.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ...errors import WeightsError
from .framework import first_lines, quiet, torch

__all__ = ["FILE", "check_program", "find_file", "has_network", "load", "load_script"]

FILE = "best_model.pt"
"""Name of the file of a saved model, as in Neural Compressor."""

_SUFFIXES = (".pt", ".pt2", ".pth", ".torchscript")
_DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError),
    *(UnicodeDecodeError, struct.error, OverflowError),
)
_CONFIG = re.compile(r"data/(weights|constants)/.*config\.json")
_PROGRAM = re.compile(r"models/.*\.json|serialized_exported_program\.json")
_PAYLOAD = re.compile(r"(weight|tensor)_\d+")
_FUNCTION = re.compile(
    r"torch\.ops\.\w+\.\w+(\.\w+)?|torch\.sym_\w+|torch\._C\._set_grad_enabled|math\.\w+"
    r"|_operator\.(add|and_|eq|floordiv|ge|getitem|gt|le|lt|mod|mul|ne|neg|not_|or_|pow|sub|truediv)"
)
_EXPRESSION = re.compile(  # such as Mul(Integer(2), Symbol('s0', positive=True, integer=True))
    r"(?:[A-Z][A-Za-z]*(?![A-Za-z])|'?[suz]f?\d+'?(?!\d)|[a-z_]+=(?:True|False)"
    r"|[\d\s()+*/,.<>=-])*",
    re.ASCII,
)


def find_file(path: Path) -> Path | None:
    """Return the file with a network at a path, or None.

    Args:
        path: A file, or a folder with `best_model.pt`.
    """
    path = path / FILE if path.is_dir() else path
    return path if has_network(path) else None


def has_network(path: Path) -> bool:
    """Return whether a file is TorchScript or an exported program, rather than weights alone."""
    return _is_script(path) or _is_program(path)


def load(path: Path) -> Any:
    """Load a file that contains a network, on the CPU.

    Raises:
        WeightsError: It cannot be read, or would execute more than operations of PyTorch.
        ExtraRequired: PyTorch is not installed.
    """
    pytorch = torch()
    try:
        with quiet():
            if _is_script(path):
                return load_script(str(path))
            check_program(path)
            with path.open("rb") as stream:
                return pytorch.export.load(stream)
    except WeightsError:
        raise
    except Exception as error:  # PyTorch raises errors of many types
        msg = f"{path} cannot be loaded by PyTorch {pytorch.__version__}: {first_lines(error)}"
        raise WeightsError(msg) from error


def load_script(source: str | bytes, device: str = "cpu") -> Any:
    """Load TorchScript from a file or its bytes; it runs nothing but operations of PyTorch.

    Args:
        source: Path or bytes.
        device: Device of PyTorch to load it to.

    Raises:
        ExtraRequired: PyTorch is not installed.
    """
    pytorch = torch()
    stream = io.BytesIO(source) if isinstance(source, bytes) else source
    with quiet():
        return pytorch.jit.load(stream, map_location=device)


def _is_script(path: Path) -> bool:
    return any(name.startswith("code/") for name in _members(path))


def _is_program(path: Path) -> bool:
    return any(_PROGRAM.fullmatch(name) for name in _members(path))


def _members(path: Path) -> list[str]:
    """Return the names of the members of an archive without its root folder."""
    if path.suffix.lower() not in _SUFFIXES or not path.is_file():
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            return [_without_root(name) for name in archive.namelist()]
    except _DAMAGE:
        return []


def _without_root(name: str) -> str:
    root, _, rest = name.partition("/")
    return rest if rest and root not in ("data", "models") else name


def check_program(path: Path) -> None:
    """Check that an exported program has only tensors, and operations of PyTorch.

    Raises:
        WeightsError: It has something else.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unsafe = _first_unsafe(archive)
    except (*_DAMAGE, LookupError, TypeError, AttributeError, ValueError) as error:
        msg = f"{path} is no exported program: {type(error).__name__}: {error}"
        raise WeightsError(msg) from error
    if unsafe is not None:
        msg = f"{path} would execute more than operations of PyTorch, and is not loaded: {unsafe}"
        raise WeightsError(msg)


def _first_unsafe(archive: zipfile.ZipFile) -> str | None:
    names = archive.namelist()
    if len({*names}) < len(names):
        return "it has two members of the same name"
    found = ((name, _unsafe(_without_root(name), archive, name)) for name in names)
    return next((f"{name} has {what}" for name, what in found if what), None)


def _unsafe(kind: str, archive: zipfile.ZipFile, name: str) -> str | None:
    """Return what a member has that a program of tensors and operations does not have."""
    if kind.startswith("data/aotinductor/"):
        return "a compiled library"
    if kind.endswith(".pt"):
        return _unsafe_objects(archive.read(name))
    if _CONFIG.fullmatch(kind):
        for entry in json.loads(archive.read(name))["config"].values():
            if entry.get("use_pickle") or not _PAYLOAD.fullmatch(entry["path_name"]):
                return "pickled objects"
    if _PROGRAM.fullmatch(kind):
        for key, text in _strings(json.loads(archive.read(name))):
            pattern = {"target": _FUNCTION, "expr_str": _EXPRESSION}.get(key)
            if pattern is not None and not pattern.fullmatch(text):
                return f"the {'function' if key == 'target' else 'expression'} {text[:200]!r}"
    return None


def _unsafe_objects(data: bytes) -> str | None:
    """Return what is unsafe in a file of `torch.save`, which may be empty."""
    if not data:
        return None
    try:
        torch().load(io.BytesIO(data), weights_only=True)
    except Exception as error:  # PyTorch raises errors of many types
        return f"objects that are no tensors ({first_lines(error).partition(chr(10))[0]})"
    return None


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """Yield the strings of a JSON value with their keys."""
    if isinstance(value, list):
        for each in value:
            yield from _strings(each)
    if isinstance(value, dict):
        for key, each in value.items():
            if isinstance(each, str):
                yield key, each
            else:
                yield from _strings(each)
