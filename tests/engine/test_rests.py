"""Answers that nobody waits for any more: cancelled, or read to the end, as their backend has it."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from gateway import errors
from gateway.engine.answer import Answer
from gateway.engine.record import Ending, recorded
from gateway.engine.rests import Rests, Unbroken
from gateway.outcomes import Record
from gateway.types import Backend, Price, ReadOn, Usage
from tests.engine.fakes import Rig, Script, bodies, finish, text, used, whole
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, route

A = deployment("a", price=Price(1e6, 1e6))  # a dollar a token
STREAM: Script = [text("Hello"), 5.0, text(" there, llama"), finish(), used(7, 9)]
DRAIN = ReadOn(8, 60.0)


def rig(script: Script, read_on: ReadOn | None = DRAIN, **facts: Any) -> Rig:
    """One backend that is left in that way."""
    backend = Backend("a", "vllm", "http://127.0.0.1:1", read_on=read_on)
    return Rig(route(A, **facts), {"a": [script]}, backends={"a": backend})


async def left(found: Rig, seconds: float, **facts: Any) -> Answer:
    """An answer whose caller hangs up after so many seconds."""
    answer = found.open(prompt_tokens=5, **facts)
    task = asyncio.create_task(bodies(answer))
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.wait([task])
    return answer


async def settled(answer: Answer) -> Record:
    """The record of an answer, when it can be made."""
    made = asyncio.get_running_loop().create_future()
    answer.after(lambda: made.set_result(recorded(answer.request, 0.0, answer, Ending(499, now()))))
    record: Record = await made
    return record


@pytest.mark.parametrize("stream", [True, False])
def test_answer_is_read_to_the_end_so_that_its_usage_is_known(stream: bool) -> None:
    async def scenario() -> None:
        found = rig(STREAM if stream else [5.0, whole("Hello there, llama")])
        answer = await left(found, 1.0, stream=stream)
        assert found.book.in_flight == {"a": 1}  # the upstream still works on it
        (outcome,) = (await settled(answer)).attempts
        assert (outcome.outcome, outcome.verdict, outcome.error_type) == ("client_cancelled", "neutral", "caller_gone")
        assert outcome.usage == (Usage(7, 9) if stream else Usage(7, 3))
        assert outcome.cost == sum(outcome.usage[:2])
        assert now() == 1005.0 and found.quiet()

    run(scenario())


@pytest.mark.parametrize(("seconds", "content"), [(0.5, 0), (1.5, 2)])
def test_answer_is_cancelled_at_once_by_default_and_its_cost_is_an_estimate(seconds: float, content: int) -> None:
    async def scenario() -> None:
        found = rig([1.0, text("Hello lla"), 5.0, *STREAM], read_on=None)
        answer = await left(found, seconds)
        assert found.quiet() and now() == 1000.0 + seconds
        (outcome,) = (await settled(answer)).attempts
        assert outcome.usage == Usage(5, content, estimated=True)
        assert outcome.cost == 5.0 + content

    run(scenario())


def test_rest_is_read_for_so_long_and_no_longer() -> None:
    async def scenario() -> None:
        found = rig([text("Hello"), 500.0, *STREAM], ReadOn(8, 20.0), mid_stream="error")
        answer = await left(found, 1.0)
        record = await settled(answer)
        assert now() == 1021.0 and found.quiet()
        assert record.attempts[0].usage is not None and record.attempts[0].usage.estimated

    run(scenario())


def test_no_more_rests_are_read_at_a_time_than_allowed() -> None:
    async def scenario() -> None:
        found = rig(STREAM, ReadOn(2, 60.0))
        await asyncio.gather(*[left(found, 1.0) for _ in range(5)])
        assert found.book.in_flight == {"a": 2}
        await asyncio.sleep(10)
        assert found.quiet()
        await left(found, 1.0)
        assert found.book.in_flight == {"a": 1}
        await asyncio.sleep(10)

    run(scenario())


def test_upstream_that_fails_while_the_rest_is_read_ends_it() -> None:
    async def scenario() -> None:
        found = rig([text("Hello"), 5.0, errors.Disconnected])
        record = await settled(await left(found, 1.0))
        assert record.attempts[0].outcome == "client_cancelled" and found.quiet()
        assert found.book.of(A).faults == 0

    run(scenario())


def test_answer_that_its_caller_awaits_is_the_same_as_ever() -> None:
    async def scenario() -> None:
        found = rig(STREAM)
        assert len(await bodies(found.open())) == 4
        assert found.quiet() and found.outcomes[0].outcome == "success"
        assert asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())


def test_silence_of_such_an_upstream_is_still_limited() -> None:
    async def scenario() -> None:
        found = rig([500.0, *STREAM], attempts=1)
        with pytest.raises(errors.FirstTokenTimeout):
            await bodies(found.open())
        assert found.quiet() and asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())


def test_tokens_that_nobody_got_are_counted_and_those_the_caller_had_are_not() -> None:
    async def scenario() -> None:
        found = rig(STREAM)
        await settled(await left(found, 1.0))
        assert found.tools.wasted == {("a", "disconnect"): 9 - 1}
        other = rig([5.0, whole("Hello there, llama")])
        await settled(await left(other, 1.0, stream=False))
        assert other.tools.wasted == {("a", "disconnect"): 3}

    run(scenario())


def test_shutdown_ends_all_that_is_read() -> None:
    async def scenario() -> None:
        found = rig([text("Hello"), 500.0])
        await left(found, 1.0)
        await found.tools.rests.close()
        assert found.quiet() and found.outcomes[0].outcome == "client_cancelled"

    run(scenario())


def test_record_waits_for_all_that_is_read() -> None:
    async def scenario() -> None:
        found = rig(STREAM)
        answer = await left(found, 1.0)
        answer.rests = [asyncio.create_task(asyncio.sleep(90)), *answer.rests]
        await settled(answer)
        assert now() == 1091.0

    run(scenario())


def test_record_of_an_answer_that_leaves_nothing_is_made_at_once() -> None:
    async def scenario() -> None:
        found, told = rig(STREAM), list[str]()
        answer = found.open()
        await bodies(answer)
        answer.after(lambda: told.append("told"))
        assert told == ["told"]

    run(scenario())


async def numbers(closed: list[float]) -> AsyncGenerator[int, None]:
    """Numbers, one a second."""
    try:
        for number in range(5):
            await asyncio.sleep(1)
            yield number
    finally:
        closed.append(now())


def test_generator_goes_on_when_whoever_waits_for_it_is_cancelled() -> None:
    async def scenario() -> None:
        closed = list[float]()
        source = Unbroken(numbers(closed))
        task = asyncio.ensure_future(asyncio.wait_for(anext(source), 0.5))
        with pytest.raises(TimeoutError):
            await task
        assert [number async for number in source] == [0, 1, 2, 3, 4]
        assert (now(), closed) == (1005.0, [1005.0])

    run(scenario())


def test_generator_is_closed_also_while_an_item_is_on_its_way() -> None:
    async def scenario() -> None:
        closed = list[float]()
        source = Unbroken(numbers(closed))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(source), 0.5)
        await source.aclose()
        assert closed == [1000.5] and asyncio.all_tasks() == {asyncio.current_task()}

    run(scenario())


def test_defect_in_what_reads_on_is_logged(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(seconds: float) -> None:
        raise ZeroDivisionError

    async def scenario() -> None:
        rests = Rests()
        task = rests.take(Backend("a", "vllm", "http://a", read_on=DRAIN), broken)
        assert task is not None
        await asyncio.wait([task])
        await asyncio.sleep(0)
        assert rests.running == {"a": set()}

    run(scenario())
    assert "rest.failed" in capsys.readouterr().out + caplog.text
