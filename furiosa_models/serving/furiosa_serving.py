"""Names of furiosa-serving: an application with routes that the user defines."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from .._lazy import require
from ..runtime.sync import create_runner
from .limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["ServeAPI", "ServeModel", "synchronous"]


class ServeModel:
    """A loaded program with routes that the user defines, as in furiosa-serving.

    Args:
        app: Application that has the routes.
        name: Name of the model.
        location: Path of the program.
        device: Device, as for `create_runner`.
    """

    def __init__(self, app: FastAPI, name: str, location: str, device: str | None = None) -> None:
        self.name = name
        self.get, self.post = app.get, app.post
        self._runner = create_runner(location.removeprefix("file://"), device=device)

    async def predict(self, inputs: Any) -> list[Any]:
        """Return the outputs for one input tensor, or for a list of them."""
        return await asyncio.to_thread(self._runner.run, inputs)


class ServeAPI:
    """An application whose routes use models, as in furiosa-serving.

    The limits of request bodies are those of `make_app`.

    Attributes:
        app: The `FastAPI` application.

    Args:
        limits: Limits of requests; see `Limits`.

    Raises:
        ExtraRequired: FastAPI is not installed.
    """

    def __init__(self, limits: Limits | None = None) -> None:
        require("fastapi", "serving needs FastAPI", extra="serve")
        from fastapi import FastAPI

        from .access import Access
        from .body import BodyLimits

        self.app: FastAPI = FastAPI()
        self.app.add_middleware(BodyLimits, limits=limits or Limits())
        self.app.add_middleware(Access)

    def model(self, framework: str) -> Callable[..., Awaitable[ServeModel]]:
        """Return an async function that loads a program from its name and `location`.

        Args:
            framework: Ignored; the type of the program is detected.
        """
        del framework

        async def load(name: str, *, location: str, npu_device: str | None = None) -> ServeModel:
            return await asyncio.to_thread(ServeModel, self.app, name, location, npu_device)

        return load


def synchronous(function: Callable[..., Awaitable[Any]]) -> Callable[..., Any]:
    """Return a blocking version of an async function, as in `furiosa.common.thread`."""

    async def wait(awaitable: Awaitable[Any]) -> Any:
        return await awaitable

    def call(*args: Any, **kwargs: Any) -> Any:
        with ThreadPoolExecutor(
            max_workers=1
        ) as executor:  # in a notebook, this thread has an event loop
            return executor.submit(asyncio.run, wait(function(*args, **kwargs))).result()

    return call
