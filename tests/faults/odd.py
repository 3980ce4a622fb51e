"""Answers that are odd in OpenAI's dialect and in Bedrock's: where things stand, not whether they come."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from tests.faults.exchange import Exchange
from tests.faults.speech import OpenAI, Said, exception, sse

MALFORMED = b'data: {"id": "chatcmpl-wall", "choices": [{"index": 0, "delta": {"content": \n\n'
ZERO = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
LOST = {"prompt_tokens": -3, "completion_tokens": -1, "total_tokens": -4}


async def malformed(x: Exchange, after: str, times: str = "1") -> None:
    """A malformed event or more after some words; the rest is good."""
    x.say()
    x.attempt.billed = True
    await x.begin()
    await x.speak(0, 1 + int(after))
    for _ in range(int(times)):
        await x.send(MALFORMED)
    await x.speak(1 + int(after))


async def nodone(x: Exchange) -> None:
    """No [DONE], and the usage beside the finish reason."""
    said = begun(x)
    finish = OpenAI().chunk(said, {}, said.finish, usage=OpenAI().usage(said))
    x.frames[1 + said.length :] = [sse(finish)]
    x.attempt.billed = True
    await x.begin()
    await x.speak(0)


async def usage(x: Exchange, kind: str) -> None:
    """The usage in odd places, or odd itself."""
    said, voice = begun(x), OpenAI()
    head, finish = x.frames[: 1 + said.length], voice.chunk(said, {}, said.finish)
    good, done = voice.usage(said), b"data: [DONE]\n\n"
    tails: dict[str, list[dict[str, Any]]] = {
        "groq": [{**finish, "x_groq": {"id": "req_1", "usage": good}}],
        "beside": [{**finish, "usage": good}],
        "twice": [{**finish, "usage": voice.usage(said, 1)}, {**finish, "choices": [], "usage": good}],
        "choices": [finish, {**voice.chunk(said, {}), "usage": good}],
        "zero": [finish, {**finish, "choices": [], "usage": ZERO}],
        "negative": [finish, {**finish, "choices": [], "usage": LOST}],
        "none": [finish],
    }
    x.frames = [*head, *(sse(body) for body in tails[kind]), done]
    x.attempt.billed = kind in ("groq", "beside", "twice", "choices")
    await x.begin()
    await x.speak(0)


async def finishcut(x: Exchange) -> None:
    """The connection is closed between the finish reason and [DONE]."""
    said = begun(x)
    await x.begin()
    await x.speak(0, 2 + said.length)
    x.wire.close()


async def nofinish(x: Exchange) -> None:
    """[DONE] without any finish reason."""
    said = begun(x)
    del x.frames[1 + said.length]
    await x.begin()
    await x.speak(0)


async def twofinish(x: Exchange) -> None:
    """The finish reason twice."""
    said = begun(x)
    x.frames.insert(1 + said.length, x.frames[1 + said.length])
    x.attempt.billed = True
    await x.begin()
    await x.speak(0)


async def endless(x: Exchange, size: str) -> None:
    """One event of that many bytes."""
    x.say()
    await x.begin()
    await x.send(b"data: ")
    piece = b"x" * 65536
    for _ in range(int(size) // len(piece)):
        await x.send(piece)
    await x.send(b"\n\n")
    await x.finish()


async def badcrc(x: Exchange, after: str) -> None:
    """An event whose checksum is wrong, after some words; the connection stays open."""
    await x.until(int(after))
    frame = x.frames[1 + int(after)]
    await x.send(frame[:-1] + bytes([frame[-1] ^ 0xFF]))
    await x.forever()


async def exceptional(x: Exchange, kind: str, after: str = "0") -> None:
    """An exception as an event, after some words."""
    x.say()
    await x.begin()
    await x.speak(0, 1 + int(after))
    await x.send(exception(kind, "The wall has thrown this."))
    await x.finish()


async def loading(x: Exchange, seconds: str) -> None:
    """A cold model: seconds until the head. Whoever goes before has aborted the load, which starts over."""
    if x.number == 1:
        await x.pause(float(seconds))
    await x.answer()


async def stale(x: Exchange) -> None:
    """A reused connection is reset at its next request, as by a server that closes idle ones; a fresh one is good."""
    if x.attempt.reused:
        x.wire.reset()
    else:
        await x.answer()


async def tools(x: Exchange, count: str = "3") -> None:
    """Tool calls in parallel, their arguments a character at a time, one after the other in turn."""
    x.say(length=0)
    x.attempt.words = 1
    arguments = json.dumps({"city": "Ålesund \U0001f30a", "days": [1, 2]}, ensure_ascii=False)
    calls = range(int(count))
    deltas = [[call_piece(index, "", id=f"call_{index}", name=f"tool_{index}")] for index in calls]
    deltas += [[call_piece(index, letter) for index in calls] for letter in arguments]
    x.frames[1:1] = [sse(OpenAI().chunk(Said(x.attempt.model), {"tool_calls": delta})) for delta in deltas]
    await x.begin()
    await x.speak(0)


def call_piece(index: int, arguments: str, id: str = "", name: str = "") -> dict[str, Any]:
    """A piece of a tool call; the first has its id and name."""
    more = {"id": id, "type": "function"} if id else {}
    return {"index": index, **more, "function": {**({"name": name} if name else {}), "arguments": arguments}}


def begun(x: Exchange) -> Said:
    """Frames are made, and what they say."""
    x.say()
    assert x.attempt.said is not None
    return x.attempt.said


ALL = (malformed, nodone, usage, finishcut, nofinish, twofinish, endless, badcrc, exceptional, loading, stale, tools)
SCRIPTS: dict[str, Callable[..., Awaitable[None]]] = {made.__name__: made for made in ALL}
