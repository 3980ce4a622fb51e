"""Two generators beside one another: whichever has an item first goes on, the other is closed."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Generic, TypeVar

from gateway.errors import GatewayError

Item = TypeVar("Item")


class Runner(Generic[Item]):
    """Drives a generator in a task of its own, one item ahead of whoever reads it.

    A task of its own, since the timer of an attempt cancels the task that the attempt runs in.
    """

    def __init__(self, source: AsyncGenerator[Item, None], news: asyncio.Event) -> None:
        self.source = source
        self.news = news  # set when there is an item, or the end
        self.held: list[Item] = []  # the item that waits to be read
        self.space = asyncio.Event()
        self.begun = False
        self.stopped = False
        self.task = asyncio.create_task(self.drive())
        self.task.add_done_callback(self.ended)

    async def drive(self) -> None:
        """Run the generator to its end, and close it."""
        self.begun = True
        if self.stopped:
            self.task.cancel()  # at its first wait: what was begun for it must also be ended by it
        async with aclosing(self.source) as source:
            async for item in source:
                self.held.append(item)
                self.news.set()
                self.space.clear()
                await self.space.wait()

    def ended(self, task: asyncio.Task[None]) -> None:
        """The generator is closed: wake the reader, or report a defect that no reader will see any more."""
        self.news.set()
        error = None if task.cancelled() else task.exception()
        if self.stopped and error is not None and not isinstance(error, GatewayError):
            told = {"message": "An attempt that was stopped has failed.", "exception": error, "task": task}
            asyncio.get_running_loop().call_exception_handler(told)

    def stop(self) -> None:
        """Close the generator, without waiting for it; once, since a second time would interrupt the closing."""
        if not self.stopped:
            self.stopped = True
            if self.begun:
                self.task.cancel()

    @property
    def moved(self) -> bool:
        """Whether there is an item, or the end."""
        return bool(self.held) or self.task.done()

    @property
    def final(self) -> bool:
        """Whether it has failed in a way that another attempt must not hide."""
        if not self.task.done() or self.task.cancelled():
            return self.task.done()
        error = self.task.exception()
        return error is not None and not (isinstance(error, GatewayError) and error.elsewhere)

    async def ready(self) -> bool:
        """Wait for an item; False at the end. Raises what the generator raises."""
        while not self.moved:
            self.news.clear()
            await self.news.wait()
        if not self.held:
            self.task.result()
        return bool(self.held)

    def take(self) -> Item:
        """The item that is ready; the next one is fetched."""
        self.space.set()
        return self.held.pop()


class Race(Generic[Item]):
    """Two runners at most, until one of them has content."""

    def __init__(self) -> None:
        self.runners: list[Runner[Item]] = []
        self.news = asyncio.Event()

    def enter(self, source: AsyncGenerator[Item, None]) -> None:
        """One more runs."""
        self.runners.append(Runner(source, self.news))

    async def begun(self, seconds: float) -> bool:
        """Whether the first has content, or has ended, within so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.news.wait()
        return self.runners[0].moved

    async def won(self) -> Runner[Item]:
        """The winner, or the one whose error counts: the first's if both fail; the others are told to stop."""
        while (winner := self.leader()) is None:
            self.news.clear()
            await self.news.wait()
        for runner in self.runners:
            if runner is not winner:
                runner.stop()
        return winner

    def leader(self) -> Runner[Item] | None:
        """The one that has content or has failed for good, or else the first if all have ended."""
        for runner in self.runners:
            if runner.held or runner.final:
                return runner
        return self.runners[0] if all(runner.task.done() for runner in self.runners) else None

    async def close(self) -> None:
        """Close both, to the end, however often the wait for it is cancelled."""
        for runner in self.runners:
            runner.stop()
        tasks = [runner.task for runner in self.runners]
        cancelled: asyncio.CancelledError | None = None
        while not all(task.done() for task in tasks):
            try:
                await asyncio.wait(tasks)
            except asyncio.CancelledError as exc:
                cancelled = exc
        if cancelled is not None:
            raise cancelled


async def race(
    first: AsyncGenerator[Item, None], second: Callable[[], AsyncGenerator[Item, None] | None], after: float
) -> AsyncGenerator[Item, None]:
    """The items of whichever has one first; `second` is begun if the first has none after so many seconds.

    The second may decline (None). A failure of the first before that is raised; one while both run lets the other go
    on, unless it is one that no other attempt may hide. Both are closed when this ends.
    """
    running = Race[Item]()
    try:
        running.enter(first)
        if not await running.begun(after) and (other := second()) is not None:
            running.enter(other)
        winner = await running.won()
        while await winner.ready():
            yield winner.take()
    finally:
        await running.close()
