"""What an upstream's error answer means: status, headers and body in, one of our errors out."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

import orjson

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
from gateway.types import Json

CONTEXT = re.compile(
    r"context[ _](length|size|window)|exceed_context_size|maximum (context|input|prompt)|too many tokens"
    r"|prompt is too long|longer than the (model|maximum)|input is too long|`inputs` tokens",
    re.IGNORECASE,
)
QUOTA = re.compile(r"insufficient_quota|quota_exceeded|credit|billing|payment|suspended|spending limit", re.IGNORECASE)
FILTERED = re.compile(r"content[_ ](filter|policy)|safety|guardrail|moderation", re.IGNORECASE)
MISBUILT = ("tool_use_failed", "json_validate_failed")  # Groq: the model broke the form it was asked for
SECRETS = re.compile(r"(?i)\b(bearer\s+\S+|(sk|gsk|fw|r8|tgp|hf|key)[-_][\w.-]{6,}|https?://\S+)")
MARKUP = re.compile(r"<(!doctype|html|head|body|title|script)\b", re.IGNORECASE)
EXCERPT = 4096  # characters of an upstream's message that are looked at
SAID = 300  # characters of it that a caller may see
LONGEST_WAIT = 86_400.0  # seconds that a Retry-After may ask for


def failure(backend: str, model_id: str, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
    """The error that an answer other than 2xx stands for."""
    said = complaint(body)
    facts = f"{said.code} {said.type} {said.message} {said.hidden}"
    wait = retry_after(headers)
    where = f"Backend '{backend}'"
    if status in (401, 403) and not FILTERED.search(said.code):
        return BadCredentials(f"{where} refused the gateway's credentials ({status}); ask whoever runs the gateway.")
    if status in (402, 412) or (status in (400, 429) and QUOTA.search(f"{said.code} {said.type}")):
        return QuotaExhausted(f"{where} has no quota or credit left ({status}).")
    if status == 429:
        return RateLimited(f"{where} is rate limited (429).", retry_after=wait)
    if status in (498, 503, 529):
        return Overloaded(f"{where} is overloaded ({status}).", retry_after=wait)
    if status >= 500 or status in (408, 424, 499):
        return ServerFault(f"{where} failed with status {status}.", retry_after=wait)
    if 300 <= status < 400:
        return ServerFault(f"{where} answered with a redirect ({status}); its url in the policy is not the right one.")
    if status < 400:
        return InvalidResponse(f"{where} answered with status {status}, which is no answer to a chat request.")
    return rejection(where, model_id, status, said, facts)


def rejection(where: str, model_id: str, status: int, said: "Complaint", facts: str) -> UpstreamError:
    """The error of a 4xx that speaks of the request or the model."""
    if status == 413 or (status in (400, 422) and CONTEXT.search(facts)):
        told = f"{where} cannot hold the request"
        return ContextExceeded(f"{told}: {said.excerpt}", param="messages", logged=f"{told} ({status}).")
    if FILTERED.search(said.code) or FILTERED.search(said.type):
        told = f"{where} refused the request by its content filter"
        return Refused(f"{told}: {said.excerpt}", logged=f"{told} ({status}).")
    if status == 404 or (status in (400, 410) and "decommissioned" in facts):
        return ModelGone(f"{where} does not serve the model '{model_id}' ({status}).")
    if said.code in MISBUILT:
        return InvalidResponse(f"{where} could not make its model keep to the form of tools or schema ({said.code}).")
    told = f"{where} rejected the request ({status})"
    error = Rejected(f"{told}: {said.excerpt}", param=said.param, logged=f"{told}.")
    error.status = status
    return error


class Complaint:
    """What the body of an error answer says, in whichever of the known shapes."""

    def __init__(
        self, message: str = "", type: str = "", code: str = "", param: str | None = None, hidden: str = ""
    ) -> None:
        self.message, self.type, self.code, self.param = message, type, code, param
        self.hidden = hidden  # text that tells the kind of error, and that nobody is shown

    @property
    def excerpt(self) -> str:
        """The message, short and without anything that looks like a key, an address or a page."""
        said = "" if MARKUP.search(self.message) else SECRETS.sub("[redacted]", self.message)
        return said[:EXCERPT] or "no reason given"


def complaint(body: bytes) -> Complaint:
    """What an error body says; what is not JSON is looked at and never passed on (an HTML page, a body cut short)."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return Complaint(hidden=body.decode("utf-8", "replace"))
    return spoken(parsed)


def spoken(parsed: object) -> Complaint:
    """What a parsed error says: `{error: {...}}`, `{error: "..."}`, `{message}`, `{detail}`."""
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if isinstance(error, str):
        return Complaint(error)
    if not isinstance(error, dict):
        return Complaint()
    fields: Json = error
    message = fields.get("message") or fields.get("detail") or fields.get("title") or ""
    param = fields.get("param")
    return Complaint(
        message if isinstance(message, str) else orjson.dumps(message).decode(),
        str(fields.get("type") or ""),
        str(fields.get("code") or ""),
        param if isinstance(param, str) else None,
    )


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait that an answer asks for; None when it does not say or says nonsense."""
    millis = number(headers.get("retry-after-ms"))
    if millis is not None:
        return millis / 1000
    value = headers.get("retry-after")
    seconds = number(value)
    if seconds is not None or value is None:
        return seconds
    try:
        until, now = parsedate_to_datetime(value), parsedate_to_datetime(headers.get("date", ""))
        return min(LONGEST_WAIT, max(0.0, (until - now).total_seconds()))
    except (ValueError, TypeError, OverflowError):
        return None  # neither seconds nor a date, or no Date beside it to compare with


def number(value: str | None) -> float | None:
    """A number of zero or more that a header holds; None for anything else."""
    try:
        found = float(value or "")
    except ValueError:
        return None
    return min(found, LONGEST_WAIT) if found >= 0 else None


def stream_failure(backend: str, model_id: str, error: object) -> UpstreamError:
    """The error that an event of a stream reports under status 200."""
    said = spoken(error)
    status = number(said.code) or number(str(error.get("status_code", "")) if isinstance(error, dict) else "") or 500
    return failure(backend, model_id, int(status) if 400 <= status < 600 else 500, {}, orjson.dumps({"error": error}))
