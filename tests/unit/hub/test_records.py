"""What hubs answer is not trusted: any JSON is a record or a `HubError`."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from furiosa_models.errors import HubError
from furiosa_models.focoos import FocoosDet
from furiosa_models.hub import DatasetPreview, ModelPreview, RemoteModelInfo, User
from furiosa_models.hub.download import _stated_hashes
from furiosa_models.hub.records import Metrics
from furiosa_models.hub.remote_model import _detection
from furiosa_models.model_info import ModelInfo

from .server import DATASET, KEY, MODEL, USER

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


def changed(known: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Return variants of a record with some fields changed."""
    changes = st.dictionaries(st.sampled_from(sorted(known)), JSON, max_size=3)
    return changes.map(lambda values: {**known, **values})


@given(JSON)
def test_any_json_is_a_record_or_an_error(values: Any) -> None:
    for kind in (DatasetPreview, Metrics, ModelPreview, RemoteModelInfo, User):
        with suppress(HubError):
            kind.of(values)


@given(changed(MODEL))
def test_any_model_is_described_or_an_error(values: dict[str, Any]) -> None:
    with suppress(HubError):
        found = RemoteModelInfo.of(values).to_model_info("model_final.pth")
        assert isinstance(found, ModelInfo)
        json.dumps(found.to_dict())


@given(changed({"bbox": [1, 2, 3, 4], "conf": 0.5, "cls_id": 1, "label": "a", "mask": None}))
def test_any_detection_is_read_or_rejected(values: dict[str, Any]) -> None:
    with suppress(ValueError, TypeError, OverflowError):
        found = _detection(values)
        assert isinstance(found, FocoosDet)
        assert found.bbox is None or len(found.bbox) == 4
        assert found.conf is None or f"{found.conf:.2f}"


@given(st.dictionaries(st.sampled_from(["repr-digest", "x-goog-hash"]), st.text()))
def test_any_header_of_a_hash_is_read_or_ignored(headers: dict[str, str]) -> None:
    for algorithm, digest in _stated_hashes(headers):
        assert len(digest) == {"md5": 32, "sha256": 64}[algorithm]


@pytest.mark.parametrize(
    ("field", "value"),
    [("name", 7), ("classes", "cat"), ("classes", [1]), ("config", []), ("is_managed", "yes")],
)
def test_wrong_type_is_named(field: str, value: object) -> None:
    with pytest.raises(HubError, match=f"RemoteModelInfo of a hub has a wrong {field}"):
        RemoteModelInfo.of({**MODEL, field: value})


def test_records_are_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(DATASET))
    assert DatasetPreview.from_json(path) == DatasetPreview.from_json(DATASET)
    path.write_text("{")
    with pytest.raises(HubError, match=r"dataset\.json is not the JSON of a hub"):
        DatasetPreview.from_json(str(path))


def test_answers_are_never_read_from_files(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(DATASET))
    with pytest.raises(HubError, match="expected the fields of a DatasetPreview, got str"):
        DatasetPreview.of(str(path))
    with pytest.raises(HubError, match="expected the fields of a DatasetSpec, got str"):
        DatasetPreview.of({**DATASET, "spec": str(path)})


def test_key_of_a_user_is_hidden() -> None:
    user = User.from_json(USER)
    assert user.api_key is not None
    assert user.api_key.key == KEY
    assert KEY not in repr(user)
