"""A backend keeps its provider while it stays the same, and its connections while their settings do."""

import ssl
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.errors import InvalidResponse
from gateway.providers.aiohttp_transport import AiohttpTransport
from gateway.providers.http import HttpProvider
from gateway.providers.pool import ProviderPool, tls_of
from gateway.providers.port import Provider, Transport
from gateway.providers.transport import PooledTransport
from gateway.types import Backend

from .raw import OK, RawServer

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
