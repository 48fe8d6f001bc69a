from __future__ import annotations

import pickle
import socket
import threading
import time
from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any

import numpy as np
import pytest

from furiosa_models.errors import ImageError
from furiosa_models.images import live, video
from furiosa_models.images.live import LiveFrame, Stream
from furiosa_models.images.sources import count, is_live, is_single, is_static
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet
from tests.mjpeg import Camera, camera

av: Any = pytest.importorskip("av", reason="streams need PyAV (the extra `video`)")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    monkeypatch.setattr(live, "_FIRST_DELAY_S", 0.05)
    with camera() as found:
        yield found


@pytest.fixture
def fake_cameras(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cameras that FFmpeg draws: those of this machine cannot be tested."""
    table = {"linux": ("lavfi", "testsrc=size=64x48:rate=100,realtime")}
    monkeypatch.setattr(video, "_CAMERAS", table)
    monkeypatch.setattr("sys.platform", "linux")


def test_live_sources_are_recognized() -> None:
    for source in (
        0,
        np.int64(1),
        "rtsp://10.0.0.1/cam",
        "UDP://127.0.0.1:1234",
        "http://host/a/stream.mjpg",
        "https://host/stream.M3U8?token=1",
        Stream("http://host/video"),
    ):
        assert is_live(source)
        assert not is_single(source)
        assert not is_static(source)
        assert count(source) is None
    for other in ("a.jpg", "http://host/a.jpg", "http://[", True, b"", 1.5, "rtsp.jpg", "0", None):
        assert not is_live(other)


def test_frames_of_a_network_camera(server: Camera) -> None:
    with Stream(server.url) as stream:
        found = list(islice(stream, 5))
    frames: list[Any] = [image.kept for image in found]
    assert [image.pixels.shape for image in found] == [(48, 64, 3)] * 5
    indices = [frame.index for frame in frames]
    assert indices == sorted(set(indices))
    assert [frame.name for frame in frames] == [f"{server.url}#{i}" for i in indices]
    assert frames[0].time == 0
    assert all(a.time <= b.time for a, b in pairwise(frames))
    assert isinstance(frames[0], LiveFrame)
    assert frames[0].stem == f"127.0.0.1-{server.server_port}-stream.mjpg"
    copy = pickle.loads(pickle.dumps(frames[0]))
    np.testing.assert_array_equal(copy.decode().rgb, found[0].rgb)


def test_a_slow_reader_gets_the_newest_frame(server: Camera) -> None:
    with Stream(server.url) as stream:
        iterator = iter(stream)
        first: Any = next(iterator)
        time.sleep(0.6)
        late: Any = next(iterator)
        latest: Any = next(iterator)
        assert late.kept.index - first.kept.index > 10
        assert latest.kept.index - late.kept.index <= 3
        levels = [int(image.rgb[0, 0, 0]) for image in (first, late)]
        assert levels[1] - levels[0] > 10
        iterator.close()  # type: ignore[attr-defined]
    assert stream.dropped >= 10
    assert stream.received >= stream.dropped + 3


def test_a_stream_that_breaks_off_is_opened_again(server: Camera) -> None:
    server.limit = 5
    with Stream(server.url) as stream:
        found = list(islice(stream, 14))
    assert len(found) == 14
    assert stream.reconnects >= 2
    assert server.visits >= 3


def test_a_stream_that_stays_away_is_an_error(server: Camera, caplog: Any) -> None:
    server.limit = 3
    stream = Stream(server.url, max_reconnects=2)
    iterator = iter(stream)
    found = [next(iterator)]
    server.is_broken = True
    with pytest.raises(ImageError, match=r"broke off after [23] frames, .* in 2 attempts: .*5XX"):
        found += list(iterator)
    assert 1 <= len(found) <= 3
    assert "connecting again in 0.05 s" in caplog.text
    assert "connecting again in 0.1 s" in caplog.text


@pytest.mark.parametrize("kind", ["refused", "broken"])
def test_a_source_that_cannot_be_opened_is_an_error_at_once(server: Camera, kind: str) -> None:
    server.is_broken = True
    url = server.url
    if kind == "refused":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            url = f"http://user:secret@127.0.0.1:{free.getsockname()[1]}/stream.mjpg"
    begin = time.monotonic()
    with pytest.raises(ImageError, match=r"127\.0\.0\.1.*stream\.mjpg' cannot be read") as caught:
        next(iter(Stream(url)))
    assert time.monotonic() - begin < 5
    assert "secret" not in str(caught.value)


def test_a_stream_over_udp() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        url = f"udp://127.0.0.1:{free.getsockname()[1]}"
    stop = threading.Event()

    def send() -> None:
        with av.open(f"{url}?pkt_size=1316", "w", format="mpegts") as container:
            out = container.add_stream("mpeg2video", rate=25)
            out.width, out.height, out.pix_fmt, out.gop_size = 64, 48, "yuv420p", 5
            while not stop.is_set():
                frame = av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")
                container.mux(out.encode(frame))
                time.sleep(0.02)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        with Stream(url) as stream:
            found = list(islice(stream, 5))
    finally:
        stop.set()
        thread.join()
    assert [image.pixels.shape for image in found] == [(48, 64, 3)] * 5


@pytest.mark.usefixtures("fake_cameras")
def test_a_camera_is_predicted_and_tracked() -> None:
    model = SSDMobileNet(weights="random")
    results = model.predict(0, stream=True, track=True, score_threshold=0.9, device="cpu")
    found = list(islice(results, 3))
    results.close()  # type: ignore[attr-defined]
    frames: list[Any] = [result.image for result in found]
    assert [frame.path for frame in frames] == ["camera 0"] * 3
    assert [frame.index for frame in frames] == sorted({frame.index for frame in frames})
    assert found[-1].image_size == (64, 48)
    assert found[-1].plot().size == (64, 48)


def test_a_missing_camera_is_an_error() -> None:
    model = EfficientNetLite0(weights="random")
    with pytest.raises(ImageError, match="'camera 61' cannot be read: .*No such file"):
        next(iter(model.predict(61, stream=True, device="cpu")))


def test_live_sources_need_a_stream_of_results() -> None:
    model = EfficientNetLite0(weights="random")
    for source in (0, "rtsp://10.0.0.1/cam", ["a.jpg", 0]):
        with pytest.raises(ValueError, match="has no end: use predict"):
            model.predict(source)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has no end"):
        model.preprocess("rtsp://10.0.0.1/cam")


def test_no_stream_is_opened_offline(monkeypatch: pytest.MonkeyPatch, server: Camera) -> None:
    monkeypatch.setenv("FURIOSA_MODELS_OFFLINE", "1")
    with pytest.raises(ImageError, match="FURIOSA_MODELS_OFFLINE is set"):
        next(iter(Stream(server.url)))
    assert server.visits == 0


def test_wrong_arguments() -> None:
    for source in (True, None, 1.5):
        with pytest.raises(TypeError, match="needs the index of a camera or a URL"):
            Stream(source)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="must not be negative"):
        Stream(-1)
    with pytest.raises(ValueError, match="max_reconnects"):
        Stream(0, max_reconnects=-1)
    assert repr(Stream("rtsp://me:secret@host/cam")) == (
        "Stream('rtsp://host/cam', received=0, dropped=0)"
    )
