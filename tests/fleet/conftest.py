"""Servers to be found: a real llama.cpp, and pages with what others would say."""

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.demo.fleet import DemoFleet, RunningServer, ServerSpec


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """One running llama.cpp server with the toy model."""
    spec = ServerSpec("found", ("llama-3.1-8b-instruct",), slots=3, context=2048)
    fleet = DemoFleet()
    with asyncio.Runner() as runner:
        (server,) = runner.run(fleet.start([spec], tmp_path_factory.mktemp("toy")))
        yield server
        runner.run(fleet.stop())


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The packaged catalogue."""
    return Catalogue.load()


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without anything of AWS, whatever this machine has."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return monkeypatch
