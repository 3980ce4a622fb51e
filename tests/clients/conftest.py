"""One world for the session, and the SDK pointed at it."""

from collections.abc import Iterator

import openai
import pytest

from tests.world import KEY, World, world


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world."""
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made


@pytest.fixture
def client(whole: World) -> openai.OpenAI:
    """OpenAI's SDK with another base_url, as an app developer would have it; its own retries off."""
    return openai.OpenAI(base_url=f"{whole.gateway.data}/v1", api_key=KEY, max_retries=0, timeout=30)
