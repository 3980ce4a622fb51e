"""The cache of answers in Redis, for several gateways: compressed, and as good as empty while the store is away."""

import asyncio
import time
import zlib
from collections.abc import Callable, Sequence
from typing import cast

import orjson

from gateway.errors import StoreAway
from gateway.stores.cache import ENTRY_BYTES, Entry, Kept, Purge
from gateway.stores.redis import PREFIX, RedisStore, call
from gateway.stores.redis_wire import Refused, Reply, Wire
from gateway.types import Usage

USE = "cache"
KEYS = f"{PREFIX}cache:".encode()
PLAIN, PACKED = b"p", b"z"  # how a body is written
SMALL = 256  # bytes of a body that is not worth packing
LEVEL = 1  # of zlib: the fastest
NUMBERS = (float, int)
HEAD_BYTES = 4096  # of a value that surely hold all but its body
LENGTH = 2  # bytes that hold the length of the head
SCANNED = 500  # keys looked at in one round trip


class RedisCache:
    """Redis lets go of what is too old, and of the least used where its memory ends."""

    def __init__(self, store: RedisStore, wall: Callable[[], float] = time.time) -> None:
        self.store = store
        self.wall = wall

    async def get(self, keys: Sequence[bytes]) -> Sequence[Kept | None]:
        """What is kept under each of the keys; nothing when the store does not answer."""
        try:
            if len(keys) == 1:
                found = [await self.store.command(b"GET", KEYS + keys[0])]
            else:
                found = await self.store.batch([call(b"GET", KEYS + key) for key in keys])
        except StoreAway:
            self.store.missed(USE)
            return [None] * len(keys)
        now = self.wall()
        return [kept(value, now) for value in found]

    async def put(self, key: bytes, entry: Entry, ttl: float) -> None:
        """Keep an entry, if it is not too large and the store answers."""
        if entry.size > ENTRY_BYTES:
            return
        try:
            await self.store.command(b"SET", KEYS + key, packed(entry, self.wall()), b"PX", max(1, int(ttl * 1000)))
        except StoreAway:
            self.store.missed(USE)

    async def purge(self, which: Purge) -> int:
        """Forget entries, on all servers; how many there were. Raises StoreAway."""
        if not await self.store.open():
            raise StoreAway("The shared store is away, so that its cache cannot be purged.")
        try:
            return sum([await purged(wire, which) for wire in tuple(self.store.wires.values())])
        except Refused as exc:
            raise StoreAway(f"The shared store refuses: {exc}") from exc


async def purged(wire: Wire, which: Purge) -> int:
    """How many entries one server has forgotten."""
    count, cursor = 0, b"0"
    while True:
        reply = cast("list[Reply]", await wire.send((b"SCAN", cursor, b"MATCH", KEYS + b"*", b"COUNT", SCANNED)))
        cursor, keys = cast("bytes", reply[0]), cast("list[bytes]", reply[1])
        if which != Purge():
            heads = await asyncio.gather(*[wire.send((b"GETRANGE", key, 0, HEAD_BYTES - 1)) for key in keys])
            keys = [key for key, head in zip(keys, heads, strict=True) if taken(head, which)]
        gone = await asyncio.gather(*[wire.send((b"UNLINK", key)) for key in keys])  # a Cluster takes no two in one
        count += sum(cast("list[int]", gone))
        if cursor == b"0":
            return count


def taken(head: Reply, which: Purge) -> bool:
    """Whether an entry is among those that shall go; one that we cannot read is."""
    try:
        _, _, caller, route, model, _, _ = orjson.loads(split(head)[0])
    except (ValueError, TypeError):
        return True
    return which.takes(caller, route, model)


def packed(entry: Entry, now: float) -> bytes:
    """An entry as Redis has it: the length of its head, the head, how the body is written, the body."""
    usage = None if entry.usage is None else tuple(entry.usage)
    head = orjson.dumps([now, entry.by, entry.caller, entry.route, entry.model, usage, entry.cost])
    small = len(entry.body) < SMALL
    body = PLAIN + entry.body if small else PACKED + zlib.compress(entry.body, LEVEL)
    return len(head).to_bytes(LENGTH, "big") + head + body


def kept(value: Reply, now: float) -> Kept | None:
    """The entry in a value; None for one that we cannot read, another version's or somebody else's."""
    try:
        head, how, body = split(value)
        stored, by, caller, route, model, usage, cost = orjson.loads(head)
        names = (by, caller, route, model)
        if [type(one) for one in names] != [str] * len(names):
            return None
        if type(stored) not in NUMBERS or (cost is not None and type(cost) not in NUMBERS):
            return None
        return Kept(Entry(unpacked(how, body), *names, used(usage), cost), max(0.0, now - stored))
    except (ValueError, TypeError, zlib.error):
        return None


def unpacked(how: bytes, body: bytes) -> bytes:
    """A body, bounded as it was when it was packed; raises ValueError for one that is cut, and zlib.error."""
    if how == PLAIN:
        return body
    if how != PACKED:
        raise ValueError
    packer = zlib.decompressobj()
    whole = packer.decompress(body, ENTRY_BYTES + 1)
    if not packer.eof or len(whole) > ENTRY_BYTES:
        raise ValueError
    return whole


def used(usage: object) -> Usage | None:
    """Tokens; raises TypeError for what is none."""
    if usage is None:
        return None
    if not isinstance(usage, list) or not all(isinstance(one, int) for one in usage):
        raise TypeError
    return Usage(*usage)


def split(value: Reply) -> tuple[bytes, bytes, bytes]:
    """Head, how the body is written, and body of a value; raises TypeError for no value."""
    if not isinstance(value, bytes):
        raise TypeError
    end = LENGTH + int.from_bytes(value[:LENGTH], "big")
    return value[LENGTH:end], value[end : end + 1], value[end + 1 :]
