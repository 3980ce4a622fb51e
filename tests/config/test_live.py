"""The policy in force: swapped as a whole, and never for a file that is bad, half written or unlocked by mistake."""

import asyncio
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.config.live import LOOK_SECONDS, SETTLED_SECONDS, SHRUNK_SECONDS, LivePolicy
from gateway.config.loading import Loaded, load
from gateway.routing.policy import Policy
from tests.engine.virtual_time import now, run

CATALOGUE = Catalogue.load()
OPEN = """version: 1
backends:
  a: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
"""
KEYED = OPEN + "callers:\n  team: {key: a-key-of-sixteen-c}\n"
BAD = OPEN.replace("vllm", "vlm")


class File:
    """A policy file, the policy made of it, and what was read of it when."""

    def __init__(self, directory: Path, text: str) -> None:
        self.path = directory / "policy.yaml"
        self.path.write_text(text)
        self.reads: list[tuple[float, str]] = []
        loaded = load(self.path, {}, CATALOGUE, date(2026, 11, 24)).policy
        assert loaded is not None
        self.live = LivePolicy(loaded, self.read, self.path)

    def read(self) -> Loaded:
        self.reads.append((round(now() - 1000.0, 3), self.path.read_text()))
        return load(self.path, {}, CATALOGUE, date(2026, 11, 24))

    def writes(self, text: str) -> Callable[[], object]:
        """A write for later."""
        return lambda: self.path.write_text(text)


def test_last_callers_are_not_removed_by_a_change_that_nobody_has_announced(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, KEYED)
        before = file.live.current
        file.path.write_text(OPEN)
        assert [problem.code for problem in file.live.reload(told=False)] == ["LG063"]
        assert file.live.current is before
        assert [problem.code for problem in file.live.problems] == ["LG063"]

    run(scenario())


def test_last_callers_are_removed_when_we_are_told_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, KEYED)
        file.path.write_text(OPEN)
        file.live.reload(told=False)
        assert file.live.reload() == ()
        assert (dict(file.live.current.callers), file.live.problems) == ({}, ())

    run(scenario())


@pytest.mark.parametrize(("before", "after"), [(OPEN, OPEN + "# more\n"), (OPEN, KEYED), (KEYED, KEYED + "# more\n")])
def test_any_other_change_needs_no_announcement(tmp_path: Path, before: str, after: str) -> None:
    async def scenario() -> None:
        file = File(tmp_path, before)
        told: list[Policy] = []
        file.live.listeners.append(told.append)
        file.path.write_text(after)
        assert file.live.reload(told=False) == ()
        assert told == [file.live.current]

    run(scenario())


def test_bad_file_replaces_nothing_and_is_read_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, OPEN)
        before = file.live.current
        file.path.write_text(BAD)
        for _ in range(3):
            await file.live.look(file.path)
        assert file.live.current is before
        assert [problem.code for problem in file.live.problems] == ["LG030"]
        assert len(file.reads) == 1

    run(scenario())


def test_file_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, OPEN)
        await file.live.look(file.path)
        assert (file.reads, now()) == ([], 1000.0)

    run(scenario())


def test_file_that_keeps_changing_is_read_once_when_it_has_settled(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, OPEN)
        loop = asyncio.get_running_loop()
        file.path.write_text(OPEN + "# 1\n")
        loop.call_later(0.5 * SETTLED_SECONDS, file.writes(OPEN + "# 22\n"))
        loop.call_later(1.5 * SETTLED_SECONDS, file.writes(OPEN + "# 333\n"))
        await file.live.look(file.path)
        assert file.reads == [(round(3 * SETTLED_SECONDS, 3), OPEN + "# 333\n")]

    run(scenario())


def test_file_that_has_lost_most_of_itself_is_given_time_to_be_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, OPEN + "# a long comment\n" * 50)
        file.path.write_text(OPEN)
        asyncio.get_running_loop().call_later(0.6 * SHRUNK_SECONDS, file.writes(KEYED))
        await file.live.look(file.path)
        assert file.reads == [(2 * SHRUNK_SECONDS, KEYED)]
        assert file.live.current.callers

    run(scenario())


@pytest.mark.parametrize("away_after", [0.0, 0.5 * SETTLED_SECONDS])
def test_file_that_is_away_is_waited_for(tmp_path: Path, away_after: float) -> None:
    async def scenario() -> None:
        file = File(tmp_path, OPEN)
        file.path.write_text(KEYED)
        asyncio.get_running_loop().call_later(away_after, file.path.unlink)
        await asyncio.sleep(0)
        await file.live.look(file.path)
        assert file.reads == []
        file.path.write_text(KEYED)
        await file.live.look(file.path)
        assert [text for _, text in file.reads] == [KEYED]

    run(scenario())


def test_file_is_looked_at_now_and_then_where_it_cannot_be_watched(tmp_path: Path) -> None:
    async def scenario() -> None:
        directory = tmp_path / "mounted"
        directory.mkdir()
        file = File(directory, OPEN)
        file.path.unlink()
        directory.rmdir()
        watching = asyncio.create_task(file.live.watch())

        def enough(policy: Policy) -> None:
            watching.cancel()

        file.live.listeners.append(enough)
        await asyncio.sleep(0.5 * LOOK_SECONDS)
        directory.mkdir()
        file.path.write_text(KEYED)
        await asyncio.wait([watching])
        assert file.reads == [(LOOK_SECONDS + SETTLED_SECONDS, KEYED)]

    run(scenario())


def test_policy_that_has_no_file_is_neither_read_nor_watched(tmp_path: Path) -> None:
    async def scenario() -> None:
        live = LivePolicy(File(tmp_path, OPEN).live.current)
        await live.watch()
        assert live.reload() == ()

    run(scenario())
