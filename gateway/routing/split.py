"""Which arm of a route's split answers a request: by weight, the same for the same caller or conversation."""

from collections.abc import Iterable
from zlib import crc32

from gateway.routing.book import StatsBook
from gateway.routing.policy import Arm, Route
from gateway.types import ChatRequest

OPENING = 1000  # characters of a message that tell its conversation
SPREAD = 9973.0  # a chance is used for ties as well: its later digits decide here


def arm_of(request: ChatRequest, route: Route, book: StatsBook, chance: float) -> Arm | None:
    """The arm of a request; None when it is the route's own."""
    if not route.arms:
        return None
    drawn = place(request, route.sticky, chance)
    for arm in route.arms:
        share = share_of(arm, route, book)
        if drawn < share:
            return arm
        drawn -= share
    return None


def share_of(arm: Arm, route: Route, book: StatsBook) -> float:
    """The share of requests that an arm has now: one that rolls out changes it."""
    return arm.weight if arm.rollout is None else book.share(route.name, arm.name, arm.rollout)


def place(request: ChatRequest, sticky: str, chance: float) -> float:
    """Where in [0, 1) a request falls."""
    if sticky == "caller":
        return hashed(request.caller.name)
    if sticky == "conversation":
        return hashed(conversation(request))
    return chance * SPREAD % 1.0


def hashed(text: str) -> float:
    """A text as a number in [0, 1) that is the same on every machine."""
    return crc32(text.encode("utf-8", "replace")) / 2**32


def conversation(request: ChatRequest) -> str:
    """What stays the same through a conversation: the key the caller gives it, else how it began."""
    body = request.body
    for name in ("prompt_cache_key", "user"):
        if isinstance(key := body.get(name), str) and key:
            return key
    if messages := body.get("messages"):
        return opening(messages)
    return str(body.get("prompt") or body.get("input") or "")[:OPENING]


def opening(messages: Iterable[object]) -> str:
    """The messages up to the user's first."""
    said = []
    for message in messages:
        if isinstance(message, dict):
            said.append(str(message.get("content"))[:OPENING])
            if message.get("role") == "user":
                break
    return "\n".join(said)
