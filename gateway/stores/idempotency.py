"""Requests that carry an `Idempotency-Key`: each is done once, and its answer is given again for a day."""

import hmac
import os
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, Protocol

from gateway.errors import IdempotencyInUse, IdempotencyReused

DAY = 86_400.0  # seconds that an answer is given again
LEASE = 900.0  # seconds that a request may run; after them its key is free again, whatever became of it
ANSWER_BYTES = 1 << 20  # of one answer
BYTES = 32 << 20  # of all of them together, in memory
OVERHEAD = 800  # bytes of an answer beside its body, about
KEY_LENGTH = 255  # characters
IN_USE = "A request with this Idempotency-Key is running; wait for its answer, or send another key."
REUSED = "This Idempotency-Key was sent with another body; a new request needs a new key."


class Replay(NamedTuple):
    """An answer that was given: its status, its headers and its body."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def size(self) -> int:
        """Bytes that it holds, about."""
        return OVERHEAD + len(self.body)


class Claim(NamedTuple):
    """A key that one request holds while it runs."""

    key: bytes
    digest: bytes  # of its body
    token: bytes  # nobody else's


class Once(Protocol):
    """Knows what was asked under which key."""

    async def begin(self, claim: Claim) -> Replay | None:
        """The answer that was given before, or None where the key is claimed now.

        Raises IdempotencyInUse while another request holds it, IdempotencyReused for another body, StoreAway.
        """
        ...

    async def finish(self, claim: Claim, answer: Replay | None) -> None:
        """Keep the answer of a claim for a day; None, or one that is too large, frees the key. Never raises."""
        ...


def claimed(secret: bytes, caller: str, operation: str, key: str, body: bytes) -> Claim:
    """The claim of a caller's key; neither it nor the body can be told from what is kept."""
    scope = "\0".join((caller, operation, key)).encode("utf-8", "surrogateescape")
    return Claim(hmac.digest(secret, scope, "sha256"), hmac.digest(secret, body, "sha256"), os.urandom(16))


class Known(NamedTuple):
    """What memory knows of a key: its claim, its answer if there is one, and until when that is good (seconds)."""

    claim: Claim
    answer: Replay | None
    until: float


class MemoryOnce:
    """The twin of one process; the oldest answers go when the bytes run out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, limit: int = BYTES) -> None:
        self.clock = clock
        self.limit = limit
        self.size = 0
        self.known: OrderedDict[bytes, Known] = OrderedDict()

    async def begin(self, claim: Claim) -> Replay | None:
        """The answer that was given before, or None where the key is claimed now."""
        now = self.clock()
        found = self.known.get(claim.key)
        if found is not None and found.until > now:
            if found.claim.digest != claim.digest:
                raise reused()
            if found.answer is None:
                raise in_use()
            return found.answer
        self.keep(Known(claim, None, now + LEASE))
        return None

    async def finish(self, claim: Claim, answer: Replay | None) -> None:
        """Keep the answer of a claim for a day, or free its key."""
        found = self.known.get(claim.key)
        if found is None or found.claim.token != claim.token:
            return
        if answer is None or len(answer.body) > ANSWER_BYTES:
            self.drop(claim.key)
        else:
            self.keep(Known(claim, answer, self.clock() + DAY))

    def keep(self, known: Known) -> None:
        """Know something, and forget what is over or too much."""
        self.drop(known.claim.key)
        self.known[known.claim.key] = known
        self.size += size_of(known)
        oldest = next(iter(self.known.values()))
        while self.size > self.limit or oldest.until <= self.clock():
            self.drop(oldest.claim.key)
            oldest = next(iter(self.known.values()), known)

    def drop(self, key: bytes) -> None:
        """Forget a key."""
        known = self.known.pop(key, None)
        self.size -= 0 if known is None else size_of(known)


def size_of(known: Known) -> int:
    """Bytes that it holds, about."""
    return OVERHEAD if known.answer is None else known.answer.size


def in_use() -> IdempotencyInUse:
    """The error for a key whose request is running."""
    return IdempotencyInUse(IN_USE, retry_after=1.0, headers=(("x-should-retry", "true"),))


def reused() -> IdempotencyReused:
    """The error for a key that comes with another body."""
    return IdempotencyReused(REUSED, param="Idempotency-Key")
