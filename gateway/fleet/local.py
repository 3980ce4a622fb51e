"""Looks at this machine: who answers, and is it a server of models or a gateway in front of some?"""

import asyncio
from datetime import date

import httpx

from gateway.catalogue import Catalogue
from gateway.fleet.answers import MODELS, Answers, listed, text
from gateway.fleet.found import Discovery, Found
from gateway.fleet.httpx_transport import PLAIN, Answer, Unreadable, fetch
from gateway.fleet.naming import Naming
from gateway.fleet.servers import Probe
from gateway.providers.port import HttpCall
from gateway.providers.registry import KINDS

# Beginnings of header names, and owners of models, that only gateways send; with whose they are.
MARKS = {
    "x-gateway-": "a gateway",
    "x-litellm-": "LiteLLM",
    "x-portkey-": "Portkey",
    "x-olla-": "Olla",
    "x-bf-": "Bifrost",
    "helicone-": "Helicone",
    "cf-aig-": "Cloudflare's AI gateway",
}
OWNERS = {"llama-gateway": "a Llama Gateway", "olla": "Olla", "litellm": "LiteLLM", "portkey": "Portkey"}


class LocalLook:
    """Asks servers of this machine who they are."""

    def __init__(self, client: httpx.AsyncClient, catalogue: Catalogue, today: date, seconds: float) -> None:
        self.client = client
        self.catalogue = catalogue
        self.today = today
        self.seconds = seconds  # for each answer; all are asked for at once

    async def at(self, probe: Probe, url: str) -> Discovery:
        """What is at an address, if it is what the probe looks for."""
        base = url.rstrip("/")
        answers = await asyncio.gather(*(self.answer(f"{base}{path}") for path in probe.paths))
        return self.judged(probe, base, {p: a for p, a in zip(probe.paths, answers, strict=True) if a is not None})

    async def answer(self, url: str) -> Answer | None:
        """The answer to a GET; None when there is none in time, or none that is HTTP and short."""
        try:
            async with asyncio.timeout(self.seconds):
                return await fetch(self.client, HttpCall("GET", url, PLAIN))
        except (TimeoutError, Unreadable, httpx.HTTPError, httpx.InvalidURL):
            return None

    def judged(self, probe: Probe, url: str, answers: Answers) -> Discovery:
        """What the answers mean."""
        if mark := gateway(answers):
            return noted(f"{mark} answers at {url}, so it is not used: a gateway behind a gateway hides who serves.")
        seen = probe.recognise(answers)
        if seen is None:
            return noted(*stranger(probe, url, answers))
        kind = probe.kind if probe.kind in KINDS else "openai_compatible"
        picked = Naming(self.catalogue, kind, self.today).pick(probe.product, seen.models)
        notes = (*seen.notes, *picked.notes)
        if not picked.models:
            return noted(*notes, f"{probe.product} runs at {url}, but has no model that chats.")
        found = Found(probe.name, kind, url, "self_hosted", None, picked.models, seen.slots)
        return Discovery((found,), notes)


def noted(*notes: str) -> Discovery:
    """Nothing found, and why."""
    return Discovery(notes=notes)


def gateway(answers: Answers) -> str | None:
    """Which gateway the answers come from; None when there is no sign of one."""
    for answer in answers.values():
        for name in answer.headers:
            if mark := next((MARKS[start] for start in MARKS if name.lower().startswith(start)), None):
                return sentence(mark)
    owners = (text(row.get("owned_by")).lower() for row in listed(answers, MODELS) or ())
    return next((sentence(OWNERS[owner]) for owner in owners if owner in OWNERS), None)


def sentence(words: str) -> str:
    """Words as the beginning of a sentence."""
    return words[0].upper() + words[1:]


def stranger(probe: Probe, url: str, answers: Answers) -> list[str]:
    """What to say of a server that is not what was looked for; nothing when it has nothing to do with models."""
    statuses = {answer.status for answer in answers.values()}
    if statuses & {401, 403}:
        hint = "If it is yours, write it into a policy with its `api_key`."
        return [f"What answers at {url} wants a key, so it is not used. {hint}"]
    if 503 in statuses:
        return [f"What answers at {url} is not ready (503). Try again when it has started."]
    if listed(answers, MODELS) is None:
        return []
    hint = "If it is a model server of yours, write it into a policy as `openai_compatible`."
    return [f"What answers at {url} speaks OpenAI's API but is not known to be {probe.product}. {hint}"]
