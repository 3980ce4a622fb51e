"""Faults for a long time: nothing is lost, nothing is kept, and whoever asks for nothing bad gets nothing bad."""

import asyncio
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest

from tests.background import Background
from tests.faults.client import Leave, Reply
from tests.faults.invariants import violations
from tests.faults.policies import Cell, alone, pair
from tests.faults.proc import resident
from tests.faults.runner import Stage, staged

ROUND = 8.0  # seconds of load between two looks, for which everything comes to rest
CALLERS = 8
PAUSE = 0.1  # seconds between two requests of a caller
PLAIN = 0.6  # share of requests at backends without any fault
ERRORS = 1e-4  # share of those that may fail
SLOPE = 1 << 20  # bytes of memory in ten minutes
SHORT_GROWTH = 8 << 20  # bytes in a run that is too short for a slope
FAULTS = ("cut-20", "malformed-20", "reset", "ratelimit-scaled", "status-503", "html-500", "flap-1", "close-5", "stale")
LEFT = ("drip-200", "silent", "mute")  # where callers leave
CELLS: list[Cell] = [
    *(alone(f"plain-{number}", "ok") for number in range(3)),
    *(pair(fault, fault) for fault in FAULTS),
    *(alone(f"left-{fault}", fault) for fault in LEFT),
]


class Look(NamedTuple):
    """The gateway at rest, after so many seconds."""

    at: float
    memory: int  # bytes


def after(stage: Stage, seconds: float) -> Leave:
    """Leave so many seconds after the request has reached the wall."""

    async def leave(reply: Reply) -> None:
        while not stage.wall.of(reply.token):
            await stage.wall.changed.wait()
        await asyncio.sleep(seconds)

    return leave


def asked(stage: Stage, chance: Random) -> Coroutine[Any, Any, Reply]:
    """A request, plain or not."""
    stream = chance.random() < 0.7
    if chance.random() < PLAIN:
        return stage.ask(f"plain-{chance.randrange(3)}", stream)
    kind = chance.choice((*FAULTS, *(f"left-{fault}" for fault in LEFT)))
    return stage.ask(kind, stream, after(stage, chance.random() * 0.2) if kind.startswith("left-") else None)


async def caller(stage: Stage, chance: Random, until: float) -> list[Reply]:
    """One request after the other, until it is time."""
    replies = []
    while time.monotonic() < until:
        replies.append(await asked(stage, chance))
        await asyncio.sleep(chance.random() * 2 * PAUSE)
    return replies


async def round_of(stage: Stage, seed: int) -> tuple[list[Reply], list[str]]:
    """Some seconds of load, and what was violated."""
    until = time.monotonic() + ROUND
    found = await asyncio.gather(*(caller(stage, Random(f"{seed}-{number}"), until) for number in range(CALLERS)))
    broken = await violations(stage)
    stage.wall.attempts.clear()
    return [reply for replies in found for reply in replies], broken


def slope(looks: list[Look]) -> float:
    """Bytes in ten minutes, by the least squares of the looks of the last two thirds."""
    later = looks[len(looks) // 3 :]
    mean_at, mean_memory = sum(look.at for look in later) / len(later), sum(look.memory for look in later) / len(later)
    spread = sum((look.at - mean_at) ** 2 for look in later)
    return 600 * sum((look.at - mean_at) * (look.memory - mean_memory) for look in later) / spread


@pytest.mark.parametrize("seconds", [24, pytest.param(1800, marks=pytest.mark.soak)], ids=["short", "half-an-hour"])
def test_gateway_under_faults_loses_nothing_and_grows_no_further(tmp_path: Path, seconds: int) -> None:
    plain, failed, broken = 0, [], []
    looks: list[Look] = []
    with Background() as background:
        stage = background.run(staged(CELLS, tmp_path))
        try:
            begun = time.monotonic()
            while time.monotonic() < begun + seconds:
                replies, wrong = background.run(round_of(stage, len(looks)))
                of_plain = [reply for reply in replies if reply.cell.startswith("plain-")]
                plain += len(of_plain)
                failed += [reply for reply in of_plain if not reply.success]
                broken += wrong
                looks.append(Look(time.monotonic() - begun, resident(stage.gateway.process.pid)))
        finally:
            background.run(stage.close())
    growth, steep = looks[-1].memory - looks[len(looks) // 3].memory, slope(looks)
    figures = f"{stage.checked} requests, {len(failed)} of {plain} plain ones failed, {growth >> 10} KiB more, "
    print(f"{figures}{steep / (1 << 20):.2f} MiB in ten minutes, {looks[-1].memory >> 20} MiB", file=sys.stderr)
    assert broken == []
    assert len(failed) <= ERRORS * plain
    assert growth < SHORT_GROWTH if seconds < 600 else steep <= SLOPE
