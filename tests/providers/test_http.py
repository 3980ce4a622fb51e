"""One attempt over HTTP leaves nothing open and gives nothing away."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, cast

import pytest

from gateway.errors import BadCredentials, InvalidResponse, Rejected
from gateway.providers.http import ANSWER_LIMIT, ERROR_LIMIT
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.providers.port import HttpCall
from gateway.types import Backend, ChatRequest, Deployment

pytestmark = pytest.mark.asyncio

DEPLOYMENT = Deployment("main/llama", "main", "llama", "llama-3.1-8b", "openai_compatible", "hosted")
HI = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
SECRET = "Zq8-value-without-a-known-form"


class Canned:
    """An answer, and a transport that gives it."""

    def __init__(self, *parts: bytes, status: int = 200) -> None:
        self.given = parts
        self.status = status
        self.headers: Mapping[str, str] = {}
        self.limit: int | None = None
        self.ended = self.closed = False

    async def send(self, call: HttpCall) -> "Canned":
        return self

    async def parts(self) -> AsyncIterator[bytes]:
        for part in self.given:
            yield part

    async def read(self, limit: int) -> bytes:
        self.limit = limit
        return b"".join(self.given)

    async def end(self) -> None:
        assert not self.closed
        self.ended = True

    def close(self) -> None:
        self.closed = True


class Given:
    """A transport that gives one answer."""

    def __init__(self, answer: Canned) -> None:
        self.answer = answer

    async def send(self, call: HttpCall) -> Canned:
        return self.answer

    async def close(self) -> None:
        return


def provider(answer: Canned, **backend: Any) -> OpenAICompatible:
    made = Backend("main", "openai_compatible", "http://127.0.0.1:8000", **backend)
    return OpenAICompatible(made, Given(answer))


async def sizes(answer: Canned, stream: bool = True, **backend: Any) -> list[int]:
    """How many chunks came at once, each time."""
    request = ChatRequest("r1", "llama", {"messages": []}, stream)
    source = cast("Any", provider(answer, **backend).answer(request, DEPLOYMENT))
    async with aclosing(source) as batches:
        return [len(batch) async for batch in batches]


async def test_chunks_that_came_together_are_given_together_and_parts_without_one_give_nothing() -> None:
    answer = Canned(HI + HI, HI[:9], HI[9:], DONE)
    assert await sizes(answer) == [2, 1]
    assert answer.ended and answer.closed


async def test_a_stream_that_breaks_off_is_not_waited_for() -> None:
    answer = Canned(HI)
    assert await sizes(answer) == [1]
    assert answer.closed and not answer.ended


async def test_what_came_before_a_failure_is_given_before_it_is_raised() -> None:
    answer = Canned(HI + b"data: {\n\n" + b"data: {\n\n")
    request = ChatRequest("r1", "llama", {"messages": []}, True)
    batches = provider(answer).answer(request, DEPLOYMENT)
    assert len(await anext(batches)) == 1
    with pytest.raises(InvalidResponse):
        await anext(batches)
    assert answer.closed and not answer.ended


async def test_bodies_are_read_up_to_their_limits() -> None:
    answer, error = Canned(b'{"choices": [{"index": 0}]}'), Canned(b"{}", status=400)
    assert await sizes(answer, stream=False) == [1]
    with pytest.raises(Rejected):
        await sizes(error)
    assert (answer.limit, error.limit) == (ANSWER_LIMIT, ERROR_LIMIT)
    assert answer.closed and error.closed


@pytest.mark.parametrize("backend", [{"api_key": SECRET}, {"headers": {"x-access": SECRET}}], ids=["key", "header"])
async def test_a_secret_of_any_form_is_not_passed_on_when_it_is_quoted(backend: dict[str, Any]) -> None:
    body = b'{"error": {"message": "The key %s is odd."}}' % SECRET.encode()
    with pytest.raises(Rejected) as caught:
        await sizes(Canned(body, status=400), **backend)
    assert str(caught.value) == "Backend 'main' rejected the request (400): The key [redacted] is odd."


async def test_a_short_header_is_no_secret() -> None:
    answer = Canned(b'{"error": {"message": "tier 1 is full"}}', status=400)
    with pytest.raises(Rejected, match="tier 1 is full"):
        await sizes(answer, headers={"x-tier": "1"})


async def test_a_list_of_models_that_is_refused_is_an_error() -> None:
    answer = Canned(b'{"error": "no"}', status=401)
    with pytest.raises(BadCredentials):
        await provider(answer).models()
    assert answer.closed
