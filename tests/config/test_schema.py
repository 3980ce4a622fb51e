"""The schema can be printed, and explains itself."""

from collections.abc import Iterator
from typing import Any

from gateway.config.schema import PolicyFile


def objects(node: object) -> Iterator[dict[str, Any]]:
    """Every mapping in a JSON schema."""
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from objects(child)
    elif isinstance(node, list):
        for child in node:
            yield from objects(child)


def test_the_schema_is_json_and_closed() -> None:
    schema = PolicyFile.model_json_schema()
    with_keys = [node for node in objects(schema) if "properties" in node and node.get("type") == "object"]
    assert len(with_keys) > 15
    assert all(node["additionalProperties"] is False for node in with_keys)


def test_every_key_has_a_description() -> None:
    for node in objects(PolicyFile.model_json_schema()):
        for name, field in node.get("properties", {}).items() if node.get("type") == "object" else ():
            assert field.get("description"), name


def test_what_may_be_a_word_or_a_mapping_says_so() -> None:
    optimize = PolicyFile.model_json_schema()["$defs"]["OptimizeSpec"]
    assert optimize["anyOf"][0] == {"enum": ["cost", "latency", "size", "failures"]}
