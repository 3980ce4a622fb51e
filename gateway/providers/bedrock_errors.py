"""What Bedrock's exceptions mean, as an answer's status or as an event of a stream. Pure."""

import re
from collections.abc import Mapping

import orjson

from gateway.errors import (
    BadCredentials,
    ContextExceeded,
    ModelGone,
    Overloaded,
    QuotaExhausted,
    Rejected,
    UpstreamError,
)
from gateway.providers.failures import failure
from gateway.providers.http import loaded

ACCOUNT = re.compile(r"arn:aws[\w-]*:[^\s\"']+|\b\d{12}\b")  # account ids are nobody's business
LONG = re.compile(r"input is too long|maximum context length|too many (input )?tokens|input token count", re.IGNORECASE)
GONE = re.compile(r"model identifier is invalid|on-demand throughput|end of its life|model not found", re.IGNORECASE)
UNABLE = re.compile(r"model doesn.t support", re.IGNORECASE)  # another deployment may
NO_ACCESS = re.compile(r"access to the model|model access is denied", re.IGNORECASE)
ACTION = re.compile(r"bedrock:[A-Za-z]+")
SKEWED = re.compile(r"signature expired|signature not yet current|requesttimetooskewed|requestexpired", re.IGNORECASE)

STATUS = {  # of the exceptions that may come as events
    "validationException": 400,
    "accessDeniedException": 403,
    "resourceNotFoundException": 404,
    "modelTimeoutException": 408,
    "modelErrorException": 424,
    "modelStreamErrorException": 424,
    "throttlingException": 429,
    "internalServerException": 500,
    "serviceUnavailableException": 503,
}


def refusal(backend: str, model_id: str, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer other than 200 stands for."""
    kind, words = kind_of(headers), words_of(body)
    where = f"Backend '{backend}'"
    if kind == "ServiceQuotaExceededException":
        return QuotaExhausted(f"{where} has used up a quota of its AWS account ({status}).")
    if kind == "ModelNotReadyException":
        return Overloaded(f"{where} is still making the model '{model_id}' ready ({status}).")
    if status == 403:
        return denied(where, model_id, kind, words)
    if status in (400, 404) and GONE.search(words):
        return ModelGone(f"{where} does not serve the model '{model_id}' ({status}).")
    if status == 400 and LONG.search(words):
        return ContextExceeded(f"{where} cannot hold the request: its prompt is too long.", param="messages")
    error = failure(backend, model_id, status, headers, orjson.dumps({"message": words}) if words else body)
    if isinstance(error, Rejected) and UNABLE.search(words):
        error.elsewhere = True
    return error


def denied(where: str, model_id: str, kind: str, words: str) -> BadCredentials:
    """The error of a 403, which says what is missing."""
    if is_skew(kind, words):
        return BadCredentials(f"{where} finds the gateway's clock wrong (403); set the time of its machine.")
    if NO_ACCESS.search(words):
        return BadCredentials(f"{where} has no access to the model '{model_id}' (403); enable it in its AWS account.")
    if kind == "AccessDeniedException" and "not authorized" in words:
        action = ACTION.search(words)
        missing = action[0] if action else "bedrock:InvokeModel"
        return BadCredentials(f"{where} lacks the permission {missing} for '{model_id}' (403); allow it in IAM.")
    return BadCredentials(f"{where} refused the gateway's AWS credentials (403); ask whoever runs the gateway.")


def is_skew(kind: str, words: str) -> bool:
    """Whether a refusal is about the time of a signature."""
    return SKEWED.search(f"{kind} {words}") is not None


def interruption(backend: str, model_id: str, name: str, payload: bytes) -> UpstreamError:
    """The error that an exception in a stream stands for, by the status it would have had."""
    kind = name[:1].upper() + name[1:]
    return refusal(backend, model_id, STATUS.get(name, 500), {"x-amzn-errortype": kind}, payload)


def kind_of(headers: Mapping[str, str]) -> str:
    """The exception's name in `x-amzn-ErrorType`, where an address may follow it."""
    return headers.get("x-amzn-errortype", "").partition(":")[0].rpartition("#")[2]


def words_of(body: bytes) -> str:
    """What an error's body says, without account ids; nothing when it is not Bedrock's JSON."""
    parsed = loaded(body) or {}
    said = parsed.get("message") or parsed.get("Message")
    return ACCOUNT.sub("[redacted]", said) if isinstance(said, str) else ""
