"""The doctor: asks every backend at once, and puts together what the checks say of the answers."""

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime
from typing import NamedTuple

import httpx

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded
from gateway.fleet.checks import clock, licences, listing, own, reach, retirement, served
from gateway.fleet.checks.clock import Reading
from gateway.fleet.checks.finding import Finding, Heard, Subject
from gateway.fleet.checks.kinds import habits
from gateway.fleet.discovery import ADDRESSES, discover
from gateway.fleet.doctor_asks import Clock, Listing, Watched, answers, context_of, models, place_of
from gateway.fleet.doctor_asks import reach as reached
from gateway.fleet.doctor_subjects import account_subject, filled, keys_unset, of_policy, problems, server_subject
from gateway.fleet.hosted import Account, HostedLook, accounts
from gateway.providers.port import Provider
from gateway.providers.registry import provider_class

SEVERITIES = ("error", "warning", "info")
TOYS = "Nothing to look at: no Llama server answers on this machine, and no provider's key is set."
START = "Start Ollama or vLLM, set a key, or give --policy FILE; `llama-gateway up` would start the demo fleet."


class Patience(NamedTuple):
    """How long to wait, in seconds: for a connection to a backend, and for each answer."""

    connect: float = 3.0
    answer: float = 4.0


USUAL = Patience()


class Looked(NamedTuple):
    """A backend that was looked at."""

    name: str
    kind: str
    where: str
    models: int


class Report(NamedTuple):
    """Everything there is to say, the worst first."""

    looked: tuple[Looked, ...]
    findings: tuple[Finding, ...]


class Examined(NamedTuple):
    """What one backend's own examination gave; an account's models are known only now."""

    subject: Subject
    findings: tuple[Finding, ...] = ()
    readings: tuple[Reading, ...] = ()
    listed: frozenset[str] = frozenset()  # ids


def now() -> datetime:
    """The time."""
    return datetime.now(UTC)


class Doctor:
    """Examines backends, on one day, by one clock."""

    def __init__(self, catalogue: Catalogue, today: date, time: Clock = now, patience: Patience = USUAL) -> None:
        self.catalogue = catalogue
        self.today = today
        self.time = time
        self.patience = patience

    async def policy(self, loaded: Loaded, env: Mapping[str, str]) -> Report:
        """What there is to say of a policy's backends; of one with errors, only these."""
        subjects = of_policy(loaded.policy, env) if loaded.policy else ()
        return await self.report(subjects, problems(loaded.problems))

    async def machine(self, env: Mapping[str, str], addresses: Mapping[str, str] = ADDRESSES) -> Report:
        """What there is to say of the servers and keys that `up` would find."""
        near = {name: env[name] for name in ("OLLAMA_HOST",) if name in env}
        local = await discover(near, self.catalogue, self.today, addresses=addresses)
        subjects = [
            *(server_subject(found, self.catalogue) for found in local.found),
            *(account_subject(one, addresses.get(one.kind.name)) for one in accounts(env)),
        ]
        notes = [Finding("info", "discovery", "this machine", note) for note in local.notes]
        if not subjects:
            notes.append(Finding("warning", "discovery", "this machine", TOYS, START))
        return await self.report(subjects, [*notes, *keys_unset(env)])

    async def report(self, subjects: Iterable[Subject], found: Iterable[Finding]) -> Report:
        """All backends examined at once, and what is true of them together."""
        parts = await asyncio.gather(*(self.examined(subject) for subject in subjects))
        findings = [*found, *(finding for part in parts for finding in part.findings)]
        findings += clock.judge([reading for part in parts for reading in part.readings])
        for part in parts:
            for deployment in part.subject.deployments:
                findings += retirement.judge(deployment, self.today, self.catalogue, part.listed)
        findings += licences.judge((one for part in parts for one in part.subject.deployments), self.catalogue)
        examined = [part.subject for part in parts]
        ordered = sorted(discreet(findings, examined), key=lambda finding: SEVERITIES.index(finding.severity))
        return Report(tuple(looked_at(subject) for subject in examined), tuple(ordered))

    async def examined(self, subject: Subject) -> Examined:
        """One backend: what it lacks, the way to it, then its models and its kind's questions."""
        if unsendable := listing.unsendable(subject):
            return Examined(subject, tuple(unsendable))
        try:
            context = context_of(subject.backend)
        except OSError as exc:
            return Examined(subject, (reach.files_fault(subject, exc),))
        async with httpx.AsyncClient(verify=context, proxy=subject.backend.proxy, trust_env=False) as client:
            transport = Watched(client, subject.name, self.time)
            provider = provider_class(subject.backend.kind)(subject.backend, transport)
            if lacking := await habits(subject.backend.kind).lacks(subject, provider):
                return Examined(subject, tuple(lacking))
            place = place_of(own.address(subject, provider), subject.backend.proxy)
            if place is None:
                return Examined(subject, (own.unasked(subject),))
            way = await reached(place, context, self.patience.connect)
            if way.trouble is not None:
                return Examined(subject, (reach.judge(subject, place, way.trouble), *listing.exposed(subject)))
            ending = reach.expiry(subject, place, way.ends, self.time()) if way.ends else []
            asked = await self.asked(subject, provider, transport)
        return asked._replace(findings=(*ending, *listing.exposed(subject), *asked.findings))

    async def asked(self, subject: Subject, provider: Provider, transport: Watched) -> Examined:
        """A backend that can be reached: what it answers."""
        ways = habits(subject.backend.kind)
        listed, said = await asyncio.gather(
            models(provider, transport, self.patience.answer),
            answers(transport.client, ways.ask(subject), self.patience.answer),
        )
        heard = Heard(listed.models or (), said)
        findings = (*self.told(subject, listed), *ways.judge(subject, heard, self.catalogue))
        if subject.account and listed.models:
            look = HostedLook(transport.client, self.catalogue, self.today, self.patience.answer)
            account = Account(type(provider), subject.credential or "", None)
            subject = filled(subject, look.chosen(account, None, listed.models), self.catalogue)
        ids = frozenset(model.id for model in heard.models)
        return Examined(subject, tuple(dict.fromkeys(findings)), tuple(transport.readings), ids)

    def told(self, subject: Subject, listed: Listing) -> Iterable[Finding]:
        """What a list of models means, or that there is none."""
        ways = habits(subject.backend.kind)
        if listed.models is not None:
            return served.judge(subject, listed.models, ways, self.catalogue) if ways.lists else ()
        if listed.error is None:
            return [listing.silent(subject, self.patience.answer)]
        right = ways.permission(listed.headers)
        return listing.judge(subject, listed.status, listed.error, right, ways.chain)


def looked_at(subject: Subject) -> Looked:
    """What to say of a backend that was looked at."""
    backend = subject.backend
    return Looked(backend.name, backend.kind, backend.url or backend.region or "", len(subject.deployments))


def discreet(findings: Iterable[Finding], subjects: Iterable[Subject]) -> Iterable[Finding]:
    """The findings without any credential, wherever it may have come from."""
    secrets = {secret for one in subjects for secret in (one.backend.api_key or "", *one.backend.headers.values())}
    long = sorted((secret for secret in secrets if len(secret) >= 8), key=len, reverse=True)
    for finding in findings:
        what, advice = finding.what, finding.advice
        for secret in long:
            what, advice = what.replace(secret, "***"), advice.replace(secret, "***")
        yield finding._replace(what=what, advice=advice)
