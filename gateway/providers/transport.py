"""The transport of the hot path: pooled HTTP/1.1 connections, the last used first, behind the port's few methods."""

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.errors import Disconnected, InvalidResponse, Unreachable
from gateway.providers.http1 import ALL, Connection, window
from gateway.providers.port import HttpCall

OUR_LIMITS = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})
TARGETS = 1000  # URLs that are remembered in parts
MAX_AGE = 300.0  # seconds of a connection: after that a changed DNS entry is seen
END_SECONDS = 0.1  # to wait for the end of a body that is complete, so that its connection can be reused


Address = tuple[str, str, int]  # scheme, host and port


class Target(NamedTuple):
    """Where a URL points: the pool's key is scheme, host and port."""

    scheme: str
    host: str
    port: int
    start: bytes  # of the head: ` path HTTP/1.1`, and the Host header


class Answer:
    """An answer whose head is here."""

    def __init__(self, connection: Connection, pool: "Pool") -> None:
        self.connection = connection
        self.pool: Pool | None = pool
        self.status = connection.status
        self.headers: Mapping[str, str] = connection.headers

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        while part := await self.connection.part():
            yield part

    async def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes."""
        body = await self.connection.part(ALL)
        if self.connection.complete and not self.connection.parts and len(body) <= limit:
            return body
        held, size = [body], len(body)
        while size <= limit and (body := await self.connection.part(ALL)):
            held.append(body)
            size += len(body)
        if size > limit:
            raise InvalidResponse(f"The upstream sent an answer of more than {limit} bytes.")
        return b"".join(held)

    async def end(self) -> None:
        """Wait briefly for the body's last bytes, so that the connection can be used again."""
        if self.connection.complete:
            return
        try:
            async with asyncio.timeout(END_SECONDS):
                await self.connection.part()
        except (TimeoutError, Disconnected, InvalidResponse):
            return  # the answer is whole already; the connection is closed instead

    def close(self) -> None:
        """Give the connection back if its answer was read to the end, else close it."""
        pool, self.pool = self.pool, None
        if pool is not None:
            pool.give(self.connection)


class Pool:
    """The idle connections to one address."""

    def __init__(self, keepalive: float) -> None:
        self.keepalive = keepalive
        self.idle: list[Connection] = []
        self.timer: asyncio.TimerHandle | None = None
        self.left = False  # no backend is there any more: nothing is kept

    def take(self) -> Connection | None:
        """The connection that was used last, unless it may have been closed by now."""
        now = asyncio.get_running_loop().time()
        while self.idle:
            connection = self.idle.pop()
            if not connection.closed and now - connection.idle_since < self.keepalive:
                return connection
            connection.abort()
        return None

    def give(self, connection: Connection) -> None:
        """Keep a connection for the next request, or close it."""
        now = connection.loop.time()
        whole = connection.complete and not connection.parts and connection.reusable and not connection.closed
        if not whole or self.left or now - connection.born > MAX_AGE:
            connection.abort()
            return
        connection.idle_since = now
        self.idle.append(connection)
        if self.timer is None:
            self.timer = connection.loop.call_later(self.keepalive, self.sweep)

    def sweep(self) -> None:
        """Close what has been idle for too long, and look again later if anything is left."""
        self.timer = None
        loop = asyncio.get_running_loop()
        young = loop.time() - self.keepalive
        for connection in self.idle:
            if connection.idle_since <= young:
                connection.abort()
        self.idle = [connection for connection in self.idle if not connection.closed]
        if self.idle:
            self.timer = loop.call_later(self.keepalive, self.sweep)

    def lost(self, connection: Connection) -> None:
        """A connection was closed, perhaps by the other side."""
        if connection in self.idle:
            self.idle.remove(connection)

    def close(self) -> None:
        """Close all."""
        if self.timer is not None:
            self.timer.cancel()
        for connection in list(self.idle):
            connection.abort()
        self.idle.clear()


class PooledTransport:
    """Sends HTTP calls; one pool for each address."""

    def __init__(self, keepalive: float, tls: ssl.SSLContext | None = None) -> None:
        self.keepalive = keepalive
        self.tls = tls
        self.window = window()
        self.pools: dict[Address, Pool] = {}
        self.targets: dict[str, Target] = {}
        self.served: frozenset[Address] = frozenset()  # where backends are, and where some were
        self.left: frozenset[Address] | None = frozenset()  # where none is any more; None: anywhere

    async def send(self, call: HttpCall) -> Answer:
        """The answer's head.

        A reused connection that was closed before any byte came back lost the race with a server that closes idle
        ones: the request is sent once more, on a fresh connection.
        """
        target = self.target(call.url)
        request = request_of(call, target)
        pool = self.pool(target)
        connection = pool.take()
        if connection is not None:
            try:
                return await self.exchange(connection, request, pool)
            except Disconnected:
                if connection.received:
                    raise
        return await self.exchange(await self.connect(target, pool, call.connect), request, pool)

    def target(self, url: str) -> Target:
        """Where a URL points; the few that are asked again and again are remembered."""
        known = self.targets.get(url)
        if known is None:
            if len(self.targets) >= TARGETS:
                self.targets.clear()
            known = self.targets[url] = target_of(url)
        return known

    async def exchange(self, connection: Connection, request: bytes, pool: Pool) -> Answer:
        """Ask on a connection and wait for the head; however that ends, the connection is not lost."""
        try:
            connection.ask(request)
            await connection.head()
        except BaseException:
            connection.abort()
            raise
        return Answer(connection, pool)

    async def connect(self, target: Target, pool: Pool, seconds: float) -> Connection:
        """A new connection; raises Unreachable."""
        loop = asyncio.get_running_loop()
        secure = target.scheme == "https"
        try:
            async with asyncio.timeout(seconds):
                _, connection = await loop.create_connection(
                    lambda: Connection(pool.lost, self.window),
                    target.host,
                    target.port,
                    ssl=self.context() if secure else None,
                    server_hostname=target.host if secure else None,
                )
        except TimeoutError as exc:
            raise Unreachable(f"No connection to the upstream within {seconds:g} s.") from exc
        except (OSError, UnicodeError) as exc:
            raise unreachable(exc) from exc
        return connection

    def pool(self, target: Target) -> Pool:
        """The pool of an address."""
        key = target[:3]
        return self.pools.get(key) or self.new_pool(key)

    def new_pool(self, key: Address) -> Pool:
        """A pool; where no backend is any more, only requests that are under way still ask, and it keeps nothing."""
        pool = self.pools[key] = Pool(self.keepalive)
        pool.left = self.left is None or key in self.left
        return pool

    def serving(self, urls: Collection[str]) -> None:
        """Keep no connections to addresses that backends had before and have no more; without any, none at all."""
        used = frozenset(target_of(url)[:3] for url in urls)
        self.served |= used
        self.left = self.served - used if used else None
        for key in [key for key in self.pools if self.left is None or key in self.left]:
            pool = self.pools.pop(key)
            pool.left = True
            pool.close()
        for key, pool in self.pools.items():
            pool.left = self.left is None or key in self.left

    def context(self) -> ssl.SSLContext:
        """The TLS context, with the system's authorities unless others were given; made when first needed."""
        if self.tls is None:
            self.tls = ssl.create_default_context()
        return self.tls

    async def close(self) -> None:
        """Close all idle connections."""
        for pool in self.pools.values():
            pool.close()


def unreachable(exc: OSError | UnicodeError) -> Unreachable:
    """Why no connection could be made, without the address; trouble of our own is nobody else's fault."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        return Unreachable(f"The upstream has a certificate that is not good: {exc.verify_message}.")
    if isinstance(exc, ssl.SSLError):
        return Unreachable("The upstream does not speak TLS as we do.")
    if isinstance(exc, socket.gaierror) and exc.errno == socket.EAI_AGAIN:
        return Unreachable("The upstream has a host name that no name server tells the address of just now.")
    if isinstance(exc, socket.gaierror | UnicodeError):
        return Unreachable("The upstream has a host name that is not known.")
    if isinstance(exc, ConnectionRefusedError):
        return Unreachable("The upstream refuses connections: nothing listens there.")
    error = Unreachable(f"No connection to the upstream could be made ({exc.strerror or 'no reason given'}).")
    if exc.errno in OUR_LIMITS:
        error.verdict = "neutral"
    return error


def target_of(url: str) -> Target:
    """Where a URL points."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    name = f"[{host}]" if ":" in host else host
    where = name if parts.port is None else f"{name}:{port}"
    return Target(parts.scheme, host, port, f" {path} HTTP/1.1\r\nhost: {where}\r\n".encode("ascii"))


def request_of(call: HttpCall, target: Target) -> bytes:
    """The bytes of a request; raises InvalidResponse for a header that HTTP cannot carry."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in call.headers.items()])
    if lines.count("\n") != len(call.headers) or lines.count("\r") != len(call.headers):
        raise InvalidResponse("A header for the upstream holds a line break; correct it in the policy.")
    length = b"" if call.method == "GET" else b"content-length: %d\r\n" % len(call.body)
    head = call.method.encode("ascii") + target.start + lines.encode("latin-1", "replace") + length
    return b"%b\r\n%b" % (head, call.body)
