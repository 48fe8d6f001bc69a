"""One small file of every format, with the expected content."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import writers

A = np.arange(6, dtype=np.float32).reshape(2, 3)
H = np.array([1.5, -2.0], np.float16)


def _torch_body() -> bytes:
    conv = writers.module({"weight": writers.tensor("0", A)}, {})
    model = writers.module({}, {"0": conv})
    return writers.dict_({"epoch": writers.integer(3), "model": model, "h": writers.tensor("1", H)})


def _tfjs_files() -> dict[str, bytes]:
    entries: list[tuple[dict[str, Any], bytes]] = [
        ({"name": "a", "shape": [2, 3], "dtype": "float32"}, A.tobytes()),
        ({"name": "s", "shape": [2], "dtype": "string"}, b"\x01\0\0\0x\0\0\0\0"),
        (
            {
                "name": "q",
                "shape": [3],
                "dtype": "float32",
                "quantization": {"dtype": "uint8", "min": -1.0, "scale": 0.5},
            },
            bytes([0, 2, 4]),
        ),
    ]
    return writers.tfjs(entries, shards=2)


TFJS = _tfjs_files()
GRAPH = writers.const_node("a", 1, (2, 3), writers.field(4, A.tobytes()))
LITE = writers.tflite("a", 3, np.array([[1, 2]], np.uint8), (0.5, 2.0), (1, 0), 1)

ONNX = writers.onnx_tensor("a", 1, A, listed=True) + writers.onnx_tensor("h", 10, H)

FILES: dict[str, tuple[str, dict[str, bytes]]] = {
    "zip": ("pytorch", {"m.pt": writers.torch_zip(_torch_body(), {"0": A, "1": H})}),
    "stream": ("pytorch", {"m.pth": writers.torch_stream(_torch_body(), {"0": A, "1": H})}),
    "graphdef": ("graphdef", {"m.pb": GRAPH}),
    "onnx": ("onnx", {"m.onnx": writers.field(7, ONNX)}),
    "tfjs": ("tfjs", TFJS),
    "tflite": ("tflite", {"m.tflite": LITE}),
}
