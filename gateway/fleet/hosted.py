"""Accounts at hosted providers: which ones the environment shows, and which Llama models they open."""

import asyncio
from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import NamedTuple

import httpx

from gateway.catalogue import Catalogue
from gateway.errors import BadCredentials, UpstreamError
from gateway.fleet.found import Discovery, Found, FoundModel
from gateway.fleet.httpx_transport import HttpxTransport
from gateway.fleet.naming import Listed, Naming
from gateway.providers.kind import Kind
from gateway.providers.port import Provider, ServedModel
from gateway.providers.registry import KINDS, provider_class
from gateway.types import Backend


class Account(NamedTuple):
    """An account that a variable shows; the key is None where the provider finds its credentials by itself."""

    provider: type[Provider]
    variable: str
    key: str | None
    region: str | None = None
    guessed: bool = False  # the region

    @property
    def kind(self) -> Kind:
        """What is true of its provider."""
        return self.provider.kind

    def backend(self, url: str | None) -> Backend:
        """A backend that uses it; `url` only where it is not the provider's own."""
        kind = self.kind
        return Backend(
            name=kind.name,
            kind=kind.name,
            url=url or kind.url or "",
            api_key=self.key,
            location=kind.location,
            region=self.region,
            timeouts=kind.timeouts,
        )


def accounts(env: Mapping[str, str]) -> list[Account]:
    """The accounts whose variables are set, but those that may be meant for something else."""
    return [found for provider in importable() if (found := account(provider, env)) and not provider.kind.shared]


def account(provider: type[Provider], env: Mapping[str, str]) -> Account | None:
    """A provider's account, if the environment shows one."""
    kind = provider.kind
    variables = (kind.credential,) if kind.credential else kind.signs
    variable = next((name for name in variables if env.get(name)), None)
    if variable is None:
        return None
    region = next((env[name] for name in kind.regions if env.get(name)), None)
    key = env[variable] if kind.credential else None
    return Account(provider, variable, key, region or kind.region, guessed=region is None and kind.region is not None)


def unused(env: Mapping[str, str]) -> Iterator[str]:
    """A sentence on each account that is there and that nobody has asked us to use."""
    for provider in importable():
        kind = provider.kind
        if kind.shared and (found := account(provider, env)) is not None:
            what = f"{found.variable} is set, but often for other ends, so {kind.name} is not used."
            yield f"{what} If it is meant for that, write a backend with `provider: {kind.name}` into a policy."


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

    async def at(self, account: Account, url: str | None) -> Discovery:
        """What an account opens; `url` only where it is not the provider's own."""
        kind, key = account.kind, account.key or ""
        if not (key.isascii() and key.isprintable()):
            return noted(account, "holds a character that no key has, so it is not used. Set it again.")
        try:
            async with asyncio.timeout(self.seconds):
                served = await account.provider(account.backend(url), HttpxTransport(self.client)).models()
        except TimeoutError:
            return self.assumed(account, url)
        except BadCredentials:
            what = "the key. Set a valid one." if key else "the credentials, or there are none. Set valid ones."
            return noted(account, f"is set, but {kind.name} refuses {what}")
        except UpstreamError as exc:
            said = exc.code.replace("_", " ")
            return noted(account, f"is set, but {kind.name} could not list its models ({said}), so it is not used.")
        return self.chosen(account, url, served)

    def chosen(self, account: Account, url: str | None, served: Iterable[ServedModel]) -> Discovery:
        """The Llama models of a list; where it has none, everything that may chat."""
        kind = account.kind
        naming = Naming(self.catalogue, kind.name, self.today)
        rows = [Listed(one.id, context=one.context if isinstance(one.context, int) else None) for one in served]
        picked = naming.pick(kind.name, rows)
        if llamas := naming.llamas(picked.models):
            return used(account, url, llamas)
        if not picked.models:
            return noted(account, f"is set, but {kind.name} lists no model that chats, so it is not used.")
        note = f"{kind.name} lists no Llama model for {account.variable}, so all its models that may chat are used."
        return used(account, url, picked.models, note, *picked.notes)

    def assumed(self, account: Account, url: str | None) -> Discovery:
        """What the catalogue says a provider serves, when it did not say so itself in time."""
        kind = account.kind
        said = f"is set, but {kind.name} did not list its models within {self.seconds:g} s"
        models = Naming(self.catalogue, kind.name, self.today).expected()
        if not models:
            return noted(account, f"{said}, and the catalogue knows none there any more, so it is not used.")
        return used(account, url, models, f"{account.variable} {said}. Those that the catalogue knows there are used.")


def used(account: Account, url: str | None, models: tuple[FoundModel, ...], *notes: str) -> Discovery:
    """An account with its models; says so where its region is only a guess."""
    kind = account.kind
    if account.guessed:
        notes = (*notes, f"{' or '.join(kind.regions)} is not set, so {kind.name} is used in {account.region}.")
    credential = account.variable if account.key else None
    one = Found(kind.name, kind.name, url, kind.location, credential, models, region=account.region)
    return Discovery((one,), notes)


def noted(account: Account, said: str) -> Discovery:
    """Nothing found, and why: a sentence about the variable that shows the account."""
    return Discovery(notes=(f"{account.variable} {said}",))
