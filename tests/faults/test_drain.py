"""SIGTERM under load, end to end: not ready at once, nothing lost that ends in time, and a clear word for the rest."""

import asyncio
import json
import signal
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from tests.background import Background
from tests.faults.client import Reply
from tests.faults.policies import Cell, alone
from tests.faults.runner import PATIENCE, Stage, staged

T = TypeVar("T")
SCALE = 0.05
SOON, NEVER = 150, 50  # streams that end in time, and that do not
CELLS = [
    alone("soon", "drip-400"),
    alone("never", "drip-8000-1000", total=2000.0),
    alone("mute", "silent"),
    alone("ok", "ok"),
]


def act(directory: Path, part: Callable[[Stage], Coroutine[Any, Any, T]], cells: list[Cell], **env: str) -> T:
    """Run a test's part on a stage of its own, whose gateway it ends."""
    with Background() as background:
        stage = background.run(staged(cells, directory, SCALE, (), {}, **env))
        try:
            return background.run(part(stage))
        finally:
            background.run(stage.close())


async def spoken(stage: Stage, cell: str, count: int) -> list["asyncio.Task[Reply]"]:
    """So many streams, each of which has begun."""
    before = len(stage.replies)
    asked = [asyncio.ensure_future(stage.ask(cell)) for _ in range(count)]
    async with asyncio.timeout(PATIENCE):
        while sum(b"w0001" in reply.raw for reply in stage.replies[before:]) < count:
            await asyncio.sleep(0.01)
    return asked


async def ended(stage: Stage) -> int:
    """The gateway's exit code."""
    return await asyncio.to_thread(stage.gateway.process.wait, PATIENCE)


async def unready(stage: Stage) -> int:
    """Ask the gateway to end; the status with which it says that it is not ready, once it does."""
    stage.gateway.process.send_signal(signal.SIGTERM)
    async with httpx.AsyncClient() as client:
        while (ready := await client.get(f"{stage.gateway.data}/readyz")).status_code == 200:
            pass
    return ready.status_code


def outcomes(stage: Stage) -> Counter[str]:
    """How the gateway says that its requests ended."""
    stage.gateway.reader.join(PATIENCE)
    lines = [json.loads(line) for line in stage.gateway.printed if line.startswith("{")]
    return Counter(line["outcome"] for line in lines if line["event"] == "request.answered")


def test_streams_that_end_in_time_are_whole_and_the_others_are_told_to_be_sent_again(tmp_path: Path) -> None:
    async def part(stage: Stage) -> tuple[list[Reply], list[Reply], Reply, int, Counter[str]]:
        never = await spoken(stage, "never", NEVER)
        mute = asyncio.ensure_future(stage.ask("mute", False))
        soon = await spoken(stage, "soon", SOON)
        await stage.wall.reached("silent.mute.primary")
        stage.gateway.process.send_signal(signal.SIGTERM)
        replies = await asyncio.gather(*soon), await asyncio.gather(*never), await mute
        return *replies, await ended(stage), outcomes(stage)

    soon, never, mute, code, told = act(tmp_path, part, CELLS, GATEWAY_DRAIN_SECONDS="5")
    assert [reply.success for reply in soon] == [True] * SOON
    assert [reply.clean for reply in never] == [True] * NEVER
    assert {reply.error["code"] for reply in never if reply.error} == {"gateway_shutdown"}
    assert (mute.status, mute.error and mute.error["code"]) == (503, "gateway_shutdown")
    assert (mute.headers["x-should-retry"], mute.headers["retry-after"]) == ("true", "1")
    assert code == 0
    assert told == {"success": SOON, "partial": NEVER, "shed": 1}


def test_callers_are_taken_for_a_while_after_the_gateway_has_said_that_it_is_not_ready(tmp_path: Path) -> None:
    async def part(stage: Stage) -> tuple[int, Reply, str, int]:
        ready = await unready(stage)
        reply, metrics = await stage.ask("ok"), await stage.admin.get("/metrics")
        stage.gateway.process.send_signal(signal.SIGTERM)
        return ready, reply, metrics.text, await ended(stage)

    status, reply, metrics, code = act(tmp_path, part, CELLS, GATEWAY_DRAIN_ACCEPT_SECONDS="60")
    assert (status, code) == (503, 0)
    assert reply.success and reply.headers["connection"] == "close"
    assert "gateway_inflight_requests" in metrics


def test_admin_plane_answers_while_the_last_requests_end(tmp_path: Path) -> None:
    async def part(stage: Stage) -> tuple[dict[str, int], int]:
        (stream,) = await spoken(stage, "never", 1)
        stage.gateway.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE):
            while not refused(stage):
                await asyncio.sleep(0.01)
        busy = await stage.in_flight()
        stage.gateway.process.send_signal(signal.SIGTERM)
        assert (await stream).clean
        return busy, await ended(stage)

    assert act(tmp_path, part, CELLS) == ({"never-primary": 1}, 0)


def refused(stage: Stage) -> bool:
    """Whether callers can connect no more."""
    try:
        httpx.get(f"{stage.gateway.data}/livez")
    except httpx.ConnectError:
        return True
    return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_second_signal_ends_at_once_and_still_tells_the_callers(tmp_path: Path, number: signal.Signals) -> None:
    async def part(stage: Stage) -> tuple[Reply, int]:
        (stream,) = await spoken(stage, "never", 1)
        await unready(stage)
        stage.gateway.process.send_signal(number)
        return await stream, await ended(stage)

    reply, code = act(tmp_path, part, CELLS, GATEWAY_DRAIN_SECONDS="900", GATEWAY_DRAIN_ACCEPT_SECONDS="60")
    assert reply.error is not None and reply.error["code"] == "gateway_shutdown"
    assert code == 0


def test_interrupt_at_a_terminal_skips_the_window(tmp_path: Path) -> None:
    async def part(stage: Stage) -> int:
        stage.gateway.process.send_signal(signal.SIGINT)
        return await ended(stage)

    assert act(tmp_path, part, CELLS, GATEWAY_DRAIN_ACCEPT_SECONDS="60") == 0
