from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from flatbuffers import flexbuffers  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st

from furiosa_models.errors import ConversionError, WeightsError
from furiosa_models.frameworks.tflite import TfliteModel
from furiosa_models.frameworks.tflite.flexbuffer import read_map

from .network import Network, random_array, sessions
from .samples import detection


@settings(max_examples=30)
@given(count=st.integers(1, 40), seed=st.integers(0, 999), threshold=st.sampled_from([0.0, 0.6, 1]))
def test_detections_equal_litert(count: int, seed: int, threshold: float) -> None:
    scores = np.abs(random_array((1, count, 4), seed=seed)) / 2
    ties = np.round(scores, 1).astype(np.float32)
    data = detection(count, nms_score_threshold=threshold)
    model = TfliteModel(data)
    inputs = [random_array((1, count, 4), seed=seed), ties]
    expected = model.run(inputs)
    kept = int(expected[3][0])
    for session in sessions(model.to_onnx()):
        outputs = session.run(None, dict(zip(model.input_names, inputs, strict=True)))
        assert outputs[3].tolist() == [kept]
        for found, wanted in zip(outputs[:3], expected[:3], strict=True):
            assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
            np.testing.assert_allclose(found[:, :kept], wanted[:, :kept], rtol=1e-5, atol=1e-6)
            assert not found[:, kept:].any()  # LiteRT leaves the rest undefined


@pytest.mark.parametrize("change", [{"use_regular_nms": True}, {"max_classes_per_detection": 2}])
def test_other_suppression_is_refused_by_name(change: dict[str, Any]) -> None:
    with pytest.raises(ConversionError, match="TFLite_Detection_PostProcess 't3' cannot be conv"):
        TfliteModel(detection(4, **change)).to_onnx()


def test_missing_option_is_an_error() -> None:
    net = Network()
    inputs = [net.input((1, 2, 4)), net.input((1, 2, 4)), net.input((2, 4))]
    outputs = [net.tensor(()) for _ in range(4)]
    options = bytes(flexbuffers.Dumps({"num_classes": 3}))
    net.add("TFLite_Detection_PostProcess", inputs, *outputs, custom=options)
    with pytest.raises(WeightsError, match="malformed: KeyError.'max_detections'"):
        TfliteModel(net.write(*outputs, shaped=False)).to_onnx()


@given(
    options=st.dictionaries(
        st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1),
        st.integers(-(2**62), 2**62) | st.floats(width=32, allow_nan=False) | st.booleans(),
        max_size=40,
    )
)
def test_options_equal_those_of_flatbuffers(options: dict[str, float]) -> None:
    data = bytes(flexbuffers.Dumps(options))
    assert read_map(data) == {name: float(value) for name, value in options.items()}


@given(data=st.binary(max_size=60))
def test_other_bytes_raise_the_documented_error_only(data: bytes) -> None:
    with contextlib.suppress(WeightsError):
        read_map(data)
