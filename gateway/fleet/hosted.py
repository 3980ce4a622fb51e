"""Accounts at hosted providers: whose key is in the environment, and which Llama models it opens."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import date

import httpx

from gateway.catalogue import Catalogue
from gateway.errors import BadCredentials, UpstreamError
from gateway.fleet.found import Discovery, Found, FoundModel
from gateway.fleet.httpx_transport import HttpxTransport
from gateway.fleet.naming import Listed, Naming
from gateway.providers.kind import Kind
from gateway.providers.port import Provider
from gateway.providers.registry import KINDS, provider_class
from gateway.types import Backend, ServedModel


def accounts(env: Mapping[str, str]) -> list[type[Provider]]:
    """The providers whose credential variable is set."""
    return [provider for provider in importable() if provider.kind.credential and env.get(provider.kind.credential)]


def importable() -> Iterable[type[Provider]]:
    """The providers whose libraries are installed."""
    for kind in KINDS:
        try:
            yield provider_class(kind)
        except LookupError:
            continue


class HostedLook:
    """Asks hosted providers which models a key opens."""

    def __init__(self, client: httpx.AsyncClient, catalogue: Catalogue, today: date, seconds: float) -> None:
        self.client = client
        self.catalogue = catalogue
        self.today = today
        self.seconds = seconds  # for each list

    async def at(self, provider: type[Provider], key: str, url: str | None) -> Discovery:
        """What a key opens; `url` only where it is not the provider's own."""
        kind = provider.kind
        if not (key.isascii() and key.isprintable()):
            return noted(kind, "holds a character that no key has, so it is not used. Set it again.")
        backend = Backend(kind.name, kind.name, url or kind.url or "", key, timeouts=kind.timeouts)
        try:
            async with asyncio.timeout(self.seconds):
                served = await provider(backend, HttpxTransport(self.client)).models()
        except TimeoutError:
            return self.assumed(kind, url)
        except BadCredentials:
            return noted(kind, f"is set, but {kind.name} refuses the key. Set a valid one.")
        except UpstreamError as exc:
            said = exc.code.replace("_", " ")
            return noted(kind, f"is set, but {kind.name} could not list its models ({said}), so it is not used.")
        return self.chosen(kind, url, served)

    def chosen(self, kind: Kind, url: str | None, served: Iterable[ServedModel]) -> Discovery:
        """The Llama models of a list; where it has none, everything that may chat."""
        naming = Naming(self.catalogue, kind.name, self.today)
        rows = [Listed(one.id, context=one.context if isinstance(one.context, int) else None) for one in served]
        picked = naming.pick(kind.name, rows)
        if llamas := naming.llamas(picked.models):
            return Discovery((found(kind, url, llamas),))
        if not picked.models:
            return noted(kind, f"is set, but {kind.name} lists no model that chats, so it is not used.")
        note = f"{kind.name} lists no Llama model for {kind.credential}, so all its models that may chat are used."
        return Discovery((found(kind, url, picked.models),), (note, *picked.notes))

    def assumed(self, kind: Kind, url: str | None) -> Discovery:
        """What the catalogue says a provider serves, when it did not say so itself in time."""
        said = f"is set, but {kind.name} did not list its models within {self.seconds:g} s"
        models = Naming(self.catalogue, kind.name, self.today).expected()
        if not models:
            return noted(kind, f"{said}, and the catalogue knows none there any more, so it is not used.")
        note = f"{kind.credential} {said}. Those that the catalogue knows there are used."
        return Discovery((found(kind, url, models),), (note,))


def found(kind: Kind, url: str | None, models: tuple[FoundModel, ...]) -> Found:
    """An account with its models."""
    return Found(kind.name, kind.name, url, kind.location, kind.credential, models)


def noted(kind: Kind, said: str) -> Discovery:
    """Nothing found, and why: a sentence about the credential variable."""
    return Discovery(notes=(f"{kind.credential} {said}",))
