"""What a caller is told of its limits: OpenAI's `x-ratelimit-*`, and the IETF's `RateLimit` (draft 11)."""

from math import ceil
from typing import NamedTuple

from gateway.api.reply import Header
from gateway.types import Level

WINDOW = 60  # seconds


class Kind(NamedTuple):
    """One kind of limit, and the headers that tell of it, ready but for the numbers."""

    limit: bytes
    remaining: bytes
    reset: bytes
    policy: bytes
    rate: bytes


def kind(name: str, unit: str) -> Kind:
    """A limit of so many units a minute."""
    limit, remaining, reset = (f"x-ratelimit-{what}-{unit}".encode() for what in ("limit", "remaining", "reset"))
    policy, rate = f'"{name}";q=%d;w={WINDOW};qu="{unit}"', f'"{name}";r=%d;t=%d'
    return Kind(limit, remaining, reset, policy.encode(), rate.encode())


REQUESTS, TOKENS = kind("rpm", "requests"), kind("tpm", "tokens")


def allowance_headers(levels: tuple[Level, ...]) -> list[Header]:
    """What is left of requests and tokens a minute; of caller and team, the one that has less left."""
    requests = [(limit, one.requests) for one in levels if (limit := one.subject.limits.rpm) is not None]
    tokens = [(limit, one.tokens) for one in levels if (limit := one.subject.limits.tpm) is not None]
    found: list[Header] = []
    policies, rates = [], []
    for told, uses in ((REQUESTS, requests), (TOKENS, tokens)):
        if uses:
            limit, used = min(uses, key=left_of)
            left, reset = max(0, int(limit - used)), used * WINDOW / limit if limit else float(WINDOW)
            found += ((told.limit, b"%d" % limit), (told.remaining, b"%d" % left))
            found.append((told.reset, duration(reset).encode()))
            policies.append(told.policy % limit)
            rates.append(told.rate % (left, ceil(reset)))
    if policies:
        found += ((b"ratelimit-policy", b", ".join(policies)), (b"ratelimit", b", ".join(rates)))
    return found


def left_of(use: tuple[int, float]) -> float:
    """What a limit has left."""
    limit, used = use
    return limit - used


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: `12ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    minutes, rest = divmod(ceil(seconds * 1000) / 1000, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
