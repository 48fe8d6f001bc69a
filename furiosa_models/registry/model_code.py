"""Run the code of a registry that creates a model.

The code runs with all rights of the process: only if the user passes `trust_code=True` and the file
matches the digest in the descriptor, if there is one. The working directory and `sys.path` do not
change: code imports other modules of the registry relative to its file or to the registry, and
reads files through `loader`. While it runs, `furiosa.registry` is this package's implementation,
even if another one is installed.
"""

from __future__ import annotations

import ast
import asyncio
import contextvars
import importlib
import importlib.machinery
import importlib.util
import inspect
import sys
import threading
import types
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from ..errors import ArtifactUnavailable, DescriptorError, FuriosaModelsError
from .descriptor import RegistryArtifact
from .model import Model

__all__ = ["Checkout", "FileTransport", "loader", "run_factory"]

MAX_MODULES = 200
"""Maximum number of imported modules to fetch."""

_MODULE_ALIASES = {
    "furiosa.registry": "furiosa_models.registry",
    "furiosa.registry.artifact": "furiosa_models.registry.artifact",
    "furiosa.registry.client": "furiosa_models.registry.client",
    "furiosa.registry.client.transport": "furiosa_models.registry.client.transport",
    "furiosa.registry.errors": "furiosa_models.registry.errors",
    "furiosa.registry.model": "furiosa_models.registry.model",
}
"""Modules of this package by the names under which the code of registries imports them."""

_VENDOR = "furiosa"
_PACKAGE = "_furiosa_models_registry_"


class Checkout(NamedTuple):
    """The files of a registry on this machine.

    Attributes:
        root: Folder of the files.
        fetch: Function that fetches a missing file into the folder; None if all files are there.
    """

    root: Path
    fetch: Callable[[str], None] | None = None

    def file(self, path: str) -> Path:
        """Return the path of a file; fetch the file if it is missing.

        Raises:
            ArtifactUnavailable: The file is not available.
        """
        found = self.root / path
        if self.fetch is not None and not found.exists() and not PurePosixPath(path).is_absolute():
            self.fetch(path)
        return found


_running: contextvars.ContextVar[Checkout] = contextvars.ContextVar("registry whose code runs")


class FileTransport:
    """Reader of files of the running registry: `await loader.read("models/x.onnx")`."""

    async def read(self, *place: str) -> bytes:
        """Return the bytes of a file.

        Args:
            place: Path relative to the registry; or a folder (`file://...`) and the path in it.
        """
        return await asyncio.to_thread(self.read_sync, *place)

    def read_sync(self, *place: str) -> bytes:
        """Return the bytes of a file; a blocking version of `read`."""
        checkout = _running.get(None)
        if checkout is None:
            msg = "loader works only while the code of a registry runs, and none is running"
            raise FuriosaModelsError(msg)
        return checkout.file("/".join(part.removeprefix("file://") for part in place)).read_bytes()


loader = FileTransport()


def run_factory(
    checkout: Checkout, artifact: RegistryArtifact, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call the function named like the artifact; if it is async, run it until it returns.

    Fields of the descriptor take precedence over those that the code sets.

    Raises:
        DescriptorError: The file has no such function.
        FuriosaModelsError: The code fails.
    """
    outer, root = _running.get(None), checkout.root
    token = _running.set(checkout)
    try:
        _fetch_imported(checkout, artifact.location)
        with _vendor_names(outer, root), _imported(root, artifact.location) as module:
            factory = getattr(module, artifact.name, None)
            if not callable(factory):
                msg = f"{artifact.location} has no function named {artifact.name}"
                raise DescriptorError(msg)
            result = factory(*args, **kwargs)
            return _described(_finish(result) if inspect.isawaitable(result) else result, artifact)
    except FuriosaModelsError:
        raise
    except (Exception, SystemExit) as error:  # whatever the registry's code raises
        msg = f"the code of {artifact.name} ({artifact.location}) failed: {error!r}"
        raise FuriosaModelsError(msg) from error
    finally:
        _running.reset(token)


def _described(model: Any, artifact: RegistryArtifact) -> Any:
    """Set the fields of a model that its entry states."""
    if isinstance(model, Model):
        model.name = artifact.name
        for name in ("family", "version", "metadata", "task"):
            if value := getattr(artifact, name):
                setattr(model, name, value)
    return model


def _finish(awaitable: Awaitable[Any]) -> Any:
    """Run an awaitable in a new thread: in a notebook this thread already has an event loop."""

    async def wait() -> Any:
        return await awaitable

    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(context.run, asyncio.run, wait()).result()


@contextmanager
def _imported(root: Path, location: str) -> Iterator[types.ModuleType]:
    """Import the module at `location` within a temporary package that contains the registry."""
    name = f"{_PACKAGE}{uuid.uuid4().hex}"
    package = types.ModuleType(name)
    package.__path__ = [str(root)]
    sys.modules[name] = package
    try:
        parts = PurePosixPath(location).with_suffix("").parts
        yield importlib.import_module(".".join([name, *parts]))
    finally:
        for module in [module for module in sys.modules if module.startswith(name)]:
            del sys.modules[module]


# --- What the code of registries imports --------------------------------------------------------


class _RegistryFinder:
    """Finder of a running registry's modules by absolute names, after all other finders."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        checkout = _running.get(None)
        if checkout is None or path is not None:
            return None
        return importlib.machinery.PathFinder.find_spec(name, [str(checkout.root)], target)


_one_at_a_time = threading.Lock()


@contextmanager
def _vendor_names(outer: Checkout | None, root: Path) -> Iterator[None]:
    """Install the vendor's module names and the registry's modules in `sys.modules` temporarily.

    Only one registry's code runs at a time, unless that code loads another registry: two registries
    may both have a module `helpers`.

    Args:
        outer: Registry whose code loads this one, if any.
        root: Folder of the registry.
    """
    aliases = {name: importlib.import_module(module) for name, module in _MODULE_ALIASES.items()}
    with nullcontext() if outer else _one_at_a_time:
        before = _modules_of(outer.root if outer else root)
        installed = before.get(_VENDOR)
        for name in before:
            del sys.modules[name]
        vendor: Any = _stand_in(installed)
        vendor.__path__ = [*vendor.__path__, str(root / _VENDOR)]
        vendor.registry = aliases["furiosa.registry"]
        sys.modules.update({_VENDOR: vendor, **aliases})
        sys.meta_path.append(_RegistryFinder)
        try:
            yield
        finally:
            sys.meta_path.remove(_RegistryFinder)
            for name in _modules_of(root):
                del sys.modules[name]
            sys.modules.update(before)


def _modules_of(root: Path) -> dict[str, types.ModuleType]:
    """Return the loaded modules with the vendor's names or from files of a registry."""
    return {
        name: module
        for name, module in [*sys.modules.items()]
        if f"{name}.".startswith(f"{_VENDOR}.")
        or (_is_from(module, root) and not name.startswith(_PACKAGE))
    }


def _stand_in(installed: types.ModuleType | None) -> types.ModuleType:
    """Return a package `furiosa` with the contents of the installed one, if any."""
    made = types.ModuleType(_VENDOR)
    if installed is None:
        with suppress(ImportError, ValueError):
            found = importlib.util.find_spec(_VENDOR)
            made.__path__ = list(found.submodule_search_locations or ()) if found else []
    else:
        vars(made).update(vars(installed))
        made.__path__ = list(getattr(installed, "__path__", ()))
    return made


def _is_from(module: types.ModuleType | None, root: Path) -> bool:
    """Return whether a module is a file or a folder of a registry."""
    spec = getattr(module, "__spec__", None)
    if spec is None:
        return False
    places = [spec.origin] if spec.origin else [*(spec.submodule_search_locations or ())]
    return any(Path(place).is_relative_to(root) for place in places)


def _fetch_imported(checkout: Checkout, location: str) -> None:
    """Fetch the modules of the registry that a file imports, recursively."""
    if checkout.fetch is None:
        return
    pending, seen = [location], {location}
    while pending:
        path = pending.pop()
        for other in _neighbors(checkout.root / path, path):
            if other in seen or len(seen) > MAX_MODULES:
                continue
            seen.add(other)
            with suppress(ArtifactUnavailable):  # a module is a file or a package, not both
                checkout.fetch(other)
                pending.append(other)


def _neighbors(file: Path, path: str) -> Iterator[str]:
    """Yield the paths in the registry that the imports of a file may refer to."""
    try:
        tree = ast.parse(file.read_bytes())
    except (SyntaxError, ValueError, OSError):  # the import reports the error
        return
    folder = PurePosixPath(path).parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [(0, alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            stem = node.module.split(".") if node.module else []
            names = [(node.level, [*stem, alias.name]) for alias in node.names]
        else:
            continue
        for level, parts in names:
            if level == 0 and _is_elsewhere(parts):
                continue
            base = folder[: len(folder) - level + 1] if level else ()
            for length in range(1, len(parts) + 1):
                if not parts[length - 1].isidentifier():  # the star of `import *`
                    break
                stem_path = "/".join([*base, *parts[:length]])
                yield f"{stem_path}.py"
                yield f"{stem_path}/__init__.py"
        if isinstance(node, ast.ImportFrom) and node.level:
            yield "/".join([*folder[: len(folder) - node.level + 1], "__init__.py"])


def _is_elsewhere(parts: Sequence[str]) -> bool:
    """Return whether an absolute name refers to a module outside the registry."""
    if parts[0] == _VENDOR:
        return len(parts) < 2 or parts[1] == "registry"
    if parts[0] in sys.stdlib_module_names or parts[0] in sys.modules:
        return True
    try:
        return importlib.util.find_spec(parts[0]) is not None
    except (ImportError, ValueError):
        return False
