"""A log's line holds what routing reads of a request, and nothing of its prompt."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.catalogue import Catalogue
from gateway.config.loading import read
from gateway.outcomes import Sketch
from gateway.policytools.logged import BadLine, LoggedRequest, asked_again, line_of, read_line

TEXTS = st.dictionaries(st.text(st.characters(codec="ascii", categories=["Ll"]), min_size=1), st.text())
REQUESTS = st.builds(
    LoggedRequest,
    st.builds(
        Sketch,
        model=st.text(),
        at=st.floats(0, 1e10),
        stream=st.booleans(),
        prompt_tokens=st.integers(0, 10**9),
        max_tokens=st.none() | st.integers(0, 10**9),
        needs=st.frozensets(st.text()),
        headers=TEXTS,
        metadata=TEXTS,
        caller=st.text(),
        operation=st.text(),
    ),
    id=st.text(),
)


@given(request=REQUESTS)
def test_what_is_written_is_read(request: LoggedRequest) -> None:
    line = line_of(request)
    assert line.endswith(b"\n") and line.count(b"\n") == 1
    assert read_line(line) == request


@given(line=st.binary() | st.recursive(st.none() | st.text(), st.lists).map(repr).map(str.encode))
def test_any_other_line_is_told(line: bytes) -> None:
    with pytest.raises(BadLine):
        read_line(line)


def test_a_model_is_enough_and_unknown_keys_are_left_alone() -> None:
    assert read_line(b'{"model": "auto", "colour": 3, "max_tokens": null}') == LoggedRequest(Sketch("auto"))


def test_headers_are_lower_case() -> None:
    assert read_line(b'{"model": "a", "headers": {"X-Team": "red"}}').sketch.headers == {"x-team": "red"}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "is not JSON"),
        (b"[]", "is no JSON object"),
        (b"{}", "has no `model`"),
        (b'{"model": null}', "has no `model`"),
        (b'{"model": 1}', "has a `model` that is not text"),
        (b'{"model": "a", "stream": 1}', "has a `stream` that is not true or false"),
        (b'{"model": "a", "prompt_tokens": true}', "has a `prompt_tokens` that is not a whole number"),
        (b'{"model": "a", "prompt_tokens": -1}', "has a `prompt_tokens` below zero"),
        (b'{"model": "a", "at": 1e300}', "has an `at` after the year 9999"),
        (b'{"model": "a", "at": 253402300800}', "has an `at` after the year 9999"),
        (b'{"model": "a", "needs": [1]}', "has a `needs` that does not hold text alone"),
    ],
)
def test_what_is_wrong_with_a_line_is_the_end_of_a_sentence(line: bytes, said: str) -> None:
    with pytest.raises(BadLine) as caught:
        read_line(line)
    assert str(caught.value).startswith(said)


def test_a_request_comes_back_with_its_caller_and_with_what_expressions_look_at() -> None:
    text = """\
version: 1
backends: {gpu: {provider: vllm, url: http://10.0.0.5:8000, models: {llama-3.3-70b-instruct: {}}}}
routes: [{name: a, models: [llama-3.3-70b-instruct]}]
callers: {search: {key: secret-0123456789abcdef, routes: [a]}}
"""
    policy = read(text.encode(), "test", {}, Catalogue.load(), date(2026, 11, 24)).policy
    assert policy is not None
    request = LoggedRequest(Sketch("auto", at=5.0, needs=frozenset({"tools", "json_schema"}), caller="search"))
    found = asked_again(request, policy, 7.0)
    assert found.caller.routes == frozenset({"a"}) and (found.at, found.arrived) == (5.0, 7.0)
    assert len(found.body["tools"]) == 1 and found.body["response_format"]["type"] == "json_schema"
    assert asked_again(LoggedRequest(Sketch("auto", caller="other")), policy, 7.0).caller.routes is None
