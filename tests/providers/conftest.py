"""One running llama.cpp server with the toy model behind all provider tests of a session."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.demo.fleet import DemoFleet, ServerSpec


@pytest.fixture(scope="session")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the session's llama.cpp server."""
    fleet = DemoFleet()
    with asyncio.Runner() as runner:
        spec = ServerSpec("providers", ("llama-3.1-8b-instruct",))
        (server,) = runner.run(fleet.start([spec], tmp_path_factory.mktemp("toy")))
        yield server.url
        runner.run(fleet.stop())
