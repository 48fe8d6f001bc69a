"""Models that a registry's code makes.

The code runs with all rights of the process: only with the user's `trust_code=True`, and only if
it has the hash that the descriptor gives. The working directory and `sys.path` stay as they are:
code finds its neighbours by relative imports, and its files by `loader`.
"""

from __future__ import annotations

import asyncio
import contextvars
import importlib
import inspect
import sys
import types
import uuid
from collections.abc import Awaitable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DescriptorError, FuriosaModelsError
from .descriptor import RegistryArtifact

__all__ = ["loader", "run_factory"]

_root: contextvars.ContextVar[Path] = contextvars.ContextVar("registry root")


class Loader:
    """Reads files of the registry whose code is running: `await loader.read("models/x.onnx")`."""

    async def read(self, path: str) -> bytes:
        """Bytes of a file, relative to the registry."""
        return await asyncio.to_thread(self.read_sync, path)

    def read_sync(self, path: str) -> bytes:
        """As `read`, blocking."""
        root = _root.get(None)
        if root is None:
            msg = "loader reads the files of a registry while its code runs, which none does now"
            raise FuriosaModelsError(msg)
        return (root / path).read_bytes()


loader = Loader()


def run_factory(
    root: Path, artifact: RegistryArtifact, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call the function named like the artifact; an async one is run to its end.

    Raises:
        DescriptorError: The file has no such function.
        FuriosaModelsError: The code fails.
    """
    token = _root.set(root)
    try:
        with _imported(root, artifact.location) as module:
            factory = getattr(module, artifact.name, None)
            if not callable(factory):
                msg = f"{artifact.location} has no function named {artifact.name}"
                raise DescriptorError(msg)
            result = factory(*args, **kwargs)
            return _finish(result) if inspect.isawaitable(result) else result
    except FuriosaModelsError:
        raise
    except (Exception, SystemExit) as error:  # whatever the registry's code raises
        msg = f"the code of {artifact.name} ({artifact.location}) failed: {error!r}"
        raise FuriosaModelsError(msg) from error
    finally:
        _root.reset(token)


def _finish(awaitable: Awaitable[Any]) -> Any:
    """Run an awaitable to its end, on a thread of its own: a notebook's has a loop already."""

    async def wait() -> Any:
        return await awaitable

    context = contextvars.copy_context()
    with ThreadPoolExecutor(max_workers=1) as executor:
        return executor.submit(context.run, asyncio.run, wait()).result()


@contextmanager
def _imported(root: Path, location: str) -> Iterator[types.ModuleType]:
    """The module at `location`, below a package of its own that stands for the registry."""
    name = f"_furiosa_models_registry_{uuid.uuid4().hex}"
    package = types.ModuleType(name)
    package.__path__ = [str(root)]
    sys.modules[name] = package
    try:
        parts = PurePosixPath(location).with_suffix("").parts
        yield importlib.import_module(".".join([name, *parts]))
    finally:
        for module in [module for module in sys.modules if module.startswith(name)]:
            del sys.modules[module]
