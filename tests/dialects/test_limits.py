"""How deep and how branched a body may be."""

from typing import Any

import orjson
import pytest

from gateway.dialects.limits import DEPTH, NODES, check_depth
from gateway.errors import InvalidRequest


def check(value: Any) -> None:
    check_depth(orjson.dumps(value), value)


def nested(levels: int) -> Any:
    value: Any = {}
    for level in range(levels - 1):
        value = [value] if level % 2 else {"a": value}
    return value


def test_body_may_nest_to_the_limit_and_no_deeper() -> None:
    check(nested(DEPTH))
    with pytest.raises(InvalidRequest, match=f"deeper than {DEPTH} levels"):
        check(nested(DEPTH + 1))


def test_depth_is_found_wherever_it_is() -> None:
    with pytest.raises(InvalidRequest, match="deeper"):
        check({"a": [1, 2, {"b": [[]]}], "z": nested(DEPTH)})


def test_body_may_hold_lists_and_objects_to_the_limit_and_no_more() -> None:
    check({"a": [[]] * (NODES - 1)})
    with pytest.raises(InvalidRequest, match=f"more than {NODES} lists and objects"):
        check({"a": [[]] * NODES})


def test_plain_values_are_not_counted() -> None:
    check({"a": [1] * 10**5, "b": {str(key): None for key in range(10**5)}})


def test_brackets_in_text_are_not_nesting() -> None:
    check({"a": "[{" * 10_000})
