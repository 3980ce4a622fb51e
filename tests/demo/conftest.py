"""One running llama.cpp server with the toy model, for the whole session."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.demo.fleet import DemoFleet, RunningServer, ServerSpec


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    spec = ServerSpec("session", ("llama-3.1-8b-instruct",))
    fleet = DemoFleet()
    with asyncio.Runner() as runner:
        (server,) = runner.run(fleet.start([spec], tmp_path_factory.mktemp("toy")))
        yield server
        runner.run(fleet.stop())
