"""The sixteen faults that every gateway is judged by: what the primary does, and what a pass is."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from tests.faults.client import Reply
from tests.faults.policies import LARGE, SMALL, Back, Cell
from tests.faults.verdicts import (
    BACK_SECONDS,
    Judge,
    Seen,
    all_of,
    answered,
    at_most,
    patient,
    refused,
    reported,
    spared,
    usage_right,
    window,
    within,
)
from tests.faults.wall import Wall

STREAM, WHOLE = "stream", "whole"
BOTH, ONE = (STREAM, WHOLE), (STREAM,)
WAIT = 2.0  # seconds that the primary of S01 asks for
OUTAGE, EVERY = 60.0, 1.0  # seconds without the primary of S15, and between its requests; both are scaled
AGAIN = 0.25  # seconds between its requests once it is back; not scaled, as the gateway's own times are not


class Scene(Protocol):
    """A wall with a gateway before it: ours, or another."""

    wall: Wall
    cells: dict[str, Cell]
    scale: float
    replies: list[Reply]

    async def ask(self, cell: str, stream: bool = True) -> Reply:
        """One request to a cell's route, and what came of it."""
        ...


Drive = Callable[[Scene, Cell, bool], Awaitable[float | None]]


async def once(stage: Scene, cell: Cell, stream: bool) -> None:
    """One request."""
    await stage.ask(cell.name, stream)


async def warmed(stage: Scene, cell: Cell, stream: bool) -> None:
    """A stream that goes well, so that the gateway knows the primary's speed, then the request."""
    await stage.ask(cell.name, True)
    await stage.ask(cell.name, stream)


async def ten(stage: Scene, cell: Cell, stream: bool) -> None:
    """Ten requests, one after the other."""
    for _ in range(10):
        await stage.ask(cell.name, stream)


async def steady(stage: Scene, cell: Cell, stream: bool) -> float:
    """Steady traffic while the primary is down, and until it has answered again or should have; when it recovered."""
    model = cell.id(cell.role("primary"))
    stage.wall.down.add(model)
    start = time.monotonic()
    recovered = start + OUTAGE * stage.scale
    asking: list[asyncio.Task[object]] = []
    while (now := time.monotonic()) < recovered + BACK_SECONDS:
        if now >= recovered:
            stage.wall.down.discard(model)
        if any(attempt.whole for attempt in stage.wall.at(model)):
            break
        asking.append(asyncio.ensure_future(stage.ask(cell.name, stream)))
        await asyncio.sleep(EVERY * stage.scale if now < recovered else AGAIN)
    await asyncio.gather(*asking)
    return recovered


@dataclass(frozen=True, slots=True)
class Fault:
    """One of the sixteen."""

    id: str
    what: str  # the primary does
    primary: str  # its script
    judge: Judge
    fallback: str = "ok"
    forms: tuple[str, ...] = BOTH
    drive: Drive = once
    warm: tuple[str, ...] = ()  # forms for which the primary was asked before, and was well
    more: tuple[Back, ...] = ()
    fallback_model: str = SMALL

    def cell(self, form: str, repeat: int) -> Cell:
        """The route of one repeat."""
        script = f"warm-{self.primary}" if form in self.warm else self.primary
        behind = Back(self.fallback, "fallback", self.fallback_model)
        return Cell(f"{self.id.lower()}-{form}-{repeat}", (Back(script), behind, *self.more))

    async def run(self, stage: Scene, form: str, repeat: int, timed: bool) -> Seen:
        """One repeat, and what was seen of it."""
        cell = stage.cells[f"{self.id.lower()}-{form}-{repeat}"]
        drive = warmed if form in self.warm else self.drive
        recovered = await drive(stage, cell, form == STREAM)
        replies = [reply for reply in stage.replies if reply.cell == cell.name]
        attempts = {back.role: stage.wall.at(cell.id(back)) for back in cell.backs}
        return Seen(cell, replies, attempts, stage.scale, timed, recovered)


BIGGER = (Back("ok", "larger", LARGE, context=131_072),)
FAULTS = (
    Fault("S01", f"answers 429 with Retry-After: {WAIT:g}", "ratelimit-scaled", all_of(answered, patient(WAIT))),
    Fault("S02", "answers 429 for good", "ratelimit", all_of(answered, at_most("primary", 0.3)), drive=ten),
    Fault("S03", "answers one 500", "first-status-500", all_of(answered, at_most("primary", 2))),
    Fault("S04", "answers 503 for good", "status-503", all_of(answered, within(5.5), at_most("primary", 1)), drive=ten),
    Fault("S05", "resets the connection", "reset", all_of(answered, within(5.5))),
    Fault(
        "S06",
        "says nothing at all",
        "silent",
        all_of(answered, at_most("primary", 2, each=False), within(13)),
        warm=(WHOLE,),
    ),
    Fault("S07", "sends a head, then no token", "mute", all_of(answered, within(15)), warm=(WHOLE,)),
    Fault("S08", "cuts the answer after 40 of 60 tokens", "cut-40", answered),
    Fault("S09", "stalls for 30 s in the middle", "stall-40-30", all_of(answered, within(60)), warm=(WHOLE,)),
    Fault(
        "S10", "sends one malformed event", "malformed-20", all_of(answered, at_most("fallback", 0)), forms=(STREAM,)
    ),
    Fault(
        "S11",
        "ends without [DONE], its usage in an odd place",
        "nodone",
        all_of(answered, usage_right),
        forms=(STREAM,),
    ),
    Fault("S12", "says that the prompt is too long", "window-openai", window, more=BIGGER),
    Fault("S13", "refuses by its content filter", "filtered", refused),
    Fault("S14", "cuts it, and the fallback takes no prefill", "cut-40", answered, "noprefill"),
    Fault("S15", "is down for 60 s under steady traffic", "up-status-503", all_of(answered, spared), drive=steady),
    Fault(
        "S16",
        "fails, and another model answers",
        "status-500",
        all_of(answered, reported, usage_right),
        "ok-42-11",
        fallback_model=LARGE,
    ),
)


def cells(faults: tuple[Fault, ...], repeats: int) -> list[Cell]:
    """The routes of all repeats."""
    return [fault.cell(form, repeat) for fault in faults for form in fault.forms for repeat in range(repeats)]


async def seen_of(stage: Scene, fault: Fault, repeats: int, timed: bool) -> dict[str, list[Seen]]:
    """All repeats of a fault in all forms at once, by form."""
    runs = [[fault.run(stage, form, repeat, timed) for repeat in range(repeats)] for form in fault.forms]
    found = await asyncio.gather(*(asyncio.gather(*form) for form in runs))
    return {form: list(seen) for form, seen in zip(fault.forms, found, strict=True)}
