"""What happens, as it happens: server-sent events for the console. Nobody who follows costs nothing."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import suppress

import orjson

from gateway.api.views import backend_rows, record_row
from gateway.config.live import LivePolicy
from gateway.outcomes import Outcome, Record, Shadowed
from gateway.routing.book import StatsBook
from gateway.routing.policy import Policy
from gateway.telemetry.pulse import Pulse
from gateway.types import Json

TOPICS = frozenset({"pulse", "requests", "backends", "policy"})
MOST = 32  # that follow at a time
HELD = 100  # requests that wait for one follower; of more, only how many
SECOND = 1.0
PAUSE = 0.25  # seconds between two writes to one follower
SILENCE = 15.0  # seconds after which a comment keeps the connection open
BACKENDS_EVERY = 2  # ticks

Events = AsyncGenerator[bytes, None]


class TooMany(Exception):
    """As many follow as may."""


class Follower:
    """Somebody who follows some topics: what waits for them, bounded, the newest kept."""

    def __init__(self, topics: frozenset[str]) -> None:
        self.topics = topics
        self.requests: deque[Record] = deque(maxlen=HELD)
        self.skipped = 0
        self.latest: dict[str, Json] = {}  # topic -> what is to be told
        self.rows: dict[str, Json] = {}  # deployment -> what this follower knows of it
        self.policy: Json = {}  # the same of the policy
        self.news = asyncio.Event()

    def tell(self, topic: str, body: Json) -> None:
        """The newest of a topic, where it is followed."""
        if topic in self.topics:
            self.latest[topic] = body
            self.news.set()

    def add(self, record: Record) -> None:
        """One more request."""
        if "requests" in self.topics:
            self.skipped += len(self.requests) == HELD
            self.requests.append(record)
            self.news.set()

    def differ(self, rows: Iterable[Json]) -> None:
        """The deployments that are not as this follower knows them."""
        changed = [row for row in rows if self.rows.get(row["deployment"]) != row]
        if changed:
            self.rows |= {row["deployment"]: row for row in changed}
            waiting = {row["deployment"]: row for row in self.latest.get("backends", {}).get("rows", ())}
            self.tell("backends", {"rows": list((waiting | {row["deployment"]: row for row in changed}).values())})

    def taken(self) -> bytes:
        """Everything that waits, as events."""
        self.news.clear()
        latest, self.latest = self.latest, {}
        if self.requests:
            rows = [record_row(record) for record in self.requests]
            latest["requests"] = {"rows": rows, "skipped": self.skipped}
            self.requests.clear()
            self.skipped = 0
        return b"".join([event(topic, body) for topic, body in latest.items()])


class Broadcast:
    """An observer that tells followers of requests, and once a second of everything else."""

    def __init__(self, pulse: Pulse, live: LivePolicy, book: StatsBook, clock: Callable[[], float]) -> None:
        self.pulse = pulse
        self.live = live
        self.book = book
        self.clock = clock
        self.followers: set[Follower] = set()
        self.closed = asyncio.Event()
        self.count = 0

    def attempted(self, outcome: Outcome) -> None:
        """Attempts come with their request's record."""

    def answered(self, record: Record) -> None:
        """A request is over."""
        for follower in self.followers:
            follower.add(record)

    def shadowed(self, told: Shadowed) -> None:
        """Copies are no requests of callers."""

    async def run(self) -> None:
        """Tick once a second, for as long as this is awaited."""
        while True:
            await asyncio.sleep(SECOND)
            self.tick(time.time())

    def tick(self, at: float) -> None:
        """A second has passed."""
        made = self.pulse.tick(at)
        if not self.followers:
            return
        self.count += 1
        body = {**made._asdict(), "totals": self.pulse.totals._asdict(), "in_flight": in_flight(self.book)}
        body["deployments"] = counts(self.live.current, self.book, self.clock())
        policy = policy_state(self.live)
        watched = self.count % BACKENDS_EVERY == 0 and any("backends" in one.topics for one in self.followers)
        rows = backend_rows(self.live.current, self.book, self.clock(), self.pulse.ttfts) if watched else []
        for follower in self.followers:
            follower.tell("pulse", body)
            if follower.policy != policy:
                follower.policy = policy
                follower.tell("policy", policy)
            if "backends" in follower.topics:
                follower.differ(rows)

    def follow(self, topics: frozenset[str]) -> Events:
        """The events of some topics, from now on until the follower goes or the process ends; raises TooMany."""
        if len(self.followers) >= MOST:
            raise TooMany(f"{MOST} follow already; close a console, or look at GET /admin/overview now and then.")
        return self.stream(Follower(topics))

    def renew(self, policy: Policy) -> None:
        """The policy has changed: what it adds to a drained backend rests as well, and what is gone is forgotten."""
        self.book.drain(self.book.drained, policy.deployments)
        self.pulse.keep(one.name for one in policy.deployments)

    def close(self) -> None:
        """End all streams."""
        self.closed.set()
        for follower in self.followers:
            follower.news.set()

    async def stream(self, follower: Follower) -> Events:
        """What waits for a follower, a few times a second."""
        self.followers.add(follower)
        try:
            yield b"retry: 2000\n: follows\n\n"
            while not self.closed.is_set():
                await within(SILENCE, follower.news)
                yield follower.taken() or b": still here\n\n"
                await within(PAUSE, self.closed)
        finally:
            self.followers.discard(follower)


async def within(seconds: float, happened: asyncio.Event) -> None:
    """Wait for something, no longer than that; nothing is left behind by whoever is cancelled meanwhile."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await happened.wait()


def event(topic: str, body: Json) -> bytes:
    """One event of the stream."""
    return b"event: %s\ndata: %s\n\n" % (topic.encode(), orjson.dumps(body))


def in_flight(book: StatsBook) -> int:
    """Requests on their way to any backend."""
    return sum(book.in_flight.values())


def counts(policy: Policy, book: StatsBook, now: float) -> dict[str, int]:
    """How many deployments there are, are usable, and are drained."""
    up = sum(book.of(one).up(now) for one in policy.deployments)
    drained = sum(one.backend in book.drained for one in policy.deployments)
    return {"all": len(policy.deployments), "up": up, "drained": drained}


def policy_state(live: LivePolicy) -> Json:
    """Which policy is in force, and whether its file was refused."""
    return {
        "generation": live.current.generation,
        "pinned": live.pinned,
        "changed": live.changed,
        "last_reload": "refused" if live.problems else "ok",
    }
