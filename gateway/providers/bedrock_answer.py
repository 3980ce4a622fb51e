"""What Converse and ConverseStream answer, as OpenAI's completions and chunks. Pure."""

from collections.abc import Callable
from typing import Any

import orjson

from gateway.errors import InvalidResponse
from gateway.providers.bedrock_errors import interruption
from gateway.providers.bedrock_events import EventSplitter
from gateway.providers.decoder import Decoder
from gateway.providers.http import loaded, not_promised
from gateway.types import Chunk, Json

FINISH = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
}


def completion(backend: str, body: bytes, head: Json) -> Chunk:
    """Converse's answer as a completion; `head` is what it begins with."""
    said = loaded(body)
    output = (said or {}).get("output")
    message = output.get("message") if isinstance(output, dict) else None
    blocks = message.get("content") if isinstance(message, dict) else None
    if said is None or not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise not_promised(backend, "an answer without a message")
    made = message_of(backend, blocks)
    reason = finish_reason(backend, said.get("stopReason"), "tool_calls" in made)
    answer = {**head, "choices": [{"index": 0, "message": made, "finish_reason": reason}]}
    if usage := usage_of(said.get("usage")):
        answer["usage"] = usage
    return Chunk(orjson.dumps(answer), answer)


def message_of(backend: str, blocks: list[Json]) -> Json:
    """The assistant's message that blocks add up to."""
    text = "".join(block["text"] for block in blocks if isinstance(block.get("text"), str))
    thoughts = "".join(reasoning(block.get("reasoningContent")) for block in blocks)
    calls = [call_of(backend, block["toolUse"]) for block in blocks if "toolUse" in block]
    message: Json = {"role": "assistant", "content": text or (None if calls else "")}
    return message | ({"reasoning_content": thoughts} if thoughts else {}) | ({"tool_calls": calls} if calls else {})


def reasoning(block: Any) -> str:
    """The thoughts in a block, as far as they are text."""
    said = block.get("reasoningText") if isinstance(block, dict) else None
    text = said.get("text") if isinstance(said, dict) else None
    return text if isinstance(text, str) else ""


def call_of(backend: str, use: Any) -> Json:
    """A tool call; `use` is Bedrock's."""
    head = call_head(backend, use)
    arguments = orjson.dumps(use.get("input") or {}).decode()
    return {**head, "function": {**head["function"], "arguments": arguments}}


def call_head(backend: str, use: Any) -> Json:
    """A tool call without arguments."""
    id, name = (use.get("toolUseId"), use.get("name")) if isinstance(use, dict) else (None, None)
    if not (isinstance(id, str) and isinstance(name, str) and id and name):
        raise not_promised(backend, "a tool call without an id and a name")
    return {"id": id, "type": "function", "function": {"name": name, "arguments": ""}}


def finish_reason(backend: str, reason: object, with_calls: bool) -> str:
    """OpenAI's word for a stop reason; a broken answer is an error, and so is a reason nobody knows."""
    found = FINISH.get(str(reason))
    if found is None:
        what = str(reason) if str(reason).isidentifier() else "no reason that is known"
        raise InvalidResponse(f"Backend '{backend}' ended its answer with {what[:40]}; it is not whole.")
    return "tool_calls" if with_calls and found == "stop" else found


def usage_of(said: object) -> Json | None:
    """OpenAI's usage, whose prompt tokens include those read from or written to a cache."""
    if not isinstance(said, dict):
        return None
    names = ("inputTokens", "outputTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    fresh, completion, read, written = (count(said.get(name)) for name in names)
    if fresh is None or completion is None:
        return None
    prompt = fresh + (read or 0) + (written or 0)
    usage: Json = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return usage | ({"prompt_tokens_details": {"cached_tokens": read}} if read else {})


def count(value: object) -> int | None:
    """A number of tokens, or of a block; None for anything else."""
    return value if isinstance(value, int) and value >= 0 else None


def replayed(answer: Json) -> list[Chunk]:
    """A whole answer as the chunks of a stream: text, calls, end, usage."""
    head = {**{name: answer[name] for name in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    (choice,) = answer["choices"]
    message = dict(choice["message"])
    calls = message.pop("tool_calls", [])
    deltas = [{**message, "content": message["content"] or ""}]
    deltas += [{"tool_calls": [{"index": number, **call}]} for number, call in enumerate(calls)]
    bodies = [{**head, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    bodies.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]})
    if "usage" in answer:
        bodies.append({**head, "choices": [], "usage": answer["usage"]})
    return [Chunk(orjson.dumps(body), body) for body in bodies]


class EventDecoder(Decoder):
    """ConverseStream's events to OpenAI's chunks; `redacted` takes our own secrets out of what an error quotes."""

    def __init__(self, backend: str, model_id: str, head: Json, redacted: Callable[[bytes], bytes]) -> None:
        super().__init__(backend)
        self.model_id = model_id
        self.head = head
        self.redacted = redacted
        self.events = EventSplitter(backend)
        self.calls: dict[int | None, int] = {}  # a block's index -> the number of its call
        self.unfilled: set[int | None] = set()  # blocks of calls that have no arguments yet

    def split(self, part: bytes) -> list[bytes]:
        """Each event: its kind, a newline, its JSON."""
        return self.events.feed(part)

    def feed(self, part: bytes) -> list[Chunk]:
        """The chunks that this part completes; broken framing ends the stream after the events before it."""
        chunks = super().feed(part)
        if self.failure is None and not self.done:
            self.failure = self.events.broken
        return chunks

    def chunk(self, data: bytes) -> Chunk | None:
        """One event as a chunk; the first malformed one is skipped, kinds that are not known are passed over."""
        kind, _, payload = data.partition(b"\n")
        if kind.startswith(b"!"):
            raise interruption(self.backend, self.model_id, kind[1:].decode(), self.redacted(payload))
        said = loaded(payload)
        if said is None:
            self.skip()
            return None
        return self.told(kind, said)

    def told(self, kind: bytes, said: Json) -> Chunk | None:
        """What an event says."""
        if kind == b"metadata":
            self.done = True
            usage = usage_of(said.get("usage"))
            return None if usage is None else self.chunk_of([], usage=usage)
        if kind == b"messageStop":
            reason = finish_reason(self.backend, said.get("stopReason"), bool(self.calls))
            return self.chunk_of([{"index": 0, "delta": {}, "finish_reason": reason}])
        delta = self.delta(kind, said)
        return self.chunk_of([{"index": 0, "delta": delta, "finish_reason": None}]) if delta else None

    def delta(self, kind: bytes, said: Json) -> Json | None:
        """What an event adds to the message."""
        block = count(said.get("contentBlockIndex"))
        if kind == b"messageStart":
            return {"role": "assistant", "content": ""}
        if kind == b"contentBlockStart":
            return self.started(block, said.get("start"))
        if kind == b"contentBlockDelta":
            return self.added(block, said.get("delta"))
        if kind == b"contentBlockStop" and block in self.unfilled:
            return self.arguments(block, "{}")
        return None

    def started(self, block: int | None, start: object) -> Json | None:
        """The beginning of a block, which for a tool call says its name."""
        use = start.get("toolUse") if isinstance(start, dict) else None
        if use is None:
            return None
        call = call_head(self.backend, use)
        number = self.calls[block] = len(self.calls)
        self.unfilled.add(block)
        return {"tool_calls": [{"index": number, **call}]}

    def added(self, block: int | None, delta: object) -> Json | None:
        """More of a block: text, thoughts or a piece of a call's arguments."""
        if not isinstance(delta, dict):
            return None
        use, thought = delta.get("toolUse"), delta.get("reasoningContent")
        if isinstance(text := delta.get("text"), str):
            return {"content": text}
        if isinstance(thought, dict) and isinstance(text := thought.get("text"), str):
            return {"reasoning_content": text}
        if isinstance(use, dict) and isinstance(text := use.get("input"), str) and block in self.calls:
            return self.arguments(block, text)
        return None

    def arguments(self, block: int | None, text: str) -> Json | None:
        """A piece of a call's arguments."""
        if text:
            self.unfilled.discard(block)
        return {"tool_calls": [{"index": self.calls[block], "function": {"arguments": text}}]} if text else None

    def chunk_of(self, choices: list[Json], **more: Json) -> Chunk:
        """A chunk with the head that all of a stream share."""
        body = {**self.head, "choices": choices, **more}
        return Chunk(orjson.dumps(body), body)
