"""The bytes every stand-in is made of: JSON, server-sent events, JSON lines, and how an API words a failure."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]  # a JSON body

DONE = b"data: [DONE]\n\n"


@dataclass(frozen=True, slots=True)
class Manner:
    """How one API words a failure, reports usage and ends a stream; what a fault needs to fail like the real one."""

    refuse: Callable[[int, str | None], Json]  # the error body of a status; None: the API's usual text
    interrupt: Callable[[int, str | None], bytes]  # what a stream under HTTP 200 says when it fails half-way
    is_last: Callable[[bytes], bool]  # is this frame the one that ends a stream?
    usage: frozenset[str]  # the fields that report tokens used


def dump(data: object) -> bytes:
    """The JSON text of a value, without spaces."""
    return json.dumps(data, separators=(",", ":"), ensure_ascii=False).encode()


def event(data: object) -> bytes:
    """One server-sent event."""
    return b"data: " + dump(data) + b"\n\n"


def line(data: object) -> bytes:
    """One line of newline-delimited JSON."""
    return dump(data) + b"\n"


def is_done(frame: bytes) -> bool:
    """Whether a frame is OpenAI's end of stream."""
    return frame == DONE


def parse(frame: bytes) -> tuple[bytes, Json | None]:
    """A frame's prefix ("data: " or nothing) and its JSON object, if it holds one."""
    prefix = b"data: " if frame.startswith(b"data: ") else b""
    text = frame[len(prefix) :]
    return prefix, json.loads(text) if text.startswith(b"{") else None


def ending(frame: bytes) -> bytes:
    """The newlines that end a frame."""
    return frame[len(frame.rstrip(b"\n")) :]
