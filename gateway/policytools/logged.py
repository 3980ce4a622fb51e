"""One line of a request log: what routing reads of a request, without a word of its prompt.

The log is JSON Lines, UTF-8, an object a line:

model          text, as the caller wrote it; the only key that must be there
id             text; of the request, in reports
at             number; Unix time of arrival, which a route's `time` is compared with
stream         true or false
prompt_tokens  whole number; as estimated on arrival
max_tokens     whole number or null; the completion asked for
needs          list of text; capabilities that it needs: tools, json_schema, vision ...
headers        object of text; those that policies match on
metadata       object of text; the body's `metadata`
caller         text; the caller's name, empty without one
operation      text; chat

Other keys are left alone, so that a newer gateway's log can be read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from gateway.routing.policy import Policy
from gateway.types import Caller, ChatRequest, Json, Sketch

STUBS: Mapping[str, Json] = {  # what a body must hold for an expression to see what the request needs
    "tools": {"tools": [{"type": "function", "function": {"name": "unknown"}}]},
    "json_schema": {"response_format": {"type": "json_schema"}},
    "json_object": {"response_format": {"type": "json_object"}},
}
WANTED: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "model": (str, "text"),
    "id": (str, "text"),
    "at": ((int, float), "a number"),
    "stream": (bool, "true or false"),
    "prompt_tokens": (int, "a whole number"),
    "max_tokens": (int, "a whole number or null"),
    "needs": (list, "a list"),
    "headers": (dict, "an object"),
    "metadata": (dict, "an object"),
    "caller": (str, "text"),
    "operation": (str, "text"),
}


class BadLine(ValueError):
    """A line that is no request; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """A request as the log keeps it; tokens, and Unix seconds."""

    model: str
    id: str = ""
    at: float = 0.0
    stream: bool = False
    prompt_tokens: int = 0
    max_tokens: int | None = None
    needs: frozenset[str] = frozenset()
    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    caller: str = ""
    operation: str = "chat"


def read_line(line: bytes) -> LoggedRequest:
    """The request in a line; raises BadLine."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise BadLine(f"is not JSON ({exc.msg})") from exc
    if not isinstance(found, dict):
        raise BadLine("is no JSON object")
    if "model" not in found:
        raise BadLine("has no `model`")
    values: Json = {name: checked(name, found[name]) for name in WANTED if found.get(name) is not None}
    headers = {name.lower(): value for name, value in values.get("headers", {}).items()}
    return LoggedRequest(**{**values, "needs": frozenset(values.get("needs", ())), "headers": headers})


def checked(name: str, value: object) -> object:
    """The value of a key; raises BadLine when it is of another type, or below zero."""
    kind, words = WANTED[name]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise BadLine(f"has a `{name}` that is not {words}")
    if not all(isinstance(part, str) for part in parts):
        raise BadLine(f"has a `{name}` that does not hold text alone")
    if isinstance(value, int | float) and value < 0:
        raise BadLine(f"has a `{name}` below zero")
    return value


def line_of(request: LoggedRequest) -> bytes:
    """The line of a request, its line break included."""
    values = {name: getattr(request, name) for name in WANTED}
    values |= {"needs": sorted(request.needs), "headers": {**request.headers}, "metadata": {**request.metadata}}
    return orjson.dumps(values, option=orjson.OPT_APPEND_NEWLINE)


def logged(request: ChatRequest, headers: frozenset[str]) -> LoggedRequest:
    """What the log keeps of a request: of its headers, those named."""
    metadata = request.body.get("metadata")
    texts = metadata.items() if isinstance(metadata, dict) else ()
    return LoggedRequest(
        model=request.model,
        id=request.id,
        at=request.at,
        stream=request.stream,
        prompt_tokens=request.prompt_tokens,
        max_tokens=request.max_tokens,
        needs=request.needs,
        headers={name: value for name, value in request.headers.items() if name in headers},
        metadata={name: value for name, value in texts if isinstance(value, str)},
        caller=request.caller.name,
        operation=request.operation,
    )


def of_sketch(id: str, sketch: Sketch) -> LoggedRequest:
    """The request as the gateway remembers it."""
    return LoggedRequest(id=id, **sketch._asdict())


def asked_again(found: LoggedRequest, policy: Policy, now: float) -> ChatRequest:
    """The request as a policy would see it at `now`, in monotonic seconds.

    A caller that the policy does not have may use all its routes: keys may also be kept outside of it.
    """
    body: Json = {"model": found.model, "messages": [], "stream": found.stream, "metadata": dict(found.metadata)}
    for need in sorted(found.needs):
        body |= STUBS.get(need, {})
    known = (caller for caller in policy.callers.values() if caller.name == found.caller)
    return ChatRequest(
        id=found.id,
        model=found.model,
        body=body,
        stream=found.stream,
        prompt_tokens=found.prompt_tokens,
        max_tokens=found.max_tokens,
        needs=found.needs,
        headers=found.headers,
        caller=next(known, Caller(found.caller)),
        arrived=now,
        operation=found.operation,
        at=found.at,
    )
