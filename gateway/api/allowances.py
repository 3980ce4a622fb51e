"""What a caller is told of its limits: OpenAI's `x-ratelimit-*`, and the IETF's `RateLimit` (draft 11)."""

from math import ceil

from gateway.api.reply import Header, header
from gateway.types import Level

WINDOW = 60  # seconds


def allowance_headers(levels: tuple[Level, ...]) -> list[Header]:
    """What is left of requests and tokens a minute; of caller and team, the one that has less left."""
    found: list[Header] = []
    policies, rates = [], []
    for name, unit, (limit, used, _) in tightest(levels):
        left, reset = max(0, int(limit - used)), used * WINDOW / limit if limit else float(WINDOW)
        found += [
            header(b"x-ratelimit-limit-" + unit.encode(), str(limit)),
            header(b"x-ratelimit-remaining-" + unit.encode(), str(left)),
            header(b"x-ratelimit-reset-" + unit.encode(), duration(reset)),
        ]
        policies.append(f'"{name}";q={limit};w={WINDOW};qu="{unit}"')
        rates.append(f'"{name}";r={left};t={ceil(reset)}')
    if policies:
        found.append(header(b"ratelimit-policy", ", ".join(policies)))
        found.append(header(b"ratelimit", ", ".join(rates)))
    return found


def tightest(levels: tuple[Level, ...]) -> list[tuple[str, str, tuple[int, float, float]]]:
    """For requests and for tokens: the limit, what is used of it, and what is left, of whom has the least left."""
    requests = [
        (one.subject.limits.rpm, one.requests, one.subject.limits.rpm - one.requests)
        for one in levels
        if one.subject.limits.rpm is not None
    ]
    tokens = [
        (one.subject.limits.tpm, one.tokens, one.subject.limits.tpm - one.tokens)
        for one in levels
        if one.subject.limits.tpm is not None
    ]
    both = (("rpm", "requests", requests), ("tpm", "tokens", tokens))
    return [(name, unit, min(found, key=lambda one: one[2])) for name, unit, found in both if found]


def duration(seconds: float) -> str:
    """Seconds as OpenAI writes them: `12ms`, `1.5s`, `6m0s`."""
    if seconds < 1:
        return f"{ceil(seconds * 1000)}ms"
    minutes, rest = divmod(ceil(seconds * 1000) / 1000, 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
