"""Streams in each provider's own wire format, event by event, for measuring what decoding them costs."""

import json
from collections.abc import Callable, Sequence

from gateway.demo.standins import bedrock, replicate
from gateway.types import Json

CHUNKS = 100  # pieces of text in a stream
WORDS = ("Llamas ", "graze ", "on the ", "high ", "plains, ", "in the ", "morning ", "light. ")
STAMP = 1767225600

Parts = Sequence[bytes]  # the events of one stream, as they are read one by one


def texts() -> list[str]:
    """The pieces of the answer."""
    return [WORDS[number % len(WORDS)] for number in range(CHUNKS)]


def compact(body: object) -> bytes:
    """JSON without spaces."""
    return json.dumps(body, separators=(",", ":")).encode()


def openai() -> Parts:
    """OpenAI's event stream: the role, the text, the end, the usage."""
    head = {"id": "chatcmpl-7f0c2b9e4d", "object": "chat.completion.chunk", "created": STAMP, "model": "bench-model"}
    deltas = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts())]
    bodies = [
        {**head, "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}]} for delta in deltas
    ]
    bodies.append({**head, "choices": [{"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}]})
    bodies.append({**head, "choices": [], "usage": usage("prompt_tokens", "completion_tokens", "total_tokens")})
    return [*(b"data: " + compact(body) + b"\n\n" for body in bodies), b"data: [DONE]\n\n"]


def ollama() -> Parts:
    """Lines of JSON, each with the time; the last has the counts."""
    head = {"model": "llama3.1:8b", "created_at": "2026-01-01T00:00:00.123456789Z"}
    lines = [{**head, "message": {"role": "assistant", "content": text}, "done": False} for text in texts()]
    last = {**head, "message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}
    durations = dict.fromkeys(("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"), 1_234_567)
    lines.append({**last, **durations, **usage("prompt_eval_count", "eval_count")})
    return [compact(line) + b"\n" for line in lines]


def converse() -> Parts:
    """AWS's messages of ConverseStream."""
    padding = {"p": "abcdefghijklmnop"}
    events: list[tuple[str, Json]] = [
        ("messageStart", {"role": "assistant"}),
        *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}) for text in texts()),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"metrics": {"latencyMs": 900}, "usage": usage("inputTokens", "outputTokens", "totalTokens")}),
    ]
    return [bedrock.message(headers(kind), compact({**body, **padding})) for kind, body in events]


def headers(kind: str) -> dict[str, str]:
    """The headers of one message."""
    return {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}


def predicted() -> Parts:
    """Replicate's named events."""
    output = [replicate.event("output", text, number) for number, text in enumerate(texts())]
    return [b": hi\n\n", *output, replicate.event("done", "{}", CHUNKS)]


def usage(*names: str) -> dict[str, int]:
    """Counts under an API's names: prompt, completion, sum."""
    return dict(zip(names, (42, CHUNKS, 42 + CHUNKS), strict=False))


WIRES: dict[str, Callable[[], Parts]] = {"ollama": ollama, "bedrock": converse, "replicate": predicted}


def stream(kind: str) -> Parts:
    """A stream as a kind's upstream sends it: OpenAI's, unless the kind has a wire of its own."""
    return WIRES.get(kind, openai)()
