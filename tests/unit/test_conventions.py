from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from furiosa_models import networks
from furiosa_models.vision import EfficientNetLite0, SSDMobileNet


def append(model: bytes, op: str, **attributes: Any) -> bytes:
    """Append an operator to every output of the model."""
    proto = onnx.load_from_string(model)
    for output in proto.graph.output:
        name = f"{output.name}/{op}"
        proto.graph.node.append(helper.make_node(op, [output.name], [name], **attributes))
        output.name = name
        if op == "ArgMax":
            output.type.tensor_type.elem_type = onnx.TensorProto.INT64
            del output.type.tensor_type.shape.dim[1:]
    return networks.to_bytes(proto)


@pytest.fixture(scope="module")
def classifier() -> bytes:
    return EfficientNetLite0(weights="random").origin


def test_softmax_in_the_graph_is_not_repeated(classifier: bytes, photos: list[Path]) -> None:
    plain = EfficientNetLite0(weights=classifier).predict(photos[0])
    inside = EfficientNetLite0(weights=append(classifier, "Softmax", axis=1)).predict(photos[0])
    assert inside == plain
    np.testing.assert_allclose(inside.scores, plain.scores, rtol=1e-5)


def test_argmax_in_the_graph_gives_its_class(classifier: bytes, photos: list[Path]) -> None:
    graph = append(classifier, "ArgMax", axis=1, keepdims=0)
    plain = EfficientNetLite0(weights=classifier).predict(photos[0])
    assert EfficientNetLite0(weights=graph).predict(photos[0]) == plain


def test_sigmoid_in_the_graph_is_not_repeated(photos: list[Path]) -> None:
    origin = SSDMobileNet(weights="random").origin
    proto = onnx.load_from_string(origin)
    for output in [o for o in proto.graph.output if o.name.startswith("class_")]:
        proto.graph.node.append(helper.make_node("Sigmoid", [output.name], [f"p_{output.name}"]))
        output.name = f"p_{output.name}"
    plain = SSDMobileNet(weights=origin).predict(photos[0], score_threshold=0.8)
    inside = SSDMobileNet(weights=proto).predict(photos[0], score_threshold=0.8)
    assert len(plain) == len(inside) > 0
    np.testing.assert_allclose(inside.boxes, plain.boxes, atol=1e-2)


def test_graph_with_uint8_input_is_unchanged(classifier: bytes, photos: list[Path]) -> None:
    taking_uint8 = networks.with_uint8_input(classifier, (127, 127, 127), (128, 128, 128))
    model = EfficientNetLite0(weights=taking_uint8)
    assert model.model_source() == taking_uint8
    assert model.predict(photos[0]) == EfficientNetLite0(weights=classifier).predict(photos[0])
