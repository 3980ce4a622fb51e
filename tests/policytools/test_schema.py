"""The JSON Schema takes every good policy and refuses those that are broken in shape."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest

from gateway.config.document import parse
from gateway.config.report import Report
from gateway.policytools.schema import any_case, policy_schema, schema_bytes, schema_of_tests, shapes
from tests.config.broken import HEAD, Broken
from tests.config.test_broken_policies import CORPUS

POLICIES = Path(__file__).parents[2] / "policies"
SCHEMA = policy_schema()
SHAPE = {"LG010", "LG012", "LG013", "LG015"}
BEYOND = {  # which a schema cannot know: how a number is written, how far one in a text goes, what was merged away
    *("a float for a count", "exponent", "shadow of too much", "a merge of nothing"),
}


def misfits(text: str, schema: dict[str, Any] = SCHEMA) -> list[str]:
    """What a validator says of a YAML text."""
    document = parse(text.encode(), Report("test"))
    assert document is not None
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(document.data)]


def backend(text: str) -> list[str]:
    return misfits(f"version: 1\nbackends:\n  a: {{provider: vllm, url: 'http://a', {text}}}\n")


def test_both_schemas_are_schemas() -> None:
    for schema in (SCHEMA, schema_of_tests()):
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$id"].startswith("urn:llama-gateway:schema:") and schema["title"]


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.yaml")), ids=lambda file: file.name)
def test_the_policies_of_the_project_and_their_tests_are_valid(file: Path) -> None:
    schema = schema_of_tests() if file.name.endswith(".test.yaml") else SCHEMA
    assert misfits(file.read_text(), schema) == []
    name = "policy.test.schema.json" if schema is not SCHEMA else "policy.schema.json"
    assert file.read_text().splitlines()[0] == f"# yaml-language-server: $schema=./{name}"


@pytest.mark.parametrize("broken", [one for one in CORPUS if one.code in SHAPE], ids=lambda broken: broken.name)
def test_what_is_broken_in_shape_is_not_valid(broken: Broken) -> None:
    assert misfits(broken.text) or broken.name in BEYOND


def test_what_is_good_is_valid() -> None:
    assert misfits(HEAD) == []


@pytest.mark.parametrize(
    "text",
    [
        "slots: 4",
        "slots: '${SLOTS:-4}'",
        "location: self_hosted",
        "location: '${WHERE}'",
        "timeouts: {idle: 800ms, total: '${LONGEST:-10m}'}",
        "models: {x: {precision: Q4_K_M}}",
        "models: {x: {price: {input: 0, output: '${PRICE}'}}}",
        "url: 'file:/run/secrets/url'",
    ],
)
def test_values_may_come_from_variables(text: str) -> None:
    assert backend(text.replace("url:", "region:")) == []


@pytest.mark.parametrize(
    "text",
    [
        "slots: 0",
        "slots: four",
        "slots: 1.5",
        "location: here",
        "timeouts: {idle: 5}",
        "timeouts: {idle: 5 minutes}",
        "models: {x: {precision: q99}}",
        "models: {x: {price: {input: -1, output: 0}}}",
        "models: {x: {retires: soon}}",
        "models: {'x y': {}}",
        "urls: a",
    ],
)
def test_values_of_another_kind_are_not_valid(text: str) -> None:
    assert backend(text)


def test_a_provider_is_a_kind_or_a_class() -> None:
    head = "version: 1\nbackends: {a: {provider: KIND, url: 'http://a'}}"
    assert misfits(head.replace("KIND", "vllm")) == misfits(head.replace("KIND", "acme.servers:Own")) == []
    assert misfits(head.replace("KIND", "vlm"))


def test_every_mapping_is_closed_and_every_key_explains_itself() -> None:
    for schema in (SCHEMA, schema_of_tests()):
        for node in shapes(schema):
            if "properties" in node:
                assert node["additionalProperties"] is False
                assert all(field.get("description") for field in node["properties"].values())


def test_hovers_show_examples() -> None:
    assert "`http://10.0.0.5:8000`" in SCHEMA["$defs"]["BackendSpec"]["properties"]["url"]["markdownDescription"]


def test_it_is_written_as_json_that_ends_with_a_line_break() -> None:
    assert json.loads(schema_bytes(SCHEMA)) == SCHEMA and schema_bytes(SCHEMA).endswith(b"}\n")


def test_words_are_taken_in_any_case() -> None:
    assert any_case(["q4_k", "f16"]) == "^(?:[qQ]4_[kK]|[fF]16)$"
