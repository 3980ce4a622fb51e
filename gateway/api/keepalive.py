"""Keeps a stream's connection open while its first content is awaited."""

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType

from gateway.api import reply
from gateway.api.reply import Send

SECONDS = 15.0  # of silence that proxies on the way bear
COMMENT = b": keep-alive\n\n"


class KeepAlive:
    """Sends the head and then a comment every 15 s, until it is stopped; costs one timer while all goes fast."""

    def __init__(self, begin: Callable[[], Awaitable[None]], send: Send) -> None:
        self.begin = begin
        self.send = send
        self.timer: asyncio.TimerHandle | None = None
        self.task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "KeepAlive":
        """Start the clock."""
        self.timer = asyncio.get_running_loop().call_later(SECONDS, self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop, however it ended."""
        await self.stop()

    def start(self) -> None:
        """The silence has lasted: comments from now on."""
        self.task = asyncio.get_running_loop().create_task(self.comments())

    async def comments(self) -> None:
        """The head, then comments."""
        await self.begin()
        while True:
            await reply.piece(self.send, COMMENT)
            await asyncio.sleep(SECONDS)

    async def stop(self) -> None:
        """No comment after this."""
        if self.timer is not None:
            self.timer.cancel()
        if self.task is not None:
            self.task.cancel()
            await asyncio.wait([self.task])
            self.task = None
