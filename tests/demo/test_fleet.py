"""The fleet starts real servers, says what went wrong, and leaves no process behind, whoever dies first."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path
from time import monotonic
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.demo.fleet import (
    DemoFleet,
    DemoUnavailable,
    RunningServer,
    ServerFailed,
    ServerSpec,
    require,
    written_model,
)

SMALL = ServerSpec("small", ("llama-3.1-8b-instruct",), slots=1, context=1024)
LARGE = ServerSpec("large", ("llama-3.3-70b-instruct", "llama-70b"), slots=2, context=2048)

PARENT = """
import asyncio, sys
from pathlib import Path
from gateway.demo.fleet import DemoFleet, ServerSpec

async def main():
    specs = [ServerSpec("one", ("one",)), ServerSpec("two", ("two",))]
    for server in await DemoFleet().start(specs, Path(sys.argv[1])):
        print(server.url, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def closed(url: str, seconds: float = 10) -> bool:
    """Whether nobody listens at `url` any more, within `seconds`."""
    address = urlsplit(url)
    deadline = monotonic() + seconds
    while monotonic() < deadline:
        try:
            socket.create_connection((address.hostname or "", address.port or 0), timeout=1).close()
        except OSError:
            return True
    return False


async def names(server: RunningServer) -> set[str]:
    async with httpx.AsyncClient() as client:
        (model,) = (await client.get(f"{server.url}/v1/models")).json()["data"]
    return {model["id"], *model["aliases"]}


@pytest.mark.asyncio
async def test_servers_answer_to_their_names_with_their_slots(tmp_path: Path) -> None:
    async with DemoFleet() as fleet, httpx.AsyncClient() as client:
        servers = await fleet.start([SMALL, LARGE], tmp_path)
        assert [server.spec for server in servers] == [SMALL, LARGE]
        assert [await names(server) for server in servers] == [set(SMALL.models), set(LARGE.models)]
        slots = [(await client.get(f"{server.url}/slots")).json() for server in servers]
    assert [[slot["n_ctx"] for slot in each] for each in slots] == [[1024], [2048, 2048]]


@pytest.mark.asyncio
async def test_stop_leaves_no_process(tmp_path: Path) -> None:
    fleet = DemoFleet()
    servers = await fleet.start([SMALL, LARGE], tmp_path)
    await fleet.stop()
    for server in servers:
        with pytest.raises(ProcessLookupError):
            os.kill(server.pid, 0)
    await fleet.stop()


@pytest.mark.asyncio
async def test_stop_ends_also_a_server_that_hangs(tmp_path: Path) -> None:
    async with DemoFleet() as fleet:
        (server,) = await fleet.start([SMALL], tmp_path)
        os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(ProcessLookupError):
        os.kill(server.pid, 0)


@pytest.mark.asyncio
async def test_stop_does_not_wait_for_an_answer_under_way(tmp_path: Path) -> None:
    body = {"messages": [{"role": "user", "content": "Go on."}], "ignore_eos": True, "stream": True}
    async with httpx.AsyncClient() as client, DemoFleet() as fleet:
        (server,) = await fleet.start([SMALL], tmp_path)
        async with client.stream("POST", f"{server.url}/v1/chat/completions", json=body) as answer:
            lines = answer.aiter_lines()
            assert (await anext(lines)).startswith("data:")
            await fleet.stop()
            with pytest.raises(httpx.RemoteProtocolError):
                assert [line async for line in lines]


def test_servers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        urls = [parent.stdout.readline().decode().strip() for _ in range(2)]
        assert all(httpx.get(f"{url}/health").is_success for url in urls)
        parent.kill()
    assert all(closed(url) for url in urls)


@pytest.mark.asyncio
async def test_server_ignores_ctrl_c_and_obeys_sigterm(tmp_path: Path) -> None:
    async with DemoFleet() as fleet, httpx.AsyncClient() as client:
        (server,) = await fleet.start([SMALL], tmp_path)
        os.kill(server.pid, signal.SIGINT)
        assert (await client.get(f"{server.url}/health")).is_success
        os.kill(server.pid, signal.SIGTERM)
        assert await asyncio.to_thread(closed, server.url)


@pytest.mark.asyncio
async def test_server_that_dies_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    model = await written_model(tmp_path)
    model.write_bytes(model.read_bytes()[:1000])
    with pytest.raises(
        ServerFailed, match=r"demo server small did not start \(exit code 1\).*small\.log: .*failed to load model"
    ):
        async with DemoFleet() as fleet:
            await fleet.start([SMALL], tmp_path)


@pytest.mark.asyncio
async def test_model_is_written_once_and_replaces_an_older_version(tmp_path: Path) -> None:
    (tmp_path / "toy-llama-0.gguf").touch()
    path = await written_model(tmp_path)
    written = path.stat().st_mtime_ns
    assert await written_model(tmp_path) == path
    assert path.stat().st_mtime_ns == written
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.asyncio
async def test_model_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ServerFailed, match="toy model could not be written"):
        await written_model(tmp_path / "file")


def test_missing_package_says_what_to_do() -> None:
    with pytest.raises(DemoUnavailable, match=r"needs the package no_such_llama.*or start a real server"):
        require("no_such_llama")


def test_fleet_keeps_numpy_out_of_its_process() -> None:
    command = "import sys, gateway.demo.fleet; print({'numpy', 'gguf', 'xllamacpp'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    assert (
        subprocess.run([sys.executable, "-c", command], cwd=root, capture_output=True, check=True).stdout == b"set()\n"
    )
