"""Types and bounds of fields, and what a wrong one is told."""

from typing import Any

import pytest

from gateway.dialects.shape import Field, check_fields
from gateway.errors import InvalidRequest

FIELDS = (
    Field("name", str, required=True, least=1, most=3),
    Field("many", list, most=2),
    Field("few", int, least=1, most=4),
    Field("share", (int, float), least=0, most=1),
    Field("yes", bool),
    Field("object", dict),
)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"many": []},
        {"many": [1, 2]},
        {"few": 1},
        {"few": 4},
        {"share": 0},
        {"share": 0.5},
        {"yes": False},
        {"object": {}},
        {"few": None, "many": None, "yes": None},
        {"unknown": object},
    ],
)
def test_sound_fields_and_unknown_ones_pass(fields: dict[str, Any]) -> None:
    check_fields({"name": "abc", **fields}, FIELDS)


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        ({}, "name", "'name' is missing."),
        ({"name": None}, "name", "'name' is missing."),
        ({"name": 1}, "name", "'name' must be a string."),
        ({"name": ""}, "name", "'name' must be at least 1 characters."),
        ({"name": "abcd"}, "name", "'name' must be at most 3 characters."),
        ({"name": "a", "many": "ab"}, "many", "'many' must be a list."),
        ({"name": "a", "many": [1, 2, 3]}, "many", "'many' must be at most 2 entries."),
        ({"name": "a", "few": 1.5}, "few", "'few' must be a whole number."),
        ({"name": "a", "few": True}, "few", "'few' must be a whole number."),
        ({"name": "a", "few": 0}, "few", "'few' must be at least 1."),
        ({"name": "a", "few": 5}, "few", "'few' must be at most 4."),
        ({"name": "a", "share": "0"}, "share", "'share' must be a number."),
        ({"name": "a", "share": True}, "share", "'share' must be a number."),
        ({"name": "a", "share": -0.1}, "share", "'share' must be at least 0."),
        ({"name": "a", "yes": 1}, "yes", "'yes' must be true or false."),
        ({"name": "a", "object": []}, "object", "'object' must be an object."),
    ],
)
def test_wrong_field_is_named_and_told_what_it_must_be(body: dict[str, Any], field: str, message: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_fields(body, FIELDS)
    assert (caught.value.param, caught.value.message) == (field, message)
