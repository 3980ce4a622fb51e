"""Requests of the past: the last ones from memory, older ones from the state file."""

import asyncio
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import NamedTuple

from gateway.api.views import shadow_row
from gateway.outcomes import Record
from gateway.policytools.logged import LoggedRequest, line_of
from gateway.stores.request_file import Wanted, oldest_first, one, page
from gateway.stores.state import Job, Result, StateAway, StateFile, StateRefused, translated
from gateway.telemetry.requests import RequestLog
from gateway.types import Deployment, Json

Found = tuple[Record, Json | None]  # a request, and what came of its copy


class Cost(NamedTuple):
    """What a request would have cost at a deployment, in US dollars."""

    deployment: str
    usd: float


class Past:
    """Looks into both; a file that cannot be read hides nothing of what is in memory."""

    def __init__(self, log: RequestLog, state: StateFile | None) -> None:
        self.log = log
        self.state = state

    async def page(self, wanted: Wanted, before: str, limit: int) -> list[Record]:
        """Requests, newest first, from the one just older than `before` on."""
        last = self.log.last(self.log.kept)
        places = {record.id: place for place, record in enumerate(last)}
        rest = last[places[before] + 1 :] if before in places else [] if before else last
        found = [record for record in rest if wanted.takes(record)][:limit]
        if len(found) == limit:
            return found
        anchor = before if before and before not in places else last[-1].id if last else ""
        missing = limit - len(found)
        nothing: list[Record] = []
        older = await self.read(lambda db: page(db, wanted, anchor, missing + len(last)), nothing)
        return found + [record for record in older if record.id not in places][:missing]

    async def one(self, id: str) -> Found | None:
        """A request; None when it is in neither. Memory does not have all plans, the file has."""
        record = self.log.get(id)
        filed = await self.read(lambda db: one(db, id), None) if record is None or record.plan is None else None
        if record is None or filed is not None:
            return filed
        told = self.log.shadow(id)
        return record, None if told is None else shadow_row(told)

    async def read(self, job: Job[Result], instead: Result) -> Result:
        """What the file has; something else where it cannot be read."""
        if self.state is None or self.state.empty:
            return instead
        try:
            return await asyncio.to_thread(self.state.read, job)
        except (StateAway, StateRefused):
            return instead

    def lines(self) -> Iterator[bytes]:
        """All requests, oldest first, a line each; blocks, and is for a thread."""
        last = self.log.last(self.log.kept)
        held = {record.id for record in last}
        with suppress(StateAway, StateRefused):
            yield from (line(record) for record in self.filed() if record.id not in held)
        yield from map(line, reversed(last))

    def filed(self) -> Iterator[Record]:
        """All requests of the file, oldest first; raises StateAway and StateRefused."""
        if self.state is not None and not self.state.empty:
            with translated(self.state.path), closing(self.state.connect(writes=False)) as db:
                yield from oldest_first(db)


def line(record: Record) -> bytes:
    """A request as `llama-gateway diff --requests` reads it; nothing for one that was never planned."""
    return b"" if record.sketch is None else line_of(LoggedRequest(record.sketch, record.id))


def counterfactual(record: Record) -> Json | None:
    """What the same answer would have cost elsewhere: at the dearest that was permitted, and at the runner-up.

    Of its tokens as they were counted, else as they were expected; None where nobody else could have answered.
    """
    if record.plan is None or record.deployment is None:
        return None
    others = [choice for choice in record.plan.choices if choice.deployment.name != record.deployment.name]
    costs = [(choice, usd_at(choice.deployment, record, choice.forecast.usd)) for choice in others]
    known = [Cost(choice.deployment.name, usd) for choice, usd in costs if usd is not None]
    if not known:
        return None
    dearest = max(known, key=lambda cost: cost.usd)
    saved = None if record.cost is None else dearest.usd - record.cost
    return {"runner_up": known[0]._asdict(), "dearest": dearest._asdict(), "saved_usd": saved}


def usd_at(deployment: Deployment, record: Record, expected: float) -> float | None:
    """US dollars of a request at a deployment; None when its price is not known."""
    if deployment.price is None:
        return 0.0 if deployment.location == "self_hosted" else None
    usage = record.usage
    return expected if usage is None else deployment.price.of(usage.prompt, usage.completion)
