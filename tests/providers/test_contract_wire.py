"""Whatever becomes of an answer's bytes on the way, for every kind: what was cut is never shown as whole."""

import asyncio
import gzip
import random
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from gateway.demo.standins.script import Script
from gateway.errors import Disconnected, InvalidResponse, UpstreamError
from gateway.providers.http import ANSWER_LIMIT
from gateway.providers.registry import provider_class
from gateway.providers.transport import PooledTransport
from gateway.types import ChatRequest

from .asking import PATIENCE, TOOL, Answer, ask, every_kind, kinds_with, question, whole_and_streamed
from .raw import RawServer
from .tapes import Desk, Tape, Tapes, playing, spoiled
from .upstreams import BOUNDED, TOOLS, Kind, Link, backend_of, deployment_of

FEW = 4  # tokens of an answer of which every byte is tried
STRIDE = 17  # bytes between the cuts of an answer that calls tools, which is long
SAMPLE = 12  # cuts of an answer that comes from a socket
EVENT_LIMIT = 1 << 20
# A value in JSON, and what may stand in its place.
VALUE = re.compile(rb'(?<=[:\[,])("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?|null|true|false|\{\}|\[\])(?=[,}\]])')
INSTEAD = (b"null", b"0", b'"x"', b"[]", b"{}", b"[0]", b'{"a":0}')
NONSENSE = {
    "nothing": b"",
    "a page": b"<!doctype html><html><body>Welcome</body></html>",
    "gzip": gzip.compress(b'{"choices": []}'),
    "null": b"null",
    "a number": b"1",
    "a list": b"[]",
    "an object": b"{}",
    "no choices": b'{"choices": null}',
    "an odd choice": b'{"choices": [null]}',
    "an empty choice": b'{"choices": [{}]}',
    "deep": b"[" * 100_000,
    "half a character": b'{"choices": [{"message": {"content": "\xc3"}, "finish_reason": "stop"}]}',
}

pytestmark = pytest.mark.asyncio
in_memory = kinds_with(BOUNDED)


def short(stream: bool, tools: bool = False) -> ChatRequest:
    """A question whose answer is short."""
    return question(stream, tools=[TOOL], max_tokens=200) if tools else question(stream, max_tokens=FEW)


async def heard(
    kind: Kind, tape: Tape, request: ChatRequest, *parts: bytes, cut: UpstreamError | None = None
) -> Answer:
    """The answer in those parts."""
    return await ask(playing(kind, tape, list(parts), cut), request)


def check(answer: Answer, whole: Answer) -> None:
    """What has come is the beginning of the answer, and is whole only if it is all of it."""
    assert whole.text.startswith(answer.text)
    if answer.tally.complete:
        assert (answer.text, answer.arguments) == (whole.text, whole.arguments)
        assert answer.tally.finished == whole.tally.finished


@in_memory
@pytest.mark.parametrize("tools", [False, True], ids=["text", "tools"])
@whole_and_streamed
async def test_an_answer_may_be_cut_at_any_byte(kind: Kind, tapes: Tapes, stream: bool, tools: bool) -> None:
    request = short(stream, tools and TOOLS not in kind.lacks)
    tape = await tapes.of(kind, request)
    body = tape.carrier.body
    whole = await heard(kind, tape, request, body)
    for size in range(0, len(body), STRIDE if tools else 1):
        broken = await heard(kind, tape, request, body[:size], cut=Disconnected("The upstream has gone."))
        ended = await heard(kind, tape, request, body[:size])
        check(broken, whole)
        check(ended, whole)
        assert broken.error is not None or broken.tally.complete
        assert stream or (ended.error is not None and not ended.chunks)
    assert whole.error is None and whole.tally.complete and len(body) > 100


@in_memory
async def test_a_stream_may_be_split_at_any_byte(kind: Kind, tapes: Tapes) -> None:
    request = short(stream=True)
    tape = await tapes.of(kind, request)
    body = tape.carrier.body
    whole = await heard(kind, tape, request, body)
    for size in range(len(body)):
        answer = await heard(kind, tape, request, body[:size], body[size:])
        assert answer.error is None and answer.seen == whole.seen
    drops = await heard(kind, tape, request, *(body[place : place + 1] for place in range(len(body))))
    assert drops.error is None and drops.seen == whole.seen


@in_memory
@whole_and_streamed
@pytest.mark.parametrize("nonsense", NONSENSE)
async def test_nonsense_under_status_200_is_no_answer(kind: Kind, tapes: Tapes, stream: bool, nonsense: str) -> None:
    request, said = short(stream), NONSENSE[nonsense]
    tape = await tapes.of(kind, request)
    whole = await heard(kind, tape, request, tape.carrier.body)
    for body in (said, b"data: " + said + b"\n\n", said + b"\n"):
        answer = await heard(kind, tape, request, body)
        check(answer, whole)
        assert stream or answer.error is not None or nonsense == "an empty choice"


@in_memory
@whole_and_streamed
@pytest.mark.parametrize("content_type", ["text/html", "application/json", "application/octet-stream", ""])
async def test_a_page_under_status_200_is_no_answer_whatever_it_says_it_is(
    kind: Kind, tapes: Tapes, stream: bool, content_type: str
) -> None:
    request = short(stream)
    tape = await tapes.of(kind, request)
    page = spoiled(tape.carrier, NONSENSE["a page"], content_type=content_type)
    answer = await ask(playing(kind, tape.with_carrier(page)), request)
    check(answer, await heard(kind, tape, request, tape.carrier.body))
    assert stream or type(answer.error) is InvalidResponse


@in_memory
@whole_and_streamed
async def test_random_bytes_are_no_answer(kind: Kind, tapes: Tapes, stream: bool) -> None:
    request, chance = short(stream), random.Random(7)
    tape = await tapes.of(kind, request)
    whole = await heard(kind, tape, request, tape.carrier.body)
    for _ in range(100):
        check(await heard(kind, tape, request, chance.randbytes(chance.randrange(400))), whole)


@in_memory
@whole_and_streamed
async def test_damaged_bytes_raise_nothing_but_our_errors(kind: Kind, tapes: Tapes, stream: bool) -> None:
    request, chance = short(stream), random.Random(7)
    tape = await tapes.of(kind, request)
    body = tape.carrier.body
    for _ in range(300):
        start = chance.randrange(len(body))
        end = min(len(body), start + chance.randrange(1, 9))
        await heard(kind, tape, request, body[:start] + chance.randbytes(chance.randrange(9)) + body[end:])


def mutants(text: bytes) -> Iterator[bytes]:
    """JSON with one value of another type, for each of its values."""
    for found in VALUE.finditer(text):
        for value in INSTEAD:
            yield text[: found.start()] + value + text[found.end() :]


@in_memory
@pytest.mark.parametrize("tools", [False, True], ids=["text", "tools"])
@whole_and_streamed
async def test_values_of_other_types_raise_nothing_but_our_errors(
    kind: Kind, tapes: Tapes, stream: bool, tools: bool
) -> None:
    request = short(stream, tools and TOOLS not in kind.lacks)
    tape = await tapes.of(kind, request)
    framed = tape.carrier.headers["content-type"].startswith("application/vnd")
    texts = kind.unwrap(tape.carrier.body) if framed else [tape.carrier.body]
    for place, text in enumerate(texts):
        for mutant in mutants(text):
            spoilt = [*texts[:place], mutant, *texts[place + 1 :]]
            await heard(kind, tape, request, b"".join(map(kind.wrap, spoilt) if framed else spoilt))


@in_memory
async def test_a_whole_answer_without_end_is_an_invalid_response(kind: Kind, tapes: Tapes) -> None:
    request = short(stream=False)
    answer = await heard(kind, await tapes.of(kind, request), request, b" " * (ANSWER_LIMIT + 1))
    assert (type(answer.error), answer.chunks) == (InvalidResponse, [])


@in_memory
@pytest.mark.parametrize("filler", [b"x", b"data: x", b": x\ndata: "], ids=["letters", "an event", "a comment"])
async def test_an_event_without_end_is_an_invalid_response(kind: Kind, tapes: Tapes, filler: bytes) -> None:
    request = short(stream=True)
    parts = [filler, *[b"x" * (64 << 10)] * (2 * EVENT_LIMIT >> 16)]
    answer = await heard(kind, await tapes.of(kind, request), request, *parts)
    assert (type(answer.error), answer.chunks) == (InvalidResponse, [])


@asynccontextmanager
async def wired(kind: Kind, tape: Tape) -> AsyncIterator[tuple[Link, Desk, Tape]]:
    """A provider whose upstream is a tape behind a socket."""
    desk, transport = Desk(tape), PooledTransport(keepalive=3)
    async with asyncio.timeout(PATIENCE), RawServer(desk) as server:
        desk.tape = tape = tape.at_address(server.url)
        provider = provider_class(kind.name)(backend_of(kind, server.url), transport, **kind.settings())
        yield Link(provider, deployment_of(kind), Script()), desk, tape
        await transport.close()


@every_kind
@whole_and_streamed
async def test_a_connection_may_be_cut_anywhere(kind: Kind, tapes: Tapes, stream: bool) -> None:
    request = short(stream)
    async with wired(kind, await tapes.of(kind, request)) as (link, desk, tape):
        whole = await ask(link, request)
        answer = tape.carrier.http()
        for number in range(SAMPLE):
            desk.hangs_up = True
            desk.add(answer[: len(answer) * number // SAMPLE])
            check(await ask(link, request), whole)
        desk.hangs_up = False
        assert (await ask(link, request)).seen == whole.seen


@every_kind
@whole_and_streamed
@pytest.mark.parametrize("more", [-9, 9], ids=["too short", "too long"])
async def test_a_length_that_is_not_true_spoils_one_answer_and_not_the_next(
    kind: Kind, tapes: Tapes, stream: bool, more: int
) -> None:
    request = short(stream)
    async with wired(kind, await tapes.of(kind, request)) as (link, desk, tape):
        whole = await ask(link, request)
        desk.hangs_up = more > 0
        desk.add(tape.carrier.http(len(tape.carrier.body) + more))
        check(await ask(link, request), whole)
        desk.hangs_up = False
        assert (await ask(link, request)).seen == whole.seen


@every_kind
@whole_and_streamed
async def test_an_answer_that_says_it_is_packed_and_is_not_is_no_answer(kind: Kind, tapes: Tapes, stream: bool) -> None:
    request = short(stream)
    async with wired(kind, await tapes.of(kind, request)) as (link, desk, tape):
        whole = await ask(link, request)
        desk.hangs_up = True
        desk.add(spoiled(tape.carrier, b"\x1f\x8b" + b"\x00" * 40).http(more={"content-encoding": "gzip"}))
        check(await ask(link, request), whole)


@every_kind
@whole_and_streamed
async def test_what_is_not_http_is_no_answer(kind: Kind, tapes: Tapes, stream: bool) -> None:
    request = short(stream)
    async with wired(kind, await tapes.of(kind, request)) as (link, desk, _):
        whole = await ask(link, request)
        desk.hangs_up = True
        desk.add(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
        check(await ask(link, request), whole)


@every_kind
@whole_and_streamed
async def test_an_answer_in_drops_is_the_same_answer(kind: Kind, tapes: Tapes, stream: bool) -> None:
    request = short(stream)
    async with wired(kind, await tapes.of(kind, request)) as (link, desk, tape):
        whole = await ask(link, request)
        answer = tape.carrier.http()
        desk.add(*(answer[place : place + 1] for place in range(len(answer))))
        assert (await ask(link, request)).seen == whole.seen
