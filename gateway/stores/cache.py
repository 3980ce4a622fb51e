"""The cache of answers: what an entry is, its key, and the twin in memory, bounded in bytes."""

import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import orjson

from gateway.types import Caller, ChatRequest, Json, Usage

CACHE_KEYS = "cache keys"  # the purpose of the secret that keys depend on
BYTES = 64 << 20  # of all answers together
ENTRY_BYTES = 1 << 20  # of a single one
OVERHEAD = 800  # bytes that an entry takes beside its body, about
SLOT_SECONDS = 60  # what is too old is let go of that much later, at most


@dataclass(frozen=True, slots=True)
class Entry:
    """A whole answer as it goes out again, who gave it and for whom, its tokens, and its cost in US dollars."""

    body: bytes  # JSON, or a stream's events without the last one, [DONE]
    by: str  # the deployment: one of `Route.served`
    caller: str
    route: str
    model: str
    usage: Usage | None = None
    cost: float | None = None

    @property
    def size(self) -> int:
        """Bytes that the entry holds, about."""
        return OVERHEAD + len(self.body)


class Kept(NamedTuple):
    """An entry of the cache, and its age in seconds."""

    entry: Entry
    age: float


class Purge(NamedTuple):
    """Which entries shall go: those of a caller, a route, a model, of all three, or simply all."""

    caller: str | None = None
    route: str | None = None
    model: str | None = None

    def takes(self, caller: str, route: str, model: str) -> bool:
        """Whether an entry is among them."""
        pairs = ((self.caller, caller), (self.route, route), (self.model, model))
        return all(wanted is None or wanted == has for wanted, has in pairs)


class Cache(Protocol):
    """Keeps answers; one that cannot is as one that has none."""

    async def get(self, keys: Sequence[bytes]) -> Sequence[Kept | None]:
        """What is kept under each of the keys."""
        ...

    async def put(self, key: bytes, entry: Entry, ttl: float) -> None:
        """Keep an entry for so many seconds, or leave it when it is too large."""
        ...

    async def purge(self, which: Purge) -> int:
        """Forget entries; how many there were. Raises StoreAway."""
        ...


class Held(NamedTuple):
    """An entry in memory, when it came and until when it is good; seconds."""

    entry: Entry
    stored: float
    until: float


class MemoryCache:
    """The least recently used entries go when the bytes run out, those whose time is over soon after it."""

    def __init__(self, limit: int = BYTES, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self.clock = clock
        self.size = 0
        self.entries: OrderedDict[bytes, Held] = OrderedDict()
        self.due: dict[int, set[bytes]] = {}  # slot of time -> keys of what ends in it
        self.swept = 0

    async def get(self, keys: Sequence[bytes]) -> Sequence[Kept | None]:
        """What is kept under each of the keys."""
        now = self.clock()
        return [self.one(key, now) for key in keys]

    def one(self, key: bytes, now: float) -> Kept | None:
        """What is kept under a key."""
        held = self.entries.get(key)
        if held is None:
            return None
        if held.until < now:
            self.drop(key)
            return None
        self.entries.move_to_end(key)
        return Kept(held.entry, max(0.0, now - held.stored))

    async def put(self, key: bytes, entry: Entry, ttl: float) -> None:
        """Keep an entry and let the oldest go."""
        size, now = entry.size, self.clock()
        self.sweep(now)
        if size > min(ENTRY_BYTES, self.limit):
            return
        self.drop(key)
        self.entries[key] = held = Held(entry, now, now + ttl)
        self.due.setdefault(slot(held), set()).add(key)
        self.size += size
        while self.size > self.limit:
            self.drop(next(iter(self.entries)))

    async def purge(self, which: Purge) -> int:
        """Forget entries; how many there were."""
        found = [
            key for key, (entry, _, _) in self.entries.items() if which.takes(entry.caller, entry.route, entry.model)
        ]
        for key in found:
            self.drop(key)
        return len(found)

    def drop(self, key: bytes) -> None:
        """Forget an entry, if it is there."""
        held = self.entries.pop(key, None)
        if held is None:
            return
        self.size -= held.entry.size
        keys = self.due[slot(held)]
        keys.discard(key)
        if not keys:
            del self.due[slot(held)]

    def sweep(self, now: float) -> None:
        """Let go of what ended before this slot of time."""
        current = int(now) // SLOT_SECONDS
        if current == self.swept:
            return
        self.swept = current
        for old in [one for one in self.due if one < current]:
            for key in list(self.due[old]):
                self.drop(key)


def slot(held: Held) -> int:
    """The slot of time in which an entry ends."""
    return int(held.until) // SLOT_SECONDS


def cache_key(
    secret: bytes, tenant: bytes, route: str, models: Sequence[str], request: ChatRequest, body: Json | None = None
) -> bytes:
    """The key of a request: who may have its answer, route and models, its wishes, and every field of the body.

    It is keyed by a secret, so that nobody who sees keys in a store can try prompts against them. `body` stands in for
    the request's own.
    """
    wishes = request.preferences or ()
    asked = [sorted(wish) if isinstance(wish, frozenset) else wish for wish in wishes]
    body = request.body if body is None else body
    facts = orjson.dumps([route, request.operation, models, asked, body], option=orjson.OPT_SORT_KEYS)
    return hmac.digest(secret, b"%d\0%b\0%b" % (len(tenant), tenant, facts), "sha256")


def tenant_of(caller: Caller, share: str) -> bytes:
    """Who gets an answer again: its caller, the caller's team or everybody, as the route has it."""
    if share == "all":
        return b"all"
    if share == "team" and caller.team is not None:
        return b"team " + caller.team.name.encode()
    return b"caller " + caller.name.encode()
