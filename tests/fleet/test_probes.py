"""Looking after servers, in virtual time: what is asked, how often, and what follows from the answers."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from gateway.errors import Unreachable
from gateway.fleet.health import CHECK_SECONDS, SILENT, STILL
from gateway.fleet.probes import Means, Probes
from gateway.providers.held import Held
from gateway.providers.kind import Kind
from gateway.providers.port import HttpCall
from gateway.providers.registry import provider_class
from gateway.routing.book import StatsBook
from gateway.routing.policy import Policy
from gateway.types import Backend
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, policy, route

SERVER, OTHER = deployment("gpu-a", slots=8), deployment("hosted", kind="together")
RULES = policy(route(SERVER, OTHER))
METRICS = 'vllm:num_requests_running{{engine="0"}} {running}\nvllm:num_requests_waiting{{engine="0"}} {waiting}\n'
METRICS += 'vllm:kv_cache_usage_perc{{engine="0"}} {cache}\nvllm:generation_tokens_total{{engine="0"}} {tokens}\n'


class Upstream:
    """Answers health checks and metrics as it is told; a transport, and whoever gives it."""

    def __init__(self, **load: float) -> None:
        self.load = {"running": 0.0, "waiting": 0.0, "cache": 0.0, "tokens": 0.0, **load}
        self.health: int | None = 200  # None: no connection
        self.metrics = 200
        self.hangs = False
        self.asked: list[tuple[float, str]] = []

    def transport(self, backend: Backend) -> "Upstream":
        return self

    async def send(self, call: HttpCall) -> Held:
        self.asked.append((now(), call.url))
        if self.hangs:
            await asyncio.Event().wait()
        if call.url.endswith("/metrics"):
            return Held(self.metrics, {}, METRICS.format(**self.load).encode())
        if self.health is None:
            raise Unreachable("nothing listens there")
        return Held(self.health, {}, b"")

    async def close(self) -> None:
        """Nothing is open."""

    def times(self, path: str, host: str = "127.0.0.1") -> list[float]:
        return [at for at, url in self.asked if url == f"http://{host}:1{path}"]


def kind(name: str) -> Kind:
    return provider_class(name).kind


Part = Callable[[Probes, StatsBook], Awaitable[None]]


def looked_after(upstream: Upstream, part: Part, rules: Callable[[], Policy] = lambda: RULES) -> None:
    """Run a part beside the probes."""

    async def scenario() -> None:
        book = StatsBook()
        probes = Probes(rules, book, Means(upstream, kind, now, lambda: 0.5))
        task = asyncio.create_task(probes.run())
        await part(probes, book)
        task.cancel()
        await asyncio.wait([task])
        assert not probes.asking

    run(scenario())


def up(book: StatsBook) -> bool:
    return book.of(SERVER).up(now())


async def works(book: StatsBook, seconds: float) -> None:
    """A request of ours is at the server for so long."""
    book.started(SERVER, now())
    await asyncio.sleep(seconds)


def test_health_is_checked_every_five_seconds_and_nothing_is_asked_of_hosted_ones() -> None:
    upstream = Upstream()

    async def part(probes: Probes, book: StatsBook) -> None:
        await asyncio.sleep(60)
        checks = upstream.times("/health")
        assert 11 <= len(checks) <= 13
        assert all(later - at >= CHECK_SECONDS for at, later in pairwise(checks))
        assert {url for _, url in upstream.asked} == {"http://127.0.0.1:1/health", "http://127.0.0.1:1/metrics"}
        assert len(upstream.times("/metrics")) <= 13  # as seldom, while it has nothing to do for us

    looked_after(upstream, part)


def test_load_is_looked_at_once_a_second_while_the_server_works_for_us() -> None:
    upstream = Upstream(running=3.0, waiting=1.0, cache=0.5)

    async def part(probes: Probes, book: StatsBook) -> None:
        await works(book, 30)
        assert 25 <= len(upstream.times("/metrics")) <= 31
        assert book.loads["gpu-a"]._replace(tokens=0.0) == (3.0, 1.0, 0.5, 0.0)
        assert book.strangers == {"gpu-a": 3}

    looked_after(upstream, part)


def test_server_that_fails_its_checks_is_out_within_fifteen_seconds_and_tried_again_when_it_is_well() -> None:
    upstream = Upstream()

    async def part(probes: Probes, book: StatsBook) -> None:
        await asyncio.sleep(7)
        upstream.health = 503
        await asyncio.sleep(15)
        assert not up(book) and book.of(SERVER).breaker.because == SILENT
        await asyncio.sleep(120)
        assert not up(book)  # for as long as it lasts
        upstream.health = 200
        await asyncio.sleep(3)
        assert up(book) and not book.of(SERVER).breaker.closed  # half-open: real requests decide

    looked_after(upstream, part)


@pytest.mark.parametrize("fault", ["unreachable", "hanging"])
def test_server_that_does_not_answer_is_out_too_and_asked_every_two_seconds(fault: str) -> None:
    upstream = Upstream()

    async def part(probes: Probes, book: StatsBook) -> None:
        await asyncio.sleep(7)
        upstream.health, upstream.hangs = None, fault == "hanging"
        await asyncio.sleep(25)
        assert not up(book)
        before = len(upstream.times("/health"))
        await asyncio.sleep(20)
        assert 4 <= len(upstream.times("/health")) - before <= 10

    looked_after(upstream, part)


def test_server_that_is_well_by_its_own_word_but_makes_no_token_is_out_within_fifteen_seconds() -> None:
    upstream = Upstream(running=4.0, tokens=1000.0)

    async def part(probes: Probes, book: StatsBook) -> None:
        book.started(SERVER, now())
        for _ in range(20):
            upstream.load["tokens"] += 10
            await asyncio.sleep(1)
        assert up(book)
        await asyncio.sleep(15)
        assert not up(book) and book.of(SERVER).breaker.because == STILL
        await asyncio.sleep(60)
        assert not up(book)
        upstream.load["tokens"] += 1
        await asyncio.sleep(3)
        assert up(book)

    looked_after(upstream, part)


def test_server_without_work_may_make_no_token() -> None:
    upstream = Upstream(tokens=1000.0)

    async def part(probes: Probes, book: StatsBook) -> None:
        await works(book, 60)
        assert up(book)

    looked_after(upstream, part)


@pytest.mark.parametrize("status", [401, 404, 405])
def test_server_without_a_check_or_metrics_is_seldom_asked_for_them_and_blamed_for_nothing(status: int) -> None:
    upstream = Upstream()
    upstream.health = upstream.metrics = status

    async def part(probes: Probes, book: StatsBook) -> None:
        await asyncio.sleep(60)
        assert up(book) and not book.loads
        assert len(upstream.times("/health")) == len(upstream.times("/metrics")) == 1

    looked_after(upstream, part)


def test_what_is_known_of_a_server_outlives_a_reload_and_what_is_gone_is_forgotten() -> None:
    upstream, rules = Upstream(running=1.0), [RULES]

    async def part(probes: Probes, book: StatsBook) -> None:
        await asyncio.sleep(7)
        upstream.health = 500
        await asyncio.sleep(15)
        assert not up(book)
        rules[0] = policy(route(SERVER, OTHER), generation="g2")
        await asyncio.sleep(4)
        assert not up(book) and book.loads.keys() <= {"gpu-a"}
        rules[0] = policy(route(OTHER), generation="g3")
        await asyncio.sleep(12)
        count = len(upstream.asked)
        await asyncio.sleep(60)
        assert len(upstream.asked) == count and not book.loads and not book.strangers

    looked_after(upstream, part, lambda: rules[0])


def test_backend_whose_address_ends_with_its_version_is_asked_above_it() -> None:
    upstream = Upstream()
    # A policy is made anew for each look, as by reload after reload: that puts off no check.
    backends = {"gpu-a": Backend("gpu-a", "vllm", "http://10.0.0.1:1/v1/", api_key="key-0123456789")}

    async def part(probes: Probes, book: StatsBook) -> None:
        await asyncio.sleep(7)
        assert upstream.times("/health", "10.0.0.1")

    looked_after(upstream, part, lambda: policy(route(SERVER), backends=backends))
