"""Records of requests are the same after they were packed, as far as anybody looks at them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outcomes import Record, Sketch
from gateway.policytools.explain import plan_json
from gateway.policytools.logged import LoggedRequest, line_of
from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate
from gateway.routing.planner import plan
from gateway.routing.stats import Stats
from gateway.stores.records import Numbers, facts, packed, read_facts, unpacked
from gateway.types import Deployment, Forecast, Plan, Price, Usage
from tests.routing.samples import deployment, fault, request, route
from tests.telemetry.records import WON, A, B, record

NOW = 1000.0
MANY = [
    deployment(f"b{index}", price=Price(1.0 + index, 2.0), location="hosted", capabilities=frozenset({"tools"}))
    for index in range(10)
]
SKETCH = Sketch("auto", 1_800_000_000.0, True, 120, 50, frozenset({"tools"}), {"x-a": "ü"}, {"k": "v"}, "search")


def kept(one: Record) -> Record:
    """A record after it was packed and unpacked."""
    numbers = Numbers()
    body = packed(one, numbers.of)
    return unpacked(body, {number: read_facts(text) for number, text in numbers.facts.items()})


def stub(one: Deployment) -> Deployment:
    """A deployment as far as it is kept."""
    return read_facts(facts(one))


def made(**rules: Any) -> Plan:
    """A plan of ten candidates, one of them out."""
    known = StatsBook()
    known.deployments[MANY[3].name] = Stats(resting_until=NOW + 9, resting_because="asked us to slow down (429)")
    return plan(request(), route(*MANY, **rules), known, NOW, 0.3)


def test_a_record_without_a_plan_is_the_same() -> None:
    for one in (
        record(deployment=None, attempts=(), usage=None, cost=None, route="", plan=None, error_type="x", message="y"),
        record(deployment=None, attempts=(), sketch=SKETCH, cost=0.0, saved=0.5, cache="hit", overhead=()),
        record(deployment=None, attempts=(), usage=Usage(1, 2, 3, True), generation="g", status=499, ttft=None),
    ):
        assert kept(one) == one


def test_attempts_keep_all_that_is_told_of_them() -> None:
    tried = (fault(B, 2.0, message="It broke.", retry_after=3.0), WON._replace(answered="meta/a", request="req_1"))
    found = kept(record(attempts=tried))
    assert found.attempts == tuple(one._replace(deployment=stub(one.deployment)) for one in tried)
    assert found.deployment == stub(A)


def test_a_plan_is_shown_as_it_was_made() -> None:
    before = made()
    after = kept(record(plan=before, reason=before.reason)).plan
    assert after is not None
    first, second = plan_json(before), plan_json(after)
    assert same(first, second), (first, second)
    assert after.leading == before.leading and len(after.rejected) == 1


def same(one: object, other: object) -> bool:
    """Whether two values are alike, numbers to single precision."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(same(first, second) for first, second in zip(one, other, strict=True))
    if isinstance(one, float | int) and isinstance(other, float | int) and not isinstance(one, bool):
        return other == pytest.approx(one, rel=1e-5, abs=1e-9)
    return one == other


def test_causes_and_reserves_are_kept() -> None:
    rules = route(candidates=(Candidate(MANY[0]), Candidate(MANY[1], 1, "context")))
    before = plan(request(), rules, StatsBook(), NOW, 0.3, frozenset({"context"}))
    after = kept(record(plan=before)).plan
    assert after is not None
    assert [choice.when for choice in after.choices] == [choice.when for choice in before.choices] == ["", "context"]
    assert (after.causes, after.reason) == (before.causes, before.reason)


def test_the_line_of_a_request_is_the_same_so_that_diff_can_read_it() -> None:
    one = record(sketch=SKETCH, asked=SKETCH.model)
    found = kept(one).sketch
    assert found is not None
    assert line_of(LoggedRequest(found, "a")) == line_of(LoggedRequest(SKETCH, "a"))


def test_numbers_beyond_single_precision_are_bounded() -> None:
    before = made()
    first = before.choices[0]._replace(forecast=Forecast(10**9, 5, 1e300, float("inf"), 1e-300, 1.0))
    after = kept(record(plan=before._replace(choices=(first, *before.choices[1:])))).plan
    assert after is not None
    assert after.choices[0].forecast.usd > 1e37


def test_ten_candidates_take_a_kilobyte_and_a_half() -> None:
    before = made()
    body = packed(record(plan=before, reason=before.reason, sketch=SKETCH, attempts=(WON,)), Numbers().of)
    assert len(body) < 2000


def test_a_deployment_has_the_same_number_in_every_process_and_another_price_is_another() -> None:
    first, second = Numbers(), Numbers()
    assert [first.of(one) for one in MANY] == [second.of(one) for one in reversed(MANY)][::-1]
    assert len({first.of(one) for one in MANY}) == 10
    assert first.of(deployment("b0", price=Price(9.0, 2.0), location="hosted")) != first.of(MANY[0])


@given(st.binary(max_size=20), st.text(st.characters(exclude_categories=["Cs"]), max_size=50))
def test_any_text_of_a_caller_or_an_upstream_is_kept(noise: bytes, text: str) -> None:
    one = record(deployment=None, attempts=(), asked=text, message=noise.decode("latin-1"), caller=text)
    assert kept(one) == one


def test_what_json_cannot_hold_is_refused_in_a_word() -> None:
    with pytest.raises(TypeError):
        packed(record(asked="\ud800", deployment=None, attempts=()), Numbers().of)
    with pytest.raises(TypeError):
        packed(record(usage=Usage(10**30, 1), deployment=None, attempts=()), Numbers().of)


def test_fields_of_a_newer_version_are_left_alone() -> None:
    numbers = Numbers()
    body = packed(record(deployment=None, attempts=()), numbers.of)
    newer = body[:4] + body[4:-1] + b',"tomorrow":[1,2]}'
    assert unpacked(newer, {}) == record(deployment=None, attempts=())
