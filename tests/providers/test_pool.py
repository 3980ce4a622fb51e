"""A backend keeps its provider while it stays the same, and its connections while their settings do."""

import asyncio
import ssl
from collections.abc import Awaitable
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import InvalidResponse
from gateway.providers.aiohttp_transport import AiohttpTransport
from gateway.providers.http import HttpProvider
from gateway.providers.pool import ProviderPool, tls_of
from gateway.providers.port import HttpCall, Provider, Transport
from gateway.providers.transport import PooledTransport
from gateway.types import Backend

from .raw import OK, Exchange, RawServer

PATIENCE = 20  # seconds no test needs
GONE: dict[str, Backend] = {}
BACKEND = Backend("local", "vllm", "http://127.0.0.1:8000")


def transport_of(provider: Provider) -> Transport:
    assert isinstance(provider, HttpProvider)
    return provider.transport


def test_a_backend_that_stays_the_same_keeps_its_provider_over_reloads() -> None:
    pool = ProviderPool()
    assert pool.of(BACKEND) is pool.of(replace(BACKEND))


def test_a_backend_that_has_changed_gets_another_one_over_the_same_connections() -> None:
    pool = ProviderPool()
    old, new = pool.of(BACKEND), pool.of(replace(BACKEND, api_key="sk-new"))
    assert old is not new
    assert transport_of(old) is transport_of(new)


def test_backends_have_the_class_of_their_kind() -> None:
    pool = ProviderPool()
    assert pool.of(BACKEND).kind.name == "vllm"
    assert pool.of(replace(BACKEND, name="other", kind="ollama")).kind.name == "ollama"


def test_backends_share_connections_only_under_the_same_settings() -> None:
    pool = ProviderPool()
    first = transport_of(pool.of(BACKEND))
    assert transport_of(pool.of(replace(BACKEND, name="like it", url="http://127.0.0.1:8001"))) is first
    assert transport_of(pool.of(replace(BACKEND, name="shorter", keepalive=3))) is not first
    assert transport_of(pool.of(replace(BACKEND, name="proxied", proxy="http://proxy:3128"))) is not first


def test_a_backend_behind_a_proxy_has_the_transport_that_speaks_to_one() -> None:
    pool = ProviderPool()
    assert isinstance(transport_of(pool.of(BACKEND)), PooledTransport)
    assert isinstance(transport_of(pool.of(replace(BACKEND, proxy="http://proxy:3128"))), AiohttpTransport)


def test_a_kind_that_is_unknown_is_a_lookup_error() -> None:
    with pytest.raises(LookupError, match="no provider kind 'nope'"):
        ProviderPool().of(replace(BACKEND, kind="nope"))


def test_tls_is_verified_with_and_without_an_authority_of_ones_own() -> None:
    authority = ssl.get_default_verify_paths().cafile
    assert tls_of(BACKEND) is None
    if authority is not None and Path(authority).exists():
        context = tls_of(replace(BACKEND, ca=authority))
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


@pytest.mark.asyncio
async def test_close_closes_the_connections() -> None:
    async with RawServer(lambda exchange: exchange.send(OK.replace(b"ok", b"{}"))) as server:
        pool = ProviderPool()
        provider = pool.of(replace(BACKEND, url=server.url))
        with pytest.raises(InvalidResponse, match="list of models"):
            await provider.models()
        await pool.close()
        await server.ended.acquire()


def held(server: RawServer) -> tuple[ProviderPool, Backend]:
    """A pool for one backend at a server."""
    pool, backend = ProviderPool(), replace(BACKEND, url=server.url)
    pool.keep({backend.name: backend})
    return pool, backend


def of(pool: ProviderPool, backend: Backend) -> Transport:
    return transport_of(pool.of(backend))


def ok(exchange: Exchange) -> Awaitable[None]:
    return exchange.send(OK)


async def ask(transport: Transport, url: str) -> bytes:
    response = await transport.send(HttpCall("GET", url, {}))
    try:
        return await response.read(100)
    finally:
        response.close()


@pytest.mark.asyncio
async def test_idle_connections_to_a_backend_that_a_reload_has_removed_are_closed_at_once() -> None:
    async with asyncio.timeout(PATIENCE), RawServer(ok) as server:
        pool, backend = held(server)
        await ask(of(pool, backend), server.url)
        pool.keep(GONE)
        await server.ended.acquire()


@pytest.mark.asyncio
async def test_request_under_way_is_left_to_its_end_and_its_connection_is_closed_then() -> None:
    go = asyncio.Event()

    async def slowly(exchange: Exchange) -> None:
        await exchange.send(OK[:-1])
        await go.wait()
        await exchange.send(OK[-1:])

    async with asyncio.timeout(PATIENCE), RawServer(slowly) as server:
        pool, backend = held(server)
        response = await of(pool, backend).send(HttpCall("GET", server.url, {}))
        pool.keep(GONE)
        go.set()
        assert await response.read(100) == b"ok"
        assert server.ended.locked()
        response.close()
        await server.ended.acquire()


@pytest.mark.asyncio
async def test_late_request_of_an_earlier_policy_still_gets_through_and_leaves_no_connection() -> None:
    async with asyncio.timeout(PATIENCE), RawServer(ok) as server:
        pool, backend = held(server)
        before = pool.of(backend)
        pool.keep(GONE)
        assert pool.of(backend) is before
        assert await ask(of(pool, backend), server.url) == b"ok"
        await server.ended.acquire()


@pytest.mark.asyncio
async def test_address_that_another_backend_has_keeps_its_connections() -> None:
    async with asyncio.timeout(PATIENCE), RawServer(ok) as server:
        pool, backend = held(server)
        await ask(of(pool, backend), server.url)
        other = replace(backend, name="other", api_key="sk-new")
        pool.keep({"other": other})
        await ask(of(pool, other), server.url)
        assert [exchange.connection for exchange in server.exchanges] == [1, 1]


@pytest.mark.asyncio
async def test_backend_that_comes_back_keeps_its_connections_again() -> None:
    async with asyncio.timeout(PATIENCE), RawServer(ok) as server:
        pool, backend = held(server)
        for backends in (GONE, {backend.name: backend}):
            pool.keep(backends)
        for _ in range(2):
            await ask(of(pool, backend), server.url)
        assert [exchange.connection for exchange in server.exchanges] == [1, 1]


def test_late_requests_of_an_earlier_policy_do_not_take_the_provider_of_the_new_one() -> None:
    pool, changed = ProviderPool(), replace(BACKEND, api_key="sk-new")
    pool.keep({BACKEND.name: BACKEND})
    old = pool.of(BACKEND)
    pool.keep({BACKEND.name: changed})
    new = pool.of(changed)
    assert (pool.of(BACKEND), pool.of(changed)) == (old, new)
    assert old is not new


def test_what_two_reloads_have_removed_is_forgotten() -> None:
    pool = ProviderPool()
    for index in range(50):
        backend = replace(BACKEND, name=f"b{index}", keepalive=10.0 + index)
        pool.keep({backend.name: backend})
        pool.of(backend)
    assert (len(pool.providers), len(pool.old), len(pool.transports)) == (1, 1, 2)


@pytest.mark.asyncio
async def test_connections_through_a_proxy_are_closed_when_their_last_request_is_over() -> None:
    async with asyncio.timeout(PATIENCE), RawServer(ok) as proxy:
        backend = replace(BACKEND, url="http://upstream.invalid", proxy=proxy.url)
        pool = ProviderPool()
        pool.keep({backend.name: backend})
        transport = of(pool, backend)
        response = await transport.send(HttpCall("GET", backend.url, {}))
        pool.keep(GONE)
        assert await response.read(100) == b"ok"
        assert proxy.ended.locked()
        response.close()
        response.close()
        await proxy.ended.acquire()
        await transport.close()
