"""What is objectively wrong with a whole answer: things that a program finds, never a matter of taste."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.engine.json_schema import satisfies
from gateway.types import ChatRequest, Chunk, Json

TRUNCATED = "truncated"
INVALID_JSON = "invalid_json"
BROKEN_TOOL_CALL = "broken_tool_call"
FLAWS = frozenset({TRUNCATED, INVALID_JSON, BROKEN_TOOL_CALL})
MISSING: Any = object()  # what is not JSON


@dataclass(slots=True)
class Call:
    """A tool call of an answer, put together."""

    kind: str = "function"
    name: str = ""
    arguments: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Said:
    """One choice of an answer, put together."""

    content: list[str] = field(default_factory=list)
    calls: dict[int, Call] = field(default_factory=dict)
    reason: str = ""
    refused: bool = False  # by the model or by a filter: an answer of its own kind


def flaw(request: ChatRequest, chunks: Sequence[Chunk], wanted: frozenset[str]) -> str | None:
    """What is wrong with a whole answer, a completion or all chunks of a stream; only flaws in `wanted` are sought."""
    return wrong(request.body, put_together(chunk.body for chunk in chunks), wanted)


def wrong(asked: Json, choices: Sequence[Said], wanted: frozenset[str]) -> str | None:
    """What is wrong with the choices of a whole answer to a body."""
    if TRUNCATED in wanted and any(said.reason == "length" for said in choices):
        return TRUNCATED
    choices = [said for said in choices if not said.refused]
    shares = sum(max(1, len(said.calls)) for said in choices)
    if BROKEN_TOOL_CALL in wanted and any(broken_calls(asked, said, shares) for said in choices):
        return BROKEN_TOOL_CALL
    if INVALID_JSON in wanted and any(invalid_json(asked, said, shares) for said in choices):
        return INVALID_JSON
    return None


def put_together(bodies: Iterable[Json]) -> list[Said]:
    """The choices of an answer, from its only body or from those of a stream."""
    found: dict[int, Said] = {}
    for body in bodies:
        add_body(found, body)
    return list(found.values())


def add_body(found: dict[int, Said], body: Json) -> None:
    """One more body of an answer."""
    for choice in body["choices"]:
        index = choice.get("index")
        said = found.setdefault(index if isinstance(index, int) else 0, Said())
        said.reason = choice.get("finish_reason") or said.reason
        said.refused = said.refused or said.reason == "content_filter"
        piece = choice.get("delta") or choice.get("message")
        if isinstance(piece, dict):
            add_piece(said, piece, "message" in choice)


def add_piece(said: Said, piece: Json, whole: bool) -> None:
    """One more piece of a choice; in a whole one each call is an entry of its own."""
    if isinstance(text := piece.get("content"), str):
        said.content.append(text)
    said.refused = said.refused or bool(piece.get("refusal"))
    calls = piece.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else []):
        if isinstance(call, dict):
            add_call(said.calls, call, place if whole else call.get("index"))


def add_call(calls: dict[int, Call], piece: Json, index: object) -> None:
    """One piece of a tool call; without an index, one with an id or a name begins a call and others go on with it."""
    function = piece.get("function")
    function = function if isinstance(function, dict) else {}
    if not isinstance(index, int):
        begins = not calls or piece.get("id") or function.get("name")
        index = max(calls, default=-1) + bool(begins)
    call = calls.setdefault(index, Call())
    call.kind = str(piece.get("type") or call.kind)
    call.name = call.name or str(function.get("name") or "")
    if isinstance(text := function.get("arguments"), str):
        call.arguments.append(text)


def broken_calls(asked: Json, said: Said, shares: int) -> bool:
    """Whether a choice has a call that cannot be carried out, or none where one was required."""
    choice = asked.get("tool_choice")
    forced = named(choice)
    required = choice == "required" or forced is not None
    if required and not said.calls:
        return True
    functions = {name: tool["function"] for tool in asked.get("tools") or [] if (name := named(tool)) is not None}
    if forced is not None:
        functions = {name: function for name, function in functions.items() if name == forced}
    return any(broken(call, functions, shares) for call in said.calls.values() if call.kind == "function")


def named(tool: object) -> str | None:
    """The name in a function tool, or in a choice of one."""
    function = tool.get("function") if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def broken(call: Call, functions: dict[str, Json], shares: int) -> bool:
    """Whether a call is of no function that may be called, or its arguments are not what that takes."""
    if call.name not in functions:
        return True
    text = "".join(call.arguments)
    arguments = parsed(text)
    if not isinstance(arguments, dict):
        return True
    return satisfies(functions[call.name].get("parameters"), arguments, len(text), shares) is False


def invalid_json(asked: Json, said: Said, shares: int) -> bool:
    """Whether a choice is not the JSON that was asked for; one that calls tools has not come to that yet."""
    wanted = asked.get("response_format") or {}
    form = wanted.get("type")
    if form not in ("json_object", "json_schema") or said.calls:
        return False
    text = "".join(said.content)
    value = parsed(text)
    if value is MISSING or (form == "json_object" and not isinstance(value, dict)):
        return True
    holder = wanted.get("json_schema") if form == "json_schema" else wanted
    schema = holder.get("schema") if isinstance(holder, dict) else None
    return satisfies(schema, value, len(text), shares) is False


def parsed(text: str) -> Any:
    """The value of a JSON text; MISSING when it is none."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return MISSING
