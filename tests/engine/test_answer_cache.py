"""What of the answers is kept, and who gets it again."""

import asyncio
import contextlib
from typing import Any

import pytest

from gateway import errors
from gateway.routing.lane import Candidate
from gateway.routing.policy import CachePolicy
from gateway.types import CacheControl, Caller, Json, Price, Usage
from tests.engine.fakes import Rig, Script, bodies, finish, text, used, whole, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import BODY, deployment, route

A = deployment("a", price=Price(1.0, 2.0))
TTL = 60.0
CACHED = route(A, cache=CachePolicy(TTL))


def rig(*scripts: Script) -> Rig:
    return Rig(CACHED, {"a": list(scripts)} if scripts else {})


async def ask(of: Rig, **facts: Any) -> tuple[str, str]:
    """What the cache said, and the text of the answer."""
    answer = of.open(**facts)
    found = await bodies(answer)
    return answer.cache, words(found)


def control(**words: Any) -> dict[str, CacheControl]:
    return {"cache": CacheControl(**words)}


def test_second_request_is_answered_from_the_cache_with_the_same_chunks() -> None:
    async def scenario() -> None:
        of = rig()
        first, second = of.open(), of.open()
        told, again = await bodies(first), await bodies(second)
        assert (first.cache, second.cache) == ("miss", "hit")
        assert again == told[:-1]  # the usage alone, which was not asked for, is not sent
        assert of.calls == {"a": 1}
        assert (second.deployment, second.outcomes, second.plan) == (A, [], None)
        assert second.hit is not None
        assert second.hit.usage == Usage(7, 3)
        assert second.hit.cost == pytest.approx(13e-6)

    run(scenario())


def test_answer_in_one_piece_is_kept_too_but_not_for_streams() -> None:
    async def scenario() -> None:
        of = rig([whole("Hello")])
        plain, streamed = {"stream": False}, {"stream": True, "body": {**BODY, "stream": True}}
        assert [await ask(of, **plain), await ask(of, **plain)] == [("miss", "Hello"), ("hit", "Hello")]
        assert (await ask(of, **streamed))[0] == "miss"

    run(scenario())


def test_usage_in_a_cached_answer_costs_nothing() -> None:
    async def scenario() -> list[Json]:
        of = rig()
        asked = {"include_usage": True}
        first = await bodies(of.open(**asked))
        assert first[-1]["usage"]["cost"] > 0
        return await bodies(of.open(**asked))

    assert run(scenario())[-1]["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "cost": 0.0}


def test_route_without_a_cache_bypasses_it() -> None:
    async def scenario() -> None:
        of = Rig(route(A), {})
        assert [(await ask(of))[0] for _ in range(2)] == ["bypass", "bypass"]
        assert of.cache.size == 0

    run(scenario())


def test_entry_is_a_hit_until_it_is_older_than_the_route_allows() -> None:
    async def scenario() -> list[str]:
        of, found = rig(), []
        for wait in (0.0, TTL, 0.1):
            await asyncio.sleep(wait)
            found.append((await ask(of))[0])
        return found

    assert run(scenario()) == ["miss", "hit", "miss"]


@pytest.mark.parametrize(("seconds", "result"), [(0.0, "miss"), (9.0, "miss"), (10.0, "hit"), (10**9, "hit")])
def test_caller_may_ask_for_younger_answers_but_not_for_older_ones(seconds: float, result: str) -> None:
    async def scenario() -> str:
        of = rig()
        await ask(of)
        await asyncio.sleep(10)
        return (await ask(of, **control(max_age=seconds)))[0]

    assert run(scenario()) == result


def test_max_age_does_not_outlive_the_time_of_the_route() -> None:
    async def scenario() -> str:
        of = rig()
        await ask(of)
        await asyncio.sleep(TTL + 1)
        return (await ask(of, **control(max_age=10**9)))[0]

    assert run(scenario()) == "miss"


def test_no_cache_asks_anew_and_keeps_the_new_answer() -> None:
    async def scenario() -> None:
        of = rig([text("old"), finish()], [text("new"), finish()])
        await ask(of)
        assert await ask(of, **control(no_cache=True)) == ("bypass", "new")
        assert await ask(of) == ("hit", "new")

    run(scenario())


def test_no_store_reads_the_cache_and_keeps_nothing() -> None:
    async def scenario() -> None:
        of = rig()
        assert (await ask(of, **control(no_store=True)))[0] == "miss"
        assert of.cache.size == 0
        await ask(of)
        assert (await ask(of, **control(no_store=True)))[0] == "hit"

    run(scenario())


def test_no_cache_and_no_store_together_leave_the_cache_alone() -> None:
    async def scenario() -> None:
        of = rig()
        assert (await ask(of, **control(no_store=True, no_cache=True)))[0] == "bypass"
        assert of.cache.size == 0

    run(scenario())


def test_only_if_cached_never_asks_an_upstream() -> None:
    async def scenario() -> None:
        of, cold = rig(), Rig(route(A), {})
        with pytest.raises(errors.NotCached) as caught:
            await ask(of, **control(only_if_cached=True))
        assert (caught.value.status, of.calls) == (504, {})
        await ask(of)
        assert (await ask(of, **control(only_if_cached=True)))[0] == "hit"
        with pytest.raises(errors.NotCached):
            await ask(cold, **control(only_if_cached=True))

    run(scenario())


@pytest.mark.parametrize(
    "script",
    [
        [errors.ServerFault],
        [text("Hel")],
        [text("Hel"), errors.Disconnected],
        [text("Hel"), 100.0, finish()],
        [text("Hello"), finish("length")],
        [text("Hello"), finish("content_filter")],
        [text("a", 0), finish("stop", 0), text("b", 1), finish("length", 1)],
    ],
)
def test_answer_that_is_not_whole_is_never_kept(script: Script) -> None:
    async def scenario() -> None:
        of = Rig(route(A, cache=CachePolicy(TTL), attempts=1), {"a": [script]})
        with contextlib.suppress(errors.UpstreamError):
            await ask(of)
        assert of.cache.size == 0

    run(scenario())


def test_answer_that_the_caller_did_not_wait_for_is_not_kept() -> None:
    async def scenario() -> None:
        of = rig([text("Hello"), text(" world"), finish()])
        chunks = of.open().chunks()
        await anext(chunks)
        await chunks.aclose()
        assert of.cache.size == 0

    run(scenario())


def test_only_the_answer_of_the_winner_is_kept() -> None:
    async def scenario() -> None:
        rules = route(candidates=(Candidate(A, 0), Candidate(deployment("b"), 1)), cache=CachePolicy(TTL))
        of = Rig(rules, {"a": [[{"choices": [], "left": "over"}, errors.ServerFault]]})
        await ask(of)
        again = await bodies(of.open())
        assert words(again) == "Hello world"
        assert "over" not in str(again)

    run(scenario())


def test_another_caller_never_gets_an_answer_from_the_cache() -> None:
    async def scenario() -> list[str]:
        of = rig()
        callers = [Caller("search"), Caller("chat"), Caller("search")]
        return [(await ask(of, caller=caller))[0] for caller in callers]

    assert run(scenario()) == ["miss", "miss", "hit"]


def test_another_body_is_another_answer() -> None:
    async def scenario() -> list[str]:
        of = rig()
        changed = [BODY, {**BODY, "temperature": 0.5}, {**BODY, "unheard_of": 1}, dict(reversed(BODY.items()))]
        return [(await ask(of, body=body))[0] for body in changed]

    assert run(scenario()) == ["miss", "miss", "miss", "hit"]


@pytest.mark.parametrize("changed", [deployment("b"), deployment("a", precision="fp8"), deployment("a", region="us")])
def test_answer_of_a_deployment_that_is_no_longer_in_the_route_is_no_hit(changed: Any) -> None:
    async def scenario() -> str:
        before, after = rig(), Rig(route(changed, cache=CachePolicy(TTL)), {})
        await ask(before)
        for key, held in before.cache.entries.items():
            await after.cache.put(key, held.entry, TTL)
        return (await ask(after))[0]

    assert run(scenario()) == "miss"


def test_hit_has_content_at_once() -> None:
    async def scenario() -> None:
        of = rig([5.0, text("Hello"), finish(), used()])
        await ask(of)
        answer = of.open()
        await bodies(answer)
        assert (answer.content, answer.asked, now()) == (1005.0, None, 1005.0)

    run(scenario())
