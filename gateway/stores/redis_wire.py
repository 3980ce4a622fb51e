"""One connection to one Redis server: what many requests ask goes out together and is answered in order."""

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias, cast

from hiredis import HiredisError, Reader, pack_command

from gateway.errors import StoreAway
from gateway.stores.redis_url import Address, Patience, Place, StoreUrlError

Word: TypeAlias = bytes | str | int | float
Reply: TypeAlias = "bytes | int | list[Reply] | None"

FAILURES = 5  # in a row, after which the connection is given up
STALL_SECONDS = 0.01  # that a timer may be late before it is our own loop that was late, not the server
GRACE_SECONDS = 0.005  # for answers that came in while our loop did something else
NAME = "llama-gateway"


class Refused(Exception):
    """The server's own word of why it does not do what it was asked."""

    @property
    def kind(self) -> str:
        """The first word: `OOM`, `READONLY`, `MOVED`."""
        return str(self).partition(" ")[0]


class Wire(asyncio.Protocol):
    """Sends commands and hands out their answers; gives up after FAILURES without an answer in time."""

    def __init__(self, address: Address, lost: Callable[["Wire", str], None], patience: Patience) -> None:
        self.address = address
        self.patience = patience
        self.lost = lost
        self.loop = asyncio.get_running_loop()
        self.reader = Reader(replyError=Refused)
        self.transport: asyncio.Transport | None = None
        self.waiting: deque[tuple[float, asyncio.Future[Reply]]] = deque()
        self.unsent: list[bytes] = []
        self.timer: asyncio.TimerHandle | None = None
        self.heard = 0.0  # when the server last sent anything
        self.failures = 0
        self.reason = "closed the connection"

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self.transport = cast("asyncio.Transport", transport)

    def send(self, words: Sequence[Word]) -> "asyncio.Future[Reply]":
        """The answer to come; raises StoreAway or Refused when awaited."""
        now, future = self.loop.time(), self.loop.create_future()
        if self.transport is None:
            future.set_exception(StoreAway(f"The shared store at {self.address} {self.reason}."))
            return future
        if not self.unsent:
            self.loop.call_soon(self.flush)
        self.unsent.append(pack_command(tuple(words)))  # type: ignore[arg-type]  # its stub takes one word only
        self.waiting.append((now, future))
        if self.timer is None:
            due = now + self.patience.operation
            self.timer = self.loop.call_at(due, self.check, due)
        return future

    def flush(self) -> None:
        """Write what was asked for in this turn of the loop."""
        if self.transport is not None:
            self.transport.write(b"".join(self.unsent))
        self.unsent.clear()

    def data_received(self, data: bytes) -> None:
        """Hand out answers in the order of the questions."""
        self.heard = self.loop.time()
        self.reader.feed(data)
        try:
            while (reply := self.reader.gets()) is not False:
                self.answered(reply)
        except (HiredisError, IndexError):
            self.give_up("does not speak Redis' protocol")

    def answered(self, reply: "Reply | Refused") -> None:
        """The answer to the oldest question; one that came too late goes to nobody."""
        _, future = self.waiting.popleft()
        if future.done():
            return
        self.failures = 0
        if isinstance(reply, Refused):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def check(self, due: float) -> None:
        """Questions without an answer in time fail; after one of them a PING shows whether others would."""
        now, self.timer = self.loop.time(), None
        if now - due > STALL_SECONDS:
            self.timer = self.loop.call_at(now + GRACE_SECONDS, self.check, now + GRACE_SECONDS)
            return
        late = [future for sent, future in self.waiting if self.due(sent) <= now and not future.done()]
        for future in late:
            future.set_exception(self.away(f"did not answer within {self.patience.operation * 1000:.0f} ms"))
        self.failures += len(late)
        if self.failures >= FAILURES:
            self.give_up(f"did not answer within {self.patience.operation * 1000:.0f} ms, {FAILURES} times in a row")
            return
        self.arm()
        if late:
            quiet(self.send((b"PING",)))

    def arm(self) -> None:
        """Look again when the next question's time is over."""
        oldest = next((sent for sent, future in self.waiting if not future.done()), None)
        if oldest is not None and self.timer is None:
            due = self.due(oldest)
            self.timer = self.loop.call_at(due, self.check, due)

    def due(self, sent: float) -> float:
        """When the time of an operation is over: a server that is busy with others still answers it."""
        return min(max(sent, self.heard) + self.patience.operation, sent + self.patience.longest)

    def give_up(self, reason: str) -> None:
        """End the connection; whoever waits is told."""
        self.reason = reason
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()
            self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has ended it."""
        if self.transport is not None:
            self.transport = None
            self.end()

    def end(self) -> None:
        """Tell everybody who waits, and the owner."""
        if self.timer is not None:
            self.timer.cancel()
        for _, future in self.waiting:
            if not future.done():
                future.set_exception(self.away())
        self.waiting.clear()
        self.lost(self, self.reason)

    def away(self, reason: str = "") -> StoreAway:
        """The error for who waits."""
        return StoreAway(f"The shared store at {self.address} {reason or self.reason}.", asked=True)


def quiet(future: "asyncio.Future[Reply]") -> None:
    """Nobody waits for this answer."""
    future.add_done_callback(lambda done: None if done.cancelled() else done.exception() and None)


async def connect(address: Address, place: Place, db: int, lost: Callable[[Wire, str], None]) -> Wire:
    """A connection that has said who we are; raises StoreAway."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(place.patience.connect):
            _, wire = await loop.create_connection(
                lambda: Wire(address, lost, place.patience), *address, ssl=place.context
            )
    except (OSError, TimeoutError) as exc:  # ssl.SSLError is an OSError
        reason = "no connection in time" if isinstance(exc, TimeoutError) else exc.strerror or type(exc).__name__
        raise StoreAway(f"The shared store at {address} cannot be reached: {reason}.") from exc
    try:
        answers = [wire.send(words) for words in greeting(place, db)]
        for answer in answers:
            quiet(answer)
        for answer in answers:
            await answer
    except Refused as exc:
        wire.lost = lambda wire, reason: None
        wire.give_up("refused us")
        raise StoreAway(f"The shared store at {address} refuses us: {exc}") from exc
    return wire


def greeting(place: Place, db: int) -> list[tuple[Word, ...]]:
    """What a server is told at first."""
    user = () if place.username is None else (place.username,)
    login = [] if place.password is None else [("AUTH", *user, place.password)]
    chosen = [("SELECT", db)] if db else []
    return [*login, *chosen, ("CLIENT", "SETNAME", NAME)]


def with_tls(place: Place) -> Place:
    """The place with its context of TLS, which reads files; certificates are always checked. Raises StoreUrlError."""
    if not place.tls:
        return place
    try:
        context = ssl.create_default_context(cafile=place.ca)
        if place.cert is not None:
            context.load_cert_chain(place.cert, place.key)
    except OSError as exc:
        raise StoreUrlError(f"names files of TLS that cannot be read: {exc.strerror or exc}. Correct them.") from exc
    return replace(place, context=context)
