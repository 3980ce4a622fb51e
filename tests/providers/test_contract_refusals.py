"""What it means, for every kind, that its upstream refuses or fails; nothing of that gives a secret away."""

from typing import Any

import pytest

from gateway.demo.standins.faults import Drop, ErrorEvent, Fault, Malformed, Refuse, html_502
from gateway.demo.standins.hosted import KEY
from gateway.errors import (
    BadCredentials,
    ContextExceeded,
    Disconnected,
    InvalidResponse,
    ModelGone,
    Overloaded,
    RateLimited,
    Refused,
    Rejected,
    ServerFault,
    UpstreamError,
)
from gateway.providers.failures import LONGEST_WAIT

from .asking import LONG, WRONG, ask, every_kind, kinds_with, question
from .upstreams import FILTER, KEYS, MODEL, Kind, linked

BOTH = (False, True)  # whole, streamed
STATUSES = (400, 401, 402, 403, 404, 408, 413, 422, 424, 429, 500, 502, 503, 529)
WAITS = {  # what Retry-After may say -> seconds
    "7": 7.0,
    "0.5": 0.5,
    "0": 0.0,
    "Wed, 21 Oct 2015 07:28:00 GMT": 0.0,
    "Fri, 31 Dec 9999 23:59:59 GMT": LONGEST_WAIT,
    "999999999": LONGEST_WAIT,
    "inf": LONGEST_WAIT,
    "nan": None,
    "-7": None,
    "soon": None,
    "": None,
}
FILTERED = {"error": {"message": "Not this.", "type": "invalid_request_error", "code": "content_filter"}}
GUARDED = {
    "output": {"message": {"role": "assistant", "content": [{"text": "Sorry."}]}},
    "stopReason": "guardrail_intervened",
    "usage": {"inputTokens": 1, "outputTokens": 1, "totalTokens": 2},
}
PAGE = b"<html><body>%s http://127.0.0.1/v1</body></html>" % KEY.encode()

pytestmark = pytest.mark.asyncio


async def failing(kind: Kind, llama_url: str, *faults: Fault, asked: Any = None, **how: Any) -> list[UpstreamError]:
    """The errors that questions end in before any content, whole and streamed."""
    async with linked(kind, llama_url, *(fault for fault in faults for _ in BOTH), **how) as link:
        answers = [await ask(link, question(stream, **(asked or {}))) for _ in faults or [None] for stream in BOTH]
    assert not any(answer.chunks for answer in answers)
    errors = [answer.error for answer in answers if answer.error is not None]
    assert len(errors) == len(answers)
    return errors


@every_kind
async def test_a_rate_limit_says_how_long_to_wait(kind: Kind, llama_url: str) -> None:
    faults = [Refuse(429, {"Retry-After": said}) for said in WAITS]
    errors = await failing(kind, llama_url, *faults)
    assert {(type(error), error.status) for error in errors} == {(RateLimited, 429)}
    assert [error.retry_after for error in errors] == [wait for wait in WAITS.values() for _ in BOTH]


@every_kind
async def test_a_failure_has_its_meaning_and_counts_against_the_upstream(kind: Kind, llama_url: str) -> None:
    meanings: list[tuple[Fault, type[UpstreamError]]] = [
        (Drop(), Disconnected),
        (Refuse(500), ServerFault),
        (Refuse(503), Overloaded),
        (html_502(), ServerFault),
        (Refuse(500, {"content-type": "text/html"}, PAGE), ServerFault),
        (Refuse(503, {"content-type": "text/html"}, PAGE), Overloaded),
        (Refuse(504, {"content-type": "text/html"}, PAGE), ServerFault),
        (Refuse(500, body=b""), ServerFault),
        (Refuse(500, body=b"\xff\xfe{"), ServerFault),
    ]
    errors = await failing(kind, llama_url, *(fault for fault, _ in meanings))
    assert [type(error) for error in errors] == [meaning for _, meaning in meanings for _ in BOTH]
    assert all(error.elsewhere and error.status >= 500 for error in errors)


@kinds_with(KEYS)
async def test_a_wrong_key_is_our_fault(kind: Kind, llama_url: str) -> None:
    errors = await failing(kind, llama_url, key=WRONG)
    assert [(type(error), error.status) for error in errors] == [(BadCredentials, 502)] * 2


@every_kind
@pytest.mark.parametrize("status", [401, 403])
async def test_credentials_that_are_refused_are_never_the_callers(kind: Kind, llama_url: str, status: int) -> None:
    errors = await failing(kind, llama_url, Refuse(status), Refuse(status, body=PAGE), Refuse(status, body=b""))
    assert [(type(error), error.status, error.elsewhere) for error in errors] == [(BadCredentials, 502, True)] * 6


@every_kind
@pytest.mark.parametrize("form", ["its own", "of all fields", "a page", "no JSON"])
async def test_a_key_that_the_upstream_quotes_is_not_passed_on(kind: Kind, llama_url: str, form: str) -> None:
    quoted = f"Wrong key {KEY} for http://127.0.0.1/v1"
    fields = dict.fromkeys(("message", "type", "code", "param", "detail", "title", "error"), quoted)
    bodies = {"its own": None, "of all fields": {"error": fields, **fields}, "a page": PAGE, "no JSON": quoted.encode()}
    faults = [Refuse(status, body=bodies[form], message=quoted) for status in STATUSES]
    assert len(await failing(kind, llama_url, *faults)) == len(faults) * 2


@kinds_with(MODEL)
async def test_a_model_it_does_not_serve_is_gone(kind: Kind, llama_url: str) -> None:
    errors = await failing(kind, llama_url, model="nope")
    assert [type(error) for error in errors] == [ModelGone] * 2
    assert all("'nope'" in str(error) for error in errors)


@every_kind
async def test_a_prompt_that_does_not_fit_is_said_to_be_too_long(kind: Kind, llama_url: str) -> None:
    errors = await failing(kind, llama_url, asked={"messages": LONG})
    assert [(type(error), error.status, error.elsewhere) for error in errors] == [(ContextExceeded, 400, True)] * 2
    assert all(error.verdict == "neutral" and "llama llama" not in error.logged for error in errors)


@kinds_with(FILTER)
async def test_a_content_filter_is_not_routed_around(kind: Kind, llama_url: str) -> None:
    fault = Refuse(200, body=GUARDED) if kind.name == "bedrock" else Refuse(400, body=FILTERED)
    async with linked(kind, llama_url, fault) as link:
        answer = await ask(link, question())
    if answer.error is None:
        assert answer.tally.finished == {0: "content_filter"}
    else:
        assert (type(answer.error), answer.error.elsewhere) == (Refused, False)


@every_kind
async def test_a_request_that_is_wrong_is_not_the_upstreams_fault(kind: Kind, llama_url: str) -> None:
    errors = await failing(kind, llama_url, Refuse(400, message="top_k must be positive"))
    assert [(type(error), error.verdict, error.status) for error in errors] == [(Rejected, "neutral", 400)] * 2
    assert all("top_k must be positive" in str(error) for error in errors)


@every_kind
@pytest.mark.parametrize("chunks", [0, 3])
async def test_an_error_in_a_stream_is_an_error_after_what_came_before(kind: Kind, llama_url: str, chunks: int) -> None:
    fault = ErrorEvent(after_chunks=chunks, status=500, message=f"{KEY} out of memory")
    async with linked(kind, llama_url, fault) as link:
        answer = await ask(link, question(stream=True))
    assert type(answer.error) is ServerFault
    assert bool(answer.chunks) is (chunks > 0) and not answer.tally.complete


@every_kind
async def test_one_malformed_event_is_skipped(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, None, Malformed(after_chunks=3)) as link:
        sound = await ask(link, question(stream=True))
        answer = await ask(link, question(stream=True))
    assert answer.error is None
    assert answer.tally.complete
    assert len(answer.chunks) == len(sound.chunks) - 1


@every_kind
async def test_a_whole_answer_that_is_malformed_is_an_invalid_response(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, Malformed()) as link:
        answer = await ask(link, question())
    assert (type(answer.error), answer.chunks) == (InvalidResponse, [])


@every_kind
async def test_after_a_failure_the_next_question_is_answered(kind: Kind, llama_url: str) -> None:
    async with linked(kind, llama_url, Drop(), Refuse(500), ErrorEvent(after_chunks=1)) as link:
        failed = [await ask(link, question(stream=True)) for _ in range(3)]
        answer = await ask(link, question(stream=True))
    assert all(each.error for each in failed)
    assert answer.error is None and answer.tally.complete
