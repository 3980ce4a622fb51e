"""What followers are told, how much of it waits for them, and that they end."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from gateway.api.events import HELD, MOST, TOPICS, Broadcast, Events, TooMany
from tests.api.operators import Admin
from tests.config.reloading import OPEN
from tests.process import GatewayProcess
from tests.telemetry.records import record

ALL = TOPICS


@pytest.fixture
def admin(tmp_path: Path) -> Admin:
    """A gateway that is not started."""
    return Admin(tmp_path / "policy.yaml", OPEN)


def told(text: bytes) -> dict[str, Any]:
    """The events in a piece of the stream, by topic."""
    pieces = [piece.split("\n") for piece in text.decode().split("\n\n") if piece.startswith("event: ")]
    return {head.removeprefix("event: "): orjson.loads(data.removeprefix("data: ")) for head, data in pieces}


def following(work: Callable[[Broadcast, Events], Awaitable[None]], admin: Admin, topics: frozenset[str] = ALL) -> None:
    """Run something with a follower that has begun."""

    async def run() -> None:
        broadcast = admin.gateway.broadcast
        stream = broadcast.follow(topics)
        await anext(stream)
        await work(broadcast, stream)
        broadcast.close()
        assert [piece async for piece in stream if told(piece)] == []
        assert broadcast.followers == set()

    asyncio.run(run())


def test_request_that_ends_is_told_with_the_skipped_ones_counted(admin: Admin) -> None:
    async def work(broadcast: Broadcast, stream: Events) -> None:
        for number in range(HELD + 3):
            broadcast.answered(record(id=f"req_{number}"))
        found = told(await anext(stream))["requests"]
        assert (len(found["rows"]), found["skipped"]) == (HELD, 3)
        assert found["rows"][-1]["id"] == f"req_{HELD + 2}"

    following(work, admin)


def test_tick_tells_sums_the_policy_once_and_deployments_that_changed(admin: Admin) -> None:
    async def work(broadcast: Broadcast, stream: Events) -> None:
        broadcast.pulse.answered(record())
        broadcast.tick(1.0)
        broadcast.tick(2.0)
        found = told(await anext(stream))
        assert found["pulse"]["totals"]["requests"] == 1
        assert found["policy"]["generation"] == admin.live.current.generation
        assert [row["deployment"] for row in found["backends"]["rows"]] == ["a/llama-3.1-8b-instruct"]
        broadcast.tick(3.0)
        broadcast.tick(4.0)
        assert set(told(await anext(stream))) == {"pulse"}

    following(work, admin)


def test_follower_is_told_nothing_of_what_it_does_not_follow(admin: Admin) -> None:
    async def work(broadcast: Broadcast, stream: Events) -> None:
        broadcast.answered(record())
        broadcast.tick(1.0)
        broadcast.tick(2.0)
        assert set(told(await anext(stream))) == {"pulse"}

    following(work, admin, frozenset({"pulse"}))


def test_one_too_many_is_refused_in_a_sentence(admin: Admin) -> None:
    async def work(broadcast: Broadcast, stream: Events) -> None:
        others = [broadcast.follow(ALL) for _ in range(MOST - 1)]
        for other in others:
            await anext(other)
        with pytest.raises(TooMany, match="follow already"):
            broadcast.follow(ALL)
        for other in others:
            await other.aclose()

    following(work, admin)


def test_nobody_who_follows_holds_anything_up(admin: Admin) -> None:
    broadcast = admin.gateway.broadcast
    broadcast.answered(record())
    broadcast.tick(1.0)
    assert broadcast.followers == set()


@pytest.mark.parametrize("steps", [0, 1])
def test_follower_that_goes_leaves_nothing_behind(admin: Admin, steps: int) -> None:
    async def run() -> None:
        stream = admin.gateway.broadcast.follow(ALL)
        for _ in range(steps):
            await anext(stream)
        waiting = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait((waiting,))
        await stream.aclose()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert admin.gateway.broadcast.followers == set()

    asyncio.run(run())


@pytest.mark.parametrize("topics", ["", "nothing", "pulse,pulse"])
def test_odd_topics_are_no_error(admin: Admin, topics: str) -> None:
    admin.gateway.broadcast.close()
    answer = admin.client.get("/admin/events", params={"topics": topics})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")


def test_overview_has_the_last_seconds_as_columns(admin: Admin) -> None:
    broadcast = admin.gateway.broadcast
    assert admin.get("/admin/overview")["ticks"]["requests"] == []
    broadcast.pulse.answered(record())
    broadcast.tick(1.0)
    found = admin.get("/admin/overview")
    assert (found["ticks"]["requests"], found["deployments"]) == ([1], {"all": 1, "up": 1, "drained": 0})


def test_process_that_ends_waits_for_no_follower(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(OPEN)
    with (
        GatewayProcess("serve", "--policy", str(file)) as gateway,
        httpx.stream("GET", f"{gateway.admin}/admin/events", timeout=30) as stream,
    ):
        lines = stream.iter_lines()
        next(lines)
        assert gateway.stop() == 0
        assert all(not line or line.startswith((":", "event:", "data:")) for line in lines)
