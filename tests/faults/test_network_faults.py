"""What the network and the upstreams' processes do wrong, end to end."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.background import Background
from tests.faults.beside import Beside
from tests.faults.client import Reply
from tests.faults.conftest import Act, Running, on_stage
from tests.faults.policies import Back, Cell, alone, pair
from tests.faults.proxy import Deaf, Proxy, Weather, closed_url
from tests.faults.runner import PATIENCE, Stage

SCALE = 0.05
MANY = 200  # streams at once
RESET_AFTER = 4000  # bytes, in the middle of an answer
WEATHERS = {
    "late": Weather(latency=0.3 * SCALE, jitter=0.4 * SCALE),
    "narrow": Weather(rate=8192 / SCALE),
    "sliced": Weather(slice=7),
    "resetting": Weather(reset_after=RESET_AFTER),
    "swallowing": Weather(swallow=True),
    "refusing": Weather(),
}


@dataclass(frozen=True, slots=True)
class Places:
    """Where the backends are that are not simply the wall."""

    proxies: dict[str, Proxy]
    deaf: Deaf
    frozen: Beside
    killed: Beside


def through(name: str, url: str, fault: str = "ok", **more: Any) -> Cell:
    """A failing way, and a good one behind it."""
    return Cell(name, (Back(fault, url=url, **more), Back("ok", "fallback")))


def cells(places: Places) -> list[Cell]:
    """The routes of this module."""
    killed = Back("stall-5", url=places.killed.url, foreign=True)
    return [
        *(through(name, proxy.url) for name, proxy in places.proxies.items()),
        through("closed", closed_url(), foreign=True),
        through("deaf", places.deaf.url, foreign=True),
        through("slow-to-connect", places.deaf.url, foreign=True),
        Cell("freezing", (Back("drip-200", url=places.frozen.url, foreign=True),), 1),
        through("frozen", places.frozen.url, foreign=True),
        Cell("melting", (Back("drip-200", url=places.frozen.url, foreign=True),), 1),
        Cell("killed", (killed,), 1),
        Cell("killed-before", (replace(killed, fault="silent"), Back("ok", "fallback"))),
        Cell("none", (Back("status-503"), Back("status-503", "fallback"))),
        pair("flapping", "flap-1"),
        alone("again", "up-reset"),
    ]


def closing(background: Background, proxy: Proxy) -> None:
    """End a proxy."""
    background.run(proxy.refuse())


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[Background, Places]]:
    """Proxies, an address that does not answer, and two walls beside."""
    with ExitStack() as stack:
        background = stack.enter_context(Background())
        proxies = {name: background.run(Proxy(weather).listen()) for name, weather in WEATHERS.items()}
        deaf = Deaf()
        stack.callback(deaf.close)
        frozen, killed = stack.enter_context(Beside(SCALE)), stack.enter_context(Beside(SCALE))
        for proxy in proxies.values():
            stack.callback(closing, background, proxy)
        yield background, Places(proxies, deaf, frozen, killed)


@pytest.fixture(scope="module")
def running(places: tuple[Background, Places], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The stage, with the proxies in front of its wall."""
    background, where = places
    with on_stage(cells(where), tmp_path_factory.mktemp("faults"), background) as running:
        for proxy in where.proxies.values():
            proxy.target = running.stage.wall.url
        yield running


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("name", ["closed", "deaf"])
@pytest.mark.parametrize("stream", [True, False])
def test_address_that_takes_no_connection_is_failed_over(act: Act[Any], name: str, stream: bool) -> None:
    reply = act(lambda stage: stage.ask(name, stream))
    assert reply.success
    assert reply.headers["x-gateway-backend"] == f"{name}-fallback"


@pytest.mark.parametrize("stream", [True, False])
def test_connection_that_does_not_come_about_is_given_up_by_the_limit_for_connecting(
    act: Act[Any], stream: bool
) -> None:
    async def part(stage: Stage) -> str:
        reply = await stage.ask("slow-to-connect", stream)
        await stage.rows()
        return str((await stage.record(reply))["attempts"][0]["error_type"])

    assert act(part) == "upstream_unreachable"


@pytest.mark.parametrize("name", ["late", "narrow", "sliced"])
@pytest.mark.parametrize("stream", [True, False])
def test_bad_line_is_borne_and_nobody_else_is_asked(act: Act[Any], name: str, stream: bool) -> None:
    reply = act(lambda stage: stage.ask(name, stream))
    assert reply.success
    assert reply.headers["x-gateway-backend"] == f"{name}-primary"


def test_line_that_is_cut_in_the_middle_ends_as_the_policy_says(act: Act[Any]) -> None:
    streamed, whole = act(lambda stage: stage.both("resetting"))
    assert streamed.success or (streamed.clean and streamed.text)
    assert whole.success


def test_line_that_swallows_everything_is_failed_over(act: Act[Any]) -> None:
    assert act(lambda stage: stage.ask("swallowing")).success


def test_line_that_is_closed_and_opened_again_is_used_again(act: Act[Any], places: tuple[Background, Places]) -> None:
    async def part(stage: Stage) -> list[str]:
        proxy = places[1].proxies["refusing"]
        replies = [await stage.ask("refusing")]
        await proxy.refuse()
        replies.append(await stage.ask("refusing"))
        await proxy.listen()
        replies.append(await stage.ask("refusing"))
        return [reply.headers["x-gateway-backend"] for reply in replies if reply.success]

    assert act(part) == ["refusing-primary", "refusing-fallback", "refusing-primary"]


def test_upstream_that_is_frozen_before_its_answer_is_failed_over(
    act: Act[Any], places: tuple[Background, Places]
) -> None:
    places[1].frozen.send(signal.SIGSTOP)
    try:
        assert act(lambda stage: stage.ask("frozen")).success
    finally:
        places[1].frozen.send(signal.SIGCONT)


async def speaking(stage: Stage, cell: str) -> tuple["asyncio.Task[Reply]", Reply]:
    """A stream that has begun to come, and what came so far."""
    asked = asyncio.ensure_future(stage.ask(cell))
    await until(lambda: bool(stage.replies) and stage.replies[-1].raw.count(b"data:") > 5)
    return asked, stage.replies[-1]


def test_upstream_that_is_frozen_in_the_middle_and_goes_on_says_nothing_twice(
    act: Act[Any], places: tuple[Background, Places]
) -> None:
    async def part(stage: Stage) -> Reply:
        asked, reply = await speaking(stage, "melting")
        places[1].frozen.send(signal.SIGSTOP)
        await stage.in_flight()
        seen = len(reply.raw)
        places[1].frozen.send(signal.SIGCONT)
        await until(lambda: len(reply.raw) > seen)
        return await asked

    assert act(part).success


def test_upstream_that_stays_frozen_in_the_middle_ends_in_a_clear_error(
    act: Act[Any], places: tuple[Background, Places]
) -> None:
    async def part(stage: Stage) -> Reply:
        asked, _ = await speaking(stage, "freezing")
        places[1].frozen.send(signal.SIGSTOP)
        return await asked

    try:
        reply = act(part)
    finally:
        places[1].frozen.send(signal.SIGCONT)
    assert reply.clean and reply.text


def test_upstream_that_is_killed_under_many_streams_leaves_none_hanging(
    act: Act[Any], places: tuple[Background, Places]
) -> None:
    async def part(stage: Stage) -> list[Reply]:
        streams = [asyncio.ensure_future(stage.ask("killed")) for _ in range(MANY)]
        before = [asyncio.ensure_future(stage.ask("killed-before")) for _ in range(MANY // 4)]
        await until(lambda: sum(b"w0005" in reply.raw for reply in stage.replies) == MANY)
        places[1].killed.send(signal.SIGKILL)
        failed = list(await asyncio.gather(*streams))
        assert all(reply.success for reply in await asyncio.gather(*before))
        return failed

    replies = act(part)
    assert [(reply.clean, len(reply.text.split())) for reply in replies] == [(True, 5)] * MANY


@pytest.mark.parametrize("stream", [True, False])
def test_with_all_of_them_down_the_caller_is_told_to_wait_and_its_sdk_not_to_repeat(
    act: Act[Any], stream: bool
) -> None:
    reply = act(lambda stage: stage.ask("none", stream))
    assert (reply.status, reply.headers["x-should-retry"]) == (503, "false")
    assert "retry-after" in reply.headers


def test_upstream_that_comes_and_goes_is_never_noticed(act: Act[Any]) -> None:
    async def part(stage: Stage) -> int:
        replies = [await stage.ask("flapping", stream=index % 2 == 0) for index in range(100)]
        return sum(reply.success for reply in replies)

    assert act(part) == 100


def test_only_upstream_is_asked_again_as_soon_as_it_is_up(act: Act[Any]) -> None:
    async def part(stage: Stage) -> list[bool]:
        model = stage.cells["again"].id(stage.cells["again"].role("primary"))
        stage.wall.down.add(model)
        replies = [await stage.ask("again") for _ in range(8)]
        stage.wall.down.discard(model)
        return [reply.success for reply in (*replies, await stage.ask("again"))]

    assert act(part) == [False] * 8 + [True]
