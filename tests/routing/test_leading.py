"""Who leads a route: deployments as good as the best, which change seldom."""

from itertools import pairwise

import pytest

from gateway.routing.book import StatsBook
from gateway.routing.planner import plan
from gateway.routing.policy import Weights
from gateway.routing.stats import Stats
from tests.routing.samples import deployment, request, route

A, B = deployment("a"), deployment("b")
BY_LATENCY = route(A, B, weights=Weights(0.0, 1.0))


def leading_over(ratios: list[float]) -> list[frozenset[str]]:
    """Who leads after each plan, while the time of `b` stands in those ratios to that of `a`."""
    book, found = StatsBook(), []
    for ratio in ratios:
        for target, ttft in ((A, 10.0), (B, 10.0 * ratio)):
            book.deployments[target.name] = Stats(ttft=ttft, per_token=0.0, seen=1000.0)
        book.decided(plan(request(), BY_LATENCY, book, 1000.0, 0.5), bursts=False)
        found.append(book.leading["chat"])
    return found


def changes(found: list[frozenset[str]]) -> int:
    """How often the leading set is another than before."""
    return sum(one != other for one, other in pairwise(found))


@pytest.mark.parametrize(("low", "high"), [(0.97, 1.03), (1.025, 1.07), (1.03, 1.2), (0.96, 1.01)])
def test_leading_do_not_flap_while_two_deployments_wobble_around_each_other(low: float, high: float) -> None:
    assert changes(leading_over([low, high] * 50)) <= 1


def test_leader_is_left_once_another_is_clearly_better() -> None:
    found = leading_over([1.2] * 3 + [0.8] * 3)
    assert found[0] == {A.name}
    assert found[-1] == {B.name}


def test_equal_deployments_lead_together_and_share_the_requests() -> None:
    book = StatsBook()
    firsts = []
    for step in range(1000):
        planned = plan(request(), BY_LATENCY, book, 1000.0, 0.01 + 0.99 * step / 1000)
        book.decided(planned, bursts=False)
        firsts.append(planned.choices[0].deployment.backend)
    assert book.leading["chat"] == {A.name, B.name}
    assert 0.35 < firsts.count("a") / 1000 < 0.65


def test_newcomer_that_is_as_good_joins_whoever_led_alone() -> None:
    assert leading_over([1.2, 1.2, 1.0, 1.0])[-1] == {A.name, B.name}


def test_leader_that_was_not_compared_stays_one() -> None:
    """A request that only some can serve says nothing of the others."""
    able = [deployment(name, capabilities=frozenset({"vision"})) for name in "cd"]
    rules, book = route(A, B, *able, weights=Weights(0.0, 1.0)), StatsBook()
    for target, ttft in ((A, 1.0), (B, 9.0), (able[0], 5.0), (able[1], 9.0)):
        book.deployments[target.name] = Stats(ttft=ttft, per_token=0.0, seen=1000.0)
    book.decided(plan(request(), rules, book, 1000.0, 0.5), bursts=False)
    assert book.leading["chat"] == {A.name}
    book.decided(plan(request(needs=frozenset({"vision"})), rules, book, 1000.0, 0.5), bursts=False)
    assert book.leading["chat"] == {A.name, able[0].name}
    book.decided(plan(request(), rules, book, 1000.0, 0.5), bursts=False)
    assert book.leading["chat"] == {A.name}


def test_burst_of_a_route_is_remembered_until_a_plan_does_without() -> None:
    book = StatsBook()
    planned = plan(request(), BY_LATENCY, book, 1000.0, 0.5)
    book.decided(planned._replace(causes=frozenset({"burst"})), bursts=True)
    assert book.bursts == {"chat"}
    book.decided(planned, bursts=True)
    assert book.bursts == set()
