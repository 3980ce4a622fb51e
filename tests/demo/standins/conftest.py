"""One real llama.cpp server behind all stand-ins of a test run."""

import pytest

from gateway.demo.fleet import RunningServer


@pytest.fixture(scope="session")
def llama_url(llama: RunningServer) -> str:
    """The address of the session's llama.cpp server."""
    return llama.url
