"""One provider for each backend, kept while the backend stays the same; transports are shared where they can be."""

import ssl
from collections.abc import Collection, Mapping
from typing import Protocol

from gateway.providers.port import Provider, Transport
from gateway.providers.registry import provider_class
from gateway.providers.transport import PooledTransport
from gateway.types import Backend

Settings = tuple[object, ...]  # of connections: backends that have the same share a transport


class Pooled(Transport, Protocol):
    """A transport that learns from a reload which addresses it is still needed for."""

    def serving(self, urls: Collection[str]) -> None:
        """Backends have these addresses from now on: connections to those that they had before are not kept.

        Whoever uses one is left to its end. Without any address nothing is kept.
        """
        ...


class ProviderPool:
    """Gives the provider of a backend; one that a reload has changed is made anew, requests under way keep the old."""

    def __init__(self) -> None:
        self.backends: Mapping[str, Backend] | None = None  # of the policy in force, once it was told
        self.providers: dict[str, tuple[Backend, Provider]] = {}
        self.old: dict[str, list[tuple[Backend, Provider]]] = {}  # for requests that an earlier policy has planned
        self.transports: dict[Settings, Pooled] = {}

    def of(self, backend: Backend) -> Provider:
        """The provider of a backend."""
        known = self.providers.get(backend.name)
        if known is not None and (known[0] is backend or known[0] == backend):
            return known[1]
        for before, provider in self.old.get(backend.name, ()):
            if before == backend:
                return provider
        return self.made(backend)

    def made(self, backend: Backend) -> Provider:
        """A new provider; that of a backend which the policy in force does not have is no one's but late requests'."""
        provider = provider_class(backend.kind)(backend, self.transport(backend))
        if self.backends is None or self.backends.get(backend.name) == backend:
            self.providers[backend.name] = (backend, provider)
        else:
            self.old.setdefault(backend.name, []).append((backend, provider))
        return provider

    def transport(self, backend: Backend) -> Pooled:
        """The transport for a backend's connection settings."""
        settings = settings_of(backend)
        if settings not in self.transports:
            made = self.transports[settings] = transport_of(backend)
            if self.backends is not None:
                made.serving(self.urls().get(settings, ()))
        return self.transports[settings]

    def keep(self, backends: Mapping[str, Backend]) -> None:
        """These are the backends from now on: of the others, connections are closed as the last requests end."""
        self.backends, before, self.old = backends, self.providers, {}
        self.providers = {}
        for name, (backend, provider) in before.items():
            now = backends.get(name)
            if now == backend:
                self.providers[name] = (now, provider)
            else:
                self.old[name] = [(backend, provider)]
        urls = self.urls()
        needed = {settings_of(backend) for known in self.old.values() for backend, _ in known} | urls.keys()
        for settings, transport in self.transports.items():
            transport.serving(urls.get(settings, ()))
        self.transports = {settings: one for settings, one in self.transports.items() if settings in needed}

    def urls(self) -> dict[Settings, set[str]]:
        """The addresses of the policy in force, by the settings of their connections."""
        found: dict[Settings, set[str]] = {}
        for backend in (self.backends or {}).values():
            found.setdefault(settings_of(backend), set()).add(backend.url)
        return found

    async def close(self) -> None:
        """Close all connections."""
        for transport in self.transports.values():
            await transport.close()


def settings_of(backend: Backend) -> Settings:
    """What connections of backends must have in common to be shared."""
    return backend.keepalive, backend.ca, backend.cert, backend.key, backend.proxy


def transport_of(backend: Backend) -> Pooled:
    """Our own transport; aiohttp's for a backend behind a proxy, which ours does not speak to."""
    if backend.proxy is not None:
        # Imported here: it is a tenth of a second and ten megabytes that most gateways never need.
        from gateway.providers.aiohttp_transport import AiohttpTransport

        return AiohttpTransport(backend.keepalive, tls_of(backend), backend.proxy)
    return PooledTransport(backend.keepalive, tls_of(backend))


def tls_of(backend: Backend) -> ssl.SSLContext | None:
    """The TLS context where a backend has certificates of its own; verification stays on."""
    if backend.ca is None and backend.cert is None:
        return None
    context = ssl.create_default_context(cafile=backend.ca)
    if backend.cert is not None:
        context.load_cert_chain(backend.cert, backend.key)
    return context
