"""One attempt over HTTP leaves nothing open and gives nothing away."""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import Any, cast

import pytest

from gateway.errors import (
    BadCredentials,
    ContextExceeded,
    Disconnected,
    InvalidResponse,
    Overloaded,
    RateLimited,
    Rejected,
    ServerFault,
    Unreachable,
    UpstreamError,
)
from gateway.providers.failures import SAID
from gateway.providers.http import ANSWER_LIMIT, ERROR_LIMIT, beginning
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.providers.port import HttpCall
from gateway.types import Backend, ChatRequest, Deployment

pytestmark = pytest.mark.asyncio

DEPLOYMENT = Deployment("main/llama", "main", "llama", "llama-3.1-8b", "openai_compatible", "hosted")
HI = b'data: {"choices": [{"index": 0, "delta": {"content": "Hi"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
LONG = "canary-8c1e-of-an-upstream"
SECRET = "Zq8-value-without-a-known-form"


class Canned:
    """An answer."""

    def __init__(
        self,
        *parts: bytes,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        cut: UpstreamError | None = None,
    ) -> None:
        self.given = parts
        self.status = status
        self.headers: Mapping[str, str] = headers or {}
        self.cut = cut  # what ends the body
        self.limit: int | None = None
        self.taken = 0  # bytes that were read in parts
        self.ended = self.closed = False

    async def parts(self) -> AsyncIterator[bytes]:
        for part in self.given:
            self.taken += len(part)
            yield part
        if self.cut is not None:
            raise self.cut

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
    answer, error = Canned(b'{"choices": [{"index": 0}]}'), Canned(*[b"x" * 1024] * 1000, status=400)
    assert await sizes(answer, stream=False) == [1]
    with pytest.raises(Rejected):
        await sizes(error)
    assert (answer.limit, error.taken) == (ANSWER_LIMIT, ERROR_LIMIT)
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


async def test_a_list_of_models_is_read_up_to_its_limit() -> None:
    answer = Canned(b'{"data": [{"id": "llama"}]}')
    assert [model.id for model in await provider(answer).models()] == ["llama"]
    assert answer.limit == ANSWER_LIMIT and answer.closed


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [201, 202, 204, 206])
async def test_a_success_that_is_no_answer_is_an_invalid_response(status: int, stream: bool) -> None:
    answer = Canned(b'{"id": "accepted"}', status=status)
    with pytest.raises(InvalidResponse, match=f"status {status}") as caught:
        await sizes(answer, stream)
    assert caught.value.status == 502
    assert answer.closed


@pytest.mark.parametrize("cut", [None, Disconnected("The upstream closed the connection.")], ids=["long", "cut"])
async def test_the_status_of_an_error_counts_although_its_body_is_endless_or_breaks_off(
    cut: UpstreamError | None,
) -> None:
    answer = Canned(*[b"x" * 1024] * (10 if cut else 1000), status=429, headers={"retry-after": "7"}, cut=cut)
    with pytest.raises(RateLimited) as caught:
        await sizes(answer)
    assert caught.value.retry_after == 7.0
    assert answer.taken <= ERROR_LIMIT and answer.closed


@pytest.mark.parametrize("stream", [True, False])
async def test_a_context_error_that_quotes_a_long_prompt_is_a_context_error(stream: bool) -> None:
    words = b"This model's maximum context length is 8192 tokens. You sent: "
    answer = Canned(b'{"error": {"message": "%s%s"}}' % (words, b"x" * (2 * ERROR_LIMIT)), status=400)
    with pytest.raises(ContextExceeded):
        await sizes(answer, stream)


@pytest.mark.parametrize(
    "backend",
    [
        {"api_key": SECRET},
        {"headers": {"x-access": SECRET}},
        {"headers": {"authorization": f"Bearer {SECRET}"}},
        {"headers": {"x-access": f"Token {SECRET}"}},
    ],
    ids=["key", "header", "bearer", "scheme"],
)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    "body",
    [
        b'{"error": {"message": "The key %s is odd.", "code": 400}}',
        b'{"error": {"message": "odd", "param": "%s", "code": 400}}',
        b'{"error": {"message": {"key": "%s"}, "code": 400}}',
        b'{"error": {"message": "context length of %s", "code": 400}}',
        b'{"error": {"message": "no", "code": "content_filter %s"}}',
        b'{"error": "%s"}',
    ],
    ids=["message", "param", "nested", "context", "filter", "text"],
)
async def test_a_secret_that_is_quoted_under_status_200_reaches_nobody(
    backend: dict[str, Any], stream: bool, body: bytes
) -> None:
    for frame in (body, b"data: " + body + b"\n\n") if stream else (body,):
        kind = "application/json" if frame is body else "text/event-stream"
        answer = Canned(frame % SECRET.encode(), headers={"content-type": kind})
        with pytest.raises(UpstreamError) as caught:
            await sizes(answer, stream, **backend)
        error = caught.value
        assert SECRET not in f"{error.message} {error.logged} {error.param} {error.details} {error.headers}"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("field", ["model", "id", "system_fingerprint"])
async def test_an_answer_that_is_named_by_our_key_is_refused(stream: bool, field: str) -> None:
    body = b'{"%s": "m of Bearer %s", "choices": [{"index": 0}]}' % (field.encode(), LONG.encode())
    frame, kind = (b"data: " + body + b"\n\n", "text/event-stream") if stream else (body, "application/json")
    with pytest.raises(InvalidResponse) as caught:
        await sizes(Canned(frame, headers={"content-type": kind}), stream, api_key=LONG)
    assert str(caught.value) == "Backend 'main' sent an answer that quotes the gateway's credentials."


@pytest.mark.parametrize("backend", [{"api_key": "lm-studio"}, {"headers": {"x-model": DEPLOYMENT.id}}])
async def test_an_answer_with_a_word_that_is_no_secret_is_given(backend: dict[str, Any]) -> None:
    body = b'{"model": "%s", "system_fingerprint": "lm-studio", "choices": [{"index": 0}]}' % DEPLOYMENT.id.encode()
    assert await sizes(Canned(body), False, **backend) == [1]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_a_key_in_a_header_is_not_passed_on_when_it_is_quoted_without_its_scheme(status: int) -> None:
    body = b'{"error": {"message": "The key %s is odd."}}' % SECRET.encode()
    with pytest.raises(UpstreamError) as caught:
        await sizes(Canned(body, status=status), headers={"authorization": f"Bearer {SECRET}"})
    assert SECRET not in f"{caught.value} {caught.value.message} {caught.value.logged}"


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (b'{"error": {"message": "slow down", "code": 429}}', RateLimited),
        (b'{"error": {"message": "slow down", "code": "503"}}', Overloaded),
        (b'{"error": {"message": "maximum context length", "code": 400}}', ContextExceeded),
        (b'{"error": "out of memory"}', ServerFault),
        (b"{}", InvalidResponse),
        (b"[]", InvalidResponse),
        (b"", InvalidResponse),
    ],
)
@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8"])
async def test_a_json_document_in_place_of_a_stream_is_the_error_that_it_reports(
    error: bytes, meaning: type[UpstreamError], kind: str
) -> None:
    answer = Canned(error, headers={"content-type": kind})
    with pytest.raises(UpstreamError) as caught:
        await sizes(answer)
    assert type(caught.value) is meaning
    assert answer.closed


async def test_a_wait_of_years_is_a_day_at_most() -> None:
    answer = Canned(b"{}", status=429, headers={"retry-after": "99999999999"})
    with pytest.raises(RateLimited) as caught:
        await sizes(answer)
    assert caught.value.retry_after == 86_400.0


async def test_a_whole_answer_in_place_of_a_stream_is_never_taken_for_a_piece_of_one() -> None:
    body = b'{"choices": [{"index": 0, "message": {"content": "Hello"}, "finish_reason": "stop"}]}'
    answer = Canned(body, headers={"content-type": "application/json"})
    request = ChatRequest("r1", "llama", {"messages": []}, True)
    try:
        found = [chunk.body async for batch in provider(answer).answer(request, DEPLOYMENT) for chunk in batch]
    except UpstreamError:
        return
    assert all("delta" in choice for chunk in found for choice in chunk["choices"])


class Broken:
    """A transport that fails."""

    def __init__(self, error: UpstreamError) -> None:
        self.error = error

    async def send(self, call: HttpCall) -> Canned:
        raise self.error

    async def close(self) -> None:
        return


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Unreachable("The upstream refuses connections."), "Backend 'main' refuses connections."),
        (Unreachable("No connection to the upstream within 2 s."), "No connection to backend 'main' within 2 s."),
        (Disconnected("Backend 'main' hung up on the upstream."), "Backend 'main' hung up on the upstream."),
    ],
)
async def test_an_error_of_the_connection_names_the_backend(error: UpstreamError, sentence: str) -> None:
    made = OpenAICompatible(Backend("main", "openai_compatible", "http://127.0.0.1:8000"), Broken(error))
    with pytest.raises(type(error)) as asked:
        await anext(made.answer(ChatRequest("r1", "llama", {"messages": []}), DEPLOYMENT))
    with pytest.raises(type(error)) as listed:
        await made.models()
    for caught in (asked.value, listed.value):
        assert caught.message == caught.logged == str(caught) == sentence


async def test_a_caller_sees_only_the_beginning_of_a_long_error() -> None:
    made = OpenAICompatible(
        Backend("main", "openai_compatible", "http://127.0.0.1:8000"), Broken(Unreachable("No way. " * 10_000))
    )
    with pytest.raises(Unreachable) as caught:
        await made.models()
    assert caught.value.message.startswith("No way.") and len(caught.value.message) < 2 * SAID


async def test_what_an_upstream_says_of_upstreams_is_left_as_it_is() -> None:
    answer = Canned(b'{"error": {"message": "The upstream is odd."}}', status=400)
    with pytest.raises(Rejected) as caught:
        await sizes(answer)
    assert caught.value.message.endswith("The upstream is odd.")


async def test_a_stream_that_is_a_page_is_an_invalid_response_and_is_not_read() -> None:
    answer = Canned(b"<!doctype html>" * 1000, headers={"content-type": "Text/HTML; charset=utf-8"})
    with pytest.raises(InvalidResponse, match="Backend 'main' sent a page where a stream was asked for"):
        await sizes(answer)
    assert answer.taken == 0 and answer.closed


async def test_an_error_in_single_bytes_is_gone_over_once() -> None:
    answer = Canned(*[b"x"] * (2 * ERROR_LIMIT), status=500)
    assert await beginning(answer) == b"x" * ERROR_LIMIT
    assert answer.taken == ERROR_LIMIT
