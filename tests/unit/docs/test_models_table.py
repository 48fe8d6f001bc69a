"""The table of models in the README is that of the catalog."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from model_pages import models_page
from models_table import at_once, models_table, with_table
from onnx import TensorProto, helper

from furiosa_models import get_model, list_models
from furiosa_models.networks.cost import cost_of

README = Path(__file__).parents[3] / "README.md"


def test_the_readme_is_up_to_date() -> None:
    text = README.read_text()
    assert with_table(text, models_table()) == text, "run: python docs/models_table.py"


def test_index_has_charts_and_every_model() -> None:
    page = models_page()
    assert page.count("<svg") == 2
    for name in list_models():
        assert f"[`{name}`]({name.lower()}.md)" in page


def test_every_model_has_a_row() -> None:
    text = README.read_text()
    for name in list_models():
        assert f"| `{name}` |" in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SSDMobileNetV2", "yes"),
        ("ResNet50", 'weights="keras-v1"'),
        ("YOLOv5n", "bring weights"),
        ("SSDResNet34", "bucket of FuriosaAI"),
        ("DFineN", "Hugging Face"),
        ("YOLOXNano", "GitHub"),
    ],
)
def test_what_works_at_once(name: str, words: str) -> None:
    assert words in at_once(get_model(name))


@pytest.mark.parametrize(
    ("name", "millions", "gflops"),
    [  # published: torchvision's tables (twice the multiply-adds), the table of YOLOv5
        ("ResNet50", 25.56, 8.18),
        ("MobileNetV2", 3.50, 0.60),
        ("EfficientNetB0", 5.29, 0.78),
        ("YOLOv5n", 1.87, 4.5),
        ("YOLOv5s", 7.23, 16.5),
    ],
)
def test_costs_are_those_published(name: str, millions: float, gflops: float) -> None:
    cost = cost_of(get_model(name, "random").origin)
    assert cost.parameters / 1e6 == pytest.approx(millions, rel=0.01)
    assert cost.gflops == pytest.approx(gflops, rel=0.02)


def test_the_cost_of_a_graph_of_any_size_is_not_guessed() -> None:

    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])
    output = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    kernel = onnx.numpy_helper.from_array(np.zeros((4, 3, 3, 3), np.float32), "k")
    node = helper.make_node("Conv", ["x", "k"], ["y"])
    graph = helper.make_graph([node], "g", [image], [output], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    cost = cost_of(model)
    assert (cost.parameters, cost.multiply_adds, cost.gflops) == (108, None, None)
