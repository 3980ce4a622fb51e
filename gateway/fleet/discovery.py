"""Looks around: which servers of models run on this machine, and which hosted providers' keys are set."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import NamedTuple

import httpx

from gateway.catalogue import Catalogue
from gateway.fleet.found import Discovery, Found, FoundModel
from gateway.fleet.hosted import HostedLook, accounts, unused
from gateway.fleet.local import LocalLook
from gateway.fleet.ollama_host import addressed
from gateway.fleet.servers import ADDRESSES, PROBES

__all__ = ["ADDRESSES", "Discovery", "Found", "FoundModel", "Patience", "discover"]


class Patience(NamedTuple):
    """How long to wait for an answer, in seconds; everybody is asked at once."""

    local: float = 1.0
    hosted: float = 3.0


USUAL = Patience()


async def discover(
    env: Mapping[str, str],
    catalogue: Catalogue,
    today: date,
    client: httpx.AsyncClient | None = None,
    addresses: Mapping[str, str] = ADDRESSES,
    patience: Patience = USUAL,
) -> Discovery:
    """All backends there are, servers of this machine first.

    `addresses` says where to look for each local server; one that is not there is not looked for. A hosted provider's
    name in it replaces that provider's own address. OLLAMA_HOST in `env` wins over the address of `ollama`.
    """
    places, notes = addressed(addresses, env.get("OLLAMA_HOST", ""))
    async with opened(client) as http:
        near = LocalLook(http, catalogue, today, patience.local)
        far = HostedLook(http, catalogue, today, patience.hosted)
        parts = await asyncio.gather(
            *(near.at(probe, places[probe.name]) for probe in PROBES if probe.name in places),
            *(far.at(one, places.get(one.kind.name)) for one in accounts(env)),
        )
    found = tuple(one for part in parts for one in part.found)
    return Discovery(found, (*notes, *(note for part in parts for note in part.notes), *unused(env)))


@asynccontextmanager
async def opened(client: httpx.AsyncClient | None) -> AsyncIterator[httpx.AsyncClient]:
    """The given client, which stays open, or one for this time only; a proxy of the environment sees no key."""
    if client is not None:
        yield client
        return
    async with httpx.AsyncClient(trust_env=False) as own:
        yield own
