"""The world of these tests."""

from collections.abc import Iterator

import pytest

from tests.world import World, world


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The world."""
    with world(tmp_path_factory.mktemp("world")) as made:
        yield made
