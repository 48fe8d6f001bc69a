from __future__ import annotations

import io
import logging
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from furiosa_models.errors import ImageError
from furiosa_models.images.pipeline import Steps, one_by_one, pipelined
from furiosa_models.images.read import DecodedImage, EncodedPhoto, ImageSource
from furiosa_models.images.sources import is_static
from furiosa_models.spec import ImageContext
from furiosa_models.vision import SSDMobileNet

NAME = "furiosa_models.predict"


class FakeResult:
    def __init__(self, value: int) -> None:
        self.value = value
        self.image: Any = None


class Network:
    """A network that returns the gray level of each photo and records its batch sizes."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.fails_at: int | None = None

    def steps(self) -> Steps[FakeResult]:
        return Steps("bgr", None, self.prepare, self.run, self.decode)

    def prepare(
        self, images: Sequence[DecodedImage]
    ) -> tuple[npt.NDArray[np.uint8], list[ImageContext]]:
        self.batches.append(len(images))
        return np.array([i.pixels[0, 0, 0] for i in images], np.uint8), [ImageContext(1, 1)]

    def run(self, tensor: npt.NDArray[np.uint8]) -> list[npt.NDArray[Any]]:
        if self.fails_at is not None and self.fails_at in tensor:
            raise RuntimeError("the network failed")
        return [tensor]

    def decode(
        self, outputs: Sequence[npt.NDArray[Any]], contexts: Sequence[ImageContext]
    ) -> list[FakeResult]:
        assert contexts
        return [FakeResult(int(value)) for value in outputs[0]]


def gray(level: int) -> npt.NDArray[np.uint8]:
    return np.full((2, 2), level, np.uint8)


def values(results: Iterator[FakeResult]) -> list[int]:
    return [result.value for result in results]


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(NAME)]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_results_keep_the_order_of_the_photos(batch_size: int) -> None:
    network = Network()
    photos = [gray(i) for i in range(50)]
    results = pipelined(network.steps(), photos, batch_size=batch_size, on_error="raise")
    assert values(results) == list(range(50))
    assert sum(network.batches) == 50
    assert max(network.batches) == min(batch_size, 50)
    assert threads() == []


def test_only_a_few_batches_are_in_memory() -> None:
    taken: list[int] = []

    def endless() -> Iterator[npt.NDArray[np.uint8]]:
        while True:
            taken.append(0)
            yield gray(1)

    results = pipelined(Network().steps(), endless(), batch_size=2, on_error="raise")
    for done in range(1, 40):
        next(results)
        assert len(taken) - done <= 2 * 12
    results.close()
    assert threads() == []


def test_closing_stops_the_threads_and_closes_the_source() -> None:
    closed = threading.Event()

    def photos() -> Iterator[npt.NDArray[np.uint8]]:
        try:
            while True:
                yield gray(1)
        finally:
            closed.set()

    for before in (0, 1, 5):
        closed.clear()
        results = pipelined(Network().steps(), photos(), batch_size=1, on_error="raise")
        for _ in range(before):
            next(results)
        results.close()
        assert threads() == []
        assert closed.is_set() or before == 0


def test_bad_photo_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    photos: list[ImageSource] = [gray(0), b"no photo", gray(1), "no-such.jpg", gray(2)]
    for batch_size in (1, 2, 5):
        told: list[tuple[object, ImageError]] = []
        results = pipelined(
            Network().steps(),
            photos,
            batch_size=batch_size,
            on_error=lambda *bad, told=told: told.append(bad),
        )
        assert values(results) == [0, 1, 2]
        assert [photo for photo, _ in told] == [b"no photo", "no-such.jpg"]
    with caplog.at_level(logging.WARNING):
        results = pipelined(Network().steps(), photos, batch_size=2, on_error="skip")
        assert values(results) == [0, 1, 2]
    assert [r.getMessage().split(":")[0] for r in caplog.records] == ["skipped", "skipped"]


def test_outcomes_of_a_batch_have_errors_in_their_places() -> None:
    network = Network()
    outcomes = network.steps().outcomes([gray(0), b"no photo", gray(1), "no-such.jpg"])
    assert network.batches == [2]
    first, damaged, second, missing = outcomes
    assert isinstance(first, FakeResult)
    assert isinstance(second, FakeResult)
    assert (first.value, second.value) == (0, 1)
    assert isinstance(damaged, ImageError)
    assert isinstance(missing, ImageError)
    assert [type(each) for each in network.steps().outcomes([b"no photo"])] == [ImageError]
    assert network.batches == [2]


def test_error_comes_after_the_results_before_it() -> None:
    photos: list[ImageSource] = [gray(0), gray(1), b"no photo", gray(2)]
    results = pipelined(Network().steps(), photos, batch_size=4, on_error="raise")
    assert [next(results).value, next(results).value] == [0, 1]
    with pytest.raises(ImageError, match="<8 bytes>"):
        next(results)
    assert threads() == []


def test_folder_without_photos_is_one_failed_source(tmp_path: Path) -> None:
    photos: list[Any] = [gray(0), [tmp_path, [gray(1)]], 3, gray(2)]
    told: list[object] = []
    results = pipelined(
        Network().steps(),
        photos,
        batch_size=2,
        on_error=lambda photo, _: told.append(photo),
    )
    assert values(results) == [0, 1, 2]
    assert told == [tmp_path, 3]


def test_errors_keep_their_traceback() -> None:
    network = Network()
    network.fails_at = 3
    results = pipelined(network.steps(), [gray(i) for i in range(9)], batch_size=1, on_error="skip")
    assert [next(results).value for _ in range(3)] == [0, 1, 2]
    with pytest.raises(RuntimeError, match="the network failed") as caught:
        next(results)
    assert "in run" in "".join(traceback.format_tb(caught.value.__traceback__))
    assert threads() == []


def test_error_of_the_source_comes_after_the_results_before_it() -> None:
    def photos() -> Iterator[npt.NDArray[np.uint8]]:
        yield gray(7)
        raise OSError("the disk is gone")

    results = pipelined(Network().steps(), photos(), batch_size=4, on_error="skip")
    assert next(results).value == 7
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_error_in_the_callback_stops_the_pipeline() -> None:
    def on_error(photo: object, error: ImageError) -> None:
        raise LookupError(photo) from error

    bad: list[ImageSource] = [b"bad", gray(1)]
    results = pipelined(Network().steps(), bad, batch_size=1, on_error=on_error)
    with pytest.raises(LookupError):
        next(results)
    assert threads() == []


def test_progress_bar_counts_every_photo() -> None:
    class Bar:
        total = 0

        def update(self, n: int = 1) -> None:
            self.total += n

    bar = Bar()
    photos: list[ImageSource] = [gray(0), b"bad", gray(1)]
    values(pipelined(Network().steps(), photos, batch_size=2, on_error="skip", bar=bar))
    assert bar.total == 3


def test_predict_runs_in_many_threads_at_once(photos: list[Path]) -> None:
    with SSDMobileNet(weights="random") as model:
        expected = model.predict(photos[:3], device="cpu")
        results: dict[int, object] = {}

        def work(i: int) -> None:
            results[i] = list(model.predict(photos[:3], batch_size=2, stream=True, device="cpu"))

        workers = [threading.Thread(target=work, args=(i,)) for i in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert [len(one) for one in expected] == [len(one) for one in results[0]]  # type: ignore[attr-defined]
    assert threads() == []


def test_predict_with_a_bad_photo(photos: list[Path], tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no photo")
    model = SSDMobileNet(weights="random")
    found = model.predict([photos[0], bad, photos[1]], device="cpu", on_error="skip")
    assert [result.image for result in found] == photos[:2]
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        model.predict([photos[0], bad], device="cpu")
    with pytest.raises(ImageError, match=r"bad\.jpg"):
        model.predict(bad, on_error="skip")  # a single photo gives one result or an error
    with pytest.raises(ValueError, match="on_error must be 'raise', 'skip' or a function"):
        model.predict(photos, on_error="ignore")  # type: ignore[call-overload]


def test_predict_of_one_photo_starts_no_thread(
    photos: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr("furiosa_models.images.pipeline.ThreadPoolExecutor", refuse)
    assert SSDMobileNet(weights="random").predict(photos[0], device="cpu") is not None


def keep_gray(result: FakeResult) -> int:
    image: Any = result.image
    return int(image.rgb[0, 0, 0])


@pytest.mark.parametrize("batch_size", [1, 3])
def test_live_source_is_read_only_after_the_previous_results(batch_size: int) -> None:
    asked: list[int] = []

    def camera() -> Iterator[npt.NDArray[np.uint8]]:
        for level in range(9):
            asked.append(level)
            yield gray(level)

    results = one_by_one(Network().steps(), camera(), batch_size=batch_size, on_error="raise")
    for taken, result in enumerate(results):
        assert result.value == taken
        assert len(asked) == (taken // batch_size + 1) * batch_size
    assert threads() == []


def arrays() -> Iterator[Any]:
    buffer = gray(0)
    for level in range(12):
        buffer[:] = level
        yield buffer


def decoded() -> Iterator[Any]:
    for buffer in arrays():
        yield DecodedImage(np.broadcast_to(buffer[:, :, None], (2, 2, 3)), True, "frame")


def pictures() -> Iterator[Any]:
    for level in range(12):
        image = Image.new("L", (2, 2), level)
        yield image
        image.paste(99, (0, 0, 2, 2))
        image.close()


def files() -> Iterator[Any]:
    for level in range(12):
        file = io.BytesIO()
        Image.new("L", (2, 2), level).save(file, "PNG")
        file.seek(0)
        yield file
        file.close()


def memory() -> Iterator[Any]:
    buffer = bytearray(200)
    for file in files():
        data = file.read()
        buffer[:] = data + bytes(200 - len(data))
        yield memoryview(buffer)


def names() -> Iterator[Any]:
    with tempfile.TemporaryDirectory() as folder:
        for file in files():
            path = Path(folder, "photo.png")
            path.write_bytes(file.read())
            yield path
            path.unlink()


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize("source", [arrays, decoded, pictures, files, memory, names])
def test_live_source_may_reuse_its_buffer(
    source: Callable[[], Iterator[Any]], batch_size: int
) -> None:
    results = one_by_one(Network().steps(), source(), batch_size=batch_size, on_error="raise")
    found = list(results)
    assert [result.value for result in found] == list(range(12))
    if source is not names:
        assert [keep_gray(result) for result in found] == list(range(12))


def test_live_source_with_bad_photos() -> None:
    told: list[object] = []
    photos: list[Any] = [gray(0), b"no photo", gray(1), 3, gray(2)]
    for batch_size in (1, 2, 5):
        results = one_by_one(
            Network().steps(),
            iter(photos),
            batch_size=batch_size,
            on_error=lambda photo, _: told.append(photo),
        )
        assert values(results) == [0, 1, 2]
    assert told == [b"no photo", 3] * 3


def test_is_static_distinguishes_lists_from_iterators(photos: list[Path]) -> None:
    lists: list[Any] = [photos, tuple(photos), photos[0].parent, photos[0], b"x", [photos, [b"x"]]]
    for source in (*lists, np.zeros((2, 4, 4, 3), np.uint8), io.BytesIO(), Image.new("L", (1, 1))):
        assert is_static(source)
    for source in (iter(photos), map(str, photos), [photos, iter(photos)], (p for p in photos)):
        assert not is_static(source)


def test_predict_and_preprocess_accept_a_camera() -> None:
    frames = [np.full((60, 80, 3), level, np.uint8) for level in range(0, 250, 50)]

    def camera() -> Iterator[npt.NDArray[np.uint8]]:
        buffer = frames[0].copy()
        for frame in frames:
            buffer[:] = frame
            yield buffer

    with SSDMobileNet(weights="random") as model:
        expected, _ = model.preprocess(frames)
        tensor, contexts = model.preprocess(camera())
        np.testing.assert_array_equal(tensor, expected)
        assert len(contexts) == len(frames)
        few: dict[str, Any] = {"device": "cpu", "score_threshold": 0.9}
        wanted = [model.predict(frame, **few) for frame in frames]
        found = model.predict(camera(), batch_size=2, **few)
        assert [len(one) for one in found] == [len(one) for one in wanted]
        for result, frame in zip(found, frames, strict=True):
            image: Any = result.image
            np.testing.assert_array_equal(image.rgb, frame)


def test_source_that_waits_for_the_result_does_not_deadlock() -> None:
    """The source yields the second photo only after the first result was received."""
    seen = threading.Event()
    answered: list[bool] = []

    def dialogue() -> Iterator[npt.NDArray[np.uint8]]:
        yield np.zeros((8, 8, 3), np.uint8)
        answered.append(seen.wait(5))
        yield np.zeros((8, 8, 3), np.uint8)

    with SSDMobileNet(weights="random") as model:
        for _ in model.predict(dialogue(), stream=True, device="cpu", score_threshold=1.0):
            seen.set()
    assert answered == [True]


def test_results_refer_to_the_given_sources(photos: list[Path]) -> None:
    data = photos[0].read_bytes()
    with Image.open(photos[1]) as image, SSDMobileNet(weights="random") as model:
        sources: list[Any] = [data, io.BytesIO(data), photos[0], image, bytearray(data)]
        found = model.predict(sources, device="cpu", score_threshold=1.0)
        kept: list[Any] = [result.image for result in found]
        assert [type(one) for one in kept[:3]] == [EncodedPhoto, EncodedPhoto, type(photos[0])]
        assert kept[0].data is data
        assert kept[3] is image
        assert all(getattr(one, "pixels", None) is None for one in kept)
        assert [result.plot().size for result in found] == [
            found[2].plot().size if one is not image else image.size for one in kept
        ]
