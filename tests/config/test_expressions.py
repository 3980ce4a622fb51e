"""Expressions are tried before they are believed, and one that fails later matches nothing and is counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.expressions import LONGEST, BadExpression, expression, nested, when
from gateway.routing.book import StatsBook
from gateway.routing.stats import Stats
from gateway.types import Caller
from tests.routing.samples import request


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("request.stream && size(request.tools) == 0", True),
        ("request.input_tokens > 50 && request.output_tokens == 0", True),
        ("'x-team' in request.headers && request.headers['x-team'] == 'search'", True),
        ("has(request.metadata.team) && request.metadata.team == 'a'", False),
        ("caller.name in ['search', 'ads']", True),
        ("request.messages.exists(m, m.role == 'user' && m.content.contains('ell'))", True),
        ("'gpu-a' in fleet.in_flight && fleet.in_flight['gpu-a'] > 3", True),
        ("'gpu-a/m' in fleet.deployments && fleet.deployments['gpu-a/m'].ttft < 1.0", True),
        ("request.temperature > 0.5", False),
        ("'response_format' in request.body", False),
    ],
)
def test_expression_sees_request_caller_and_fleet(text: str, holds: bool) -> None:
    book = StatsBook()
    book.in_flight["gpu-a"] = 4
    book.deployments["gpu-a/m"] = Stats(ttft=0.5)
    asked = request(stream=True, headers={"x-team": "search"}, caller=Caller("search"))
    assert expression(text).holds(asked, book) is holds


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("1 +", "it is no CEL"),
        ("request.nope == 1", "there is not always a field 'nope'"),
        ("request.metadata.team == 'a'", "ask first: has(request.metadata.team)"),
        ("request.headers['x-a'] == 'b'", "there is not always a field 'x-a'"),
        ("request.input_tokens", "its value is no true or false but of type int"),
        ("request.stream + 1", "it fails for a usual request"),
        ("1 / 0 == 1", "it fails for a usual request"),
        ("request.messages[5].role == 'user'", "it fails for a usual request"),
        ("nonsense(request)", "it fails for a usual request"),
        ("requst.stream", "it fails for a usual request"),
        ("request.tools.all(a, request.tools.all(b, true))", "one loop"),
        ("request.stream" + " || request.stream" * 400, f"longer than {LONGEST} bytes"),
        ("(" * 300 + "true" + ")" * 300, "it is no CEL"),
    ],
)
def test_expression_that_cannot_work_is_told_why(text: str, says: str) -> None:
    with pytest.raises(BadExpression) as caught:
        expression(text)
    assert says in str(caught.value)


def test_loops_one_after_the_other_are_fine_and_words_in_texts_are_no_loops() -> None:
    assert not nested("request.tools.all(a, true) && request.tools.all(b, true)")
    assert not nested("request.tools.all(a, a.name == '.all(x, y.map(z')")
    assert nested("request.tools.all(a, size(request.tools.filter(b, true)) > 0)")


def test_failure_at_run_time_is_no_match_and_is_counted() -> None:
    book = StatsBook()
    check = when(expression("size(request.messages) != 2 || request.messages[1].name == 'a'"), "chat")
    reason = check(request(body={"messages": [{"role": "user"}] * 2}), book)
    assert reason is not None and reason.startswith("its expression failed (")
    assert book.expression_errors == {"chat": 1}
    assert check(request(), book) is None


@given(st.text(max_size=60))
def test_any_text_is_an_expression_or_told_why_not(text: str) -> None:
    try:
        expression(text)
    except BadExpression as exc:
        assert str(exc)
