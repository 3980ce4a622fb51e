"""`when`: expressions in CEL over `request`, `caller` and `fleet`, tried out on samples before they are believed."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.routing.book import StatsBook
from gateway.routing.policy import Matcher
from gateway.routing.stats import Stats
from gateway.types import Caller, ChatRequest, Json

if TYPE_CHECKING:
    from cel import Program

LONGEST = 4096  # bytes
SHOWN = 160  # characters of the library's own words
TEXT = re.compile(r"\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'")
LOOP = re.compile(r"\.(?:all|exists|exists_one|map|filter)\s*\(")
NAMES = ("caller", "fleet", "request")
FAILURES = (LookupError, ValueError, TypeError, RuntimeError, ArithmeticError)  # of an evaluation


class BadExpression(ValueError):
    """An expression that cannot be used; the message says why, as the end of a sentence."""


@dataclass(frozen=True, slots=True)
class Expression:
    """A compiled expression and the names it reads."""

    text: str
    program: "Program" = field(repr=False, compare=False)
    reads: frozenset[str]

    def holds(self, request: ChatRequest, book: StatsBook) -> bool:
        """Its value for a request; raises whatever CEL does when a field is not there or of another type."""
        return self.program.execute(self.scope(request, book)) is True

    def scope(self, request: ChatRequest, book: StatsBook) -> Json:
        """The values of the names it reads."""
        found: Json = {}
        if "request" in self.reads:
            found["request"] = request_fields(request)
        if "caller" in self.reads:
            found["caller"] = {"name": request.caller.name}
        if "fleet" in self.reads:
            found["fleet"] = fleet_fields(book, request.arrived)
        return found


def expression(text: str) -> Expression:
    """A text, compiled and tried on samples; raises BadExpression."""
    if len(text.encode()) > LONGEST:
        raise BadExpression(f"it is longer than {LONGEST} bytes")
    if nested(text):
        raise BadExpression("one loop (all, exists, map, filter) is inside another, which could take very long")
    # Imported here: it brings a command line of its own, a twentieth of a second and thirty megabytes.
    import cel

    try:
        program = cel.compile(text)
        names = frozenset(program.variables())
    except (ValueError, RuntimeError) as exc:
        raise BadExpression(f"it is no CEL ({said(exc)})") from exc
    found = Expression(text, program, names & frozenset(NAMES))
    for request, book in samples():
        try_out(found, request, book)
    return found


def try_out(found: Expression, request: ChatRequest, book: StatsBook) -> None:
    """Evaluate on a sample; raises BadExpression."""
    try:
        value = found.program.execute(found.scope(request, book))
    except KeyError as exc:
        raise BadExpression(
            f"there is not always a field {said(exc)}; ask first: has(request.metadata.team), 'x-a' in request.headers"
        ) from exc
    except FAILURES as exc:
        raise BadExpression(f"it fails for a usual request ({said(exc)})") from exc
    if not isinstance(value, bool):
        raise BadExpression(f"its value is no true or false but of type {type(value).__name__}")


def said(exc: BaseException) -> str:
    """The library's words in one line."""
    return " ".join(str(exc).split("ERROR: <input>:")[-1].split())[:SHOWN]


def nested(text: str) -> bool:
    """Whether one loop is inside another's parentheses."""
    code = TEXT.sub("''", text)
    ends: list[int] = []
    starts = {found.end() - 1 for found in LOOP.finditer(code)}
    depth = 0
    for index, char in enumerate(code):
        if char == "(":
            depth += 1
            if index in starts:
                if ends:
                    return True
                ends.append(depth)
        elif char == ")":
            if ends and ends[-1] == depth:
                ends.pop()
            depth -= 1
    return False


def when(found: Expression, route: str) -> Matcher:
    """The expression as a question; one that fails at run time does not match, and is counted."""

    def check(request: ChatRequest, book: StatsBook) -> str | None:
        try:
            return None if found.holds(request, book) else f"not so: {found.text}"
        except FAILURES as exc:
            book.expression_errors[route] = book.expression_errors.get(route, 0) + 1
            return f"its expression failed ({said(exc)})"

    return check


def request_fields(request: ChatRequest) -> Json:
    """`request` as expressions see it; `body` is all that the caller sent."""
    body = request.body
    metadata = body.get("metadata")
    return {
        "model": request.model,
        "stream": request.stream,
        "input_tokens": request.prompt_tokens,
        "output_tokens": request.max_tokens or 0,
        "needs": sorted(request.needs),
        "headers": dict(request.headers),
        "metadata": metadata if isinstance(metadata, dict) else {},
        "tools": body.get("tools") or [],
        "messages": body.get("messages") or [],
        "temperature": float(body.get("temperature") or 0.0),
        "user": str(body.get("user") or ""),
        "at": request.at,
        "body": body,
    }


def fleet_fields(book: StatsBook, now: float) -> Json:
    """`fleet` as expressions see it: requests in flight by backend, and what we lately saw of each deployment."""
    return {
        "in_flight": dict(book.in_flight),
        "deployments": {name: deployment_fields(stats, now) for name, stats in book.deployments.items()},
    }


def deployment_fields(stats: Stats, now: float) -> Json:
    """One deployment; seconds."""
    return {
        "up": max(stats.ejected_until, stats.resting_until) <= now,
        "ttft": 0.0 if stats.ttft is None else stats.ttft,
        "failing": stats.failing,
    }


def samples() -> Iterator[tuple[ChatRequest, StatsBook]]:
    """Requests as they come: short and long, streamed or not, with and without tools."""
    messages = [{"role": "user", "content": "Hello"}]
    tool = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
    plain: Mapping[str, object] = {"model": "auto", "messages": messages}
    for stream in (False, True):
        for extra in ({}, {"tools": [tool], "temperature": 0.5, "user": "u"}):
            yield sample({**plain, **extra, "stream": stream}, stream, bool(extra)), StatsBook()


def sample(body: Json, stream: bool, rich: bool) -> ChatRequest:
    """One of them."""
    return ChatRequest(
        id="req_sample",
        model="auto",
        body=body,
        stream=stream,
        prompt_tokens=30_000 if rich else 10,
        max_tokens=100 if rich else None,
        needs=frozenset({"tools"}) if rich else frozenset(),
        headers={"user-agent": "sample"},
        caller=Caller("anonymous"),
    )
