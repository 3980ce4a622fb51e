"""What is left of answers that nobody waits for any more: read to the end, so that their usage is known."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Generic, TypeVar

import structlog

from gateway.types import Backend

Item = TypeVar("Item")
ReadRest = Callable[[float], Coroutine[None, None, None]]  # reads what is left, for so many seconds at most
CLOSING = 5.0  # seconds for running ones to end at shutdown

log = structlog.get_logger()


class Unbroken(Generic[Item]):
    """A generator that goes on when whoever waits for its next item is cancelled."""

    def __init__(self, source: AsyncGenerator[Item, None]) -> None:
        self.source = source
        self.pending: asyncio.Task[Item | None] | None = None

    def __aiter__(self) -> "Unbroken[Item]":
        """Itself."""
        return self

    async def __anext__(self) -> Item:
        """The next item: the one that is on its way already, if nobody has waited for it to come."""
        if self.pending is None:
            self.pending = asyncio.ensure_future(self.next())
        item = await asyncio.shield(self.pending)
        self.pending = None
        if item is None:
            raise StopAsyncIteration
        return item

    async def next(self) -> Item | None:
        """The next item; None at the end."""
        return await anext(self.source, None)

    async def aclose(self) -> None:
        """Close it, also while an item is on its way."""
        if self.pending is not None and not self.pending.done():
            self.pending.cancel()
            await asyncio.wait([self.pending])
        await self.source.aclose()


class Rests:
    """Tasks that read on, a few at a time of each backend."""

    def __init__(self) -> None:
        self.running: dict[str, set[asyncio.Task[None]]] = {}

    def take(self, backend: Backend, read: ReadRest) -> asyncio.Task[None] | None:
        """The task that reads the rest of an answer; None when the backend wants none of that, or has enough of it."""
        running = self.running.setdefault(backend.name, set())
        if backend.read_on is None or len(running) >= backend.read_on.most:
            return None
        task = asyncio.get_running_loop().create_task(read(backend.read_on.seconds))
        running.add(task)
        task.add_done_callback(running.discard)
        task.add_done_callback(ended)
        return task

    async def close(self) -> None:
        """End all that still run."""
        running = [task for tasks in self.running.values() for task in tasks]
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=CLOSING)


def ended(task: asyncio.Task[None]) -> None:
    """A rest was read, or given up; a defect of ours is logged."""
    error = None if task.cancelled() else task.exception()
    if error is not None:
        log.error("rest.failed", exc_info=error)
