"""A real Chromium, and gateways for it to look at."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.console.gateways import MARKUP, Seen, ask, crowded, hostile_world, own_address, serving
from tests.process import GatewayProcess
from tests.world import World


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """The browser of the system; no longer than a module, since Playwright's loop runs for as long in this thread."""
    found = shutil.which("chromium")
    if found is None:
        assert not os.environ.get("CI"), "CI has a Chromium"
        pytest.skip("Chromium is not here; `make test` installs it where it can")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, GatewayProcess]]:
    """A gateway that has answered requests with markup in whatever a caller may write."""
    with hostile_world(tmp_path_factory.mktemp("console")) as made:
        gateway = made[1]
        for name in MARKUP:
            assert ask(gateway, "failover", name, odd=name, metadata={"x": name}, user=name).status_code == 200
            ask(gateway, name)
        yield made


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway with many backends."""
    directory: Path = tmp_path_factory.mktemp("crowd")
    with serving(crowded(), directory) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def away(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    """A gateway that a browser reaches as one of another machine does: by an address that is not the loopback's."""
    address = own_address()
    if not address:
        pytest.skip("this machine has no address but the loopback's")
    directory: Path = tmp_path_factory.mktemp("away")
    with serving(crowded(), directory, GATEWAY_ADMIN_HOST=address) as gateway:
        yield gateway


@pytest.fixture
def look(chromium: Browser) -> Iterator[Seen]:
    """Opens pages, and holds at the end that none of them had anything to complain of."""
    seen = Seen(chromium)
    yield seen
    seen.close()
