"""Routes of the v2 protocol (Open Inference Protocol).

Besides the protocol itself they have the extensions of Triton that describe models: binary tensors,
configuration, statistics, and the index of the repository.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ..._lazy import DISTRIBUTION
from ..body import busy
from ..limits import Busy
from ..served import Resources, Served
from ..uploads import read_body
from .messages import HEADER, InferRequest, Tensor, parse, respond
from .signature import (
    PhotoResult,
    Signature,
    TensorInfo,
    network_input,
    photos_of,
    results_as_tensors,
    signatures,
)

__all__ = ["add_routes"]

_VERSION = "1"
_NETWORK = ".network"
_EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository", "statistics")
_JSON_MEMORY = 24
"""Peak bytes of Python objects per byte of JSON."""

_READ_INLINE = 1 << 14
"""Bytes of a body that are parsed at once, without a thread."""

_TAGS: list[Any] = ["v2 protocol"]
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "object"}},
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


def add_routes(router: APIRouter, models: Mapping[str, Served], resources: Resources) -> None:
    """Add the routes to a router.

    Args:
        router: Router to extend.
        models: The models by name.
        resources: What they share.
    """
    v2 = _Protocol(models, resources)
    get: dict[str, Any] = {
        "/v2": v2.server_metadata,
        "/v2/models/stats": v2.statistics,
        "/v2/models/{name}": v2.metadata,
        "/v2/models/{name}/ready": v2.ready,
        "/v2/models/{name}/config": v2.config,
        "/v2/models/{name}/stats": v2.statistics,
    }
    post: dict[str, Any] = {
        "/v2/repository/index": v2.index,
        "/v2/models/{name}/infer": v2.infer,
    }
    for method, routes in (("GET", get), ("POST", post)):
        for path, endpoint in routes.items():
            options: dict[str, Any] = {"methods": [method], "tags": _TAGS}
            if path.endswith("/infer"):
                options["openapi_extra"] = _BODY
            router.add_api_route(path, endpoint, **options)
            if "{name}" in path:
                path = path.replace("{name}", "{name}/versions/{version}")
                router.add_api_route(path, endpoint, **options, include_in_schema=False)


class _Protocol:
    """The endpoints."""

    def __init__(self, models: Mapping[str, Served], resources: Resources) -> None:
        self._models = models
        self._resources = resources
        self._signatures: dict[str, tuple[Signature, Signature | None]] = {}

    async def server_metadata(self) -> dict[str, Any]:
        """Describe the server."""
        return {
            "name": DISTRIBUTION,
            "version": version(DISTRIBUTION),
            "extensions": [*_EXTENSIONS],
        }

    async def index(self) -> list[dict[str, str]]:
        """List the models."""
        return [
            {"name": name, "version": _VERSION, "state": "READY", "reason": ""}
            for name in await self._names()
        ]

    async def ready(self, name: str, version: str = _VERSION) -> dict[str, Any]:
        """Return whether a model is ready."""
        await self._signature(name, version)
        return {"name": name, "ready": True}

    async def metadata(self, name: str, version: str = _VERSION) -> dict[str, Any]:
        """Describe a model: its inputs and outputs."""
        served, signature = await self._signature(name, version)
        return {
            "name": name,
            "versions": [_VERSION],
            "platform": served.backend,
            "inputs": [_described(each) for each in signature.inputs],
            "outputs": [_described(each) for each in signature.outputs],
        }

    async def config(self, name: str, version: str = _VERSION) -> dict[str, Any]:
        """Return the configuration of a model, in the form of Triton."""
        served, signature = await self._signature(name, version)
        delay = int(1e6 * self._resources.batching.max_wait)
        return {
            "name": name,
            "platform": served.backend,
            "backend": served.backend,
            "max_batch_size": served.max_batch,
            "input": [_configured(each) for each in signature.inputs],
            "output": [_configured(each) for each in signature.outputs],
            "dynamic_batching": {"max_queue_delay_microseconds": delay},
        }

    async def statistics(self, name: str | None = None, version: str = _VERSION) -> dict[str, Any]:
        """Return the figures of a model, or of all."""
        names = await self._names() if name is None else [name]
        found = []
        for each in names:
            served, _ = await self._signature(each, version)
            meter = served.photos if each == served.name else served.tensors
            found.append(meter.statistics())
        return {"model_stats": found}

    async def infer(self, request: Request, name: str, version: str = _VERSION) -> Response:
        """Run a model on photos, or a network on tensors."""
        served, signature = await self._signature(name, version)
        served.check_place()
        body = await read_body(request)
        asked, tensors = await self._parse(body, request.headers.get(HEADER))
        with served.place():
            if name != served.name:
                outputs = await self._infer_network(served, signature, asked, tensors, request)
            else:
                photos = photos_of(tensors, self._resources.limits.max_photos)
                results = await served.predict(
                    photos, _options(served, asked), PhotoResult.of, request.is_disconnected
                )
                outputs = results_as_tensors(results)
        return await run_in_threadpool(respond, asked, name, outputs)

    async def _infer_network(
        self,
        served: Served,
        signature: Signature,
        asked: InferRequest,
        tensors: dict[str, Tensor],
        request: Request,
    ) -> dict[str, tuple[list[int], Tensor]]:
        if unknown := asked.parameters.keys() - {"binary_data_output"}:
            raise HTTPException(400, f"unknown parameter {min(unknown)!r} of a network")
        tensor = network_input(signature, tensors, self._resources.limits.max_photos)
        arrays = await served.infer(tensor, request.is_disconnected)
        named = zip(signature.outputs, arrays, strict=True)
        return {info.name: ([*array.shape], array) for info, array in named}

    async def _parse(
        self, body: bytes, header: str | None
    ) -> tuple[InferRequest, dict[str, Tensor]]:
        size = int(header) if header and header.isdecimal() and len(header) < 20 else len(body)
        size = min(size, len(body))
        if len(body) <= _READ_INLINE:
            return parse(body, header)
        memory = self._resources.memory
        if _JSON_MEMORY * size > memory.total:
            msg = (
                f"the JSON is too large: expected at most {memory.total // _JSON_MEMORY} bytes, "
                f"got {size}; send binary tensors"
            )
            raise HTTPException(413, msg)
        try:
            async with memory.taken(_JSON_MEMORY * size):
                return await run_in_threadpool(parse, body, header)
        except Busy:
            raise busy() from None

    async def _names(self) -> list[str]:
        names = []
        for name, served in self._models.items():
            _, network = await self._both(served)
            names += [name] if network is None else [name, name + _NETWORK]
        return names

    async def _signature(self, name: str, version: str) -> tuple[Served, Signature]:
        served = self._models.get(name.removesuffix(_NETWORK))
        if served is None:
            known = ", ".join(await self._names())
            raise HTTPException(404, f"unknown model {name[:100]!r}; known: {known}")
        if version != _VERSION:
            msg = f"model {name!r} has no version {version[:20]!r}; it has {_VERSION}"
            raise HTTPException(404, msg)
        photos, network = await self._both(served)
        signature = photos if name == served.name else network
        if signature is None:
            raise HTTPException(404, f"the program of {served.name!r} takes photos, not tensors")
        return served, signature

    async def _both(self, served: Served) -> tuple[Signature, Signature | None]:
        """Return the signatures of a model; it runs once to learn them."""
        if served.name not in self._signatures:
            found = await run_in_threadpool(signatures, served.model, served.device)
            self._signatures[served.name] = found
        return self._signatures[served.name]


def _options(served: Served, asked: InferRequest) -> dict[str, Any]:
    """Return the options of `predict` among the parameters of a request."""
    parameters = {k: v for k, v in asked.parameters.items() if k != "binary_data_output"}
    texts = [(k, v if isinstance(v, str) else json.dumps(v)) for k, v in parameters.items()]
    try:
        return served.options.read(texts)
    except HTTPException as error:
        raise HTTPException(400, error.detail.replace("query parameter", "parameter")) from None


def _described(info: TensorInfo) -> dict[str, Any]:
    return {"name": info.name, "datatype": info.datatype, "shape": [*info.shape]}


def _configured(info: TensorInfo) -> dict[str, Any]:
    kind = "STRING" if info.datatype == "BYTES" else info.datatype
    return {"name": info.name, "data_type": f"TYPE_{kind}", "dims": [*info.shape[1:]]}
