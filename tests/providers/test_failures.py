"""What providers say when they fail, as they say it, and which of our errors that is."""

from typing import Any, NamedTuple

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.standins import fireworks, groq, ollama, ollama_v1, together, vllm
from gateway.demo.standins.faults import BAD_GATEWAY
from gateway.errors import (
    BadCredentials,
    ContextExceeded,
    InvalidResponse,
    ModelGone,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Refused,
    Rejected,
    ServerFault,
    UpstreamError,
)
from gateway.providers.failures import EXCERPT, LONGEST_WAIT, failure, retry_after, stream_failure

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


def openai(message: str, type: str | None = None, code: object = None, **more: object) -> dict[str, Any]:
    return {"error": {"message": message, "type": type, "param": None, "code": code, **more}}


class Case(NamedTuple):
    """An answer of a provider, and what it means."""

    provider: str
    status: int
    body: object
    meaning: type[UpstreamError]


TOO_LONG = "This model's maximum context length is 8192 tokens. However, your request has 9000 input tokens."
LLAMA_TOO_LONG = {
    "code": 400,
    "message": "request (8889 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "type": "exceed_context_size_error",
    "n_prompt_tokens": 8889,
    "n_ctx": 4096,
}
TOGETHER_TOO_LONG = "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 131073. Given: 140000"
GROQ_TOO_LONG = "Please reduce the length of the messages or completion."
FAILED_CALL = "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details."

CASES = (
    Case("vllm", 400, vllm.refuse(400, TOO_LONG, "input_tokens"), ContextExceeded),
    Case("vllm", 400, {"object": "error", "message": TOO_LONG, "type": "BadRequestError"}, ContextExceeded),
    Case("vllm", 400, vllm.refuse(400, "temperature must be non-negative, got -3.0.", "temperature"), Rejected),
    Case("vllm", 401, vllm.refuse(401, None), BadCredentials),
    Case("vllm", 404, vllm.refuse(404, None), ModelGone),
    Case("vllm", 404, {"detail": "Not Found"}, ModelGone),
    Case("vllm", 500, vllm.refuse(500, None), ServerFault),
    Case("vllm", 503, vllm.refuse(503, None), Overloaded),
    Case("llama.cpp", 400, {"error": LLAMA_TOO_LONG}, ContextExceeded),
    Case("llama.cpp", 401, openai("Invalid API Key", "authentication_error", 401), BadCredentials),
    Case("llama.cpp", 500, openai("Compute error.", "server_error", 500), ServerFault),
    Case("llama.cpp", 501, openai("This feature is disabled", "not_supported_error", 501), ServerFault),
    Case("llama.cpp", 503, openai("Loading model", "unavailable_error", 503), Overloaded),
    Case("ollama", 400, ollama.refuse(400, '"llama3.1:8b" does not support thinking'), Rejected),
    Case("ollama", 400, ollama.refuse(400, orjson.dumps({"error": LLAMA_TOO_LONG}).decode()), ContextExceeded),
    Case("ollama", 400, ollama.refuse(400, "the prompt is longer than the context length available"), ContextExceeded),
    Case("ollama", 401, {"error": "unauthorized", "signin_url": "https://ollama.com/connect?key=x"}, BadCredentials),
    Case("ollama", 404, ollama.refuse(404, "model 'llama9' not found"), ModelGone),
    Case("ollama", 404, ollama.refuse(404, 'model "llama9" not found, try pulling it first'), ModelGone),
    Case("ollama", 499, ollama.refuse(499, "request canceled"), ServerFault),
    Case("ollama", 500, ollama.refuse(500, ollama.NO_IMAGES), ServerFault),
    Case("ollama", 502, ollama.refuse(502, None), ServerFault),
    Case("ollama", 503, ollama.refuse(503, "server busy, please try again.  maximum pending requests"), Overloaded),
    Case("ollama /v1", 404, ollama_v1.MANNER.refuse(404, "model 'llama9' not found"), ModelGone),
    Case("groq", 400, groq.gone("llama-3.1-70b-versatile"), ModelGone),
    Case("groq", 400, openai(GROQ_TOO_LONG, "invalid_request_error", "context_length_exceeded"), ContextExceeded),
    Case("groq", 400, openai(FAILED_CALL, code="tool_use_failed", failed_generation="<function"), InvalidResponse),
    Case("groq", 401, groq.refuse(401, None), BadCredentials),
    Case("groq", 404, groq.refuse(404, None), ModelGone),
    Case("groq", 413, groq.refuse(413, None), ContextExceeded),
    Case("groq", 424, openai("A dependent request failed."), ServerFault),
    Case("groq", 429, groq.refuse(429, None), RateLimited),
    Case("groq", 498, groq.refuse(498, None), Overloaded),
    Case("groq", 503, groq.refuse(503, None), Overloaded),
    Case("together", 400, together.refuse(400, TOGETHER_TOO_LONG), ContextExceeded),
    Case("together", 401, together.refuse(401, None), BadCredentials),
    Case("together", 402, openai("Credit limit exceeded.", "credit_limit"), QuotaExhausted),
    Case("together", 404, together.refuse(404, None), ModelGone),
    Case("together", 429, together.refuse(429, None), RateLimited),
    Case("together", 503, together.refuse(503, None), Overloaded),
    Case("together", 504, together.refuse(504, None), ServerFault),
    Case("fireworks", 400, fireworks.refuse(400, "The prompt is too long: 9, model maximum context length: 8"),
         ContextExceeded),
    Case("fireworks", 401, fireworks.refuse(401, None), BadCredentials),
    Case("fireworks", 402, openai("Payment required."), QuotaExhausted),
    Case("fireworks", 404, fireworks.refuse(404, None), ModelGone),
    Case("fireworks", 412, openai("Account acme is suspended, possibly due to reaching the spending limit"),
         QuotaExhausted),
    Case("fireworks", 429, fireworks.refuse(429, None), RateLimited),
    Case("fireworks", 503, fireworks.refuse(503, None), Overloaded),
    Case("openai", 400, openai("The response was filtered.", code="content_filter"), Refused),
    Case("openai", 403, openai("The response was filtered.", code="content_filter"), Refused),
    Case("openai", 403, openai("Country not supported", code="unsupported_country_region_territory"), BadCredentials),
    Case("openai", 429, openai("You exceeded your current quota.", "insufficient_quota", "insufficient_quota"),
         QuotaExhausted),
    Case("openai", 429, openai("No credit.", "invalid_request_error", "credit_balance_exhausted"), QuotaExhausted),
    Case("openai", 529, openai("Overloaded", "overloaded_error"), Overloaded),
    Case("a proxy", 307, b"", ServerFault),
    Case("a proxy", 408, b"", ServerFault),
    Case("a proxy", 413, b"<html><h1>413 Request Entity Too Large</h1></html>", ContextExceeded),
    Case("a proxy", 418, b"", Rejected),
    Case("a proxy", 502, BAD_GATEWAY, ServerFault),
    Case("a proxy", 599, b"\xff\xfe", ServerFault),
)  # fmt: skip


def met(status: int, body: object, headers: dict[str, str] | None = None) -> UpstreamError:
    content = body if isinstance(body, bytes) else orjson.dumps(body)
    return failure("main", "llama", status, headers or {}, content)


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.provider} {case.status} {case.meaning.__name__}")
def test_a_providers_failure_has_its_meaning(case: Case) -> None:
    error = met(case.status, case.body)
    assert type(error) is case.meaning
    assert error.message.startswith("Backend 'main' ") and error.message == str(error)


@given(st.integers(300, 599), st.one_of(JSON.map(orjson.dumps), st.binary(max_size=40)))
def test_any_answer_is_some_error(status: int, body: bytes) -> None:
    error = met(status, body)
    assert isinstance(error, UpstreamError)
    assert len(error.message) < EXCERPT + 200


@given(JSON)
def test_any_error_in_a_stream_is_some_error(error: object) -> None:
    assert isinstance(stream_failure("main", "llama", error), UpstreamError)


def test_a_request_that_is_wrong_keeps_its_status_reason_and_parameter() -> None:
    error = met(422, openai("top_k must be positive", param="top_k"))
    assert (error.status, error.param) == (422, "top_k")
    assert error.message == "Backend 'main' rejected the request (422): top_k must be positive"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-abcdef1234567890",
        "gsk_abcdef1234567890",
        "tgp_v1_abcdef1234567890",
        "fw_abcdef1234567890",
        "Bearer abcdef1234567890",
        "sk-one.two.abcdef1234567890",
        "https://user:abcdef1234567890@internal.example/v1",
        "http://10.0.0.7:8000/abcdef1234567890",
    ],
)
@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 422, 429, 500, 503])
def test_keys_and_addresses_are_never_in_a_message(status: int, secret: str) -> None:
    for body in (openai(f"Wrong: {secret}, try again"), {"error": f"({secret})"}, {"message": {"key": secret}}):
        error = met(status, body)
        assert "abcdef1234567890" not in f"{error} {error!r}"
        assert "internal.example" not in str(error) and "10.0.0.7" not in str(error)


@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 502, 503])
@pytest.mark.parametrize("body", [BAD_GATEWAY, {"error": BAD_GATEWAY.decode()}, {"message": "<!DOCTYPE html><p>no"}])
def test_a_page_is_never_passed_on(status: int, body: object) -> None:
    assert "<" not in str(met(status, body))


def test_a_long_reason_is_cut_after_its_secrets_are_gone() -> None:
    error = met(400, openai("x" * (EXCERPT - 20) + " sk-abcdef1234567890 " + "y" * 1000))
    assert error.message.endswith("x [redacted] yyyyyyyy")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "1.5"}, 1.5),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "1"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1"}, 1.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, LONGEST_WAIT),
        ({"retry-after": "1e99"}, LONGEST_WAIT),
        ({"retry-after": "31536000"}, LONGEST_WAIT),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "5.289s"}, None),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:30 GMT", "date": "Tue, 24 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"retry-after": "Tue, 24 Nov 2026 09:59:00 GMT", "date": "Tue, 24 Nov 2026 10:00:00 GMT"}, 0.0),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:30 GMT"}, None),
        ({"retry-after": "Tue, 24 Nov 2026 10:00:30 -0000", "date": "Tue, 24 Nov 2026 10:00:00 GMT"}, None),
        ({"retry-after": "Tue, 99 Nov 2026 10:00:30 GMT", "date": "Tue, 24 Nov 2026 10:00:00 GMT"}, None),
    ],
)
def test_the_wait_that_is_asked_for_is_understood_in_every_form(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds
    assert met(429, b"{}", headers).retry_after == seconds
    assert met(503, b"{}", headers).retry_after == seconds


@given(st.text(), st.text())
def test_a_nonsensical_wait_is_none(value: str, date: str) -> None:
    seconds = retry_after({"retry-after": value, "date": date})
    assert seconds is None or seconds >= 0


def test_a_date_beyond_all_clocks_is_none() -> None:
    headers = {"retry-after": "Tue, 24 Nov 2026 10:00:30 +99999999999999999", "date": "Tue, 24 Nov 2026 10:00:00 GMT"}
    assert retry_after(headers) is None


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (vllm.refuse(400, TOO_LONG)["error"], ContextExceeded),
        (vllm.refuse(500, None)["error"], ServerFault),
        (vllm.refuse(503, None)["error"], Overloaded),
        ({**groq.refuse(400, "Tool call failed")["error"], "status_code": 400}, Rejected),
        ({**groq.refuse(429, None)["error"], "status_code": 429}, RateLimited),
        (together.refuse(500, None)["error"], ServerFault),
        ("out of memory", ServerFault),
        ({"message": "odd", "code": 200}, ServerFault),
        ({"message": "odd", "code": "503"}, Overloaded),
        (None, ServerFault),
    ],
)
def test_an_error_in_a_stream_has_the_meaning_of_the_status_it_names(
    error: object, meaning: type[UpstreamError]
) -> None:
    assert type(stream_failure("main", "llama", error)) is meaning


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206])
def test_a_success_that_is_no_answer_is_an_invalid_response_with_a_status_of_ours(status: int) -> None:
    error = met(status, {"id": "accepted"})
    assert (type(error), error.status) == (InvalidResponse, 502)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, openai("odd: the canary of a prompt")),
        (400, openai("maximum context length, you sent: the canary of a prompt")),
        (400, openai("the canary of a prompt", code="content_filter")),
        (413, openai("the canary of a prompt")),
        (422, {"detail": [{"input": "the canary of a prompt"}]}),
    ],
)
def test_what_is_said_of_the_prompt_is_for_the_caller_and_not_for_the_log(status: int, body: object) -> None:
    error = met(status, body)
    assert "the canary of a prompt" in error.message
    assert "the canary of a prompt" not in error.logged
    assert error.logged.startswith("Backend 'main' ") and str(status) in error.logged
