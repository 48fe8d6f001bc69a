"""A model behind a server: its queue, its batches, and the memory of its photos."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import numpy.typing as npt
from fastapi.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from ..errors import FuriosaModelsError, ImageError, ShapeError
from ..images.decode import decoding_bytes
from ..images.read import Background, DecodedImage, EncodedPhoto
from ..model import Model
from ..runtime.backends import find_backend
from ..runtime.machine import workers
from ..tasks.pose import LIMBS, PoseTask
from .batching import Batcher, Batching, Gone, Workers
from .body import busy
from .limits import Budget, Busy, Limits
from .metrics import Metrics, ModelMetrics
from .options import QueryOptions

if TYPE_CHECKING:
    from ..images.pipeline import Steps

__all__ = ["Resources", "Served"]

T = TypeVar("T")
_Array = npt.NDArray[Any]
_DRAWING = 3
"""Memory that drawing takes, as a multiple of that of decoding."""

_BATCH = 8
"""Default maximum size of a batch on devices that run one inference at a time."""


@dataclass(frozen=True, slots=True)
class _Photo:
    """A job: a photo, and a function that converts its result in the worker thread."""

    source: EncodedPhoto | DecodedImage
    finish: Callable[[Any], Any]


class Resources:
    """What all models of a server share.

    Args:
        limits: Limits of requests.
        batching: How requests form batches.
        metrics: Metrics.
    """

    def __init__(self, limits: Limits, batching: Batching, metrics: Metrics) -> None:
        self.limits = limits
        self.batching = batching
        self.metrics = metrics
        self.memory = Budget.of(limits, limits.photo_memory)
        self.workers = Workers(workers() + 1)  # one more, to read photos while others infer


class Served:
    """A model of a server.

    Attributes:
        name: Name in URLs.
        model: The model.
        options: Its options.
        device: Device that was asked for.
        backend: Name of the backend that runs it.
        photos: Metrics of photos.
        tensors: Metrics of tensors.
        max_batch: Maximum number of photos in a batch.

    Args:
        name: Name in URLs.
        model: The model; its weights are fetched and loaded here.
        resources: What all models share.
        device: Device, as for `predict`.
        background: Default background color, as for `predict`.
    """

    def __init__(
        self,
        name: str,
        model: Model[Any],
        resources: Resources,
        *,
        device: str | None,
        background: Background | None,
    ) -> None:
        self.name, self.model = name, model
        self.options = QueryOptions(model)
        self.backend = model.steps(device=device).backend
        self.device, self._resources = device, resources
        self._defaults = {} if background is None else {"background": background}
        backend = find_backend(self.backend)
        is_parallel = backend is not None and backend.shareable
        self._shares = is_parallel and workers() > 1
        if self._shares:
            model.steps(device=device, shared=True)
        batching = resources.batching
        self.max_batch = batching.max_batch or (1 if is_parallel else _BATCH)
        self.photos = resources.metrics.of_model(name)
        self.tensors = resources.metrics.of_model(f"{name}.network")
        self._photos = self._batcher(self._run_photos, self.photos)
        self._tensors = self._batcher(self._run_tensors, self.tensors)
        self._places = resources.limits.max_queue

    def described(self) -> dict[str, Any]:
        """Return facts of the model for clients."""
        return {
            "name": self.name,
            "task": self.model.task,
            "labels": len(self.model.labels),
            "backend": self.backend,
            "parameters": self.options.described(),
            **({"limbs": LIMBS} if isinstance(self.model.vision_task, PoseTask) else {}),
        }

    def _batcher(
        self, run: Callable[[Any, list[Any], bool], Sequence[Any]], meter: ModelMetrics
    ) -> Batcher:
        return Batcher(
            run,
            self._resources.workers,
            max_batch=self.max_batch,
            max_wait=self._resources.batching.max_wait,
            timeout=self._resources.limits.queue_timeout,
            meter=meter,
        )

    # --- Queue ----------------------------------------------------------------------------------

    def check_place(self) -> None:
        """Check that the queue has a place for a request.

        Raises:
            HTTPException: The queue is full.
        """
        if self._places <= 0:
            most = self._resources.limits.max_queue
            msg = f"the queue of {self.name} is full, with {most} requests: try again in 1 second"
            raise HTTPException(429, msg, {"Retry-After": "1"})

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place in the queue for a request.

        Raises:
            HTTPException: The queue is full.
        """
        self.check_place()
        self._places -= 1
        self.photos.in_progress.inc()
        try:
            yield
        finally:
            self._places += 1
            self.photos.in_progress.dec()

    # --- Photos ---------------------------------------------------------------------------------

    async def predict(
        self,
        photos: Sequence[EncodedPhoto | DecodedImage],
        options: Mapping[str, Any],
        finish: Callable[[Any], T],
        is_gone: Callable[[], Awaitable[bool]],
        *,
        draws: bool = False,
    ) -> list[T]:
        """Return what `finish` makes of the result of each photo of a request, in order.

        Only a few photos of a request wait or run at a time, so that others get their turn.

        Args:
            photos: The photos.
            options: Options of `predict`.
            finish: Function that is called in a worker thread.
            is_gone: Returns whether the client has disconnected.
            draws: Whether `finish` draws on the photo, which takes more memory.

        Raises:
            HTTPException: A photo cannot be decoded, an option is out of range, or the server has
                no memory or time for it.
        """
        few = asyncio.Semaphore(max(2 * self.max_batch, self._resources.workers.free.total))
        key = tuple(sorted((self._defaults | dict(options)).items()))

        async def one(photo: EncodedPhoto | DecodedImage) -> T:
            async with few:
                return await self._predict(photo, key, finish, is_gone, draws)

        if len(photos) == 1:
            return [await one(photos[0])]
        tasks = [asyncio.ensure_future(one(photo)) for photo in photos]
        try:
            return [await task for task in tasks]
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _predict(
        self,
        photo: EncodedPhoto | DecodedImage,
        key: tuple[tuple[str, Any], ...],
        finish: Callable[[Any], T],
        is_gone: Callable[[], Awaitable[bool]],
        draws: bool,
    ) -> T:
        try:
            async with self._resources.memory.taken(await self._needed(photo, draws)):
                done: T = await self._photos.result(key, _Photo(photo, finish), is_gone)
                return done
        except Busy:
            raise busy() from None
        except Gone:
            raise HTTPException(400, "the connection was closed") from None
        except ImageError as error:
            self.photos.failures.inc()
            raise HTTPException(422, str(error)) from error
        except Exception:
            self.photos.failures.inc()
            raise

    async def _needed(self, photo: EncodedPhoto | DecodedImage, draws: bool) -> int:
        """Return the bytes that a photo needs, and check that the server has as many."""
        if isinstance(photo, DecodedImage):
            return 0  # the body has its own budget
        needed = await run_in_threadpool(decoding_bytes, photo.data)
        needed *= _DRAWING if draws else 1
        total = self._resources.memory.total
        if needed > total:
            msg = (
                f"image {photo.name!r} needs up to {needed / 1e6:.0f} MB to decode; the limit of "
                f"the server is {total / 1e6:.0f} MB: send a smaller image"
            )
            raise HTTPException(413, msg)
        return needed

    def _run_photos(
        self, key: tuple[tuple[str, Any], ...], jobs: list[_Photo], is_alone: bool
    ) -> list[Any]:
        """Return the outcome of each photo of a batch; called in a worker thread."""
        options = dict(key)
        try:
            outcomes = self._steps(is_alone, **options).outcomes([job.source for job in jobs])
        except ValueError as error:
            if not any(name in str(error) for name in options):
                raise
            return [HTTPException(422, str(error))] * len(jobs)
        return [_finished(job, outcome) for job, outcome in zip(jobs, outcomes, strict=True)]

    def _steps(self, is_alone: bool, **options: Any) -> Steps[Any]:
        """Return the steps of a batch: all CPUs run one that is alone, else each has its share."""
        return self.model.steps(device=self.device, shared=self._shares and not is_alone, **options)

    # --- Tensors --------------------------------------------------------------------------------

    async def infer(self, tensor: _Array, is_gone: Callable[[], Awaitable[bool]]) -> list[_Array]:
        """Return the outputs of the network alone.

        Raises:
            HTTPException: The tensor does not fit the network, or the server has no time for it.
        """
        key = tensor.dtype.str, tensor.shape[1:]
        try:
            outputs: list[_Array] = await self._tensors.result(key, tensor, is_gone)
        except Busy:
            raise busy() from None
        except Gone:
            raise HTTPException(400, "the connection was closed") from None
        except FuriosaModelsError as error:
            self.tensors.failures.inc()
            raise HTTPException(400, str(error)) from error
        except Exception:
            self.tensors.failures.inc()
            raise
        return outputs

    def _run_tensors(self, _: Any, tensors: list[_Array], is_alone: bool) -> list[list[_Array]]:
        """Return the outputs for each tensor of a batch; called in a worker thread."""
        whole = tensors[0] if len(tensors) == 1 else np.concatenate(tensors)
        run = self._steps(is_alone).run
        starts = range(0, len(whole), self.max_batch)  # more rows at once would need more memory
        chunks = [run(whole[start : start + self.max_batch]) for start in starts]
        if len(chunks) == len(tensors) == 1:
            return chunks
        outputs = [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
        if any(len(output) != len(whole) for output in outputs):
            msg = f"the network of {self.name} has no batches: an output has another first size"
            raise ShapeError(msg)
        ends = np.cumsum([len(tensor) for tensor in tensors])[:-1]
        parts = [np.split(output, ends) for output in outputs]
        return [list(each) for each in zip(*parts, strict=True)]


def _finished(job: _Photo, outcome: Any) -> Any:
    """Return the value of a job, or the exception that it fails with."""
    if isinstance(outcome, Exception):
        return outcome
    try:
        return job.finish(outcome)
    except Exception as error:  # only this job fails
        return error
