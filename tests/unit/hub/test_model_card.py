from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.enums import Task
from furiosa_models.hub.model_card import model_card
from furiosa_models.model_info import ModelInfo


def header(card: str) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load(card.split("---\n", 2)[1])
    return found


def described(**changes: object) -> ModelInfo:
    return ModelInfo("n", "fam", ["cat"], (480, 640), Task.DETECTION, {}, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("AGPL-3.0", {"license": "agpl-3.0"}),
        ("Ann's own (2024)", {"license": "other", "license_name": "ann-s-own-2024"}),
        (None, {}),
    ],
)
def test_license_is_one_that_hugging_face_knows(name: str | None, expected: dict[str, str]) -> None:
    info = described()
    info.config["license"] = name
    found = header(model_card(info, "hf://a/b"))
    assert {key: value for key, value in found.items() if "license" in key} == expected


def test_card_states_accuracy_and_input() -> None:
    info = described(val_metrics={"bbox/AP": 61.5, "note": "a|b"}, val_dataset="val.json")
    card = model_card(info, "hf://a/b")
    assert "| bbox/AP | 61.5 |" in card
    assert r"| note | a\|b |" in card
    assert "480 x 640" in card
    assert "- Data: val.json" in card
    assert "Detector(pull('hf://a/b'))" in card


@pytest.mark.parametrize("task", list(Task))
def test_every_task_has_a_card(task: Task) -> None:
    info = described()
    info.task = task
    assert header(model_card(info, "hf://a/b"))["pipeline_tag"]


@given(st.text(), st.lists(st.text(), max_size=4), st.text())
def test_no_name_breaks_the_header(name: str, classes: list[str], family: str) -> None:
    info = ModelInfo(name, family, classes, 8, Task.DETECTION, {"license": name})
    found = header(model_card(info, "hf://a/b"))
    assert found["library_name"] == "furiosa_models"
    assert found["tags"] == ["vision", "onnx", "detection", family]
