"""Ollama's native chat body to llama.cpp's OpenAI one, and back; and the truncation Ollama never mentions."""

import json
from dataclasses import dataclass
from typing import Any

from gateway.demo.standins.llama import Piece, tool_calls
from gateway.demo.standins.wire import Json

NUM_CTX = 4096
CHARS_PER_TOKEN = 4  # the estimate that decides what is dropped
SAME = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "seed",
    "stop",
    "repeat_penalty",
    "presence_penalty",
    "frequency_penalty",
)


@dataclass(frozen=True, slots=True)
class Timed:
    """The durations a final object reports, in ns."""

    load: int
    total: int


def llama_body(asked: Json) -> Json:
    """The llama.cpp request for a native chat request; ValueError in Ollama's words if it cannot be one."""
    options = asked.get("options") or {}
    body: Json = {name: options[name] for name in SAME if options.get(name) is not None}
    kept = fit(asked["messages"], options.get("num_ctx") or NUM_CTX)
    if asked.get("truncate") is False and kept != asked["messages"]:
        raise ValueError("the input length exceeds the context length")
    body["messages"] = [message for turn in kept for message in _openai(turn)]
    if (options.get("num_predict") or -1) > 0:
        body["max_tokens"] = options["num_predict"]
    if asked.get("format"):
        body["response_format"] = _response_format(asked["format"])
    if asked.get("tools"):
        body["tools"] = asked["tools"]
    return body


def fit(messages: list[Json], num_ctx: int) -> list[Json]:
    """The messages that fit: the oldest are dropped without a word, system messages and the last one are kept."""
    kept = list(messages)
    while _tokens(kept) > num_ctx:
        oldest = next((index for index, turn in enumerate(kept[:-1]) if turn.get("role") != "system"), None)
        if oldest is None:
            room = num_ctx - _tokens(kept[:-1])
            return [*kept[:-1], _shortened(kept[-1], max(1, room) * CHARS_PER_TOKEN)]
        del kept[oldest]
    return kept


def _tokens(messages: list[Json]) -> int:
    return sum(len(turn.get("content") or "") // CHARS_PER_TOKEN for turn in messages)


def _shortened(turn: Json, chars: int) -> Json:
    return {**turn, "content": (turn.get("content") or "")[-chars:]}


def _response_format(wanted: object) -> Json:
    if wanted == "json":
        return {"type": "json_object"}
    if isinstance(wanted, dict):
        return {"type": "json_schema", "json_schema": {"name": "format", "schema": wanted}}
    raise ValueError(f'invalid format: {json.dumps(wanted)}; expected "json" or a valid JSON Schema object')


def _openai(turn: Json) -> list[Json]:
    """One native message as OpenAI's: arguments become text, tool results need a call id."""
    message: Json = {"role": turn["role"], "content": turn.get("content") or ""}
    if turn.get("tool_calls"):
        message["tool_calls"] = [_openai_call(index, call) for index, call in enumerate(turn["tool_calls"])]
    if turn["role"] == "tool":
        message["tool_call_id"] = turn.get("tool_call_id") or "call_0"
    return [message]


def _openai_call(index: int, call: Json) -> Json:
    function = call["function"]
    arguments = json.dumps(function.get("arguments") or {})
    return {
        "id": call.get("id") or f"call_{index}",
        "type": "function",
        "function": {**function, "arguments": arguments},
    }


def native_message(message: Json) -> Json:
    """A whole OpenAI message as Ollama's: arguments are objects; a call cut short is mere content."""
    content = message.get("content") or ""
    calls = []
    for index, call in enumerate(message.get("tool_calls") or []):
        try:
            calls.append(_native_call(index, call))
        except ValueError:
            content += call["function"]["arguments"]
    return {"role": "assistant", "content": content, **({"tool_calls": calls} if calls else {})}


def _native_call(index: int, call: Json) -> Json:
    function = call["function"]
    arguments: Any = json.loads(function["arguments"] or "{}")
    return {"id": call["id"], "function": {"index": index, "name": function["name"], "arguments": arguments}}


def gathered(deltas: list[Json]) -> Json:
    """The message of all tool call deltas of a stream: Ollama sends whole calls."""
    return native_message({"content": "", "tool_calls": tool_calls(deltas)})


def final(piece: Piece, timed: Timed) -> Json:
    """The fields of the last object: why it ended, durations in ns, tokens; like Go, it leaves zeros out."""
    usage, times = piece.usage or {}, piece.timings
    counts = {
        "total_duration": timed.total,
        "load_duration": timed.load,
        "prompt_eval_count": usage.get("prompt_tokens", 0),
        "prompt_eval_duration": int(times.get("prompt_ms", 0.0) * 1e6),
        "eval_count": usage.get("completion_tokens", 0),
        "eval_duration": int(times.get("predicted_ms", 0.0) * 1e6),
    }
    reason = "length" if piece.finish == "length" else "stop"
    return {"done": True, "done_reason": reason, **{name: value for name, value in counts.items() if value}}
