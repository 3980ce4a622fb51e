"""Requests that are the same at the same time: the first of them asks, and all of them read its answer as it comes."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Protocol

import orjson

from gateway.engine.admission import HEADER, class_of
from gateway.errors import Draining, TotalTimeout
from gateway.outcomes import Outcome
from gateway.providers.port import Embedder
from gateway.routing.policy import Route
from gateway.stores.cache import ENTRY_BYTES, Entry
from gateway.types import CacheResult, ChatRequest, Chunk, Class, Deployment, Usage

AHEAD_BYTES = 256 << 10  # that an upstream may be ahead of the reader who is furthest
EVENT = b"data: "
BETWEEN = b"\n\n" + EVENT

Batches = AsyncGenerator[list[Chunk], None]
Framed = Callable[[list[Chunk]], bytes]  # a batch as it is kept
Flights = dict[bytes, "Flight"]


class Asked(Protocol):
    """What is looked at of an answer, and told to it."""

    request: ChatRequest
    route: Route
    outcomes: list[Outcome]
    deployment: Deployment | None  # who answers
    cache: CacheResult
    hit: Entry | None  # where the answer costs nothing
    age: float  # of that, in seconds
    alike: float | None  # to the question of that, where it is another one
    content: float | None  # when the first content came
    whole: bool  # whether it ended by itself
    kept: bool  # whether it has been kept for others

    @property
    def usage(self) -> Usage | None:
        """What the caller is told of tokens."""
        ...

    def asking(self) -> Batches:
        """The answer from upstream."""
        ...

    def embedder(self, deployment: Deployment) -> Embedder | None:
        """Who makes vectors there, if it can be asked now."""
        ...


class Flight:
    """An answer on its way. Whoever asks reads what came; those who joined read it again from its start.

    It runs in a task of its own, so that it goes on when one of its readers leaves, and ends when the last one does.
    """

    def __init__(self, flights: Flights, key: bytes, asked: Asked, framed: Framed) -> None:
        self.flights = flights
        self.key = key
        self.asked = asked  # by whom it is billed
        self.framed = framed
        self.backlog: deque[list[Chunk]] = deque()  # what the leader has not read
        self.pieces: list[bytes] = []  # all that came, as it is kept; what nobody needs any more is empty
        self.size = 0  # bytes that came
        self.readers: list[Reader] = []
        self.waiting: list[asyncio.Future[None]] = []
        self.room: asyncio.Future[None] | None = None  # while the upstream waits for readers
        self.trimmed = 0
        self.over = False
        self.error: BaseException | None = None
        self.task: asyncio.Task[None] | None = None

    def start(self, ended: Callable[[bytes | None], Awaitable[None]]) -> "Reader":
        """Begin; who asks is its first reader. `ended` gets the whole answer, or None for one too large to be kept."""
        self.flights[self.key] = self
        leader = Reader(self, True)
        self.task = asyncio.get_running_loop().create_task(self.fly(ended))
        self.task.add_done_callback(self.landed)
        return leader

    async def fly(self, ended: Callable[[bytes | None], Awaitable[None]]) -> None:
        """Read the answer to its end, for all readers."""
        async with aclosing(self.asked.asking()) as batches:
            async for batch in batches:
                self.add(batch)
                while self.readers and self.size - max([reader.read for reader in self.readers]) > AHEAD_BYTES:
                    self.room = asyncio.get_running_loop().create_future()
                    await self.room
        self.over = True
        self.wake()
        await ended(self.whole)

    def add(self, batch: list[Chunk]) -> None:
        """The next of the answer."""
        if any(reader.leads for reader in self.readers):
            self.backlog.append(batch)
        piece = self.framed(batch)
        self.pieces.append(piece)
        self.size += len(piece)
        if self.size > ENTRY_BYTES:
            self.trim()
        self.wake()

    def trim(self) -> None:
        """It is too large to be kept: from now on nobody joins, and what everybody has read is forgotten."""
        self.leave()
        read = min((reader.place for reader in self.readers), default=len(self.pieces))
        for index in range(self.trimmed, read):
            self.pieces[index] = b""
        self.trimmed = read

    @property
    def whole(self) -> bytes | None:
        """All of it as it is kept; None when it is too large for that."""
        return None if self.trimmed or self.size > ENTRY_BYTES else b"".join(self.pieces)

    def takes(self, asked: Asked) -> bool:
        """Whether another may join: not with more time, in another class, or with other models or deployments."""
        mine, request, route = self.asked.request, asked.request, self.asked.route
        if request.caller.models != mine.caller.models or waits_as(request) != waits_as(mine):
            return False
        if route is not asked.route and not route.served.keys() <= asked.route.served.keys():
            return False  # by a policy that allows less
        return mine.deadline is None or (request.deadline is not None and request.deadline <= mine.deadline)

    def landed(self, task: asyncio.Task[None]) -> None:
        """It is over, whichever way."""
        self.error = Draining("The gateway is shutting down.") if task.cancelled() else task.exception()
        self.over = True
        self.leave()
        self.wake()

    def leave(self) -> None:
        """Nobody can join any more."""
        if self.flights.get(self.key) is self:
            del self.flights[self.key]

    def wake(self) -> None:
        """There is something new."""
        for future in self.waiting:
            if not future.done():
                future.set_result(None)
        self.waiting.clear()

    async def more(self) -> None:
        """Wait for something new."""
        future = asyncio.get_running_loop().create_future()
        self.waiting.append(future)
        await future


class Reader:
    """One who reads an answer on its way."""

    __slots__ = ("flight", "leads", "place", "read")

    def __init__(self, flight: Flight, leads: bool = False) -> None:
        self.flight = flight
        self.leads = leads
        self.place = 0  # of the next piece
        self.read = 0  # bytes
        flight.readers.append(self)

    async def batches(self) -> Batches:
        """The answer as it comes. Raises what has ended it."""
        flight = self.flight
        while True:
            while self.place < len(flight.pieces):
                if batch := self.next():
                    yield batch
            if flight.over:
                break
            await flight.more()
        if flight.error is not None:
            raise flight.error if self.leads else again(flight.error)

    def next(self) -> list[Chunk]:
        """The next of it."""
        flight, piece = self.flight, self.flight.pieces[self.place]
        self.place += 1
        self.read += len(piece)
        if flight.room is not None and not flight.room.done():
            flight.room.set_result(None)
        return flight.backlog.popleft() if self.leads else unframed(piece, flight.asked.request.stream)

    async def close(self) -> None:
        """Leave: the last one ends the flight, and the leader waits for its end, for it is the one that is billed."""
        flight = self.flight
        flight.readers.remove(self)
        if flight.over or flight.task is None:
            return
        if not flight.readers:
            flight.leave()
            flight.task.cancel()
        elif flight.room is not None and not flight.room.done():
            flight.room.set_result(None)
        if self.leads:
            flight.backlog.clear()
            await asyncio.wait({flight.task})


def waits_as(request: ChatRequest) -> Class:
    """The class in which a request waits."""
    return class_of(request.headers.get(HEADER), request.caller.class_)


def again(error: BaseException) -> BaseException:
    """The same error for somebody else: who raises one changes its traceback."""
    other = type(error).__new__(type(error), *error.args)
    other.__dict__.update(error.__dict__)
    return other


def unframed(piece: bytes, stream: bool) -> list[Chunk]:
    """The chunks of what is kept: of events, or of an answer in one piece."""
    if not piece:
        return []
    parts = piece[len(EVENT) : -2].split(BETWEEN) if stream else [piece]
    return [Chunk(part, orjson.loads(part)) for part in parts]


async def joined(flight: Flight, deadline: float | None, clock: Callable[[], float]) -> Batches:
    """The answer of a flight for one who joins it, within the time that they have. Raises TotalTimeout."""
    reader = Reader(flight)
    try:
        async with aclosing(reader.batches()) as batches:
            if deadline is None:
                async for batch in batches:
                    yield batch
                return
            while True:
                try:
                    async with asyncio.timeout(max(0.0, deadline - clock())):
                        batch = await anext(batches)
                except StopAsyncIteration:
                    return
                except TimeoutError as exc:
                    message = "The time for this request is used up; ask for less, or allow more."
                    raise TotalTimeout(message) from exc
                yield batch
    finally:
        await reader.close()
