"""The same request several times at once: who asks, who reads along, and what happens when one of them leaves."""

import asyncio
from typing import Any

import pytest

from gateway import errors
from gateway.engine.answer import Answer
from gateway.engine.flights import AHEAD_BYTES, unframed
from gateway.engine.record import Ending, recorded
from gateway.outcomes import Record
from gateway.routing.policy import CachePolicy, Route
from gateway.stores.cache import ENTRY_BYTES
from gateway.types import CacheControl, Caller, Chunk, Json, Price, Usage
from tests.engine.fakes import GOOD, Rig, Script, batches_of, bodies, finish, text, used, whole, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import BODY, deployment, route

A = deployment("a", price=Price(1.0, 2.0))
SLOW: Script = [text("one"), 1.0, text(" two"), 1.0, text(" three"), finish(), used()]


def rules(**facts: Any) -> Route:
    return route(A, cache=CachePolicy(60.0, **facts), attempts=1)


def rig(*scripts: Script, **facts: Any) -> Rig:
    return Rig(rules(**facts), {"a": list(scripts)} if scripts else {})


def record(answer: Answer) -> Record:
    return recorded(answer.request, 0.0, answer, Ending(200, now()))


async def later(seconds: float, of: Rig, **facts: Any) -> tuple[Answer, list[Json]]:
    """An answer, asked for after so many seconds, and its chunks."""
    await asyncio.sleep(seconds)
    answer = of.open(**facts)
    return answer, await bodies(answer)


async def read(answer: Answer, seconds: float = 0.0) -> str:
    """The text of an answer by a caller who takes so long over each piece."""
    found: list[Json] = []
    async for batch in batches_of(answer):
        found += [one.body for one in batch]
        await asyncio.sleep(seconds)
    return words(found)


def test_same_request_at_the_same_time_is_asked_once() -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        found = await asyncio.gather(*[later(wait, of) for wait in (0.0, 0.5, 1.5, 1.9)])
        assert of.calls == {"a": 1}
        assert [answer.cache for answer, _ in found] == ["miss", "coalesced", "coalesced", "coalesced"]
        assert [words(said) for _, said in found] == ["one two three"] * 4
        assert of.tools.keeping.flights == {}
        assert of.quiet()

    run(scenario())


def test_who_joins_pays_nothing_and_the_record_says_what_it_would_have_been() -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        (first, _), (second, _) = await asyncio.gather(later(0.0, of), later(0.5, of))
        paid, free = record(first), record(second)
        assert (paid.saved, paid.cache) == (0.0, "miss")
        assert (free.cost, free.cache) == (0.0, "coalesced")
        assert paid.cost == free.saved == pytest.approx(13e-6)
        assert (free.attempts, free.deployment, free.usage) == ((), A, Usage(7, 3))
        assert free.reason == "joined the same request, which was running"

    run(scenario())


def test_usage_of_who_joins_costs_nothing() -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        asked = {"include_usage": True}
        (_, first), (_, second) = await asyncio.gather(later(0.0, of, **asked), later(0.5, of, **asked))
        assert first[-1]["usage"]["cost"] > 0
        assert second[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "cost": 0.0}

    run(scenario())


def test_answer_in_one_piece_is_shared_too() -> None:
    async def scenario() -> None:
        of = rig([1.0, whole("Hello")])
        found = await asyncio.gather(*[later(0.0, of, stream=False) for _ in range(5)])
        assert (of.calls, [words(said) for _, said in found]) == ({"a": 1}, ["Hello"] * 5)

    run(scenario())


def test_next_request_after_a_flight_is_a_hit() -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        await asyncio.gather(later(0.0, of), later(0.5, of))
        assert (await later(0.0, of))[0].cache == "hit"

    run(scenario())


@pytest.mark.parametrize("paces", [(0.0, 30.0), (30.0, 0.0)])
def test_slow_reader_holds_nobody_else(paces: tuple[float, float]) -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        ended: dict[float, float] = {}

        async def timed(pace: float) -> str:
            said = await read(of.open(), pace)
            ended[pace] = now()
            return said

        began = now()
        assert await asyncio.gather(*[timed(pace) for pace in paces]) == ["one two three"] * 2
        assert ended[0.0] - began == pytest.approx(2.0)
        assert ended[30.0] - began >= 90.0

    run(scenario())


async def leaving(answer: Answer, seconds: float) -> Record:
    """An answer whose caller hangs up after so many seconds."""
    task = asyncio.create_task(read(answer))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    return record(answer)


def test_upstream_goes_on_for_the_others_when_who_asked_hangs_up_and_is_billed() -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        gone, (other, said) = await asyncio.gather(leaving(of.open(), 1.5), later(0.5, of))
        assert words(said) == "one two three"
        assert gone.cost == pytest.approx(13e-6)
        assert gone.usage == Usage(7, 3)
        assert record(other).cost == 0.0
        assert of.calls == {"a": 1}
        assert of.quiet()

    run(scenario())


def test_upstream_is_let_go_when_the_last_reader_hangs_up() -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        began = now()
        await asyncio.gather(leaving(of.open(), 0.5), leaving(of.open(), 0.7))
        assert now() - began == pytest.approx(0.7)
        assert of.quiet()
        assert of.cache.size == 0
        assert [outcome.outcome for outcome in of.outcomes] == ["client_cancelled"]
        assert (await later(0.0, of))[0].cache == "miss"

    run(scenario())


def test_who_joined_hurts_nobody_by_hanging_up() -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        (_, said), gone, (_, third) = await asyncio.gather(later(0.0, of), leaving(of.open(), 0.5), later(0.6, of))
        assert words(said) == words(third) == "one two three"
        assert (gone.cost, gone.cache) == (0.0, "coalesced")
        assert of.quiet()

    run(scenario())


def test_upstreams_error_before_content_is_everybodys_and_asks_nobody_again() -> None:
    async def scenario() -> None:
        of = rig([1.0, errors.ServerFault])
        found = await asyncio.gather(*[later(0.0, of) for _ in range(4)], return_exceptions=True)
        assert [type(one) for one in found] == [errors.ServerFault] * 4
        assert len({id(one) for one in found}) == 4
        assert of.calls == {"a": 1}
        assert of.cache.size == 0

    run(scenario())


def test_stream_that_breaks_breaks_for_everybody_at_the_same_place() -> None:
    async def scenario() -> None:
        of = rig([text("one"), 1.0, text(" two"), errors.Disconnected])
        answers = [of.open() for _ in range(3)]
        said: list[list[Json]] = [[], [], []]

        async def follow(index: int) -> None:
            async for batch in batches_of(answers[index]):
                said[index] += [one.body for one in batch]

        found = await asyncio.gather(*[follow(index) for index in range(3)], return_exceptions=True)
        assert [type(one) for one in found] == [errors.Disconnected] * 3
        assert [words(each) for each in said] == ["one two"] * 3

    run(scenario())


def test_one_takes_over_where_nobody_could_be_asked_for_the_first_and_the_others_join_it() -> None:
    async def scenario() -> None:
        of = Rig(route(A, cache=CachePolicy(60.0), wait=2.0), {})
        of.book.drain(frozenset({"a"}), [A])
        asyncio.get_running_loop().call_later(3.0, of.book.drain, frozenset(), [A])
        found = await asyncio.gather(*[later(wait, of) for wait in (0.0, 0.5, 0.5)], return_exceptions=True)
        assert isinstance(found[0], errors.NoCandidate)
        others = [one[0].cache for one in found[1:] if not isinstance(one, BaseException)]
        assert sorted(others) == ["coalesced", "miss"]
        assert of.calls == {"a": 1}

    run(scenario())


def test_defect_of_ours_is_seen_by_everybody() -> None:
    async def scenario() -> None:
        of = rig([1.0, ZeroDivisionError])
        found = await asyncio.gather(*[later(0.0, of) for _ in range(2)], return_exceptions=True)
        assert [type(one) for one in found] == [ZeroDivisionError] * 2

    run(scenario())


@pytest.mark.parametrize(
    ("facts", "more"),
    [
        ({"coalesce": False}, {}),
        ({}, {"caller": Caller("other")}),
        ({}, {"cache": CacheControl(no_cache=True)}),
        ({}, {"cache": CacheControl(no_store=True)}),
        ({}, {"body": {**BODY, "temperature": 0.5}}),
        ({}, {"deadline": None}),
    ],
)
def test_request_that_may_not_or_is_not_the_same_is_asked_by_itself(facts: Any, more: Any) -> None:
    async def scenario() -> None:
        of = rig(SLOW, **facts)
        until = {"deadline": now() + 50.0}
        await asyncio.gather(later(0.0, of, **until), later(0.5, of, **{**until, **more}))
        assert of.calls == {"a": 2}

    run(scenario())


def test_who_joins_with_less_time_waits_no_longer_than_that() -> None:
    async def scenario() -> None:
        of = rig(SLOW)
        first, second = await asyncio.gather(
            later(0.0, of), later(0.5, of, deadline=now() + 1.2), return_exceptions=True
        )
        assert isinstance(second, errors.TotalTimeout)
        assert not isinstance(first, BaseException)
        assert words(first[1]) == "one two three"

    run(scenario())


def test_caller_who_may_use_other_models_joins_nobody_of_the_team() -> None:
    async def scenario() -> None:
        of = rig(SLOW, share="all")
        narrow = Caller("narrow", models=frozenset({A.model}))
        found = await asyncio.gather(later(0.0, of, caller=Caller("wide")), later(0.5, of, caller=narrow))
        assert of.calls == {"a": 2}
        assert found[1][0].cache == "miss"

    run(scenario())


@pytest.mark.parametrize("readers", [1, 3])
def test_answer_without_end_is_read_no_further_than_the_fastest_reader_and_not_kept(readers: int) -> None:
    async def scenario() -> None:
        piece = text("x" * (AHEAD_BYTES // 4))
        of = rig([piece] * 40 + [finish()])
        answers = [of.open() for _ in range(readers)]
        streams = [batches_of(answer) for answer in answers]
        firsts = await asyncio.gather(*[anext(stream) for stream in streams])
        for _ in range(200):
            await asyncio.sleep(0)
        (flight,) = of.tools.keeping.flights.values()
        assert flight.size < 2 * AHEAD_BYTES
        rest = await asyncio.gather(*[rest_of(stream) for stream in streams])
        assert {
            len(words([*[one.body for one in first], *each])) for first, each in zip(firsts, rest, strict=True)
        } == {40 * (AHEAD_BYTES // 4)}
        assert of.cache.size == 0
        assert flight.size > ENTRY_BYTES
        assert sum(map(len, flight.pieces)) < ENTRY_BYTES

    run(scenario())


async def rest_of(stream: Any) -> list[Json]:
    return [one.body async for batch in stream for one in batch]


def test_route_that_keeps_several_answers_asks_until_it_has_them() -> None:
    async def scenario() -> None:
        scripts: list[Script] = [[text(name), finish()] for name in ("red", "green", "blue", "never")]
        of = rig(*scripts, answers=3)
        said = [(await later(0.0, of))[0].cache for _ in range(3)]
        assert said == ["miss", "miss", "miss"]
        found = set()
        for chance in (0.0, 0.4, 0.99):
            of.chance = chance
            answer, bodies = await later(0.0, of)
            assert answer.cache == "hit"
            found.add(words(bodies))
        assert found == {"red", "green", "blue"}
        assert of.calls == {"a": 3}

    run(scenario())


def test_one_of_several_answers_is_enough_for_who_wants_only_what_is_kept() -> None:
    async def scenario() -> None:
        of = rig(SLOW, answers=3)
        await later(0.0, of)
        assert (await later(0.0, of, cache=CacheControl(only_if_cached=True)))[0].cache == "hit"
        with pytest.raises(errors.NotCached):
            await later(0.0, of, cache=CacheControl(only_if_cached=True), body={**BODY, "top_p": 0.5})
        assert of.calls == {"a": 1}

    run(scenario())


@pytest.mark.parametrize("fields", [{"temperature": 0}, {"temperature": 0.0}, {"seed": 7}])
def test_request_with_one_answer_only_has_one_kept(fields: Json) -> None:
    async def scenario() -> None:
        of = rig(GOOD, answers=3)
        asked = {"body": {**BODY, **fields}}
        assert [(await later(0.0, of, **asked))[0].cache for _ in range(2)] == ["miss", "hit"]

    run(scenario())


def test_as_many_ask_at_once_as_answers_are_wanted_and_the_others_join_them() -> None:
    async def scenario() -> None:
        of = rig(SLOW, answers=2)
        found = await asyncio.gather(*[later(0.1 * index, of) for index in range(4)])
        assert [answer.cache for answer, _ in found] == ["miss", "miss", "coalesced", "coalesced"]
        assert of.calls == {"a": 2}

    run(scenario())


def test_team_shares_answers_where_the_route_says_so() -> None:
    async def scenario(share: str) -> list[str]:
        of = rig(share=share)
        return [(await later(0.0, of, caller=Caller(name)))[0].cache for name in ("a", "b")]

    assert run(scenario("caller")) == ["miss", "miss"]
    assert run(scenario("all")) == ["miss", "hit"]


def test_answer_of_a_model_that_the_caller_may_not_use_is_no_hit() -> None:
    async def scenario() -> None:
        of = rig(share="all")
        await later(0.0, of)
        narrow = of.open(caller=Caller("narrow", models=frozenset({"another"})))
        assert await narrow.look_up() is None

    run(scenario())


def test_events_come_apart_as_they_were_put_together() -> None:
    assert unframed(b"", True) == []
    assert unframed(b'data: {"a":1}\n\ndata: {"a":2}\n\n', True) == [
        Chunk(b'{"a":1}', {"a": 1}),
        Chunk(b'{"a":2}', {"a": 2}),
    ]
    assert unframed(b'{\n\n"a":1}', False) == [Chunk(b'{\n\n"a":1}', {"a": 1})]
