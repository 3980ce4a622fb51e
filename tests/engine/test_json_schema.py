"""Does a value satisfy a schema, in bounded time and without reading anything else?"""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.json_schema import EFFORT, LEAST, Unjudged, Weight, satisfies
from gateway.types import Json

DRAFT_7 = "http://json-schema.org/draft-07/schema#"


def weight(schema: Json) -> int:
    return Weight(schema).of(schema, 0)


def doubling(levels: int, keyword: str = "allOf") -> Json:
    """A schema whose every level refers to the next one twice: 2 ** levels places to look at."""
    found: Json = {f"d{n}": {keyword: [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return {"$defs": found | {f"d{levels}": {"type": "string"}}, "$ref": "#/$defs/d0"}


@pytest.mark.parametrize(
    ("schema", "value", "verdict"),
    [
        ({}, 1, True),
        ({"type": "string"}, "a", True),
        ({"type": "string"}, 1, False),
        ({"type": "object", "required": ["a"]}, {}, False),
        ({"properties": {"a": {"enum": [1, 2]}}, "additionalProperties": False}, {"a": 2}, True),
        ({"properties": {"a": {"enum": [1, 2]}}, "additionalProperties": False}, {"b": 2}, False),
        ({"pattern": "^[a-z]{2,4}$"}, "abc", True),
        ({"pattern": "^[a-z]{2,4}$"}, "ab1", False),
        ({"patternProperties": {"^a": {"type": "null"}}}, {"ab": 1}, False),
        ({"$schema": DRAFT_7, "items": [{"type": "string"}]}, [1], False),
        ({"$schema": DRAFT_7, "definitions": {"s": {"type": "string"}}, "$ref": "#/definitions/s"}, 1, False),
        ({"$id": "https://example.com/s", "$defs": {"s": {"type": "string"}}, "$ref": "#/$defs/s"}, 1, False),
        ({"$defs": {"a/b ~": {"type": "string"}}, "$ref": "#/$defs/a~1b%20~0"}, 1, False),
        ({"prefixItems": [{"type": "string"}, {"$ref": "#/prefixItems/0"}]}, ["a", 1], False),
        ({"type": "integer", "x-unknown": {"of": "another"}, "format": "unheard-of"}, 1, True),
        ({"properties": {"$ref": {"type": "string"}, "$id": {"type": "string"}}}, {"$ref": 1}, False),
    ],
)
def test_schema_is_held_against_the_value(schema: Json, value: Any, verdict: bool) -> None:
    assert satisfies(schema, value, 10) is verdict


def test_schema_may_refer_to_itself() -> None:
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "required": ["name"]}
    assert satisfies(tree, {"name": "a", "left": {"name": "b"}}, 40) is True
    assert satisfies(tree, {"name": "a", "left": {}}, 20) is False
    assert satisfies({"$ref": "#"}, 1, 1) is True


@pytest.mark.parametrize(
    "schema",
    [
        None,
        True,
        "string",
        [],
        {"type": "text"},
        {"required": "a"},
        {"pattern": "("},
        {"$ref": "#/$defs/nobody"},
        {"prefixItems": [True], "$ref": "#/prefixItems/1"},
        {"$ref": "#name"},
        {"$schema": "https://example.com/own"},
        {"$schema": "http://json-schema.org/draft-04/schema#", "id": "http://example.com/"},
        {"const": "\ud800"},
    ],
)
def test_invalid_and_unknown_schemas_give_no_verdict(schema: object) -> None:
    assert satisfies(schema, 1, 1) is None


@pytest.mark.parametrize("pattern", ["^(?=a)b$", "(?<!a)b", r"(a)\1", "(a{1000}){1000}"])
def test_pattern_that_needs_backtracking_or_much_memory_gives_no_verdict(pattern: str) -> None:
    assert satisfies({"pattern": pattern}, "b", 3) is None


def test_pattern_that_would_never_end_elsewhere_is_decided() -> None:
    assert satisfies({"pattern": "^(a+)+$"}, "a" * 20_000 + "b", 20_003) is False
    assert satisfies({"pattern": "^(a|a?)+$"}, "a" * 20_000 + "b", 20_003) is False


@pytest.mark.parametrize(
    "reference",
    ["http://127.0.0.1:9/s", "https://json-schema.org/draft/2020-12/schema", "file:///etc/hostname", "other.json"],
)
def test_other_documents_are_not_read(reference: str) -> None:
    with pytest.raises(Unjudged):
        weight({"properties": {"a": {"$ref": reference}}})
    assert satisfies({"$id": "file:///etc/", "$ref": reference}, 1, 1) is None


@pytest.mark.parametrize(
    "schema",
    [
        {"$dynamicRef": "#node"},
        {"$recursiveRef": "#"},
        {"$defs": {"a": {"$id": "https://example.com/other", "type": "string"}}},
    ],
)
def test_references_that_are_not_followed_give_no_verdict(schema: Json) -> None:
    assert satisfies(schema, 1, 1) is None


@pytest.mark.parametrize("keyword", ["allOf", "anyOf", "oneOf"])
def test_references_that_multiply_give_no_verdict(keyword: str) -> None:
    assert satisfies(doubling(4, keyword), 1, 1) is False
    assert satisfies(doubling(60, keyword), 1, 1) is None


def test_unevaluated_properties_within_each_other_give_no_verdict_when_they_are_many() -> None:
    schemas: list[Json] = [{"properties": {"a": True}}]
    for _ in range(30):
        schemas.append({"allOf": [schemas[-1]], "unevaluatedProperties": False})
    assert satisfies(schemas[3], {"b": 1}, 7) is False
    assert satisfies(schemas[30], {"b": 1}, 7) is None


def test_schema_and_value_that_are_both_long_give_no_verdict() -> None:
    schema = {"items": {"anyOf": [{"const": number} for number in range(2000)]}}
    assert satisfies(schema, [2000], 6) is False
    assert satisfies(schema, [2000] * 100_000, 600_000) is None


def test_value_counts_for_the_characters_it_has() -> None:
    within = EFFORT // weight({"type": "string"}) - LEAST
    assert satisfies({"type": "string"}, 1, within) is False
    assert satisfies({"type": "string"}, 1, within + 1) is None
    assert satisfies({"type": "string"}, 1, within, shares=2) is None


def test_schema_that_is_too_large_is_not_even_read_to_its_end() -> None:
    schema: Json = {"properties": {f"p{number}": {"type": "string"} for number in range(50_000)}}
    weigher = Weight(schema, 100)
    with pytest.raises(Unjudged):
        weigher.of(schema, 0)
    assert weigher.seen == 101
    assert satisfies(schema, {}, 2) is None


def test_schema_that_is_too_deep_gives_no_verdict() -> None:
    schema: Json = {"type": "string"}
    for _ in range(900):
        schema = {"items": schema}
    assert satisfies(schema, [], 2) is None
    chain: Json = {f"d{n}": {"$ref": f"#/$defs/d{n + 1}"} for n in range(900)}
    assert satisfies({"$defs": chain | {"d900": True}, "$ref": "#/$defs/d0"}, 1, 1) is None


def test_weight_counts_each_place_and_references_with_their_target() -> None:
    assert weight({"type": "string"}) == 2
    assert weight({"allOf": [{"$ref": "#/$defs/a"}] * 2, "$defs": {"a": {"type": "string"}}}) == 11


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=1), inner, max_size=3),
    max_leaves=6,
)
KEYWORDS = st.sampled_from(
    [
        "type",
        "allOf",
        "not",
        "items",
        "properties",
        "required",
        "$ref",
        "pattern",
        "$id",
        "$schema",
        "patternProperties",
    ]
)
SCHEMAS = st.recursive(
    JSON | st.sampled_from(["#", "#/allOf/0", "object", "("]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=3),
    max_leaves=12,
)


@given(SCHEMAS, JSON)
def test_no_schema_breaks_the_judge(schema: object, value: object) -> None:
    assert satisfies(schema, value, 20) in (True, False, None)
