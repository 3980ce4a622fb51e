"""Looks after the servers of the policy in force: asks whether they are well, and what they have to do."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple, Protocol

import structlog

from gateway.engine.transitions import turned
from gateway.errors import UpstreamError
from gateway.fleet.health import CHECK_SECONDS, DOWN_SECONDS, LOAD_SECONDS, NEVER, Health, strangers
from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import headers_of
from gateway.providers.port import HttpCall, Transport
from gateway.routing.book import StatsBook
from gateway.routing.policy import Policy
from gateway.types import Backend, Deployment, Load

TICK = 0.5  # seconds between two looks at what is due
SECONDS = 2.0  # that an answer may take
SELDOM = 300.0  # seconds until a server is asked again for what it does not have
MOST = 1 << 20  # bytes of one that are read
GRACE = 3.0  # times the seconds until the next check, in which a server that is not well stays out
NO_CHECK = frozenset({400, 401, 403, 404, 405, 501})  # statuses of a server, or of what is before it, that has none
METRICS = "/metrics"
log = structlog.get_logger()


class Transports(Protocol):
    """Gives the transport that a backend's requests take."""

    def transport(self, backend: Backend) -> Transport:
        """The transport for a backend's connection settings."""
        ...


class Means(NamedTuple):
    """What looking takes: time and chance are among it."""

    transports: Transports
    kind: Callable[[str], Kind]  # of a provider kind's name
    clock: Callable[[], float]
    chance: Callable[[], float]  # in [0, 1)
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class Server:
    """One backend that is looked after."""

    def __init__(self, backend: Backend, kind: Kind, deployments: tuple[Deployment, ...], check: float) -> None:
        self.backend = backend
        self.kind = kind
        self.deployments = deployments
        self.base = backend.url.rstrip("/").removesuffix("/v1")
        self.headers = headers_of(backend)
        self.check = check  # when it is due
        self.look = NEVER  # the same at its load
        self.health = Health()
        self.trouble = ""


class Probes:
    """Keeps a server for each backend whose kind says how to look after it; nothing is asked of any other."""

    def __init__(self, policy: Callable[[], Policy], book: StatsBook, means: Means) -> None:
        self.policy = policy
        self.book = book
        self.means = means
        self.known: Policy | None = None
        self.servers: dict[str, Server] = {}
        self.asking: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look after them, for as long as this is awaited."""
        try:
            while True:
                self.tick()
                await self.means.sleep(TICK)
        finally:
            for task in self.asking.values():
                task.cancel()
            await asyncio.gather(*self.asking.values(), return_exceptions=True)

    def tick(self) -> None:
        """Ask of every server what is due."""
        policy, now = self.policy(), self.means.clock()
        if policy is not self.known:
            self.known, self.servers = policy, self.kept(policy, now)
            self.tell(now)
        for name, server in self.servers.items():
            if name in self.asking:
                continue
            load, check = self.load_due(server, now), server.kind.health is not None and now >= server.check
            if load or check:
                task = self.asking[name] = asyncio.create_task(self.asked(server, load, check))
                task.add_done_callback(partial(self.done, name))

    def done(self, name: str, task: "asyncio.Task[None]") -> None:
        """A server has been asked."""
        del self.asking[name]

    def load_due(self, server: Server, now: float) -> bool:
        """Whether it is time for a look at a server's load: while it works for us, else as seldom as for a check."""
        busy = self.book.in_flight.get(server.backend.name, 0) > 0
        return server.kind.load is not None and now >= server.look + (LOAD_SECONDS if busy else CHECK_SECONDS)

    def kept(self, policy: Policy, now: float) -> dict[str, Server]:
        """The servers of a policy; what was known of one that stays the same is kept."""
        found = {}
        for name, backend in policy.backends.items():
            kind = self.means.kind(backend.kind)
            deployments = tuple(one for one in policy.deployments if one.backend == name)
            if not deployments or (kind.health is None and kind.load is None) or not kind.transport:
                continue
            made = Server(backend, kind, deployments, now + self.means.chance() * CHECK_SECONDS)
            before = self.servers.get(name)
            if before is not None and before.backend == backend:
                made.health, made.trouble = before.health, before.trouble
                made.check, made.look = before.check, before.look
            found[name] = made
        return found

    async def asked(self, server: Server, load: bool, check: bool) -> None:
        """Ask a server what is due, and act on what it says."""
        if load:
            await self.look_at(server)
        if check:
            await self.check(server)
        self.act(server, self.means.clock())

    async def look_at(self, server: Server) -> None:
        """Look at its load; one that does not tell it is asked again after a long time only."""
        server.look = self.means.clock()
        status, body = await self.answer(server, METRICS)
        found = server.kind.load(body) if status == 200 and server.kind.load is not None else None
        if status in NO_CHECK or (status == 200 and found is None):
            server.look = self.means.clock() + SELDOM
        server.health = server.health.loaded(found, self.means.clock())

    async def check(self, server: Server) -> None:
        """Ask whether it is well; one that has no such check is asked again after a long time only."""
        status, _ = await self.answer(server, server.kind.health or "/")
        server.health = server.health.checked(0 < status < 500 or status in NO_CHECK)
        pause = SELDOM if status in NO_CHECK else DOWN_SECONDS if server.health.failed else CHECK_SECONDS
        server.check = self.means.clock() + pause

    async def answer(self, server: Server, path: str) -> tuple[int, bytes]:
        """Status and body of a GET; status 0 when there is none in time."""
        call = HttpCall("GET", server.base + path, server.headers, b"", SECONDS)
        try:
            async with asyncio.timeout(SECONDS):
                response = await self.means.transports.transport(server.backend).send(call)
                try:
                    return response.status, await response.read(MOST)
                finally:
                    response.close()
        except (UpstreamError, TimeoutError):
            return 0, b""

    def act(self, server: Server, now: float) -> None:
        """Keep a server out that is not well, and let it be tried again when it is; say what it has to do."""
        trouble, before = server.health.trouble(now), server.trouble
        server.trouble = trouble
        if self.servers.get(server.backend.name) is not server:
            return  # another policy came meanwhile
        if trouble != before:
            (log.warning if trouble else log.info)("backend.health", backend=server.backend.name, trouble=trouble)
        for deployment in server.deployments:
            if before and before != trouble:
                self.book.readmit(deployment, now, before)
            if trouble:
                turned(deployment, self.book.eject(deployment, now, now + GRACE * DOWN_SECONDS, trouble))
        self.tell(now)

    def tell(self, now: float) -> None:
        """Put the loads that are fresh where routing and metrics find them."""
        loads = {name: load for name, one in self.servers.items() if (load := one.health.fresh(now)) is not None}
        crowds = {name: self.crowd(self.servers[name], load) for name, load in loads.items()}
        self.book.loads, self.book.strangers = loads, {name: count for name, count in crowds.items() if count}

    def crowd(self, server: Server, load: Load) -> int:
        """Requests at a server that are not ours, or as good as that many."""
        ours = self.book.in_flight.get(server.backend.name, 0)
        return strangers(load, ours, max(one.slots for one in server.deployments))
