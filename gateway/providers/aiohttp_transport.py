"""The transport of the hot path: aiohttp's pooled connections behind the port's few methods."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextvars import ContextVar
from typing import Any

import aiohttp
from yarl import URL

from gateway.errors import Disconnected, InvalidResponse, Unreachable
from gateway.providers.port import HttpCall

READ_BUFFER = 65536  # bytes that one response may hold while its reader is slow
STALE_RETRIES = 3  # reused connections in a row that may turn out closed
END_SECONDS = 0.1  # to wait for the end of a body that is complete, so that its connection can be reused


class AiohttpResponse:
    """An answer whose headers are here."""

    def __init__(self, inner: aiohttp.ClientResponse, ended: Callable[[], None]) -> None:
        self.inner = inner
        self.ended: Callable[[], None] | None = ended
        self.status = inner.status
        self.headers: Mapping[str, str] = inner.headers

    async def parts(self) -> AsyncIterator[bytes]:
        """The body as it arrives."""
        content = self.inner.content
        try:
            while part := await content.readany():
                yield part
        except aiohttp.ClientPayloadError as exc:
            raise Disconnected("The upstream closed the connection in the middle of its answer.") from exc
        except (aiohttp.ClientError, OSError) as exc:
            raise Disconnected("The connection to the upstream broke in the middle of its answer.") from exc

    async def read(self, limit: int) -> bytes:
        """The whole body, at most `limit` bytes."""
        held = []
        size = 0
        async for part in self.parts():
            size += len(part)
            if size > limit:
                raise InvalidResponse(f"The upstream sent an answer of more than {limit} bytes.")
            held.append(part)
        return held[0] if len(held) == 1 else b"".join(held)

    async def end(self) -> None:
        """Wait briefly for the body's last bytes, so that the connection can be used again."""
        content = self.inner.content
        if content.at_eof():
            return
        try:
            async with asyncio.timeout(END_SECONDS):
                await content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError):
            return  # the answer is whole already; the connection is closed instead

    def close(self) -> None:
        """Give the connection back if its body was read to the end, else close it."""
        self.inner.release()
        ended, self.ended = self.ended, None
        if ended is not None:
            ended()


class Connector(aiohttp.TCPConnector):
    """Remembers, for the task that asked, whether the connection it got was used before."""

    reused: ContextVar[bool] = ContextVar("reused", default=False)

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109  # its name
    ) -> aiohttp.connector.Connection:
        """A connection from the pool, or a new one."""
        connection = await super().connect(req, traces, timeout)
        protocol: Any = connection.protocol
        self.reused.set(getattr(protocol, "used_before", False))
        protocol.used_before = True
        return connection


class AiohttpTransport:
    """Sends HTTP calls over pooled connections; one pool for each address."""

    def __init__(self, keepalive: float, tls: ssl.SSLContext | None = None, proxy: str | None = None) -> None:
        self.keepalive = keepalive
        self.tls = tls
        self.proxy = proxy
        self.session: aiohttp.ClientSession | None = None
        self.connector: Connector
        self.urls: dict[str, URL] = {}
        self.under_way = 0  # calls whose answers are not closed
        self.unused = False  # by any backend of the policy in force
        self.closing: asyncio.Task[None] | None = None

    async def send(self, call: HttpCall) -> AiohttpResponse:
        """The answer's head; a reused connection that was closed before any byte came back is replaced.

        That is nearly always the race with a server that closes idle connections, where nothing was read.
        """
        self.under_way += 1
        try:
            return await self.answer(self.session or self.open(), call)
        except BaseException:
            self.ended()
            raise

    async def answer(self, session: aiohttp.ClientSession, call: HttpCall) -> AiohttpResponse:
        """The same."""
        for _ in range(STALE_RETRIES):
            try:
                return AiohttpResponse(await self.request(session, call), self.ended)
            except aiohttp.ClientConnectorError as exc:
                raise Unreachable("No connection to the upstream could be made.") from exc
            except aiohttp.ConnectionTimeoutError as exc:
                raise Unreachable(f"No connection to the upstream within {call.connect:g} s.") from exc
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, ConnectionError) as exc:
                if not self.connector.reused.get():
                    raise Disconnected("The upstream closed the connection without an answer.") from exc
            except (aiohttp.ClientError, ValueError) as exc:
                raise InvalidResponse("The upstream sent an answer that is not HTTP.") from exc
        raise Disconnected("The upstream closed several reused connections without an answer.")

    async def request(self, session: aiohttp.ClientSession, call: HttpCall) -> aiohttp.ClientResponse:
        """One try."""
        url = self.urls.get(call.url) or self.urls.setdefault(call.url, URL(call.url, encoded=True))
        return await session.request(
            call.method,
            url,
            data=call.body or None,
            headers=call.headers,
            proxy=self.proxy,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=call.connect),
        )

    def open(self) -> aiohttp.ClientSession:
        """The session, made when the first call needs it: it belongs to the running event loop."""
        self.connector = Connector(limit=0, keepalive_timeout=self.keepalive, ssl=self.tls or True)
        self.session = aiohttp.ClientSession(
            connector=self.connector,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("accept-encoding", "user-agent"),
            read_bufsize=READ_BUFFER,
            trust_env=False,
        )
        return self.session

    def ended(self) -> None:
        """A call is over."""
        self.under_way -= 1
        self.rest()

    def serving(self, urls: Collection[str]) -> None:
        """Close all connections when the last call is over, if no backend has an address any more."""
        self.unused = not urls
        self.rest()

    def rest(self) -> None:
        """Close the session where nobody needs it; a late call opens another."""
        if self.unused and not self.under_way and self.session is not None:
            session, self.session = self.session, None
            self.closing = asyncio.get_running_loop().create_task(session.close())

    async def close(self) -> None:
        """Close all connections."""
        if self.closing is not None:
            await self.closing
        if self.session is not None:
            await self.session.close()
