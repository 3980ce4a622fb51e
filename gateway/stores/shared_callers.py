"""Callers in the store that several gateways share: a hash of their terms, and a counter of changes beside it."""

from collections.abc import Sequence

from gateway.errors import StoreAway
from gateway.stores.callers import StoredCaller, packed, unpacked
from gateway.stores.redis import PREFIX, RedisStore, Script, call
from gateway.stores.redis_wire import Word

CALLERS = f"{PREFIX}{{callers}}"
COUNT = f"{PREFIX}{{callers}}:changes"

# Takes name, version and terms; a version of 0 is a caller that must not be there. The value is `version terms`.
PUT = Script("""
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local version = kept and string.match(kept, '^%d+') or '0'
if version ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%d ', tonumber(version) + 1) .. ARGV[3])
redis.call('INCR', KEYS[2])
return 1
""")
REMOVE = Script("""
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('INCR', KEYS[2])
return 1
""")


class SharedCallers:
    """The same as in the state file, for all gateways at once."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store

    async def changes(self) -> int:
        """A number that is another after every change, and after the store was emptied."""
        count, size = await self.store.batch([call("GET", COUNT), call("HLEN", CALLERS)])
        assert isinstance(size, int)
        return int(count) * 2 + (size > 0) if isinstance(count, bytes) else -1

    async def all(self) -> list[StoredCaller]:
        """Every caller, by name."""
        found = await self.store.command("HGETALL", CALLERS)
        assert isinstance(found, list)
        return sorted((read(name, value) for name, value in pairs(found)), key=lambda caller: caller.name)

    async def put(self, caller: StoredCaller) -> bool:
        """Keep a caller; False when it was changed since it was read."""
        args: list[Word] = [caller.name, caller.version, packed(caller)]
        return await self.store.run(PUT, [CALLERS, COUNT], args) == 1

    async def remove(self, name: str) -> bool:
        """Forget a caller; False when there is none of that name."""
        return await self.store.run(REMOVE, [CALLERS, COUNT], [name]) == 1


def pairs(found: Sequence[object]) -> list[tuple[bytes, bytes]]:
    """The fields and values of a hash; raises StoreAway for what is none."""
    texts = [one for one in found if isinstance(one, bytes)]
    if len(texts) != len(found) or len(texts) % 2:
        raise StoreAway("The shared store has something else where the callers are.")
    return list(zip(texts[::2], texts[1::2], strict=True))


def read(name: bytes, value: bytes) -> StoredCaller:
    """A caller of the hash; raises StoreAway for one that cannot be read."""
    version, _, terms = value.partition(b" ")
    try:
        return unpacked(name.decode(), int(version), terms)
    except (ValueError, KeyError, TypeError) as exc:
        raise StoreAway("The shared store has a caller that cannot be read.") from exc
