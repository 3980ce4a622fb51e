"""Asks one backend what the checks want to know: its name, a connection, TLS, its models, its kind's questions."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from threading import Thread
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx

from gateway.errors import UpstreamError
from gateway.fleet.checks.clock import Reading
from gateway.fleet.checks.listing import near
from gateway.fleet.checks.reach import Place, Trouble
from gateway.fleet.httpx_transport import Answer, HttpxTransport, Unreadable, fetch
from gateway.providers.held import Held
from gateway.providers.pool import tls_of
from gateway.providers.port import HttpCall, Provider, ServedModel
from gateway.types import Backend

ADDRESSES = 3  # of one name that are tried
PORTS = {"http": 80, "https": 443}

Clock = Callable[[], datetime]


class Reached(NamedTuple):
    """How far the way to a backend goes, and when its certificate ends."""

    place: Place
    trouble: Trouble | None = None
    ends: datetime | None = None


class Listing(NamedTuple):
    """What came of asking for the models; no `models` and no `error` when it took too long."""

    models: tuple[ServedModel, ...] | None = None
    error: UpstreamError | None = None
    status: int | None = None
    headers: Mapping[str, str] = {}


class Watched(HttpxTransport):
    """A transport that notes the status and the time of each answer."""

    def __init__(self, client: httpx.AsyncClient, whom: str, clock: Clock) -> None:
        super().__init__(client)
        self.whom = whom
        self.clock = clock
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.readings: list[Reading] = []

    async def send(self, call: HttpCall) -> Held:
        """The whole answer."""
        self.status = None
        response = await super().send(call)
        self.status, self.headers = response.status, response.headers
        headers = response.headers
        here = near(urlsplit(call.url).hostname)
        self.readings.append(Reading(self.whom, headers.get("date", ""), headers.get("age", ""), self.clock(), here))
        return response


def place_of(url: str, proxy: str | None = None) -> Place | None:
    """Where to connect for an address; None when there is none."""
    split = urlsplit((proxy or url) if url else "")
    if not split.hostname:
        return None
    port = split.port or PORTS.get(split.scheme, 443)
    return Place(split.hostname, port, split.scheme == "https", proxy is not None)


def context_of(backend: Backend) -> ssl.SSLContext:
    """The TLS context of the gateway's own connections to a backend; raises OSError when its files cannot be used."""
    if urlsplit(backend.url).scheme == "http" and backend.ca is None and backend.cert is None:
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # never used, and cheap
    return tls_of(backend) or ssl.create_default_context()


async def reach(place: Place, context: ssl.SSLContext, seconds: float) -> Reached:
    """The way to a place, step by step, in so many seconds at most."""
    step = "dns"
    try:
        async with asyncio.timeout(seconds):
            addresses = await resolved(place.host, place.port)
            step = "tcp"
            writer = await connected(addresses, place.port, seconds / ADDRESSES)
            step = "tls"
            try:
                return Reached(place, ends=await secured(writer, place, context) if place.tls else None)
            finally:
                writer.close()
    except TimeoutError:
        return Reached(place, Trouble(step))
    except (OSError, UnicodeError) as exc:
        return Reached(place, Trouble(step, exc))


async def resolved(host: str, port: int) -> list[str]:
    """The addresses of a name, looked up in a thread that nobody waits for when it hangs."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[str]] = loop.create_future()

    def tell(found: list[str] | Exception) -> None:
        if future.done():
            return
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)

    def look() -> None:
        found: list[str] | Exception
        try:
            rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found = list(dict.fromkeys(str(row[4][0]) for row in rows))
        except (OSError, UnicodeError) as exc:
            found = exc
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is interested any more
            loop.call_soon_threadsafe(tell, found)

    Thread(target=look, daemon=True).start()
    return await future


async def connected(addresses: list[str], port: int, seconds: float) -> asyncio.StreamWriter:
    """A connection to the first address that takes one; raises what the last one raised."""
    *others, last = addresses[:ADDRESSES]
    for address in others:
        with contextlib.suppress(OSError):  # which TimeoutError is, too
            async with asyncio.timeout(seconds):
                return (await asyncio.open_connection(address, port))[1]
    return (await asyncio.open_connection(last, port))[1]


async def secured(writer: asyncio.StreamWriter, place: Place, context: ssl.SSLContext) -> datetime | None:
    """When the other side's certificate ends, once TLS is spoken on a connection."""
    await writer.start_tls(context, server_hostname=place.host)
    ending = (writer.get_extra_info("peercert") or {}).get("notAfter")
    return None if ending is None else datetime.fromtimestamp(ssl.cert_time_to_seconds(ending), UTC)


async def models(provider: Provider, transport: Watched, seconds: float) -> Listing:
    """The models that a backend lists."""
    try:
        async with asyncio.timeout(seconds):
            return Listing(tuple(await provider.models()), status=transport.status)
    except TimeoutError:
        return Listing()
    except UpstreamError as exc:
        return Listing(None, exc, transport.status, transport.headers)


async def answers(client: httpx.AsyncClient, calls: Mapping[str, HttpCall], seconds: float) -> dict[str, Answer]:
    """The answers to calls, all made at once; those that did not come in time are not there."""
    found = await asyncio.gather(*(answer(client, call, seconds) for call in calls.values()))
    return {name: one for name, one in zip(calls, found, strict=True) if one is not None}


async def answer(client: httpx.AsyncClient, call: HttpCall, seconds: float) -> Answer | None:
    """One answer; None when there is none in time, or none that is HTTP and short."""
    try:
        async with asyncio.timeout(seconds):
            return await fetch(client, call)
    except (TimeoutError, Unreadable, httpx.HTTPError, httpx.InvalidURL):
        return None
