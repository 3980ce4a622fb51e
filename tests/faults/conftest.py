"""Stages for the tests of this directory: one for each module, checked after each test."""

from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.background import Background
from tests.faults.invariants import violations
from tests.faults.policies import Cell
from tests.faults.runner import Stage, staged

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Running:
    """A stage, and the loop that it lives in."""

    stage: Stage
    background: Background

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """A coroutine's result."""
        return self.background.run(coroutine)


@contextmanager
def on_stage(cells: Sequence[Cell], directory: Path, background: Background) -> Iterator[Running]:
    """A stage, for as long as it is needed."""
    stage = background.run(staged(cells, directory))
    try:
        yield Running(stage, background)
    finally:
        background.run(stage.close())


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The stage of a module's `CELLS`."""
    directory: Path = tmp_path_factory.mktemp("faults")
    with Background() as background, on_stage(request.module.CELLS, directory, background) as running:
        yield running


Act = Callable[[Callable[[Stage], Coroutine[Any, Any, T]]], T]


@pytest.fixture
def act(running: Running) -> Iterator[Act[Any]]:
    """Runs a test's part on the stage; afterwards, all that must hold of every request is checked."""
    yield lambda part: running.run(part(running.stage))
    assert running.run(violations(running.stage)) == []
