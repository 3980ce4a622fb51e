"""A wall, a real gateway before it, and callers; all that was asked is joined with what the other two saw."""

import asyncio
import itertools
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gateway.types import NOTHING
from tests.faults.client import Leave, Reply, exchange, request_bytes
from tests.faults.policies import KEY, Cell, policy
from tests.faults.proc import fds
from tests.faults.wall import Wall
from tests.process import GatewayProcess

PATIENCE = 15.0  # seconds that a test waits for what must come
HUNG = 25.0  # seconds until a request that hangs is given up, at the scale of CI
TOKENS = itertools.count(1)
KEPT = 1000  # requests that the gateway remembers
OFTEN = 300  # requests between two looks at what it remembers


@dataclass(slots=True)
class Joined:
    """One request from all three sides."""

    reply: Reply
    row: dict[str, Any]  # the gateway's record
    cell: Cell


@dataclass(slots=True)
class Stage:
    """Everything that runs, and every reply since the last check."""

    wall: Wall
    gateway: GatewayProcess
    cells: dict[str, Cell]
    scale: float
    admin: httpx.AsyncClient
    baseline: int  # open files of the gateway at rest
    replies: list[Reply] = field(default_factory=list)
    known: set[str] = field(default_factory=set)  # ids of requests that were checked
    fresh: dict[str, dict[str, Any]] = field(default_factory=dict)  # records of those that were not
    checked: int = 0
    ended: int = 0  # requests so far
    hung: float = HUNG  # seconds until a request that hangs is given up

    async def ask(
        self,
        cell: str,
        stream: bool = True,
        leave: Leave | None = None,
        headers: dict[str, str] | None = None,
        **body: Any,
    ) -> Reply:
        """One request to a cell's route, and what came of it; `body` adds to it."""
        reply = Reply(f"r-{next(TOKENS):06d}", cell, stream, time.monotonic())
        messages = [{"role": "user", "content": f"Say your words, {reply.token}."}]
        usage = {"stream_options": {"include_usage": True}} if stream else {}
        whole = {"model": cell, "stream": stream, "messages": messages, **usage, **body}
        sent = request_bytes(self.gateway.data, KEY, whole, **(headers or {}))
        self.replies.append(reply)
        await exchange(self.gateway.data, sent, reply, self.hung, leave)
        self.ended += 1
        if self.ended % OFTEN == 0:
            await self.collect()
        return reply

    async def both(self, cell: str, **more: Any) -> tuple[Reply, Reply]:
        """The same request, streamed and not, one after the other."""
        return await self.ask(cell, True, **more), await self.ask(cell, False, **more)

    async def collect(self) -> None:
        """Read the gateway's records that were not checked yet, before it forgets them."""
        for row in (await self.admin.get("/admin/requests", params={"limit": KEPT})).json():
            if row["id"] not in self.known and row["asked"] in self.cells:
                self.fresh[row["id"]] = row

    async def rows(self) -> list[dict[str, Any]]:
        """The gateway's records since the last check, one for each reply; all of them are over."""
        async with asyncio.timeout(PATIENCE):
            await self.collect()
            while len(self.fresh) < len(self.replies):
                await asyncio.sleep(0.02)
                await self.collect()
        return list(self.fresh.values())

    async def forget(self, least: int = 0) -> None:
        """Take the records of raw requests, which have no reply here, for checked; nothing is in flight after that.

        There are so many of them, or more.
        """
        async with asyncio.timeout(PATIENCE):
            while await self.in_flight():
                await asyncio.sleep(0.02)
            await self.collect()
            while len(raw := self.fresh.keys() - {reply.id for reply in self.replies}) < least:
                await asyncio.sleep(0.02)
                await self.collect()
        self.known |= raw
        self.checked += len(raw)
        self.fresh = {id: row for id, row in self.fresh.items() if id not in raw}

    async def record(self, reply: Reply) -> dict[str, Any]:
        """The gateway's whole record of a request."""
        found: dict[str, Any] = (await self.admin.get(f"/admin/requests/{reply.id}")).json()
        return found

    async def in_flight(self) -> dict[str, int]:
        """Requests in flight by backend, where there are any."""
        rows = (await self.admin.get("/admin/backends")).json()
        return {row["backend"]: row["in_flight"] for row in rows if row["in_flight"]}

    async def quiet(self) -> list[str]:
        """What does not come to rest in time: requests in flight, open files."""
        left: list[str] = ["nothing was looked at"]
        try:
            async with asyncio.timeout(PATIENCE):
                while left:
                    busy, files = await self.in_flight(), fds(self.gateway.process.pid)
                    most = self.baseline + len(self.wall.open)
                    left = [f"in flight: {busy}"] if busy else []
                    left += [f"open files: {files}, at most {most} were due"] if files > most else []
                    await asyncio.sleep(0.02 if left else 0)
        except TimeoutError:
            return left
        return []

    async def close(self) -> None:
        """End everything."""
        await self.admin.aclose()
        await asyncio.to_thread(self.gateway.stop)
        await self.wall.stop()


async def staged(
    cells: Iterable[Cell],
    directory: Path,
    scale: float = 0.05,
    before: tuple[str, ...] = (),
    pages: Mapping[str, str] = NOTHING,
    **env: str,
) -> Stage:
    """Start a wall, with pages at some paths, and a gateway with a route for each cell.

    `before` is a command that the gateway is started by.
    """
    chosen = list(cells)
    wall = await Wall(scale).start()
    wall.pages.update(pages)
    file = directory / "policy.yaml"
    file.write_text(policy(chosen, wall.url, scale))
    gateway = GatewayProcess("serve", "--policy", str(file), env=env or None, before=before)
    await asyncio.to_thread(gateway.__enter__)
    admin = httpx.AsyncClient(base_url=gateway.admin, timeout=PATIENCE)
    await admin.get("/admin/backends")
    by_name = {cell.name: cell for cell in chosen}
    return Stage(wall, gateway, by_name, scale, admin, fds(gateway.process.pid))
