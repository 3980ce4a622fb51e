"""A request whose deployments are all full waits for a slot of the best of them."""

import asyncio
from collections.abc import Awaitable
from typing import Any

import pytest

from gateway import errors
from gateway.engine.answer import Answer
from gateway.routing.concurrency import Allowance
from gateway.routing.lane import Candidate
from gateway.types import Backend, Caller, Preferences
from tests.engine.fakes import GOOD, Rig, Script, bodies, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, fault, route

A, B = deployment("a", concurrency=1), deployment("b", concurrency=1)
LONG: Script = [1.0, *GOOD]
HELLO = "Hello world"


def rig(*candidates: Any, depth: int = 8, wait: float = 2.0, script: Script = LONG, **facts: Any) -> Rig:
    """Backends of one slot each, whose answers take a second, in the order of preference."""
    rules = route(candidates=tuple(Candidate(one, at) for at, one in enumerate(candidates or (A,))), **facts)
    return Rig(
        rules,
        {one.backend: [script] for one in candidates or (A,)},
        backends={
            one.backend: Backend(
                one.backend, "vllm", "http://127.0.0.1:1", concurrency=one.concurrency, queue=depth, queue_wait=wait
            )
            for one in candidates or (A,)
        },
    )


async def told(answer: Answer) -> str | errors.GatewayError:
    """The text of an answer, or its error."""
    try:
        return words(await bodies(answer))
    except errors.GatewayError as exc:
        return exc


async def at_once(found: Rig, count: int, **facts: Any) -> list[str | errors.GatewayError]:
    """What comes of so many requests that are sent at the same time."""
    asked: list[Awaitable[str | errors.GatewayError]] = [told(found.open(**facts)) for _ in range(count)]
    return await asyncio.gather(*asked)


def test_requests_wait_for_a_slot_and_have_it_the_moment_it_is_free() -> None:
    async def scenario() -> None:
        found = rig(wait=5.0)
        begun = now()
        assert await at_once(found, 3) == [HELLO] * 3
        assert found.providers["a"].begun == [begun, begun + 1.0, begun + 2.0]
        assert found.quiet()

    run(scenario())


def test_free_deployment_is_asked_before_anybody_waits() -> None:
    async def scenario() -> None:
        found = rig(A, B)
        assert await at_once(found, 2) == [HELLO] * 2
        assert found.calls == {"a": 1, "b": 1}

    run(scenario())


def test_best_deployment_is_waited_for_when_all_are_full() -> None:
    async def scenario() -> None:
        found = rig(A, B)
        answers = [found.open() for _ in range(3)]
        await asyncio.gather(*[bodies(answer) for answer in answers])
        assert found.calls == {"a": 2, "b": 1}
        assert answers[2].waited == 1.0
        assert answers[2].plan is not None and answers[2].plan.full

    run(scenario())


def test_next_best_is_waited_for_when_the_queue_of_the_best_is_full_too() -> None:
    async def scenario() -> None:
        found = rig(A, B, depth=1)
        assert await at_once(found, 4) == [HELLO] * 4
        assert found.calls == {"a": 2, "b": 2}

    run(scenario())


def test_request_is_refused_at_once_when_no_queue_has_room() -> None:
    async def scenario() -> None:
        found = rig(depth=1)
        task = asyncio.create_task(at_once(found, 2))
        await asyncio.sleep(0.1)
        begun = now()
        error = await told(found.open())
        assert isinstance(error, errors.Shed) and now() == begun
        assert (error.status, error.outcome, error.retry_after) == (503, "shed", 1.0)
        assert found.tools.queues.all["a"].shed == {"default": 1}
        await task

    run(scenario())


def test_wait_is_as_long_as_its_backend_or_its_route_says_whichever_is_longer() -> None:
    async def scenario(seconds: float, **facts: Any) -> None:
        found = rig(script=[90.0, *GOOD], **facts)
        task = asyncio.create_task(bodies(found.open()))
        await asyncio.sleep(0)
        begun = now()
        assert isinstance(await told(found.open()), errors.Shed)
        assert now() - begun == pytest.approx(seconds)
        task.cancel()

    run(scenario(2.0))
    run(scenario(0.5, wait=0.5))


@pytest.mark.parametrize(("header", "own", "seconds"), [("batch", "default", 30.0), ("critical", "batch", 30.0)])
def test_batch_waits_longer_by_header_or_by_caller(header: str, own: Any, seconds: float) -> None:
    async def scenario() -> None:
        found = rig(script=[90.0, *GOOD])
        task = asyncio.create_task(bodies(found.open()))
        await asyncio.sleep(0)
        begun = now()
        caller = Caller("ann", class_=own)
        assert isinstance(await told(found.open(caller=caller, headers={"x-gateway-class": header})), errors.Shed)
        assert now() - begun == pytest.approx(seconds)
        task.cancel()

    run(scenario())


def test_request_waits_no_longer_than_its_own_time() -> None:
    async def scenario() -> None:
        found = rig(script=[90.0, *GOOD])
        task = asyncio.create_task(bodies(found.open()))
        await asyncio.sleep(0)
        begun = now()
        assert isinstance(await told(found.open(deadline=now() + 0.7)), errors.TotalTimeout)
        assert now() - begun == pytest.approx(0.7)
        task.cancel()

    run(scenario())


def test_critical_request_is_served_before_those_who_came_earlier() -> None:
    async def scenario() -> None:
        found, served = rig(wait=9.0), list[str]()

        async def ask(caller: Caller) -> None:
            await bodies(found.open(caller=caller))
            served.append(caller.name)

        tasks = [asyncio.create_task(ask(Caller(name))) for name in ("first", "ann", "bob")]
        await asyncio.sleep(0.5)
        await asyncio.gather(*tasks, ask(Caller("eve", class_="critical")))
        assert served == ["first", "eve", "ann", "bob"]

    run(scenario())


def test_caller_who_leaves_the_queue_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        found = rig()
        tasks = [asyncio.create_task(told(found.open())) for _ in range(3)]
        await asyncio.sleep(0.5)
        tasks[1].cancel()
        assert [await tasks[0], await tasks[2]] == [HELLO, HELLO]
        assert found.tools.queues.all["a"].waiting == 0
        assert found.calls == {"a": 2} and found.quiet()

    run(scenario())


def test_slot_of_a_deployment_that_must_rest_is_given_back_and_another_is_sought() -> None:
    async def scenario() -> None:
        found = rig(A, deployment("b", concurrency=1))
        found.providers["a"].scripts = [[1.0, lambda: errors.RateLimited("slow down", retry_after=60.0)]]
        found.providers["b"].scripts = [[1.5, *GOOD], GOOD]
        results = await at_once(found, 3)
        assert results == [HELLO] * 3
        assert found.calls == {"a": 1, "b": 3}
        assert found.quiet()
        assert found.book.in_flight == {"a": 0, "b": 0}

    run(scenario())


def test_deployment_that_was_overloaded_is_waited_for_within_what_it_bears() -> None:
    async def scenario() -> None:
        free = deployment("a")
        found = rig(free)
        found.book.allowances[free.name] = Allowance(2.0)
        begun = now()
        assert await at_once(found, 4) == [HELLO] * 4
        assert found.providers["a"].begun == [begun] * 2 + [begun + 1.0] * 2

    run(scenario())


def test_request_whose_deployment_fails_waits_for_another_that_is_full() -> None:
    async def scenario() -> None:
        found = rig(A, B)
        found.providers["a"].scripts = [[0.5, errors.ServerFault]]
        assert await at_once(found, 2) == [HELLO] * 2
        assert found.calls == {"a": 1, "b": 2}
        assert found.providers["b"].begun[1] == 1001.0

    run(scenario())


def test_second_attempt_at_the_same_deployment_respects_its_limit() -> None:
    async def scenario() -> None:
        found = rig(attempts=2)
        found.chance = 0.0  # no wait before it
        found.providers["a"].scripts = [[lambda: errors.RateLimited("slow down", retry_after=0.5)], [3.0, *GOOD]]
        first = asyncio.create_task(told(found.open()))
        await asyncio.sleep(0.1)
        found.book.take(A)  # somebody else has the slot meanwhile
        await asyncio.sleep(1.0)
        assert len(found.providers["a"].begun) == 1
        found.book.untake(A)
        found.tools.queues.freed("a")
        assert await first == HELLO
        assert found.book.in_flight == {"a": 0}

    run(scenario())


def test_second_attempt_that_finds_no_slot_leaves_the_error_of_the_first() -> None:
    async def scenario() -> None:
        found = rig(attempts=2)
        found.chance = 0.0  # no wait before it: whoever waits has the slot before that
        found.providers["a"].scripts = [[1.0, errors.ServerFault], [90.0, *GOOD]]
        first = asyncio.create_task(told(found.open()))
        await asyncio.sleep(0.5)
        second = asyncio.create_task(told(found.open()))
        error = await first
        assert isinstance(error, errors.ServerFault) and now() == pytest.approx(1003.0)
        assert found.calls == {"a": 2}
        second.cancel()

    run(scenario())


def test_request_with_a_wish_waits_for_whom_it_wants_though_others_are_free() -> None:
    async def scenario() -> None:
        found = rig(A, B)
        wishes = Preferences(only=frozenset({"a"}))
        assert await at_once(found, 2, preferences=wishes) == [HELLO] * 2
        assert found.calls == {"a": 2}

    run(scenario())


def test_healthy_deployment_that_is_full_is_waited_for_rather_than_one_that_is_down_asked() -> None:
    async def scenario() -> None:
        found = rig(A, B)
        for _ in range(5):
            found.book.started(B, now())
            found.book.ended(fault(B, now(), started=now()))
        assert await at_once(found, 2) == [HELLO] * 2
        assert found.calls == {"a": 2}

    run(scenario())
