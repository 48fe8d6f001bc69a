"""The kernels without AVX2 give the same bits as those with AVX2."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from furiosa_models.ops import native

SCRIPT = """
import hashlib
import numpy as np
from furiosa_models import _native

random = np.random.default_rng(0)
digest = hashlib.sha256()
for case in range(60):
    height, width, tall, wide = random.integers(1, 90, 4)
    for channels in (1, 3):
        image = random.integers(0, 256, (height, width, channels), dtype=np.uint8)
        for name in ("opencv_linear", "opencv_area", "pillow_bilinear", "pillow_bicubic"):
            for shape in ((tall, wide), (height // 2 or 1, width // 2 or 1), (height, width)):
                out = np.empty((*shape, channels), np.uint8)
                _native.resize(image, out, name)
                digest.update(out)
    tensor = random.integers(0, 256, (2, 3, tall, wide), dtype=np.uint8)
    scaled = np.empty(tensor.shape, np.float32)
    _native.normalize(tensor, [1.5, 2.5, 3.5], [57.0, 58.0, 59.0], scaled)
    digest.update(scaled)
    scores = random.normal(size=(3, 1 + case * 7)).astype(np.float32)
    for ids, best in _native.top_k(scores, 5, case % 2 == 0):
        digest.update(ids)
        digest.update(best)
from furiosa_models.runtime.sync import create_runner
from furiosa_models.vision import SSDMobileNet, YOLOv5n
for model in (SSDMobileNet("random"), YOLOv5n("random")):
    tensor, contexts = model.preprocess(random.integers(0, 256, (300, 400, 3), dtype=np.uint8))
    with create_runner(model, device="cpu") as runner:
        outputs = runner.run(tensor)
    digest.update(tensor)
    for found in model.postprocess(outputs, contexts, 0.3):
        assert len(found)
        for array in (found.boxes, found.scores, found.class_ids):
            digest.update(np.ascontiguousarray(array))
print(_native.instructions(), digest.hexdigest())
"""


@pytest.mark.skipif(
    native.load().instructions() == "baseline", reason="this CPU has no AVX2, or is told so"
)
def test_kernels_with_and_without_avx2_agree(tmp_path: Path) -> None:
    cache = {"FURIOSA_MODELS_CACHE_HOME": str(tmp_path / "cache")}
    said = [
        subprocess.run(
            [sys.executable, "-c", SCRIPT],
            env={**os.environ, **cache, "FURIOSA_MODELS_AVX2": switch},
            capture_output=True,
            check=True,
            text=True,
        ).stdout.split()
        for switch in ("1", "0")
    ]
    (name, with_avx2), (other, without) = said
    assert (name, other) == ("avx2", "baseline")
    assert with_avx2 == without
