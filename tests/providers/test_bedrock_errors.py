"""Every exception of Bedrock's and what it means."""

from typing import Any

import orjson
import pytest

from gateway.errors import (
    BadCredentials,
    ContextExceeded,
    ModelGone,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    Rejected,
    ServerFault,
    UpstreamError,
)
from gateway.providers.bedrock_errors import interruption, is_skew, kind_of, refusal

CORAL = "http://internal.amazon.com/coral/com.amazon.bedrock/"
ON_DEMAND = (
    "Invocation of model ID meta.x with on-demand throughput isn\N{RIGHT SINGLE QUOTATION MARK}t supported. "
    "Retry your request with the ID or ARN of an inference profile that contains this model."
)


def error(status: int, name: str, said: str = "", key: str = "message", **headers: str) -> UpstreamError:
    head = {"x-amzn-errortype": f"{name}:{CORAL}", **headers}
    return refusal("main", "meta.x", status, head, orjson.dumps({key: said}))


@pytest.mark.parametrize(
    ("status", "name", "said", "kind"),
    [
        (400, "ValidationException", "Input is too long for requested model.", ContextExceeded),
        (400, "ValidationException", "This model's maximum context length is 8192 tokens. Reduce it.", ContextExceeded),
        (400, "ValidationException", "Too many input tokens. Max input tokens: 8192", ContextExceeded),
        (400, "ValidationException", "The provided model identifier is invalid.", ModelGone),
        (400, "ValidationException", ON_DEMAND, ModelGone),
        (400, "ValidationException", "temperature is wrong", Rejected),
        (403, "AccessDeniedException", "You don't have access to the model with that ID.", BadCredentials),
        (403, "UnrecognizedClientException", "The security token is invalid.", BadCredentials),
        (404, "ResourceNotFoundException", "This model version has reached the end of its life.", ModelGone),
        (404, "ResourceNotFoundException", "", ModelGone),
        (408, "ModelTimeoutException", "", ServerFault),
        (424, "ModelErrorException", "", ServerFault),
        (429, "ThrottlingException", "Too many tokens, please wait before trying again.", RateLimited),
        (429, "ModelNotReadyException", "", Overloaded),
        (400, "ServiceQuotaExceededException", "", QuotaExhausted),
        (500, "InternalServerException", "", ServerFault),
        (503, "ServiceUnavailableException", "", Overloaded),
    ],
)
def test_an_exception_has_its_meaning(status: int, name: str, said: str, kind: type[UpstreamError]) -> None:
    assert type(error(status, name, said)) is kind


def test_what_a_model_does_not_support_another_deployment_may() -> None:
    unable = error(400, "ValidationException", "This model doesn't support the stopSequences field.")
    assert type(unable) is Rejected and unable.elsewhere
    assert not error(400, "ValidationException", "top_k is wrong").elsewhere


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (
            "User: arn:aws:iam::123456789012:user/x is not authorized to perform: bedrock:Converse on x",
            "bedrock:Converse",
        ),
        ("You are not authorized.", "bedrock:InvokeModel"),
        ("You don't have access to the model with the specified model ID.", "no access to the model 'meta.x'"),
        ("Authentication failed: Please make sure your API Key is valid.", "refused the gateway's AWS credentials"),
        ("Signature expired: 1 is now earlier than 2", "clock"),
    ],
)
def test_a_403_says_what_is_missing_and_no_account(said: str, told: str) -> None:
    denied = error(403, "AccessDeniedException", said, key="Message")
    assert told in str(denied) and "123456789012" not in str(denied)


def test_an_account_in_any_message_is_left_out() -> None:
    said = error(400, "ValidationException", "No arn:aws-us-gov:iam::123456789012:role/x of account 123456789012")
    assert str(said).endswith("No [redacted] of account [redacted]")


def test_how_long_to_wait_is_passed_on() -> None:
    assert error(429, "ThrottlingException", **{"retry-after": "7"}).retry_after == 7.0


@pytest.mark.parametrize("body", [b"", b"<html>x</html>", b"[]", b'{"message": 7}', b"\xff"])
def test_a_body_that_is_not_bedrocks_is_judged_by_its_status(body: bytes) -> None:
    assert [type(refusal("main", "m", status, {}, body)) for status in (403, 502)] == [BadCredentials, ServerFault]


@pytest.mark.parametrize(
    ("header", "kind"),
    [
        (f"ValidationException:{CORAL}", "ValidationException"),
        ("com.amazon#ValidationException", "ValidationException"),
        ("ValidationException", "ValidationException"),
        ("", ""),
    ],
)
def test_the_exceptions_name_is_found_among_what_stands_around_it(header: str, kind: str) -> None:
    assert kind_of({"x-amzn-errortype": header}) == kind


@pytest.mark.parametrize(
    ("kind", "words", "skewed"),
    [
        ("InvalidSignatureException", "Signature expired: 1 is now earlier than 2", True),
        ("InvalidSignatureException", "Signature not yet current: 1 is still later than 2", True),
        ("RequestTimeTooSkewed", "", True),
        ("InvalidSignatureException", "The request signature we calculated does not match", False),
        ("ExpiredTokenException", "The security token included in the request is expired", False),
    ],
)
def test_a_wrong_clock_is_told_from_a_wrong_key(kind: str, words: str, skewed: bool) -> None:
    assert is_skew(kind, words) is skewed


@pytest.mark.parametrize("payload", [b"", b"{", orjson.dumps({"message": "x"})])
def test_an_exception_in_a_stream_needs_no_words(payload: Any) -> None:
    assert type(interruption("main", "m", "throttlingException", payload)) is RateLimited
