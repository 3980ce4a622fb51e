"""One attempt as the wall sees it: what was asked, what a script may do with it, and what it would have billed."""

import asyncio
import gzip
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.faults.speech import JSON, Said, Speech
from tests.faults.wire import Wire


@dataclass(slots=True)
class Attempt:
    """What the wall notes of one request; times are of the monotonic clock."""

    model: str
    number: int  # of the attempts at this model, from 1
    token: str  # of the caller's request, found in its prompt
    arrived: float
    stream: bool
    reused: bool  # not the first request of its connection
    body: dict[str, Any]
    secret: str  # the credentials that came with it
    said: Said | None = None  # what was to be said
    words: int = 0  # that were said
    billed: bool = False  # whether the answer told its usage in the usual place
    whole: bool = False  # whether the answer was given to its end
    sent: int = 0  # bytes
    gone: float | None = None  # when the peer was seen to have gone, before the end
    ended: float | None = None
    over: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def would_bill(self) -> tuple[int, int]:
        """Prompt and completion tokens."""
        return (0, 0) if self.said is None or not self.words else (self.said.prompt, self.words)


class Exchange:
    """The means of a script: an answer in frames, of which it sends what it likes, as it likes."""

    def __init__(
        self,
        wire: Wire,
        attempt: Attempt,
        speech: Speech,
        pause: Callable[[float], Any],
        up: Callable[[], bool],
        epoch: float,
        scale: float,
    ) -> None:
        self.wire = wire
        self.attempt = attempt
        self.speech = speech
        self.pause = pause  # awaitable; its seconds are scaled
        self.up = up  # whether the test says that this model is up
        self.epoch = epoch  # scaled seconds since the first attempt at this model
        self.scale = scale  # of all times
        self.chunked = False
        self.frames: list[bytes] = []

    @property
    def stream(self) -> bool:
        """Whether a stream was asked for."""
        return self.attempt.stream

    @property
    def number(self) -> int:
        """Which attempt at this model this is, from 1."""
        return self.attempt.number

    def say(self, **changes: Any) -> list[bytes]:
        """Decide what to say; the frames of it. Of a whole answer they are pieces of its body."""
        options = self.attempt.body.get("stream_options")
        asked = not self.stream or bool(isinstance(options, dict) and options.get("include_usage")) or not options
        said = Said(**{"model": self.attempt.model, "with_usage": asked, **changes})
        self.attempt.said = said
        if self.stream:
            self.frames = self.speech.frames(said)
        else:
            body = self.speech.whole(said)
            size = -(-len(body) // (said.length + 3))
            self.frames = [body[at : at + size] for at in range(0, len(body), size)]
        return self.frames

    async def head(self, status: int = 200, kind: str = "", length: int | None = None, **headers: str) -> None:
        """The head of the answer; without a length its body is chunked."""
        self.chunked = length is None
        kind = kind or (self.speech.stream_type if self.stream else JSON)
        sizes = "transfer-encoding: chunked" if length is None else f"content-length: {length}"
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        await self.wire.write(f"HTTP/1.1 {status} Wall\r\ncontent-type: {kind}\r\n{sizes}\r\n{more}\r\n".encode())

    async def begin(self) -> None:
        """The usual head for what is to be said."""
        await self.head(length=None if self.stream else sum(map(len, self.frames)))

    async def send(self, data: bytes) -> None:
        """A piece of the body, in one write."""
        await self.wire.write(b"%x\r\n%b\r\n" % (len(data), data) if self.chunked and data else data)

    async def speak(self, first: int, last: int | None = None) -> None:
        """The frames from `first` up to, without, `last`."""
        said = self.attempt.said
        assert said is not None
        for index in range(first, len(self.frames) if last is None else min(last, len(self.frames))):
            await self.send(self.frames[index])
            if 1 <= index <= said.length:
                self.attempt.words = index
        if last is None:
            await self.finish()

    async def finish(self) -> None:
        """The end of the body."""
        if self.chunked:
            await self.wire.write(b"0\r\n\r\n")
        if self.attempt.said is not None and not self.stream:
            self.attempt.words = self.attempt.said.length
        self.attempt.whole = True

    async def answer(self, **changes: Any) -> None:
        """A good answer from its head to its end."""
        self.say(**changes)
        self.attempt.billed = True
        await self.begin()
        await self.speak(0)

    async def until(self, count: int, **changes: Any) -> None:
        """A good answer up to, and with, its word `count`."""
        self.say(**changes)
        await self.begin()
        await self.speak(0, 1 + count)

    async def body(self, status: int, body: bytes, kind: str = JSON, **headers: str) -> None:
        """A whole answer of any kind."""
        await self.head(status, kind, len(body), **headers)
        await self.wire.write(body)

    async def error(self, status: int, message: str, code: str = "", **headers: str) -> None:
        """An error in the dialect; it quotes the credentials that came, as careless upstreams do."""
        said = self.speech.error(f"{message} [{self.attempt.secret}]", code)
        await self.body(status, said, **headers)

    async def packed(self, data: bytes) -> None:
        """A body that says it is gzip and is not, or is cut short."""
        await self.body(200, gzip.compress(data)[: len(data) // 8 + 12], content_encoding="gzip")

    async def forever(self) -> None:
        """Nothing more, until the peer goes."""
        await asyncio.Event().wait()
