"""Which arm of a split answers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate, Lane
from gateway.routing.planner import plan
from gateway.routing.policy import Arm, Route
from gateway.routing.rollout import Rollout
from gateway.routing.split import arm_of, conversation, hashed
from gateway.routing.stats import Stats
from gateway.types import Caller, ChatRequest
from tests.routing.samples import BODY, deployment, request, route

NOW = 1000.0
OWN, NEW = deployment("own"), deployment("new", "llama-4-scout")
BEHIND = Lane([Candidate(NEW), Candidate(OWN, 1)])


def split(*weights: float, **facts: Any) -> Route:
    """A route with an arm for each weight."""
    arms = tuple(Arm(f"arm-{index}", weight, BEHIND) for index, weight in enumerate(weights))
    return route(OWN, arms=arms, **facts)


def shares(rules: Route, requests: list[ChatRequest], chances: list[float]) -> dict[str, float]:
    """The share of requests that each arm answers; the route's own has no name."""
    book = StatsBook()
    arms = [arm_of(asked, rules, book, chance) for asked, chance in zip(requests, chances, strict=True)]
    drawn = ["" if arm is None else arm.name for arm in arms]
    return {name: drawn.count(name) / len(drawn) for name in set(drawn)}


def test_route_without_a_split_answers_itself() -> None:
    assert arm_of(request(), route(OWN), StatsBook(), 0.5) is None


@pytest.mark.parametrize("weights", [(0.1,), (0.5, 0.3), (0.25, 0.25, 0.5), (1.0,)])
def test_weights_hold_over_many_draws(weights: tuple[float, ...]) -> None:
    draws = 20_000
    found = shares(split(*weights), [request()] * draws, [(step + 0.5) / draws for step in range(draws)])
    for index, weight in enumerate(weights):
        assert found[f"arm-{index}"] == pytest.approx(weight, abs=0.01)
    assert found.get("", 0.0) == pytest.approx(1 - sum(weights), abs=0.01)


@pytest.mark.parametrize("part", [0.0, 0.25, 0.9])
def test_weights_hold_among_requests_that_chance_would_order_alike(part: float) -> None:
    """The same chance decides ties and probes: one in a hundred requests must not all be of one arm."""
    draws = 10_000
    chances = [part + 0.01 * (step + 0.5) / draws for step in range(draws)]
    assert shares(split(0.3), [request()] * draws, chances)["arm-0"] == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize("sticky", ["caller", "conversation"])
def test_weights_hold_over_many_callers_and_conversations(sticky: str) -> None:
    asked = [
        request(caller=Caller(f"team-{number}"), body={**BODY, "prompt_cache_key": f"talk {number}"})
        for number in range(5000)
    ]
    assert shares(split(0.3, sticky=sticky), asked, [0.5] * 5000)["arm-0"] == pytest.approx(0.3, abs=0.03)


@given(st.text(max_size=20), st.lists(st.floats(0, 1, exclude_max=True), min_size=2, max_size=5))
def test_caller_keeps_an_arm_whatever_chance_says(name: str, chances: list[float]) -> None:
    rules = split(0.4, 0.3, sticky="caller")
    asked = request(caller=Caller(name))
    assert len({arm_of(asked, rules, StatsBook(), chance) for chance in chances}) == 1


@given(st.text(max_size=50), st.lists(st.text(max_size=50), max_size=4))
def test_conversation_keeps_an_arm_as_it_grows(first: str, answers: list[str]) -> None:
    rules = split(0.5, sticky="conversation")
    messages: list[dict[str, str]] = [{"role": "system", "content": "be brief"}, {"role": "user", "content": first}]
    arms = {arm_of(request(body={"messages": messages}), rules, StatsBook(), 0.5)}
    for answer in answers:
        messages = [*messages, {"role": "assistant", "content": answer}, {"role": "user", "content": "and?"}]
        arms.add(arm_of(request(body={"messages": messages}), rules, StatsBook(), 0.1))
    assert len(arms) == 1


def test_conversation_is_known_by_the_callers_key_before_its_words() -> None:
    assert conversation(request(body={**BODY, "prompt_cache_key": "k", "user": "u"})) == "k"
    assert conversation(request(body={**BODY, "prompt_cache_key": "", "user": "u"})) == "u"
    assert conversation(request(body=BODY)) == "Hello"
    assert conversation(request(body={**BODY, "user": 7})) == "Hello"


@pytest.mark.parametrize(("field", "written"), [("prompt", "Once upon"), ("input", ["Once", "upon"])])
def test_request_without_messages_is_known_by_what_it_has_instead(field: str, written: object) -> None:
    assert conversation(request(body={field: written})) == str(written)


@given(st.text())
def test_place_of_a_text_is_the_same_everywhere_and_below_one(text: str) -> None:
    assert 0.0 <= hashed(text) < 1.0
    assert hashed("search") == 0.7068002016749233


def test_arm_that_rolls_out_has_the_share_of_its_step() -> None:
    rollout = Rollout((0.05, 0.5, 1.0), 600.0, 10, 0.1, 2.0)
    rules = route(OWN, arms=(Arm("new", 0.0, BEHIND, rollout),))
    draws = [(step + 0.5) / 10_000 for step in range(10_000)]
    assert shares(rules, [request()] * len(draws), draws)["new"] == pytest.approx(0.05, abs=0.01)


def test_arm_answers_with_its_own_candidates_first() -> None:
    planned = plan(request(), split(1.0), StatsBook(), NOW, 0.5)
    assert [choice.deployment.backend for choice in planned.choices] == ["new", "own"]
    assert planned.arm == "arm-0"


@pytest.mark.parametrize("out", [{"resting_until": NOW + 60}, {"ejected_until": NOW + 5}])
def test_arm_falls_back_to_the_routes_own_candidates(out: dict[str, float]) -> None:
    book = StatsBook()
    book.deployments[NEW.name] = Stats(**out)  # type: ignore[arg-type]  # times alone
    planned = plan(request(), split(1.0), book, NOW, 0.5)
    assert [choice.deployment.backend for choice in planned.choices] == ["own"]
    assert (planned.arm, [out.deployment for out in planned.rejected]) == ("arm-0", [NEW])
