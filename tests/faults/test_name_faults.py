"""Names that do not resolve, or resolve to somebody else, and addresses without a way to them."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.background import Background
from tests.faults.client import Reply
from tests.faults.conftest import Act, Running
from tests.faults.names import Names, need_names
from tests.faults.policies import Back, Cell
from tests.faults.proxy import Proxy
from tests.faults.runner import Stage, staged

PORT = 4799  # of the server that moves: the same at both addresses
BAD = ("nowhere", "broken", "silent")
UNREACHABLE = "http://[100::1]:9"  # discarded by RFC 6666, where there is a way to it at all


def through(name: str, url: str) -> Cell:
    """A backend that is not there, and a good one behind it."""
    return Cell(name, (Back("ok", url=url, foreign=True), Back("ok", "fallback")))


@pytest.fixture(scope="module")
def places() -> Iterator[tuple[Background, dict[str, Proxy]]]:
    """Two addresses of the server that moves."""
    with Background() as background:
        found = {address: Proxy(host=address, port=PORT) for address in ("127.0.0.1", "127.0.0.2")}
        for proxy in found.values():
            background.run(proxy.listen())
        yield background, found
        for proxy in found.values():
            background.run(proxy.refuse())


@pytest.fixture(scope="module")
def names(places: tuple[Background, dict[str, Proxy]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Names]:
    """The names that the gateway sees."""
    need_names()
    background, _ = places
    found = background.run(Names(tmp_path_factory.mktemp("names")).listen())
    found.say("moves.test", "127.0.0.1")
    yield found
    background.run(found.close())


@pytest.fixture(scope="module")
def running(
    places: tuple[Background, dict[str, Proxy]], names: Names, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """A gateway that sees these names."""
    background, proxies = places
    cells = [
        *(through(name, f"http://{name}.test:9") for name in BAD),
        through("unreachable", UNREACHABLE),
        Cell("moves", (Back("drip-20", url=f"http://moves.test:{PORT}"),), 2),
    ]
    directory: Path = tmp_path_factory.mktemp("faults")
    stage = background.run(staged(cells, directory, before=names.before()))
    for proxy in proxies.values():
        proxy.target = stage.wall.url
    yield Running(stage, background)
    background.run(stage.close())


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("name", [*BAD, "unreachable"])
def test_backend_without_an_address_or_a_way_to_it_is_failed_over(
    act: Act[Any], names: Names, name: str, stream: bool
) -> None:
    async def part(stage: Stage) -> str:
        reply = await stage.ask(name, stream)
        assert reply.success and reply.headers["x-gateway-backend"] == f"{name}-fallback"
        await stage.rows()
        return str((await stage.record(reply))["attempts"][0]["error_type"])

    assert act(part) == "upstream_unreachable"
    assert name == "unreachable" or any(asked.startswith(name) for asked in names.asked)


def test_server_that_moves_to_another_address_under_load_loses_no_request(
    act: Act[Any], places: tuple[Background, dict[str, Proxy]], names: Names
) -> None:
    proxies = places[1]

    async def caller(stage: Stage, over: asyncio.Event) -> list[Reply]:
        replies = []
        while not over.is_set():
            replies.append(await stage.ask("moves"))
        return replies

    async def part(stage: Stage) -> list[list[Reply]]:
        over = asyncio.Event()
        callers = [asyncio.ensure_future(caller(stage, over)) for _ in range(8)]
        await reached(proxies["127.0.0.1"], 8)
        names.say("moves.test", "127.0.0.2")
        proxies["127.0.0.1"].leave()
        await reached(proxies["127.0.0.2"], 8)
        over.set()
        return list(await asyncio.gather(*callers))

    replies = [reply for of_one in act(part) for reply in of_one]
    assert [reply for reply in replies if not reply.success] == []


async def reached(proxy: Proxy, count: int) -> None:
    """Wait until so many connections have come to an address."""
    async with asyncio.timeout(15):
        while proxy.count < count:
            await asyncio.sleep(0.01)
