"""Everything around the network, as a ratio to the network: (pre + run + post) / run, one thread.

All contenders run the same network (random weights) in the same ONNX Runtime session and differ in
what is around it.
"""

from __future__ import annotations

import sys
from typing import Any

import common

common.enter()

import cv2
import numpy as np
import scenes
import simplejpeg

from furiosa_models.catalog import get_model
from furiosa_models.runtime.sync import create_runner

DEFAULT = ("SSDMobileNet", "EfficientNetB0", "ResNet50")
TARGETS = {
    "SSDMobileNet": (1.12, 1.4),
    "EfficientNetB0": (1.21, 1.9),
    "ResNet50": (1.04, 1.16),
}


def row(name: str, size: str, target: float | None) -> common.Row:
    """One network on photos of one size."""
    model = get_model(name, weights="random")
    path = str(scenes.photo(size))
    with create_runner(model, device="cpu", worker_num=1) as runner:

        def whole(photo: Any, color: Any = "bgr") -> Any:
            tensor, contexts = model.preprocess([photo], color=color)
            return model.postprocess(runner.run(tensor), contexts, **options)

        def turbo() -> Any:
            with open(path, "rb") as file:  # noqa: PTH123 - as fast as it gets
                return simplejpeg.decode_jpeg(file.read(), colorspace="RGB")

        options = {"score_threshold": 0.9} if name.startswith("SSD") else {}
        tensor, _ = model.preprocess([path])
        contenders: dict[str, common.Work] = {
            "session.run alone": lambda: runner.run(tensor),
            "ours": lambda: whole(path),
            "simplejpeg + ours": lambda: whole(turbo(), "rgb"),
            "OpenCV + ours": lambda: whole(cv2.imread(path)),
        }
        best = common.interleaved(contenders, seconds=3)
    ratios = {key: round(best[key] / best["session.run alone"], 3) for key in best}
    return common.Row(f"{name} {size}", best, notes={"ratio_to_run": ratios, "target": target})


def main() -> None:
    """Measure and report; names of models may be given."""
    cv2.setNumThreads(1)
    np.seterr(all="ignore")
    rows = [
        row(name, size, TARGETS.get(name, (None, None))[place])
        for name in sys.argv[1:] or DEFAULT
        for place, size in enumerate(("VGA", "FHD"))
    ]
    common.report("end_to_end", "End to end, over the network alone (target in the JSON)", rows)


main()
