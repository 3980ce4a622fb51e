"""The same in Redis, for several gateways: a key is claimed at one of them alone."""

from typing import cast

import orjson

from gateway.errors import StoreAway
from gateway.stores.idempotency import ANSWER_BYTES, DAY, LEASE, Claim, Replay, in_use, reused
from gateway.stores.redis import PREFIX, RedisStore, Script

USE = "idempotency"
KEYS = f"{PREFIX}once:".encode()
RUNNING, DONE = b"r", b"d"
DIGEST = 32  # bytes
LENGTH = 4  # bytes that hold the length of a head

BEGIN = Script("""
local known = redis.call('GET', KEYS[1])
if known then return known end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return false
""")
FINISH = Script("""
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '' then return redis.call('DEL', KEYS[1]) end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
""")


class RedisOnce:
    """The twin of several gateways."""

    def __init__(self, store: RedisStore) -> None:
        self.store = store

    async def begin(self, claim: Claim) -> Replay | None:
        """The answer that was given before, or None where the key is claimed now; raises StoreAway."""
        try:
            known = await self.store.run(BEGIN, [KEYS + claim.key], [running(claim), int(LEASE * 1000)])
        except StoreAway:
            self.store.missed(USE)
            raise
        if not isinstance(known, bytes):
            return None
        if known[:1] not in (RUNNING, DONE) or len(known) <= DIGEST:
            raise self.strange()
        if known[1 : 1 + DIGEST] != claim.digest:
            raise reused()
        if known[:1] == RUNNING:
            raise in_use()
        try:
            return unpacked(known)
        except (ValueError, TypeError, AttributeError) as exc:
            raise self.strange() from exc

    def strange(self) -> StoreAway:
        """The error for a value that we cannot read: it is as if there were no store."""
        self.store.missed(USE)
        return StoreAway("The shared store holds something else than an answer under this key.")

    async def finish(self, claim: Claim, answer: Replay | None) -> None:
        """Keep the answer of a claim for a day, or free its key."""
        value = b"" if answer is None or len(answer.body) > ANSWER_BYTES else packed(claim, answer)
        try:
            await self.store.run(FINISH, [KEYS + claim.key], [running(claim), value, int(DAY * 1000)])
        except StoreAway:
            self.store.missed(USE)


def running(claim: Claim) -> bytes:
    """What a key holds while its request runs."""
    return RUNNING + claim.digest + claim.token


def packed(claim: Claim, answer: Replay) -> bytes:
    """What a key holds when its request is over."""
    headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in answer.headers]
    head = orjson.dumps([answer.status, headers])
    return DONE + claim.digest + len(head).to_bytes(LENGTH, "big") + head + answer.body


def unpacked(value: bytes) -> Replay:
    """The answer in it; raises ValueError, TypeError or AttributeError where there is none."""
    begin = 1 + DIGEST + LENGTH
    end = begin + int.from_bytes(value[begin - LENGTH : begin], "big")
    status, headers = cast("tuple[int, list[list[str]]]", orjson.loads(value[begin:end]))
    if not isinstance(status, int):
        raise TypeError
    named = tuple((name.encode("latin-1"), text.encode("latin-1")) for name, text in headers)
    return Replay(status, named, value[end:])
