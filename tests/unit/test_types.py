from __future__ import annotations

import pickle

import pytest

from furiosa_models import errors, types
from furiosa_models.types import Platform


@pytest.mark.parametrize("name", ["rust", "Rust", "RUST"])
def test_platform_ignores_case(name: str) -> None:
    assert Platform(name) is Platform.RUST


@pytest.mark.parametrize("name", ["bogus", 3, None])
def test_unknown_platform_is_a_value_error(name: object) -> None:
    with pytest.raises(ValueError, match="is not a valid Platform"):
        Platform(name)


def test_model_classes_have_the_paths_of_0_10() -> None:
    assert issubclass(types.ObjectDetectionModel, types.Model)
    assert issubclass(types.ImageClassificationModel, types.Model)


def test_every_error_is_exported_documented_and_picklable() -> None:
    assert errors.__doc__ is not None
    for name in errors.__all__:
        cls = getattr(errors, name)
        assert str(pickle.loads(pickle.dumps(cls("what")))) == "what"
        if issubclass(cls, errors.FuriosaModelsError):
            assert name in errors.__doc__
