"""The policy in force: swapped as a whole, and never for a file that is bad or unlocked by mistake."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.live import LivePolicy
from gateway.config.loading import Loaded
from gateway.config.versions import Change
from tests.config.reloading import BAD, KEYED, OPEN, File, with_secret
from tests.engine.virtual_time import run

Result = TypeVar("Result")


def test_last_callers_are_not_removed_by_a_change_that_nobody_has_announced(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, KEYED)
        before = file.live.current
        await file.change(OPEN)
        assert (file.live.current, file.codes) == (before, ["LG063"])

    run(scenario())


def test_last_callers_are_removed_when_we_are_told_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, KEYED)
        await file.change(OPEN)
        assert await file.reload(OPEN) == []
        assert (dict(file.live.current.callers), file.live.problems) == ({}, ())

    run(scenario())


@pytest.mark.parametrize(("before", "after"), [(OPEN, OPEN + "# more\n"), (OPEN, KEYED), (KEYED, KEYED + "# more\n")])
def test_any_other_change_needs_no_announcement(tmp_path: Path, before: str, after: str) -> None:
    async def scenario() -> None:
        file = File(tmp_path, before)
        await file.change(after)
        assert file.told == [file.live.current]
        assert file.generations[-1] == (file.live.current.generation, "file")

    run(scenario())


def test_bad_file_replaces_nothing_and_a_good_one_makes_up_for_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        before = file.live.current
        assert await file.reload(BAD) == ["LG030"]
        assert (file.live.current, file.codes, file.told) == (before, ["LG030"], [])
        assert await file.reload(OPEN) == []
        assert (file.codes, file.live.current.generation) == ([], before.generation)

    run(scenario())


def test_a_defect_of_ours_is_a_refused_file_and_no_end_of_reloading(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)

        def fails() -> Loaded:
            raise ZeroDivisionError

        file.recorder.instead = fails
        assert await file.reload(KEYED) == ["LG090"]
        file.recorder.instead = None
        assert await file.reload(KEYED) == []

    run(scenario())


def test_a_preview_that_fails_does_not_keep_a_good_policy_out(tmp_path: Path) -> None:
    def preview(old: Loaded, new: Loaded) -> Callable[[], Change]:
        return lambda: Change(str(1 / 0))

    async def scenario() -> None:
        file = File(tmp_path)
        file.live.preview = preview
        assert await file.reload(KEYED) == []
        assert file.live.history.versions[-1].change == "it is not known what has changed"

    run(scenario())


def test_what_changes_is_looked_at_before_the_policy_is_in_force(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)

        def preview(old: Loaded, new: Loaded) -> Callable[[], Change]:
            assert old.policy is file.live.current
            return lambda: Change(f"{len(new.texts)} file")

        file.live.preview = preview
        await file.reload(KEYED)
        await file.reload(KEYED)
        assert [version.change for version in file.live.history.versions] == ["", "1 file"]

    run(scenario())


def test_reloads_at_the_same_time_come_one_after_another_and_the_last_one_wins(tmp_path: Path) -> None:
    async def scenario() -> None:
        running: list[int] = []

        async def slowly(work: Callable[[], Result]) -> Result:
            running.append(len(running))
            assert len(running) == 1
            result = work()
            await asyncio.sleep(1)
            running.pop()
            return result

        file = File(tmp_path)
        live = LivePolicy(file.recorder.reader.read(), file.recorder, slowly)
        first = asyncio.create_task(live.reload())
        await asyncio.sleep(0.5)
        file.path.write_text(KEYED)
        await asyncio.gather(first, live.reload(), live.reload())
        assert live.current.callers

    run(scenario())


def test_signals_that_come_while_others_wait_are_one_reload(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        file.path.write_text(KEYED)
        for _ in range(10):
            file.live.announce()
        await asyncio.gather(*file.live.tasks)
        assert (len(file.reads), file.generations[-1][1]) == (2, "signal")

    run(scenario())


def test_rollback_goes_to_the_version_before_and_the_next_one_further_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        first = file.live.current.generation
        second = await file.change(OPEN + "# 2\n")
        await file.change(OPEN + "# 3\n")
        assert (await file.live.rollback()).generation == second
        assert file.live.pinned
        assert (await file.live.rollback()).generation == first
        with pytest.raises(LookupError, match="no version before this one"):
            await file.live.rollback()

    run(scenario())


def test_rollback_to_a_generation_pins_it_until_the_file_changes(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        first = file.live.current.generation
        await file.change(OPEN + "# 2\n")
        await file.live.rollback(first)
        await file.watcher.look()
        assert (file.live.current.generation, file.live.pinned) == (first, True)
        third = await file.change(OPEN + "# 3\n")
        assert (file.live.current.generation, file.live.pinned) == (third, False)
        with pytest.raises(LookupError, match="no version 'nope' among those kept"):
            await file.live.rollback("nope")

    run(scenario())


def test_a_bad_file_does_not_end_a_rollback(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        first = file.live.current.generation
        await file.change(OPEN + "# 2\n")
        await file.live.rollback()
        assert await file.change(BAD) == first
        assert (file.live.pinned, file.codes) == (True, ["LG030"])

    run(scenario())


def test_rollback_leaves_the_problems_of_the_file_as_they_are(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        await file.change(OPEN + "# 2\n")
        await file.change(BAD)
        await file.live.rollback()
        assert file.codes == ["LG030"]

    run(scenario())


def test_a_version_is_made_again_with_the_secrets_of_today(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = with_secret(tmp_path)
        await file.change(OPEN)
        (tmp_path / "secret").write_text("second-0123456789abcdef")
        await file.live.rollback()
        assert file.live.current.backends["a"].api_key == "second-0123456789abcdef"

    run(scenario())


def test_a_version_whose_secret_is_gone_comes_back_as_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = with_secret(tmp_path)
        await file.change(OPEN)
        (tmp_path / "secret").unlink()
        await file.live.rollback()
        assert file.live.current.backends["a"].api_key == "first-0123456789abcdef"

    run(scenario())


def test_a_version_is_made_again_of_the_files_that_it_had(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "more.yaml").write_text("callers: {team: {key: a-key-of-sixteen-c}}\n")
        file = File(tmp_path, OPEN + "include: [more.yaml]\n")
        await file.reload(OPEN)
        (tmp_path / "more.yaml").unlink()
        await file.live.rollback()
        assert [caller.name for caller in file.live.current.callers.values()] == ["team"]

    run(scenario())


def test_policy_that_has_no_file_is_neither_read_nor_rolled_back(tmp_path: Path) -> None:
    async def scenario() -> None:
        live = LivePolicy(File(tmp_path).live.loaded)
        assert (await live.reload(), live.path, live.known) == ((), None, {})
        await live.renew()
        with pytest.raises(LookupError):
            await live.rollback()

    run(scenario())


@given(st.lists(st.sampled_from([OPEN, KEYED, BAD, "", "version: 1\n", OPEN + "# 2\n", "back"]), max_size=12))
def test_the_policy_in_force_is_always_a_good_one_and_the_metrics_say_whether_the_file_is(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    async def scenario() -> None:
        file = File(tmp_path_factory.mktemp("policy"))
        good = dict.fromkeys((OPEN, KEYED, OPEN + "# 2\n"))
        for step in steps:
            if step == "back":
                before = file.live.problems
                try:
                    await file.live.rollback()
                except LookupError:
                    continue
                assert (file.live.pinned, file.live.problems) == (True, before)
                continue
            assert bool(await file.reload(step)) == (step not in good)
            assert (file.live.loaded.source.decode() == step) or step not in good
            assert bool(file.live.problems) == (step not in good)
        assert file.live.loaded.policy is file.live.current
        assert file.live.history.versions[-1].generation == file.live.current.generation

    run(scenario())
