"""Many photos at once: decoding ahead of the running network, and postprocessing behind it.

Each batch is one piece of work: read, prepare, run, decode. A few threads work on as many batches
at a time, each with its share of the CPUs at the network while others are read or decoded. Results
come in the order of the photos, and only a few batches are ever in memory.

That is for files and other photos that are at rest. An iterator may be a camera: it is asked for a
photo only when the results of those before it were taken, and nothing that it gave is needed then.
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
"""What becomes of a photo that cannot be read: see `Model.predict`."""


T = TypeVar("T")
Result = TypeVar("Result")


class Speed(NamedTuple):
    """How long the stages of a prediction took, in milliseconds; of a batch, each photo's part.

    Photos of many are read and decoded while the network runs: the stages of one overlap with those
    of others, and `total` is more than the time from one result to the next.

    Attributes:
        read: Fetching and decoding the photo; 0 for pixels that were given, and for frames of a
            video.
        preprocess: Making the network's input of it.
        inference: Running the network.
        postprocess: Making the result of its outputs.
    """

    read: float
    preprocess: float
    inference: float
    postprocess: float

    @property
    def total(self) -> float:
        """The stages together."""
        return sum(self)


@dataclass(frozen=True, slots=True)
class Steps(Generic[Result]):
    """What is done to a batch.

    Attributes:
        color: Channel order of numpy arrays.
        draft: What photos are resized to, where they may be drafted: see `read_image`.
        prepare: Images to the network's input and their contexts.
        run: The input to the network's outputs.
        decode: Outputs and contexts to results.
        where: Where the network runs, and why there, in words.
        needed: What photos are resized to, where those too large may be drafted: see `read_image`.
        background: What photos with an alpha channel are laid onto: see `read_image`.
    """

    color: Color
    draft: TargetSize | None
    prepare: Callable[[Sequence[DecodedImage]], tuple[npt.NDArray[Any], Any]]
    run: Callable[[npt.NDArray[Any]], list[npt.NDArray[Any]]]
    decode: Callable[[Sequence[npt.NDArray[Any]], Any], list[Result]]
    where: str = ""
    needed: TargetSize | None = None
    background: Background | None = None

    def read(self, photo: ImageSource) -> DecodedImage:
        """Decode a photo; a frame of a video comes decoded."""
        return read_image(
            photo,
            color=self.color,
            draft=self.draft,
            needed=self.needed,
            background=self.background,
        )

    def predict_one(self, photo: Any) -> Result:
        """Result of one photo, in the caller's thread."""
        start = perf_counter()
        photo = buffer_source(photo)
        image = self.read(photo)
        taken = perf_counter() - start
        (result,) = self.results([image])
        return _with_image(result, photo, image, taken)

    def results(self, images: Sequence[DecodedImage]) -> list[Result]:
        """Results of decoded images."""
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
    """What stands in the place of a result where there is none."""

    source: Any
    error: Exception


def check_on_error(on_error: OnError) -> None:
    """Raise ValueError unless it is `"raise"`, `"skip"` or a function."""
    if on_error not in ("raise", "skip") and not callable(on_error):
        msg = f"on_error must be 'raise', 'skip' or a function, got {on_error!r}"
        raise ValueError(msg)


def in_threads(work: Callable[..., T], first: Sequence[Any], *others: Iterable[Any]) -> list[T]:
    """`list(map(work, first, *others))`, on as many threads as there are CPUs for."""
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
    """Results of many photos, in their order, while later ones are worked on.

    Closing the generator waits for the photos that are being read and the batches that are in the
    network, and then no thread is left.

    Args:
        steps: What is done to a batch.
        source: Photos, folders, globs, videos, or a sequence or iterator of them. It is read in
            the caller's thread, a few batches ahead of the results.
        batch_size: Photos run at once.
        on_error: See `Model.predict`.
        bar: Is told of every photo, good or bad.
    """
    threads = workers() + 1  # while the others are at the network, one reads what comes next
    stop = threading.Event()
    pool = ThreadPoolExecutor(threads, thread_name_prefix="furiosa_models.predict")
    # What is wrong with a source is told when its turn comes, after the results before it.
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
    """Results of a source that may be live: each as soon as its batch is full and has run.

    A photo is read before the source is asked for the next one, which may take its place in memory,
    or close it. Arguments are those of `pipelined`; all is done in the caller's thread.
    """
    photos = expand_sources(source, failed=_Failure)
    try:
        while batch := [_read_copy(steps, photo) for photo in islice(photos, batch_size)]:
            outcomes = _run_batch(steps, batch)
            yield from _emit(outcomes, on_error, bar)
    finally:
        photos.close()


class _ReadPhoto(NamedTuple):
    """A photo: what to remember of it, its pixels, and how long they took."""

    photo: Any
    image: DecodedImage
    seconds: float


def _read_copy(steps: Steps[Any], photo: Any) -> _ReadPhoto | _Failure:
    """Read a photo whose source has it no longer than until it is asked for the next."""
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
    """Results of a batch, with the photos that cannot be read in their places."""
    found: list[_ReadPhoto | _Failure] = []
    for photo in batch:
        if stop.is_set():
            return []
        found.append(_read(steps, photo))
    return _run_batch(steps, found)


def _run_batch(
    steps: Steps[Result], batch: Sequence[_ReadPhoto | _Failure]
) -> list[Result | _Failure]:
    """Results of what was read, with what could not be in its place."""
    images = [taken.image for taken in batch if isinstance(taken, _ReadPhoto)]
    results = iter(steps.results(images) if images else ())
    return [
        taken if isinstance(taken, _Failure) else _with_image(next(results), *taken)
        for taken in batch
    ]


def _read(steps: Steps[Any], photo: Any) -> _ReadPhoto | _Failure:
    """What to remember of a photo, its pixels, and how long it took."""
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
    """Say something of a result; one of a user's own need not keep it."""
    with suppress(AttributeError):
        setattr(result, name, value)


def _emit(
    outcomes: Sequence[Result | _Failure], on_error: OnError, bar: Bar | None
) -> Iterator[Result]:
    """The results, the bad photos having been told of."""
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
