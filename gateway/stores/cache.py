"""The exact cache in memory: whole answers by tenant, route and body, bounded in bytes."""

import hashlib
from collections import OrderedDict
from dataclasses import dataclass
from typing import Protocol

import orjson

from gateway.types import ChatRequest, Deployment, Usage

BYTES = 64 << 20  # of all answers together
ENTRY_BYTES = 1 << 20  # of a single one
OVERHEAD = 600  # bytes of an entry beside its chunks, and
CHUNK_OVERHEAD = 64  # bytes of each chunk


@dataclass(frozen=True, slots=True)
class Entry:
    """A whole answer as it was sent: its chunks, who gave it, what it cost, and when (seconds)."""

    chunks: tuple[bytes, ...]
    deployment: Deployment
    usage: Usage | None
    cost: float | None
    stored: float

    @property
    def size(self) -> int:
        """Bytes that the entry holds, about."""
        return OVERHEAD + sum(len(chunk) + CHUNK_OVERHEAD for chunk in self.chunks)


class Cache(Protocol):
    """Keeps answers."""

    async def get(self, key: bytes, oldest: float) -> Entry | None:
        """The entry of a key that was stored at `oldest` or later."""
        ...

    async def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry, or leave it when it is too large."""
        ...


class MemoryCache:
    """The least recently used entries go when the bytes run out."""

    def __init__(self, limit: int = BYTES) -> None:
        self.limit = limit
        self.size = 0
        self.entries: OrderedDict[bytes, Entry] = OrderedDict()

    async def get(self, key: bytes, oldest: float) -> Entry | None:
        """The entry of a key, if it is young enough."""
        entry = self.entries.get(key)
        if entry is None or entry.stored < oldest:
            return None
        self.entries.move_to_end(key)
        return entry

    async def put(self, key: bytes, entry: Entry) -> None:
        """Keep an entry and let the oldest go."""
        size = entry.size
        if size > min(ENTRY_BYTES, self.limit):
            return
        self.drop(key)
        self.entries[key] = entry
        self.size += size
        while self.size > self.limit:
            self.drop(next(iter(self.entries)))

    def drop(self, key: bytes) -> None:
        """Forget an entry, if it is there."""
        entry = self.entries.pop(key, None)
        if entry is not None:
            self.size -= entry.size


def cache_key(tenant: str, route: str, request: ChatRequest) -> bytes:
    """The key of a request: who asks, on which route, what of the choice, and every parameter of the body."""
    body = orjson.dumps(request.body, option=orjson.OPT_SORT_KEYS)
    wishes = request.preferences or ()
    asked = orjson.dumps([sorted(wish) if isinstance(wish, frozenset) else wish for wish in wishes])
    return hashlib.sha256(b"\0".join((tenant.encode(), route.encode(), asked, body))).digest()
