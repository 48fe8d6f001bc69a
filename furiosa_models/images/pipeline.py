"""Process many photos: decode ahead of the network, and postprocess behind it.

Each batch is one job: read, prepare, run, decode. A few threads work on one batch each; while some
of them run the network on their share of the CPUs, others read or decode. Results come in the order
of the photos, and only a few batches are in memory at a time.

That holds for files and other static sources. An iterator may be a camera: it is asked for the next
photo only after the results of the previous ones were taken, and its photos may share memory.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice, pairwise
from time import perf_counter
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

import numpy.typing as npt

from ..errors import ImageError, ShapeError
from ..progress import Bar, log_warning
from ..runtime.machine import available_cpus, workers
from .color_conversion import Background
from .jpeg import TargetSize
from .read import (
    Color,
    DecodedImage,
    ImageSource,
    buffer_source,
    is_decoded,
    photo_reference,
    read_image,
)
from .sources import expand_sources

__all__ = ["OnError", "Speed", "Steps", "check_on_error", "in_threads", "one_by_one", "pipelined"]

logger = logging.getLogger(__name__)

OnError: TypeAlias = 'Literal["raise", "skip"] | Callable[[Any, ImageError], object]'
"""What to do about a photo that cannot be read; see `Model.predict`."""


T = TypeVar("T")
Result = TypeVar("Result")


class Speed(NamedTuple):
    """Time of each stage of a prediction, in milliseconds per photo.

    With many photos the stages overlap, since photos are decoded while the network runs: `total` is
    then more than the time between two results.

    Attributes:
        read: Loading and decoding the photo; 0 for arrays and video frames.
        preprocess: Preparing the network's input.
        inference: Running the network.
        postprocess: Converting the outputs to a result.
    """

    read: float
    preprocess: float
    inference: float
    postprocess: float

    @property
    def total(self) -> float:
        """Sum of all stages."""
        return sum(self)


@dataclass(frozen=True, slots=True)
class Steps(Generic[Result]):
    """The steps that process a batch.

    Attributes:
        color: Channel order of numpy arrays.
        draft: Returns the size that photos are resized to, to allow drafts; see `read_image`.
        prepare: Converts images to the network's input and their contexts.
        run: Runs the network.
        decode: Converts outputs and contexts to results.
        where: Where the network runs, and why, for display.
        needed: Returns the size that photos are resized to, to draft those that are too large.
        background: Color to composite transparent photos onto; see `read_image`.
        backend: Name of the backend that runs the network.
        device: Its device.
    """

    color: Color
    draft: TargetSize | None
    prepare: Callable[[Sequence[DecodedImage]], tuple[npt.NDArray[Any], Any]]
    run: Callable[[npt.NDArray[Any]], list[npt.NDArray[Any]]]
    decode: Callable[[Sequence[npt.NDArray[Any]], Any], list[Result]]
    where: str = ""
    needed: TargetSize | None = None
    background: Background | None = None
    backend: str = ""
    device: str = ""

    def read(self, photo: ImageSource) -> DecodedImage:
        """Decode a photo. Video frames are already decoded."""
        return read_image(
            photo,
            color=self.color,
            draft=self.draft,
            needed=self.needed,
            background=self.background,
        )

    def predict_one(self, photo: Any) -> Result:
        """Return the result of one photo, computed in the caller's thread."""
        start = perf_counter()
        photo = buffer_source(photo)
        image = self.read(photo)
        taken = perf_counter() - start
        (result,) = self.results([image])
        return _with_image(result, photo, image, taken)

    def outcomes(self, photos: Sequence[ImageSource]) -> list[Result | Exception]:
        """Return the result of each photo of a batch, or the error of one that cannot be read.

        Everything runs in the caller's thread.
        """
        found = _run_batch(self, [_read(self, photo) for photo in photos])
        return [each.error if isinstance(each, _Failure) else each for each in found]

    def results(self, images: Sequence[DecodedImage]) -> list[Result]:
        """Return the results of decoded images."""
        times = [perf_counter()]
        tensor, contexts = self.prepare(images)
        times.append(perf_counter())
        outputs = self.run(tensor)
        times.append(perf_counter())
        results = self.decode(outputs, contexts)
        times.append(perf_counter())
        if len(results) != len(images):
            msg = f"postprocess gave {len(results)} results for {len(images)} photos"
            raise ShapeError(msg)
        stages = [1000 * (end - start) / len(images) for start, end in pairwise(times)]
        for result in results:
            _try_setattr(result, "speed", Speed(0.0, *stages))
        return results


class _Failure(NamedTuple):
    """Placeholder for a result that could not be computed."""

    source: Any
    error: Exception


def check_on_error(on_error: OnError) -> None:
    """Check the argument `on_error`.

    Raises:
        ValueError: It is neither `"raise"`, `"skip"` nor a function.
    """
    if on_error not in ("raise", "skip") and not callable(on_error):
        msg = f"on_error must be 'raise', 'skip' or a function, got {on_error!r}"
        raise ValueError(msg)


def in_threads(work: Callable[..., T], first: Sequence[Any], *others: Iterable[Any]) -> list[T]:
    """Return `list(map(work, first, *others))`, computed in one thread per CPU."""
    threads = min(len(first), available_cpus())
    if threads == 1:
        return list(map(work, first, *others))
    with ThreadPoolExecutor(threads, thread_name_prefix="furiosa_models.preprocess") as pool:
        return list(pool.map(work, first, *others))


def pipelined(
    steps: Steps[Result],
    source: ImageSource | Iterable[ImageSource],
    *,
    batch_size: int,
    on_error: OnError,
    bar: Bar | None = None,
) -> Generator[Result, None, None]:
    """Yield the results of many photos in order, while later photos are being processed.

    Closing the generator waits for the jobs in progress and ends all threads.

    Args:
        steps: The steps that process a batch.
        source: Photos, folders, globs, videos, or a sequence or iterator of them. It is read in the
            caller's thread, a few batches ahead of the results.
        batch_size: Number of photos per batch.
        on_error: See `Model.predict`.
        bar: Progress bar, updated for every photo, good or bad.
    """
    threads = workers() + 1  # one more, to read photos while the others run the network
    stop = threading.Event()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="furiosa_models.predict")
    # An error of the source is reported in order, after the results before it.
    photos = expand_sources(source, failed=_Failure)
    pending: deque[Future[list[Result | _Failure]]] = deque()
    try:
        while batch := list(islice(photos, batch_size)):
            pending.append(pool.submit(_process_batch, steps, batch, stop))
            while pending and (len(pending) > threads or pending[0].done()):
                yield from _emit(pending.popleft().result(), on_error, bar)
        while pending:
            yield from _emit(pending.popleft().result(), on_error, bar)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        photos.close()


def one_by_one(
    steps: Steps[Result],
    source: ImageSource | Iterable[ImageSource],
    *,
    batch_size: int,
    on_error: OnError,
    bar: Bar | None = None,
) -> Generator[Result, None, None]:
    """Yield the results of a source that may be live, such as a camera, one batch at a time.

    Each photo is read completely before the source is asked for the next one, which may reuse its
    memory or close it. Everything runs in the caller's thread. Arguments are those of `pipelined`.
    """
    photos = expand_sources(source, failed=_Failure)
    try:
        while batch := [_read_copy(steps, photo) for photo in islice(photos, batch_size)]:
            outcomes = _run_batch(steps, batch)
            yield from _emit(outcomes, on_error, bar)
    finally:
        photos.close()


class _ReadPhoto(NamedTuple):
    """A photo that was read: its source, its pixels, and the seconds it took."""

    photo: Any
    image: DecodedImage
    seconds: float


def _read_copy(steps: Steps[Any], photo: Any) -> _ReadPhoto | _Failure:
    """Read a photo, and copy pixels that the source may overwrite with the next photo."""
    taken = _read(steps, photo)
    if isinstance(taken, _Failure) or not is_decoded(photo):
        return taken
    image = taken.image._replace(pixels=taken.image.pixels.copy())
    return taken._replace(photo=image, image=image)


def _process_batch(
    steps: Steps[Result],
    batch: Sequence[Any],
    stop: threading.Event,
) -> list[Result | _Failure]:
    """Return the results of a batch, with failures in place of unreadable photos."""
    found: list[_ReadPhoto | _Failure] = []
    for photo in batch:
        if stop.is_set():
            return []
        found.append(_read(steps, photo))
    return _run_batch(steps, found)


def _run_batch(
    steps: Steps[Result], batch: Sequence[_ReadPhoto | _Failure]
) -> list[Result | _Failure]:
    """Return the results of photos that were read, and keep failures in their places."""
    images = [taken.image for taken in batch if isinstance(taken, _ReadPhoto)]
    results = iter(steps.results(images) if images else ())
    return [
        taken if isinstance(taken, _Failure) else _with_image(next(results), *taken)
        for taken in batch
    ]


def _read(steps: Steps[Any], photo: Any) -> _ReadPhoto | _Failure:
    """Read a photo; return a failure if it cannot be read."""
    if isinstance(photo, _Failure):
        return photo
    start = perf_counter()
    try:
        held = buffer_source(photo)
        image = steps.read(held)
    except ImageError as error:
        return _Failure(photo, error)
    return _ReadPhoto(held, image, perf_counter() - start)


def _with_image(result: Result, photo: ImageSource, image: DecodedImage, seconds: float) -> Result:
    height, width = image.drafted_from or image.pixels.shape[:2]
    _try_setattr(result, "image", photo_reference(photo, image))
    _try_setattr(result, "image_size", (width, height))
    speed = getattr(result, "speed", None)
    if isinstance(speed, Speed):
        _try_setattr(result, "speed", speed._replace(read=1000 * seconds))
    return result


def _try_setattr(result: object, name: str, value: object) -> None:
    """Set an attribute of a result, if it can be set: users may define their own result types."""
    with suppress(AttributeError):
        setattr(result, name, value)


def _emit(
    outcomes: Sequence[Result | _Failure], on_error: OnError, bar: Bar | None
) -> Iterator[Result]:
    """Yield the results, and report the failures."""
    for outcome in outcomes:
        if bar is not None:
            bar.update()
        if isinstance(outcome, _Failure):
            _report(outcome, on_error)
        else:
            yield outcome


def _report(failure: _Failure, on_error: OnError) -> None:
    if on_error == "raise" or not isinstance(failure.error, ImageError):
        raise failure.error
    if on_error == "skip":
        log_warning(logger, "skipped: %s", failure.error)
    else:
        on_error(failure.source, failure.error)
