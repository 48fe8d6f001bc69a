from __future__ import annotations

import datetime
import json
import pickle

import pydantic
import pytest

from furiosa_models.spec import Metadata, Publication, Tags

FULL = {
    "description": "What it is",
    "publication": {
        "authors": ["Ada", "Bo"],
        "title": "Nets",
        "publisher": "A press",
        "date": datetime.date(2015, 12, 10),
        "url": "https://example.com",
    },
}


def test_record_dumps_like_a_pydantic_model() -> None:
    class PublicationModel(pydantic.BaseModel):
        authors: list[str] | None = None
        title: str | None = None
        publisher: str | None = None
        date: datetime.date | None = None
        url: str | None = None

    class MetadataModel(pydantic.BaseModel):
        description: str | None = None
        publication: PublicationModel | None = None

    for values in (FULL, {"description": "é"}, {"publication": {"url": "u"}}, {}):
        ours, theirs = Metadata.model_validate(values), MetadataModel.model_validate(values)
        assert ours.model_dump() == theirs.model_dump()
        assert ours.model_dump(mode="json") == theirs.model_dump(mode="json")
        assert ours.model_dump(exclude_none=True) == theirs.model_dump(exclude_none=True)
        assert ours.model_dump(exclude_defaults=True) == theirs.model_dump(exclude_defaults=True)
        assert ours.model_dump(include={"description"}) == theirs.model_dump(
            include={"description"}
        )
        assert ours.model_dump(exclude={"publication"}) == theirs.model_dump(
            exclude={"publication"}
        )
        assert ours.model_dump_json() == theirs.model_dump_json()
        assert json.loads(ours.model_dump_json(indent=2)) == theirs.model_dump(mode="json")


def test_date_can_be_a_string() -> None:
    assert Publication(date="2015-12-10").date == datetime.date(2015, 12, 10)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="month"):
        Publication.model_validate({"date": "2001-99-99"})


@pytest.mark.parametrize("record", [Metadata, Publication, Tags])
def test_records_reject_unknown_fields(
    record: type[Metadata] | type[Publication] | type[Tags],
) -> None:
    with pytest.raises(TypeError, match="'page'"):
        record.model_validate({"page": "none"})


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"description": 3}, "description must be str"),
        ({"publication": "here"}, "publication must be Publication"),
        ({"publication": {"authors": [3]}}, "authors must be str"),
        ({"publication": {"date": 3}}, "date must be date"),
    ],
)
def test_records_reject_values_of_a_wrong_type(values: dict[str, object], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        Metadata.model_validate(values)


def test_record_is_frozen_comparable_and_picklable() -> None:
    record = Metadata.model_validate(FULL)
    assert record == Metadata.model_validate(FULL) == pickle.loads(pickle.dumps(record))
    with pytest.raises(AttributeError):
        record.description = "another"  # type: ignore[misc]


def test_record_works_as_a_field_of_a_pydantic_model() -> None:
    class Entry(pydantic.BaseModel):
        metadata: Metadata | None = None

    entry = Entry.model_validate({"metadata": FULL})
    assert entry.metadata == Metadata.model_validate(FULL)
    with pytest.raises(pydantic.ValidationError, match=r"metadata\.publication\.page"):
        Entry.model_validate({"metadata": {"publication": {"page": 3}}})
