"""When a second deployment is asked beside a slow first one, and what is known of both afterwards."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.engine.answer import Answer
from gateway.engine.attempt import BEATEN
from gateway.engine.hedge import SAVED, Budget, Hedges, scarce
from gateway.engine.record import Ending, reason_of, recorded
from gateway.outcomes import Outcome
from gateway.routing.book import StatsBook
from gateway.routing.concurrency import Allowance
from gateway.routing.lane import Candidate
from gateway.routing.policy import Hedge
from gateway.routing.stats import UNSEEN, Stats, learnt
from gateway.types import Choice, Forecast, Preferences, Price
from tests.engine.fakes import GOOD, Rig, Script, bodies, finish, role, text, used, whole, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, outcome, route

GPU = deployment("gpu-a")
A, B, C = deployment("a"), deployment("b"), deployment("c")
SEEN = Stats(ttft=0.5, per_token=0.01, slope=0.001, offset=0.1)
ALWAYS = Hedge(2.0, 1.0)


def choice(prompt: int = 200, late: float = 7.0) -> Choice:
    """A choice whose request has so many tokens."""
    return Choice(GPU, 1.0, Forecast(prompt, 100, 0.0, 0.5, 3.5, late), 0)


@pytest.mark.parametrize(
    ("after", "stats", "in_one_piece", "seconds"),
    [
        (4.0, UNSEEN, False, 4.0),
        (4.0, SEEN, True, 4.0),
        (None, UNSEEN, False, None),
        (None, SEEN, False, 2.0 * (0.5 + 0.2 - 0.1)),
        (None, SEEN, True, 7.0),
        (None, Stats(ttft=0.5), True, None),
    ],
)
def test_delay_is_as_written_or_as_measured(
    after: float | None, stats: Stats, in_one_piece: bool, seconds: float | None
) -> None:
    found = Hedges().after(Hedge(after), choice(), stats, in_one_piece)
    assert found == (None if seconds is None else pytest.approx(seconds))


def test_one_request_in_fifty_may_have_a_second_attempt() -> None:
    budget, allowed = Budget(0.02), []
    for _ in range(200):
        budget.request()
        allowed.append(budget.take())
    assert [index for index, may in enumerate(allowed) if may] == [49, 99, 149, 199]


@given(st.floats(0.001, 1.0), st.lists(st.booleans(), max_size=300))
def test_second_attempts_are_never_more_than_their_share(share: float, events: list[bool]) -> None:
    budget, asked, taken, lately = Budget(share), 0, 0, 0
    for asks in (*events, *[True] * 20):
        if asks:
            asked += 1
            budget.request()
        elif budget.take():
            taken += 1
        assert taken <= share * asked + 1e-6
    while budget.take():
        lately += 1
    assert lately <= SAVED


@pytest.mark.parametrize(
    ("in_flight", "asked", "bears", "found"),
    [(7, 7, None, False), (8, 8, None, True), (5, 5, 6.0, True), (0, 0, 6.0, False)],
)
def test_slots_are_scarce_when_seven_of_ten_are_in_use(
    in_flight: int, asked: int, bears: float | None, found: bool
) -> None:
    book, target = StatsBook(), deployment("gpu-a", slots=10)
    book.in_flight["gpu-a"], book.asked[target.name] = in_flight, asked
    if bears is not None:
        book.allowances[target.name] = Allowance(bears)
    assert scarce(book, (A, target)) is found


def streamed(seconds: float, ended: bool = True) -> Outcome:
    """A stream whose first token came after so many seconds, or that was left before it did."""
    return outcome(GPU, started=0.0, ended=seconds, first=seconds if ended else None)


def after_samples(quantile: Callable[[int], float], count: int = 4000) -> tuple[float, list[float]]:
    """The delay that is learnt from streams which are left when their second attempt wins, and true samples."""
    hedges, asked = Hedges(), choice(0)
    stats, samples = learnt(UNSEEN, streamed(1.0)), [quantile(index) for index in range(count)]
    for seconds in samples:
        after = hedges.after(Hedge(), asked, stats, False)
        assert after is not None
        one = streamed(min(seconds, after + 0.2), ended=seconds <= after + 0.2)
        hedges.learn(asked, stats, one)
        stats = learnt(stats, one)
    learned = hedges.after(Hedge(), asked, stats, False)
    assert learned is not None
    return learned, samples


def test_delay_does_not_shrink_because_losers_are_left_before_their_first_token() -> None:
    after, samples = after_samples(lambda index: 5.0 if index * 7919 % 100 < 4 else 0.5 + index * 7919 % 97 / 97)
    later = sum(seconds > after for seconds in samples) / len(samples)
    assert 0.02 <= later <= 0.1


def test_answer_in_one_piece_tells_nothing_of_first_tokens() -> None:
    hedges = Hedges()
    hedges.learn(choice(), SEEN, streamed(90.0)._replace(streamed=False))
    hedges.learn(choice(), UNSEEN, streamed(90.0))
    assert hedges.tails == {}


SLOW: Script = [10.0, *GOOD]


def rig(first: Script, second: Script = GOOD, rule: Hedge | None = ALWAYS, **facts: Any) -> Rig:
    """Two deployments, the first of which is asked first."""
    rules = route(candidates=(Candidate(A, 0), Candidate(B, 1), Candidate(C, 2)), hedge=rule, **facts)
    return Rig(rules, {"a": [first], "b": [second]})


async def asked(found: Rig, **facts: Any) -> tuple[Answer, str | errors.GatewayError, float]:
    """A request's answer, its text or its error, and after how many seconds it was whole."""
    answer, begun = found.open(**facts), now()
    try:
        said: str | errors.GatewayError = words(await bodies(answer))
    except errors.GatewayError as exc:
        said = exc
    assert found.quiet() and asyncio.all_tasks() == {asyncio.current_task()}
    return answer, said, now() - begun


@pytest.mark.parametrize("stream", [True, False])
def test_second_deployment_answers_when_the_first_is_slow(stream: bool) -> None:
    async def scenario() -> None:
        good = GOOD if stream else [whole("Hello world")]
        found = rig([10.0, *good], [1.0, *good])
        answer, said, seconds = await asked(found, stream=stream)
        assert (said, seconds) == ("Hello world", 3.0)
        assert (answer.deployment, answer.attempted, found.calls) == (B, 2, {"a": 1, "b": 1})
        assert [(one.deployment, one.outcome, one.error_type) for one in answer.outcomes] == [
            (A, "client_cancelled", BEATEN),
            (B, "success", ""),
        ]
        assert found.book.of(A).faults == 0
        assert f"{A.name} was slower" in reason_of(answer)

    run(scenario())


@pytest.mark.parametrize("stream", [True, False])
def test_first_deployment_may_still_win(stream: bool) -> None:
    async def scenario() -> None:
        good = GOOD if stream else [whole("Hello world")]
        found = rig([3.0, *good], [5.0, *good])
        answer, said, seconds = await asked(found, stream=stream)
        assert (said, seconds, answer.deployment) == ("Hello world", 3.0, A)
        assert [(one.deployment, one.error_type) for one in answer.outcomes] == [(B, BEATEN), (A, "")]

    run(scenario())


@pytest.mark.parametrize(
    ("first", "facts", "why"),
    [
        (GOOD, {}, "it is quick"),
        (SLOW, {"rule": None}, "the route does not hedge"),
        (SLOW, {"rule": Hedge(2.0, 0.5)}, "its budget is used up"),
        (SLOW, {"rule": Hedge(None, 1.0)}, "nothing is known of it yet"),
        (SLOW, {"attempts": 1}, "there is one attempt only"),
    ],
)
def test_nobody_is_asked_beside_the_first(first: Script, facts: dict[str, Any], why: str) -> None:
    async def scenario() -> None:
        found = rig(first, **facts)
        answer, said, _ = await asked(found)
        assert (said, found.calls, len(answer.outcomes)) == ("Hello world", {"a": 1}, 1), why

    run(scenario())


def test_nobody_is_asked_twice_while_slots_are_scarce() -> None:
    async def scenario() -> None:
        found = rig(SLOW)
        found.book.in_flight.update(b=60)
        answer = found.open()
        assert words(await bodies(answer)) == "Hello world"
        assert found.calls == {"a": 1}

    run(scenario())


def test_caller_who_allows_no_fallbacks_is_not_answered_by_a_second() -> None:
    async def scenario() -> None:
        found = rig(SLOW)
        await asked(found, preferences=Preferences(allow_fallbacks=False))
        assert found.calls == {"a": 1}

    run(scenario())


def test_delay_is_learnt_from_what_a_route_has_seen() -> None:
    async def scenario() -> None:
        found = rig([1.0, *GOOD], rule=Hedge(None, 1.0))
        found.providers["a"].scripts = [*[[1.0, *GOOD]] * 3, SLOW]
        for _ in range(3):
            await asked(found)
        _, _, seconds = await asked(found)
        assert found.calls == {"a": 4, "b": 1}
        assert 1.5 < seconds <= 2.0

    run(scenario())


@pytest.mark.parametrize(("first", "second"), [(errors.ServerFault, 1.0), (1.0, errors.ServerFault)])
def test_failure_of_one_leaves_the_other_to_answer(first: Any, second: Any) -> None:
    async def scenario() -> None:
        found = rig([3.0, first, *GOOD], [second, *GOOD])
        answer, said, _ = await asked(found)
        assert said == "Hello world"
        assert {one.deployment.backend: one.outcome for one in answer.outcomes if one.outcome == "success"}.keys() == (
            {"b"} if first is errors.ServerFault else {"a"}
        )

    run(scenario())


def test_next_one_is_asked_when_both_fail_and_attempts_stay_within_bounds() -> None:
    async def scenario() -> None:
        found = rig([3.0, errors.ServerFault], [3.0, errors.ServerFault])
        answer, said, _ = await asked(found)
        assert (said, answer.attempted) == ("Hello world", 3)
        assert [one.deployment for one in answer.outcomes] == [A, B, C]

    run(scenario())


def test_error_that_nobody_may_hide_ends_both() -> None:
    async def scenario() -> None:
        found = rig(SLOW, [1.0, errors.Refused])
        answer, said, seconds = await asked(found)
        assert isinstance(said, errors.Refused) and seconds == 3.0
        assert answer.deployment == B
        assert "c" not in found.calls

    run(scenario())


def test_stream_of_the_winner_that_breaks_is_taken_up_by_another() -> None:
    async def scenario() -> None:
        found = rig(SLOW, [role(), text("Hello"), errors.Disconnected], mid_stream="splice")
        answer, said, _ = await asked(found)
        assert (said, answer.deployment) == ("Hello world", C)

    run(scenario())


def test_cost_of_both_is_paid_and_the_losers_is_an_estimate() -> None:
    async def scenario() -> None:
        paid = [deployment(name, price=Price(1e6, 1e6)) for name in "ab"]  # a dollar a token
        found = Rig(route(candidates=tuple(Candidate(one, at) for at, one in enumerate(paid)), hedge=ALWAYS), {})
        found.providers["a"].scripts = [SLOW]
        answer, _, _ = await asked(found, prompt_tokens=5)
        record = recorded(answer.request, 0.0, answer, Ending(200, now(), now()))
        lost, won = record.attempts
        assert lost.usage is not None and (lost.usage, lost.usage.estimated) == ((5, 0, 0, True), True)
        assert (lost.cost, won.cost, record.cost) == (5.0, 10.0, 15.0)
        assert record.usage == won.usage

    run(scenario())


def test_tokens_of_a_loser_that_nobody_got_are_counted() -> None:
    async def scenario() -> None:
        slow: Script = [role(), 0.5, text("Hello there, llama")]
        found = rig([role(), 3.0, [text("Hello there"), finish(), used(7, 4)]], [*slow, 90.0], mid_stream="buffer")
        await asked(found)
        assert found.tools.wasted == {("b", "hedge"): 4}

    run(scenario())


@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.0, 2.5, 3.0, 4.0])
def test_caller_who_leaves_leaves_nothing_behind(seconds: float) -> None:
    async def scenario() -> None:
        found = rig(SLOW, [1.0, text("Hel"), 5.0, *GOOD])
        task = asyncio.create_task(bodies(found.open()))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait([task])
        assert found.quiet() and asyncio.all_tasks() == {asyncio.current_task()}
        assert {one.outcome for one in found.outcomes} <= {"client_cancelled"}

    run(scenario())
