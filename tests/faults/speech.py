"""How upstreams speak: one answer as the frames of a stream, or as the pieces of a body, in four dialects."""

import json
import struct
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

from tests.faults.text import word, words

SSE, NDJSON, EVENTS, JSON = (
    "text/event-stream; charset=utf-8",
    "application/x-ndjson",
    "application/vnd.amazon.eventstream",
    "application/json",
)


class Said(NamedTuple):
    """What an upstream is about to say."""

    model: str
    length: int = 60  # words, each one token
    letter: str = "w"
    prompt: int = 7  # tokens
    finish: str = "stop"
    with_usage: bool = True

    @property
    def text(self) -> str:
        """All of it."""
        return words(self.length, self.letter)


class Speech(Protocol):
    """A dialect of upstreams."""

    stream_type: str

    def frames(self, said: Said) -> list[bytes]:
        """A stream: its start, each word, then its end in one or more frames."""
        ...

    def whole(self, said: Said) -> bytes:
        """The same as one body."""
        ...

    def error(self, message: str, code: str) -> bytes:
        """The body of an error answer."""
        ...

    def event(self, message: str, code: str) -> bytes:
        """An error as a frame of a stream."""
        ...


def sse(body: Any) -> bytes:
    """A server-sent event."""
    return b"data: " + json.dumps(body, separators=(",", ":")).encode() + b"\n\n"


class OpenAI:
    """`/v1/chat/completions`."""

    stream_type = SSE

    def chunk(self, said: Said, delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:
        """One chunk of a stream."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**self.top(said, "chat.completion.chunk"), "choices": [choice], **more}

    def top(self, said: Said, kind: str) -> dict[str, Any]:
        """What answers begin with."""
        return {"id": "chatcmpl-wall", "object": kind, "created": 1764000000, "model": said.model}

    def usage(self, said: Said, completion: int | None = None) -> dict[str, int]:
        """The usage of an answer."""
        count = said.length if completion is None else completion
        return {"prompt_tokens": said.prompt, "completion_tokens": count, "total_tokens": said.prompt + count}

    def frames(self, said: Said) -> list[bytes]:
        """Role, words, finish, usage, [DONE]."""
        start = [sse(self.chunk(said, {"role": "assistant", "content": ""}))]
        middle = [sse(self.chunk(said, {"content": word(n, said.letter)})) for n in range(1, said.length + 1)]
        end = [sse(self.chunk(said, {}, said.finish))]
        if said.with_usage:
            end.append(sse({**self.top(said, "chat.completion.chunk"), "choices": [], "usage": self.usage(said)}))
        return [*start, *middle, *end, b"data: [DONE]\n\n"]

    def whole(self, said: Said) -> bytes:
        """A completion."""
        choice = {"index": 0, "message": {"role": "assistant", "content": said.text}, "finish_reason": said.finish}
        usage = {"usage": self.usage(said)} if said.with_usage else {}
        return json.dumps({**self.top(said, "chat.completion"), "choices": [choice], **usage}).encode()

    def error(self, message: str, code: str) -> bytes:
        """OpenAI's error."""
        return json.dumps({"error": {"message": message, "type": "server_error", "param": None, "code": code}}).encode()

    def event(self, message: str, code: str) -> bytes:
        """The same under status 200."""
        return b"data: " + self.error(message, code) + b"\n\n"


class Ollama:
    """`/api/chat`."""

    stream_type = NDJSON

    def line(self, said: Said, text: str, **more: Any) -> bytes:
        """One line."""
        top = {"model": said.model, "created_at": "2026-11-24T00:00:00.000000000Z"}
        return json.dumps({**top, "message": {"role": "assistant", "content": text}, "done": False, **more}).encode()

    def last(self, said: Said) -> dict[str, Any]:
        """What the last line has besides."""
        counts = {"prompt_eval_count": said.prompt, "eval_count": said.length} if said.with_usage else {}
        times = {"total_duration": 5, "load_duration": 1, "prompt_eval_duration": 1, "eval_duration": 3}
        return {"done": True, "done_reason": said.finish, **times, **counts}

    def frames(self, said: Said) -> list[bytes]:
        """An empty start, words, the last line."""
        middle = [self.line(said, word(n, said.letter)) for n in range(1, said.length + 1)]
        return [frame + b"\n" for frame in (self.line(said, ""), *middle, self.line(said, "", **self.last(said)))]

    def whole(self, said: Said) -> bytes:
        """One object."""
        return self.line(said, said.text, **self.last(said))

    def error(self, message: str, code: str) -> bytes:
        """Ollama's error."""
        return json.dumps({"error": message}).encode()

    def event(self, message: str, code: str) -> bytes:
        """The same as a line."""
        return self.error(message, code) + b"\n"


class Bedrock:
    """`/model/{id}/converse-stream` and `/converse`."""

    stream_type = EVENTS

    def frames(self, said: Said) -> list[bytes]:
        """messageStart, deltas, contentBlockStop, messageStop, metadata."""
        middle = [
            message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word(n, said.letter)}})
            for n in range(1, said.length + 1)
        ]
        stop = "end_turn" if said.finish == "stop" else said.finish
        return [
            message("messageStart", {"role": "assistant"}),
            *middle,
            message("contentBlockStop", {"contentBlockIndex": 0}),
            message("messageStop", {"stopReason": stop}),
            message("metadata", {"usage": self.usage(said), "metrics": {"latencyMs": 5}}),
        ]

    def usage(self, said: Said) -> dict[str, int]:
        """Converse's usage."""
        return {
            "inputTokens": said.prompt,
            "outputTokens": said.length,
            "totalTokens": said.prompt + said.length,
        }

    def whole(self, said: Said) -> bytes:
        """Converse's answer."""
        output = {"message": {"role": "assistant", "content": [{"text": said.text}]}}
        top = {"output": output, "stopReason": "end_turn", "usage": self.usage(said), "metrics": {"latencyMs": 5}}
        return json.dumps(top).encode()

    def error(self, message: str, code: str) -> bytes:
        """AWS's error, whose kind is in a header."""
        return json.dumps({"message": message}).encode()

    def event(self, message: str, code: str) -> bytes:
        """An exception as an event."""
        return exception(code if code.endswith("Exception") else "modelStreamErrorException", message)


def headers_of(values: Mapping[str, str]) -> bytes:
    """The headers of one message: text only."""
    return b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in values.items()
    )


def framed(head: bytes, payload: bytes) -> bytes:
    """AWS's framing: lengths, checksum, headers, payload, checksum."""
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack("!I", zlib.crc32(body))


def message(kind: str, body: Any) -> bytes:
    """One event."""
    names = {":message-type": "event", ":event-type": kind, ":content-type": "application/json"}
    return framed(headers_of(names), json.dumps(body).encode())


def exception(kind: str, words: str) -> bytes:
    """One exception."""
    names = {":message-type": "exception", ":exception-type": kind, ":content-type": "application/json"}
    return framed(headers_of(names), json.dumps({"message": words}).encode())


def speech_of(path: str) -> Speech | None:
    """The dialect that is spoken at a path."""
    if path.endswith("/chat/completions"):
        return OpenAI()
    if path == "/api/chat":
        return Ollama()
    return Bedrock() if path.startswith("/model/") else None
