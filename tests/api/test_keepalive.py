"""Comments while the first content is awaited, in virtual time."""

import asyncio
import gc

import pytest

from gateway.api.keepalive import COMMENT, KeepAlive
from gateway.api.reply import Message
from tests.engine.virtual_time import now, run


class Line:
    """What was sent, and when."""

    def __init__(self) -> None:
        self.sent: list[tuple[float, object]] = []

    async def begin(self) -> None:
        self.sent.append((now() - 1000.0, "head"))

    async def send(self, message: Message) -> None:
        self.sent.append((now() - 1000.0, message["body"]))
        assert message["more_body"]

    def keep_alive(self) -> KeepAlive:
        return KeepAlive(self.begin, self.send)


def test_nothing_is_sent_while_all_goes_fast() -> None:
    async def scenario() -> Line:
        line = Line()
        async with line.keep_alive():
            await asyncio.sleep(14.9)
        await asyncio.sleep(100)
        return line

    assert run(scenario()).sent == []


def test_head_and_a_comment_come_after_fifteen_seconds_and_a_comment_every_fifteen_after_that() -> None:
    async def scenario() -> Line:
        line = Line()
        async with line.keep_alive():
            await asyncio.sleep(50)
        return line

    assert run(scenario()).sent == [(15.0, "head"), (15.0, COMMENT), (30.0, COMMENT), (45.0, COMMENT)]


def test_comment_is_one_that_event_stream_parsers_ignore() -> None:
    assert COMMENT.startswith(b":") and COMMENT.endswith(b"\n\n")


def test_nothing_is_sent_after_it_was_stopped() -> None:
    async def scenario() -> Line:
        line = Line()
        async with line.keep_alive() as waiting:
            await asyncio.sleep(20)
            await waiting.stop()
            await waiting.stop()
            await asyncio.sleep(100)
        return line

    assert run(scenario()).sent == [(15.0, "head"), (15.0, COMMENT)]


def test_it_stops_when_the_answer_fails_or_is_cancelled() -> None:
    async def scenario() -> Line:
        line = Line()

        async def failing() -> None:
            async with line.keep_alive():
                await asyncio.sleep(20)
                raise ZeroDivisionError

        async def waiting() -> None:
            async with line.keep_alive():
                await asyncio.sleep(1000)

        with pytest.raises(ZeroDivisionError):
            await failing()
        task = asyncio.create_task(waiting())
        asyncio.get_running_loop().call_later(16, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        await asyncio.sleep(100)
        return line

    assert run(scenario()).sent == [(15.0, "head"), (15.0, COMMENT), (35.0, "head"), (35.0, COMMENT)]


def test_line_that_breaks_under_a_comment_does_not_break_the_answer() -> None:
    async def scenario() -> list[str]:
        told: list[str] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["message"]))

        async def broken(message: Message) -> None:
            raise ConnectionResetError

        async with KeepAlive(Line().begin, broken):
            await asyncio.sleep(50)
        gc.collect()
        return told

    assert run(scenario()) == []
