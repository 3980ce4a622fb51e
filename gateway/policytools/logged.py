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
from typing import NamedTuple

import orjson

from gateway.outcomes import Sketch
from gateway.routing.policy import Policy
from gateway.types import Caller, ChatRequest, Json

LATEST = 253_402_214_400.0  # Unix time, a day before the year 10000: a later moment has no date in some time zones
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


class LoggedRequest(NamedTuple):
    """A line of the log: what the gateway remembers of a request, and the name it has in reports."""

    sketch: Sketch
    id: str = ""


def read_line(line: bytes) -> LoggedRequest:
    """The request in a line; raises BadLine."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise BadLine(f"is not JSON ({exc.msg})") from exc
    if not isinstance(found, dict):
        raise BadLine("is no JSON object")
    if found.get("model") is None:
        raise BadLine("has no `model`")
    values: Json = {name: checked(name, found[name]) for name in WANTED if found.get(name) is not None}
    id = values.pop("id", "")
    headers = {name.lower(): value for name, value in values.get("headers", {}).items()}
    return LoggedRequest(Sketch(**{**values, "needs": frozenset(values.get("needs", ())), "headers": headers}), id)


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
    if name == "at" and isinstance(value, int | float) and value >= LATEST:
        raise BadLine("has an `at` after the year 9999")
    return value


def line_of(request: LoggedRequest) -> bytes:
    """The line of a request, its line break included."""
    sketch = request.sketch
    values = {**sketch._asdict(), "id": request.id, "needs": sorted(sketch.needs)}
    values |= {"headers": {**sketch.headers}, "metadata": {**sketch.metadata}}
    return orjson.dumps({name: values[name] for name in WANTED}, option=orjson.OPT_APPEND_NEWLINE)


def asked_again(found: LoggedRequest, policy: Policy, now: float) -> ChatRequest:
    """The request as a policy would see it at `now`, in monotonic seconds.

    A caller that the policy does not have may use all its routes: keys may also be kept outside of it.
    """
    sketch = found.sketch
    body: Json = {"model": sketch.model, "messages": [], "stream": sketch.stream, "metadata": dict(sketch.metadata)}
    for need in sorted(sketch.needs):
        body |= STUBS.get(need, {})
    known = (caller for caller in policy.callers.values() if caller.name == sketch.caller)
    return ChatRequest(
        id=found.id,
        model=sketch.model,
        body=body,
        stream=sketch.stream,
        prompt_tokens=sketch.prompt_tokens,
        max_tokens=sketch.max_tokens,
        needs=sketch.needs,
        headers=sketch.headers,
        caller=next(known, Caller(sketch.caller)),
        arrived=now,
        operation=sketch.operation,
        at=sketch.at,
    )
