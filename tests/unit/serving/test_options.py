"""Query parameters derived from the signatures of models."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.exceptions import HTTPException

from furiosa_models.serving.options import QueryOptions
from furiosa_models.tasks.detection import DetectionTask
from furiosa_models.vision import SSDMobileNet

if TYPE_CHECKING:
    from decimal import Decimal


class OddTask(DetectionTask):
    options = (*DetectionTask.options, "parts", "mode", "anything", "unexplained")  # type: ignore[assignment]


class Odd(SSDMobileNet):
    vision_task = OddTask()

    def predict(
        self,
        source: Any,
        *,
        parts: int | None = 4,
        mode: str = "fast",
        anything: Decimal | None = None,
        **options: Any,
    ) -> Any:
        """Return what is found.

        Args:
            source: A photo.
            parts: How many parts
                it is cut into.
            mode: How.
            anything: Something of a type that is there for type checkers alone.
            options: Those of every model.
        """
        raise NotImplementedError


@pytest.fixture(scope="module")
def options() -> QueryOptions:
    return QueryOptions(Odd("random"))


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("parts", "3", 3),
        ("mode", "3", "3"),
        ("anything", "3", 3),
        ("anything", "true", True),
        ("anything", "red", "red"),
        ("anything", "[1]", "[1]"),
        ("unexplained", "0.5", 0.5),
        ("draft", "true", True),
        ("background", "0.5", "0.5"),
        ("score_threshold", "0.5", 0.5),
    ],
)
def test_values_have_the_type_of_the_signature(
    options: QueryOptions, name: str, text: str, value: object
) -> None:
    read = options.read([(name, text)])
    assert read == {name: value}
    assert type(read[name]) is type(value)


def test_option_aliases_and_invalid_values(options: QueryOptions) -> None:
    assert options.read([("conf_thres", "0.5")]) == {"score_threshold": 0.5}
    with pytest.raises(HTTPException) as caught:
        options.read([("parts", "many")])
    assert caught.value.detail == (
        "invalid query parameter parts='many': expected a value of type integer"
    )


def test_options_are_described_by_the_docstring(options: QueryOptions) -> None:
    described = {item.pop("name"): item for item in options.described()}
    assert described["parts"] == {
        "in": "query",
        "required": False,
        "description": "How many parts it is cut into.",
        "schema": {"type": "integer", "default": 4},
    }
    assert described["unexplained"]["description"] == ""
    assert "alpha channel onto" in described["background"]["description"]
    assert described["draft"]["description"].startswith("Decode JPEGs of at least twice")
    assert "background:" not in described["draft"]["description"]
