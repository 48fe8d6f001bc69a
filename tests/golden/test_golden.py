"""Our networks compared with independent implementations, with the same seeded weights.

Each JSON file holds a few output values of an independent implementation, run once in float64 with
the weights and the input of `RandomWeights`, which are the same on every machine. The measure is
`|ours - theirs| / max(|theirs|, rms)`, where `rms` is that of their whole output tensor.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from furiosa_models import networks
from furiosa_models.networks.weights import Parameter

CASES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.json"))}
TOLERANCE = 1e-4


def _outputs(golden: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of our network by name."""
    weights = networks.RandomWeights(golden["weights_seed"])
    model = networks.build(golden["network"], weights, **golden["params"])
    name, shape = golden["input"]["name"], tuple(golden["input"]["shape"])
    uniform = Parameter(name, shape, gain=1 / 3)
    image = networks.RandomWeights(golden["input"]["seed"]).get(uniform)
    session = onnxruntime.InferenceSession(networks.to_bytes(model))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {name: image}), strict=True))


@pytest.mark.parametrize("case", CASES)
def test_outputs_equal_those_of_an_independent_implementation(
    case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    golden = json.loads(CASES[case].read_text())
    outputs = _outputs(golden)
    assert list(outputs) == list(golden["outputs"])
    found: list[float] = []
    for name, expected in golden["outputs"].items():
        assert list(outputs[name].shape) == expected["shape"], name
        theirs = np.array(expected["values"])
        difference = np.abs(outputs[name].ravel()[expected["indices"]] - theirs)
        relative = difference / np.maximum(np.abs(theirs), expected["rms"])
        found += relative.tolist()
    worst = np.max(found)  # NaN if any value is NaN
    with capsys.disabled():
        print(f"\n{case}: {worst:.1e} over {len(found)} values ", end="")  # noqa: T201
    assert worst <= TOLERANCE


def test_every_network_has_an_independent_implementation() -> None:
    covered = {json.loads(path.read_text())["network"] for path in CASES.values()}
    without = {
        *("deeplab_v3", "selfie_segmentation", "u2net"),  # tests/e2e/test_maps.py
        "fai_cls",  # the tests of torch_sink have one
        "mobilenet_v2_ssd",  # only TensorFlow has one; test_checkpoints runs it on photos
        "movenet",  # compared with TensorFlow.js in the folder tfjs
        "nanodet",  # the same
        "posenet",  # tests/unit/networks/test_checkpoints.py
    }
    assert covered | without == set(networks.NETWORKS)
