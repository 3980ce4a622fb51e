"""One provider for each backend, kept while the backend stays the same; transports are shared where they can be."""

import ssl

from gateway.providers.port import Provider, Transport
from gateway.providers.registry import provider_class
from gateway.providers.transport import PooledTransport
from gateway.types import Backend


class ProviderPool:
    """Gives the provider of a backend; one that a reload has changed is made anew, requests under way keep the old."""

    def __init__(self) -> None:
        self.providers: dict[str, tuple[Backend, Provider]] = {}
        self.transports: dict[tuple[object, ...], Transport] = {}

    def of(self, backend: Backend) -> Provider:
        """The provider of a backend."""
        known = self.providers.get(backend.name)
        if known is not None and (known[0] is backend or known[0] == backend):
            return known[1]
        provider = provider_class(backend.kind)(backend, self.transport(backend))
        self.providers[backend.name] = (backend, provider)
        return provider

    def transport(self, backend: Backend) -> Transport:
        """The transport for a backend's connection settings."""
        settings = (backend.keepalive, backend.ca, backend.cert, backend.key, backend.proxy)
        if settings not in self.transports:
            self.transports[settings] = transport_of(backend)
        return self.transports[settings]

    async def close(self) -> None:
        """Close all connections."""
        for transport in self.transports.values():
            await transport.close()


def transport_of(backend: Backend) -> Transport:
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
