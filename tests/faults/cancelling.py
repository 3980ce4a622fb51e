"""`python -m tests.faults.cancelling`: how soon an upstream is left alone after its caller hangs up, at real times.

Callers hang up while a first token is awaited, in the middle of a stream, while an answer in one piece is made, and in
the queue of a backend that is full. The wall says when it saw its peer go. Prints a line for each.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.faults.client import Reply
from tests.faults.policies import Back, Cell, alone
from tests.faults.runner import Stage, staged

CELLS = (
    alone("mute", "silent"),
    alone("flow", "drip-20-2000"),
    Cell("narrow", (Back("silent", concurrency=1),), attempts=1),
)
PHASES = {"first token": ("mute", True), "stream": ("flow", True), "in one piece": ("mute", False)}
BEFORE = 0.05  # seconds between the upstream's being asked and the caller's leaving


async def left(stage: Stage, cell: str, stream: bool) -> float:
    """Seconds from a caller's leaving to the upstream's seeing it."""

    async def leave(reply: Reply) -> None:
        while not stage.wall.of(reply.token):
            await asyncio.sleep(0.001)
        await asyncio.sleep(BEFORE)

    reply = await stage.ask(cell, stream, leave)
    (attempt,) = stage.wall.of(reply.token)
    await attempt.over.wait()
    assert attempt.gone is not None
    return attempt.gone - reply.ended


async def queued(stage: Stage) -> int:
    """How many of ten callers who leave a queue have reached the upstream all the same."""
    first = asyncio.Event()

    async def leave(reply: Reply) -> None:
        await first.wait()

    async def soon(reply: Reply) -> None:
        await asyncio.sleep(0.3)

    holder = asyncio.create_task(stage.ask("narrow", True, leave))
    while not stage.wall.at("silent.narrow.primary"):
        await asyncio.sleep(0.01)
    replies = await asyncio.gather(*(stage.ask("narrow", True, soon) for _ in range(10)))
    first.set()
    await holder
    await asyncio.sleep(0.5)
    return sum(len(stage.wall.of(reply.token)) for reply in replies)


def told(name: str, seconds: list[float]) -> str:
    """One line, in milliseconds."""
    ordered = [1000 * one for one in sorted(seconds)]
    p50, p99 = (ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99))
    return f"{name}: {len(ordered)} callers left, p50 {p50:.1f} ms, p99 {p99:.1f} ms, slowest {ordered[-1]:.1f} ms"


async def main(requests: int, together: int) -> None:
    """All phases, some callers at once."""
    with tempfile.TemporaryDirectory() as directory:
        stage = await staged(CELLS, Path(directory), 1.0)
        try:
            for name, (cell, stream) in PHASES.items():
                seconds: list[float] = []
                for _ in range(0, requests, together):
                    seconds += await asyncio.gather(*(left(stage, cell, stream) for _ in range(together)))
                print(told(name, seconds), flush=True)
            print(f"queue: of 10 callers who left it, {await queued(stage)} reached the upstream")
        finally:
            await stage.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.faults.cancelling", description=__doc__)
    parser.add_argument("--requests", type=int, default=400, help="of each phase (400)")
    parser.add_argument("--together", type=int, default=20, help="that run at once (20)")
    asked = parser.parse_args()
    sys.exit(asyncio.run(main(asked.requests, asked.together)))
