"""One running llama.cpp server with the toy model behind all provider tests of a session, and what was heard of it."""

import asyncio
from collections.abc import Iterator

import pytest

from gateway.demo.fleet import DemoFleet, ServerSpec

from .tapes import Tapes


@pytest.fixture(scope="session")
def llama_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the session's llama.cpp server."""
    fleet = DemoFleet()
    with asyncio.Runner() as runner:
        spec = ServerSpec("providers", ("llama-3.1-8b-instruct",))
        (server,) = runner.run(fleet.start([spec], tmp_path_factory.mktemp("toy")))
        yield server.url
        runner.run(fleet.stop())


@pytest.fixture(scope="session")
def tapes(llama_url: str) -> Tapes:
    """The session's recorded answers."""
    return Tapes(llama_url)
