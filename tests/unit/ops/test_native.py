from __future__ import annotations

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from furiosa_models.errors import BackendUnavailable
from furiosa_models.ops import native

MODULES = ("ops.anchors", "ops.boxes", "ops.nms", "images.preprocess", "images.resize", "heads")


def test_extension_is_loaded_lazily() -> None:
    imports = "".join(f"import furiosa_models.{name}\n" for name in MODULES)
    code = f"import sys\n{imports}sys.exit('furiosa_models._native' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_missing_extension_gives_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "furiosa_models._native", None)
    native.load.cache_clear()
    with pytest.raises(BackendUnavailable, match=r"pip install -e \..*postprocessor_type"):
        native.load()
    monkeypatch.undo()
    assert native.load().__name__ == "furiosa_models._native"


IMAGE, CANVAS = np.zeros((4, 5, 3), np.uint8), np.zeros((3, 6, 6), np.uint8)
TENSOR = np.zeros((1, 3, 2, 2), np.uint8)
BOXES, SCORES = np.zeros((2, 4), np.float32), np.zeros(2, np.float32)
PLACE: dict[str, Any] = {"fill": 0, "reverse": False, "interpolation": "opencv_linear"}
LIMITS: dict[str, Any] = {"epsilon": 0.0, "limits": (None, None, None), "iou_threshold": 0.5}
LAYOUT = {"activation": "sigmoid", "class_major": False, "xy_first": False}
DECODE = LIMITS | LAYOUT | {"least_score": 0.5}
MAP = np.zeros((1, 12, 2, 2), np.float32)
ANCHORS = np.ones((1, 2, 2), np.float32)
YOLO = LIMITS | {"keypoints": 0, "with_sigmoid": True, "least_score": 0.5}


@pytest.mark.parametrize(
    ("name", "arguments", "keywords", "complaint"),
    [
        (
            "resize",
            (IMAGE[:, :, 0], IMAGE.copy(), "opencv_area"),
            {},
            "image: expected 3 dimensions, got shape [4, 5]",
        ),
        (
            "resize",
            (IMAGE.astype(float), IMAGE.copy(), "opencv_area"),
            {},
            "image: expected a numpy array of uint8, got float64",
        ),
        (
            "resize",
            (IMAGE, np.zeros((0, 5, 3), np.uint8), "opencv_area"),
            {},
            "out: expected no empty dimension, got shape [0, 5, 3]",
        ),
        (
            "resize",
            (IMAGE, np.zeros((4, 5, 1), np.uint8), "opencv_area"),
            {},
            "channels of out: expected 3, got 1",
        ),
        (
            "resize",
            (np.zeros((4, 5, 2), np.uint8),) * 2 + ("opencv_area",),
            {},
            "out: expected a writable array that shares no memory",
        ),
        (
            "resize",
            (IMAGE, IMAGE, "opencv_area"),
            {},
            "out: expected a writable array that shares no memory",
        ),
        (
            "resize",
            (IMAGE, IMAGE.copy().transpose(1, 0, 2), "opencv_area"),
            {},
            "out: expected a C-contiguous array",
        ),
        (
            "resize",
            (IMAGE, IMAGE.copy(), "nearest"),
            {},
            "interpolation must be opencv_linear, opencv_area, pillow_bilinear or",
        ),
        (
            "resize",
            ("photo", IMAGE.copy(), "opencv_area"),
            {},
            "image: expected a numpy array of uint8, got <class 'str'>",
        ),
        (
            "prepare",
            (IMAGE[:, :, :1], CANVAS),
            PLACE | {"resized": (4, 4), "offset": (0, 0)},
            "channels of image: expected 3, got 1",
        ),
        (
            "prepare",
            (IMAGE, CANVAS),
            PLACE | {"resized": (0, 4), "offset": (0, 0)},
            "resized: expected no empty dimension, got shape [0, 4]",
        ),
        (
            "normalize",
            (TENSOR, (0, 0, 0), (1, 1, 1), np.zeros((1, 3, 2, 1), np.float32)),
            {},
            "shape of out: expected [1, 3, 2, 2], got [1, 3, 2, 1]",
        ),
        (
            "normalize",
            (TENSOR, (0, 0), (1, 1, 1), np.zeros((1, 3, 2, 2), np.float32)),
            {},
            "expected a sequence of length 3 (got 2)",
        ),
        ("box_iou", (BOXES[:, :3], BOXES), {}, "boxes1: expected shape (n, 4), got shape (n, 3)"),
        (
            "batched_nms",
            (BOXES, SCORES, np.zeros(3, np.int64)),
            LIMITS,
            "got 2 scores and 3 classes",
        ),
        ("decode_ssd", ([MAP], [], BOXES), DECODE, "number of box_maps: expected 1, got 0"),
        (
            "decode_ssd",
            ([MAP], [MAP[:, :, :1]], BOXES),
            DECODE,
            "(n, height, width) of box_maps: expected (1, 2, 2), got (1, 1, 2)",
        ),
        (
            "decode_ssd",
            ([MAP], [MAP[:, :3]], BOXES),
            DECODE,
            "box channels) of maps: expected (1, 0, 0), got (1, 12, 3)",
        ),
        (
            "decode_ssd",
            ([MAP], [MAP[:, :4]], BOXES),
            DECODE,
            "anchors: expected 4 anchors, as many as the maps have, got 2",
        ),
        (
            "decode_ssd",
            ([MAP, MAP[:, :9]], [MAP[:, :4]] * 2, BOXES),
            DECODE,
            "box channels) of maps: expected (1, 12, 4), got (1, 9, 4)",
        ),
        (
            "decode_ssd",
            ([MAP[:, :, :0]], [MAP[:, :4, :0]], BOXES),
            DECODE,
            "maps: expected no empty dimension, got shape [1, 0, 2]",
        ),
        (
            "decode_ssd",
            ([], [], BOXES),
            DECODE,
            "anchors: expected 0 anchors, as many as the maps have, got 2",
        ),
        ("decode_yolo", ([], [], ANCHORS, [8.0]), YOLO, "number of first_maps: expected 1, got 0"),
        (
            "decode_yolo",
            ([MAP], [], ANCHORS, [8.0, 16.0]),
            YOLO,
            "number of strides: expected 1, got 2",
        ),
        (
            "decode_yolo",
            ([MAP], [], ANCHORS[0], [8.0]),
            YOLO,
            "anchors: expected 3 dimensions, got shape [2, 2]",
        ),
        (
            "decode_yolo",
            ([MAP], [], ANCHORS[:, :, :1], [8.0]),
            YOLO,
            "last dimension of anchors: expected 2, got 1",
        ),
        (
            "decode_yolo",
            ([MAP[:, :11]], [], ANCHORS, [8.0]),
            YOLO,
            "(n, channels) of maps: expected (1, 10), got (1, 11)",
        ),
        (
            "decode_yolo",
            ([MAP[:, :10]], [], ANCHORS, [8.0]),
            YOLO,
            "the number of classes must be at least 1, got 0",
        ),
        (
            "decode_yolo",
            ([MAP[:, :, :0]], [], ANCHORS, [8.0]),
            YOLO,
            "(1, 2, 6, 0), got 0 and 0 values",
        ),
        (
            "decode_yolo",
            ([MAP], [], ANCHORS[:, :0], [8.0]),
            YOLO,
            "(n, channels) of maps: expected (1, 0), got (1, 12)",
        ),
        (
            "decode_yolo",
            ([MAP], [MAP[:, :, :1]], ANCHORS, [8.0]),
            YOLO,
            "(n, height, width) of second_maps: expected (1, 2, 2), got (1, 1, 2)",
        ),
        (
            "decode_yolo",
            ([MAP], [MAP, MAP], ANCHORS, [8.0]),
            YOLO,
            "number of second_maps: expected 1, got 2",
        ),
        (
            "decode_yolo",
            ([MAP], [], ANCHORS, [8.0]),
            YOLO | {"keypoints": 9},
            "the number of classes must be at least 1, got 0",
        ),
        ("top_k", (SCORES, 1, True), {}, "values: expected 2 dimensions, got shape [2]"),
    ],
)
def test_misuse_is_a_value_error_instead_of_a_panic(
    name: str, arguments: tuple[Any, ...], keywords: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        getattr(native.load(), name)(*arguments, **keywords)


def test_offset_outside_the_canvas_leaves_it_blank() -> None:
    for offset in ((99, 0), (0, -99), (2**62, -(2**62)), (-(2**63), 2**63 - 1)):
        out = np.zeros((3, 6, 6), np.uint8)
        keywords = PLACE | {"fill": 9, "resized": (4, 4), "offset": offset}
        native.load().prepare(IMAGE, out, **keywords)
        assert (out == 9).all()


def test_kernels_are_thread_safe() -> None:
    image = np.random.default_rng(0).integers(0, 256, (200, 300, 3), np.uint8)

    def resized(_: int) -> bytes:
        out = np.empty((77, 88, 3), np.uint8)
        native.load().resize(image, out, "pillow_bicubic")
        return out.tobytes()

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(resized, range(32)))) == 1
