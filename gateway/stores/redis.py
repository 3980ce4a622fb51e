"""The shared store: Redis, alone, behind Sentinels or as a Cluster, and what we do while it is away.

    store = RedisStore(place(url))
    await store.command("GET", key)                     one command
    await store.run(SCRIPT, [key], [argument])          one script, sent by its hash; SCRIPT = Script("return ...")
    await store.batch([call("GET", key), SCRIPT.call([key], [1])])     all of them in one round trip

What one turn of the event loop asks for goes out together, so that a batch is for one request's own questions. Answers
are bytes, integers, None and lists of those. Whatever goes wrong raises StoreAway, within 50 ms: who asks decides what
to do without the store, and says so by `missed`. Nothing is asked twice. In a Cluster all keys of one script share a
hash tag, `{...}`.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from gateway.errors import StoreAway
from gateway.stores.redis_layout import Layout, find
from gateway.stores.redis_url import Address, Place, place
from gateway.stores.redis_wire import Refused, Reply, Wire, Word, connect, quiet, with_tls

MEMORY = "memory://"
PREFIX = "gateway:"  # of every key
TRY_SECONDS = 1.0  # between two tries to reach a server that is away
UNFIT = frozenset(  # answers of a server that will answer others the same
    {
        "OOM",
        "READONLY",
        "NOAUTH",
        "WRONGPASS",
        "NOPERM",
        "LOADING",
        "MASTERDOWN",
        "CLUSTERDOWN",
        "MISCONF",
        "NOREPLICAS",
    }
)
log = structlog.get_logger()


class Call(NamedTuple):
    """A command and the key that says which server of a Cluster it is for."""

    words: tuple[Word, ...]
    key: bytes | str = b""
    script: "Script | None" = None


class Script:
    """A Lua script, asked for by its hash."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def call(self, keys: Sequence[bytes | str], args: Sequence[Word] = ()) -> Call:
        """A run of it."""
        return Call(("EVALSHA", self.sha, len(keys), *keys, *args), keys[0] if keys else b"", self)


def call(*words: Word) -> Call:
    """A command whose first argument is its key, where it has one."""
    key = words[1] if len(words) > 1 else b""
    return Call(words, key if isinstance(key, bytes | str) else b"")


class RedisStore:
    """Connects when it is first asked, comes back by itself, and counts what went on without it.

    Raises StoreUrlError when the files of TLS cannot be read.
    """

    name = "redis"

    def __init__(self, place: Place) -> None:
        self.place = with_tls(place)
        self.layout: Layout | None = None
        self.wires: dict[Address, Wire] = {}
        self.up: bool | None = None  # None: never asked
        self.reason = ""  # why it is not
        self.held: dict[Address, float] = {}  # until when a server is left alone, in the loop's time
        self.met: dict[Address, float] = {}  # when we last connected to a server
        self.mending: asyncio.Task[None] | None = None
        self.trial: asyncio.Event | None = None  # while we first try to connect, requests may wait a little
        self.fallbacks: Counter[str] = Counter()  # by use: `limits`, `budget`, `cache`, ...
        self.strange: set[str] = set()  # refusals that were logged

    async def command(self, *words: Word) -> Reply:
        """The answer to one command; raises StoreAway."""
        return await self.ask(call(*words))

    async def run(self, script: Script, keys: Sequence[bytes | str], args: Sequence[Word] = ()) -> Reply:
        """What a script returns; raises StoreAway."""
        return await self.ask(script.call(keys, args))

    async def batch(self, calls: Sequence[Call]) -> list[Reply]:
        """The answers to several calls in one round trip, no transaction; raises StoreAway when any has failed."""
        sent = []
        for one in calls:
            wire = self.connected_to(one.key) or await self.wire(one.key)
            sent.append((one, wire, wire.send(one.words)))
        replies: list[Reply] = []
        failed: StoreAway | None = None
        for one, wire, future in sent:
            try:
                replies.append(await self.answer(one, wire, future))
            except StoreAway as exc:
                failed = failed or exc
        if failed is not None:
            raise failed
        return replies

    def missed(self, use: str) -> None:
        """Something was done without the store: count it (`gateway_store_fallback_total`)."""
        self.fallbacks[use] += 1

    async def open(self) -> bool:
        """Connect now rather than at the first request; whether all servers are there."""
        await self.first_try()
        return self.up is True

    async def close(self) -> None:
        """Close all connections."""
        if self.mending is not None:
            self.mending.cancel()
            await asyncio.wait([self.mending])
        for wire in list(self.wires.values()):
            wire.lost = lambda wire, reason: None
            wire.give_up("is closed")
        self.wires.clear()

    async def ask(self, one: Call) -> Reply:
        """The answer to a call."""
        wire = self.connected_to(one.key) or await self.wire(one.key)
        return await self.answer(one, wire, wire.send(one.words))

    async def answer(self, one: Call, wire: Wire, future: "asyncio.Future[Reply]") -> Reply:
        """What a server answers to a call, after what may follow from a refusal."""
        try:
            return await future
        except Refused as exc:
            return await self.refused(exc, one, wire)

    def connected_to(self, key: bytes | str) -> Wire | None:
        """The connection to the server of a key, if there is one now."""
        owner = None if self.layout is None else self.layout.owner(key)
        return None if owner is None else self.wires.get(owner)

    async def wire(self, key: bytes | str) -> Wire:
        """The connection for a key, waited for while we first try; raises StoreAway."""
        if self.mending is None:
            self.mend()
        if self.trial is not None:
            await self.first_try(self.place.patience.operation)
        found = self.connected_to(key)
        if found is None:
            raise StoreAway("The shared store is away.")
        return found

    async def first_try(self, seconds: float | None = None) -> None:
        """Wait for the first try to connect."""
        if self.mending is None and not self.whole:
            self.mend()
        if self.trial is not None:
            try:
                async with asyncio.timeout(seconds):
                    await self.trial.wait()
            except TimeoutError:
                return

    async def refused(self, exc: Refused, one: Call, wire: Wire) -> Reply:
        """What follows from a refusal: the script itself is sent, another server asked, or the store is away."""
        if exc.kind == "NOSCRIPT" and one.script is not None:
            return await self.ask(Call(evaluated(one, one.script), one.key))
        if exc.kind in ("MOVED", "ASK") and self.place.kind == "cluster":
            return await self.redirected(exc, one)
        if exc.kind in UNFIT:
            self.hold(wire.address)
            wire.give_up(f"refuses: {exc}")
        elif exc.kind not in self.strange:
            self.strange.add(exc.kind)
            log.error("store.refused", store=self.name, error=str(exc)[:200], command=str(one.words[0]))
        raise StoreAway(f"The shared store refuses: {exc}") from exc

    async def redirected(self, exc: Refused, one: Call) -> Reply:
        """The answer of the server that a Cluster names instead, if we know it; its layout is read again."""
        assert self.layout is not None
        address = self.layout.named(str(exc))
        wire = None if address is None else self.wires.get(address)
        if exc.kind == "MOVED":
            self.layout.stale = True
            self.mend()
        if wire is None:
            raise StoreAway(f"The shared store has moved: {exc}") from exc
        ask = sent_there if exc.kind == "ASK" else Wire.send
        try:
            return await ask(wire, one.words)
        except Refused as again:
            if again.kind != "NOSCRIPT" or one.script is None:
                raise StoreAway(f"The shared store refuses: {again}") from again
        try:
            return await ask(wire, evaluated(one, one.script))
        except Refused as again:
            raise StoreAway(f"The shared store refuses: {again}") from again

    @property
    def whole(self) -> bool:
        """Whether the layout is known and there is a connection to each server of it."""
        layout = self.layout
        return layout is not None and not layout.stale and all(one in self.wires for one in layout.addresses)

    def hold(self, address: Address) -> None:
        """Leave a server alone for a while."""
        self.held[address] = asyncio.get_running_loop().time() + self.place.patience.hold

    def lost(self, wire: Wire, reason: str) -> None:
        """A connection has ended: try to get another."""
        if self.wires.get(wire.address) is not wire:
            return
        del self.wires[wire.address]
        if asyncio.get_running_loop().time() - self.met.get(wire.address, 0.0) < self.place.patience.hold:
            self.hold(wire.address)
        if self.layout is not None and self.place.kind != "single":
            self.layout.stale = True
        self.mend(f"{wire.address} {reason}")

    def mend(self, reason: str = "") -> None:
        """Begin to connect to what is missing, if nobody does."""
        if self.mending is None or self.mending.done():
            self.trial = asyncio.Event()
            self.mending = asyncio.create_task(self.mended(reason))

    async def mended(self, reason: str) -> None:
        """Try at once and then each second until every server is there."""
        while not self.whole:
            try:
                await self.reach()
            except StoreAway as exc:
                reason = reason or exc.logged
            if not self.whole:
                self.turned(False, reason)
                self.tried()
                reason = ""
                await asyncio.sleep(TRY_SECONDS)
        self.turned(True, "")
        self.tried()

    def tried(self) -> None:
        """The first try is over: from now on nobody waits for the next."""
        if self.trial is not None:
            self.trial.set()
            self.trial = None

    async def reach(self) -> None:
        """Find out who serves what and connect to whom we are not connected; raises StoreAway with the first reason."""
        if self.layout is None or self.place.kind != "single":
            self.layout = await find(self.place, tuple(self.wires))
        now, failed = asyncio.get_running_loop().time(), None
        for address in self.layout.addresses:
            if address in self.wires or self.held.get(address, 0.0) > now:
                continue
            try:
                self.wires[address] = await self.connected(address, self.layout)
                self.met[address] = now
            except StoreAway as exc:
                failed = failed or exc
        if failed is not None:
            raise failed

    async def connected(self, address: Address, layout: Layout) -> Wire:
        """A connection to a server that lets us write; raises StoreAway."""
        wire = await connect(address, self.place, self.place.db, self.lost)
        try:
            await wire.send(("SET", layout.probe(address), 1, "EX", 60))
        except Refused as exc:
            self.hold(address)
            wire.give_up(f"refuses: {exc}")
            raise StoreAway(f"The shared store at {address} refuses to write: {exc}") from exc
        return wire

    def turned(self, up: bool, reason: str) -> None:
        """Say it when the state has changed."""
        if up == self.up:
            return
        self.up, self.reason = up, reason
        if up:
            self.strange.clear()
            log.info("store.up", store=self.name)
        else:
            log.warning("store.down", store=self.name, reason=reason)


def evaluated(one: Call, script: Script) -> tuple[Word, ...]:
    """The words that send a script itself, so that the server knows it from then on."""
    return ("EVAL", script.source, *one.words[2:])


def sent_there(wire: Wire, words: Sequence[Word]) -> "asyncio.Future[Reply]":
    """A question to a server that is about to get the key's slot; nothing may come between it and its announcement."""
    quiet(wire.send(("ASKING",)))
    return wire.send(words)


def shared_store(url: str) -> RedisStore | None:
    """The store that several gateways share; None where each has its own memory. Raises StoreUrlError."""
    return None if url == MEMORY else RedisStore(place(url))
