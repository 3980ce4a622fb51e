"""A wall with another gateway before it, judged by the same verdicts."""

import asyncio
import itertools
import subprocess
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from tests.bench import proc
from tests.bench.peers import environment
from tests.faults.client import Reply, exchange, request_bytes
from tests.faults.failover_bench import STREAM, Fault, seen_of
from tests.faults.peers.systems import KEY, System, group
from tests.faults.policies import Back, Cell
from tests.faults.verdicts import Seen, Verdict, all_of, answered, usage_right
from tests.faults.wall import Wall

HUNG = 60.0  # seconds until a request is given up
START_SECONDS = 90.0
WARM = Cell("warm-up", (Back("ok"), Back("ok", "fallback")))
TOKENS = itertools.count(500_000)
Judged = tuple[list[tuple[Verdict, str]], float]  # of each repeat, and the seconds of the slowest reply
UNREADABLE = (ValueError, KeyError, TypeError, AttributeError, IndexError)  # what reading a strange answer raises


@dataclass(slots=True)
class PeerStage:
    """What the drives of the faults need: cells, replies, and how to ask."""

    wall: Wall
    system: System
    address: str
    cells: dict[str, Cell]
    scale: float = 1.0
    replies: list[Reply] = field(default_factory=list)

    async def ask(self, cell: str, stream: bool = True) -> Reply:
        """One request to a cell, and what came of it within the limit."""
        reply = Reply(f"r-{next(TOKENS):06d}", cell, stream, time.monotonic())
        messages = [{"role": "user", "content": f"Say your words, {reply.token}."}]
        usage = {"stream_options": {"include_usage": True}} if stream else {}
        body = {"model": cell, "stream": stream, "messages": messages, **usage}
        sent = request_bytes(self.address, KEY, body, **self.system.headers(self.cells[cell], self.wall.url))
        self.replies.append(reply)
        return await exchange(self.address, sent, reply, HUNG)


@asynccontextmanager
async def started(system: System, cells: Iterable[Cell], folder: Path) -> AsyncIterator[PeerStage]:
    """A peer that is ready and has answered once; ended with the block."""
    chosen = [WARM, *cells]
    wall, port, log = await Wall(1.0).start(), proc.free_port(), folder / "output.log"
    command = system.command(port, folder, chosen, wall.url, system.tuned)
    process = proc.spawn(command, proc.cores()[0], environment(), log)
    try:
        await asyncio.to_thread(await_ready, process, port, system.ready, log)
        stage = PeerStage(wall, system, f"http://127.0.0.1:{port}", {cell.name: cell for cell in chosen})
        warm = await stage.ask(WARM.name)
        if not warm.success:
            raise RuntimeError(f"{system.name} does not answer: {warm.raw[:300]!r}; {log.read_text()[-1500:]}")
        yield stage
    finally:
        await asyncio.to_thread(proc.stop, process)
        await wall.stop()


def await_ready(process: "subprocess.Popen[bytes]", port: int, path: str, log: Path) -> None:
    """Return when it answers; raises RuntimeError when it ends, or takes too long."""
    until = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < until:
        client = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            client.request("GET", path)
            if client.getresponse().status == 200:
                return
        except (OSError, HTTPException):
            time.sleep(0.1)
        finally:
            client.close()
    raise RuntimeError(f"It did not start: {log.read_text(errors='replace')[-800:]}")


def fitted(fault: Fault) -> Fault:
    """The fault as a peer is asked: streamed; whoever has a larger window is its fallback; names are the peer's own."""
    judge = {"S13": passed_on, "S16": all_of(answered, named, usage_right)}.get(fault.id, fault.judge)
    return replace(fault, forms=(STREAM,), judge=judge)


def cell_of(fault: Fault, repeat: int) -> Cell:
    """The route of one repeat; a peer is told at once of the larger window, where there is one."""
    cell = fault.cell(STREAM, repeat)
    return replace(cell, backs=(cell.backs[0], *fault.more)) if fault.more else cell


def named(seen: Seen) -> tuple[Verdict, str]:
    """The model that the caller is told is the fallback's, under any of its names."""
    back = seen.cell.role("fallback")
    told = {body.get("model") for body in seen.reply.bodies}
    right = told <= {seen.cell.id(back), back.model, group(seen.cell, back)}
    return ("pass", "") if right and told else ("fail", f"told {sorted(map(str, told))}")


def passed_on(seen: Seen) -> tuple[Verdict, str]:
    """The refusal reaches the caller as a clear 400, whatever its code, and nobody else was asked."""
    if seen.count("fallback"):
        return "fail", "the filter was routed around"
    right = seen.reply.clean and seen.reply.status == 400
    return ("pass", "") if right else ("partial", f"told as {seen.reply.status}")


def verdict(fault: Fault, seen: Seen) -> tuple[Verdict, str]:
    """The judge's; what makes a caller's SDK raise is no answer, and no wrong one either."""
    for reply in seen.replies:
        complete(reply)
    try:
        return fault.judge(seen)
    except UNREADABLE as error:
        return "safe", f"the caller's SDK cannot read it: {type(error).__name__}"


def complete(reply: Reply) -> None:
    """Take a stream that ended in good order for ended: an SDK does not wait for [DONE], as we ask of ourselves."""
    if reply.stream and reply.status == 200 and reply.end == "whole" and b"[DONE]" not in reply.body:
        reply.body = reply.body.rstrip(b"\n") + b"\n\n"
        reply.body += b"" if b'"error"' in reply.body else b"data: [DONE]\n\n"


async def judged(system: System, faults: tuple[Fault, ...], repeats: int, folder: Path) -> dict[str, Judged]:
    """All faults at once before one peer: the verdicts of each."""
    asked = [fitted(fault) for fault in faults]
    cells = [cell_of(fault, repeat) for fault in asked for repeat in range(repeats)]
    async with started(system, cells, folder) as stage:
        found = await asyncio.gather(*(seen_of(stage, fault, repeats, timed=True) for fault in asked))
    return {
        fault.id: ([verdict(fault, one) for one in seen[STREAM]], max(one.slowest() for one in seen[STREAM]))
        for fault, seen in zip(asked, found, strict=True)
    }
