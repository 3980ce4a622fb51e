"""The files of the policy are read when they have changed and settled, whatever the change looked like."""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.config.live import LivePolicy
from gateway.config.reader import Reader
from gateway.config.watching import LOOK_SECONDS, SETTLED_SECONDS, SHRUNK_SECONDS, Watcher, directories
from gateway.routing.policy import Policy
from tests.config.reloading import BAD, CATALOGUE, KEYED, OPEN, File, with_secret
from tests.engine.virtual_time import now, run

Result = TypeVar("Result")
WAIT = 30  # seconds that a change may take to be seen on a slow machine; an answer comes within one


def test_bad_file_is_read_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        file.path.write_text(BAD)
        for _ in range(3):
            await file.watcher.look()
        assert (file.codes, len(file.reads)) == (["LG030"], 1)

    run(scenario())


def test_file_that_has_not_changed_is_not_read_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        file.path.write_text(OPEN)  # the same, at another time
        await file.watcher.look()
        assert (file.reads, now()) == ([], 1000.0)

    run(scenario())


def test_file_that_changes_without_another_time_or_size_is_read(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        times = file.path.stat()
        file.path.write_text(OPEN.replace(":9", ":8"))
        os.utime(file.path, ns=(times.st_atime_ns, times.st_mtime_ns))
        await file.watcher.look()
        assert len(file.reads) == 1

    run(scenario())


def test_file_that_keeps_changing_is_read_once_when_it_has_settled(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        loop = asyncio.get_running_loop()
        file.path.write_text(OPEN + "# 1\n")
        loop.call_later(0.5 * SETTLED_SECONDS, file.writes(OPEN + "# 22\n"))
        loop.call_later(1.5 * SETTLED_SECONDS, file.writes(OPEN + "# 333\n"))
        await file.watcher.look()
        assert file.reads == [(round(3 * SETTLED_SECONDS, 3), OPEN + "# 333\n")]

    run(scenario())


def test_what_is_read_is_what_had_settled(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        before = file.live.current
        reads = iter([OPEN.replace("vllm", "vllm")[:60], KEYED])

        def overwritten() -> None:
            file.path.write_text(next(reads, KEYED))

        honest = file.recorder.reader

        def read_too_late() -> object:
            overwritten()
            return honest.read()

        file.recorder.instead = read_too_late  # type: ignore[assignment]  # a Loaded, too
        file.path.write_text(OPEN + "# 1\n")
        await file.watcher.look()
        assert file.live.current is not before
        assert file.live.loaded.source == KEYED.encode()
        assert file.generations[1:] == [(file.live.current.generation, "file")]

    run(scenario())


def test_file_that_has_lost_most_of_itself_is_given_time_to_be_written(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, OPEN + "# a long comment\n" * 50)
        file.path.write_text(OPEN)
        loop = asyncio.get_running_loop()
        loop.call_later(0.5 * SHRUNK_SECONDS, lambda: said.extend(file.codes))
        loop.call_later(0.6 * SHRUNK_SECONDS, file.writes(KEYED))
        said: list[str] = []
        await file.watcher.look()
        assert file.reads == [(2 * SHRUNK_SECONDS, KEYED)]
        assert (said, file.codes) == (["LG029"], [])
        assert file.live.current.callers

    run(scenario())


def test_file_that_is_whole_again_was_never_read_and_nothing_is_said_of_it_any_more(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        file.path.write_text("")
        asyncio.get_running_loop().call_later(1.0, file.writes(OPEN))
        await file.watcher.look()
        assert (file.reads, file.codes) == ([], [])

    run(scenario())


def test_empty_file_is_refused_when_it_stays_empty(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        before = file.live.current
        await file.change("")
        assert (file.live.current, file.codes, now()) == (before, ["LG003"], 1000.0 + SHRUNK_SECONDS)

    run(scenario())


def test_operator_need_not_wait_for_a_file_that_has_lost_most_of_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path, OPEN + "# a long comment\n" * 50)
        assert await file.reload(OPEN) == []
        await file.watcher.look()
        assert (len(file.reads), now()) == (1, 1000.0)

    run(scenario())


@pytest.mark.parametrize("away_after", [0.0, 0.5 * SETTLED_SECONDS])
def test_file_that_is_away_leaves_the_policy_in_force_and_is_taken_when_it_comes_back(
    tmp_path: Path, away_after: float
) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        file.path.write_text(KEYED)
        asyncio.get_running_loop().call_later(away_after, file.path.unlink)
        await asyncio.sleep(0)
        await file.watcher.look()
        assert file.codes == ["LG024"]
        await file.change(OPEN)
        assert file.codes == []

    run(scenario())


@pytest.mark.parametrize("size", [*range(0, len(KEYED), 7), len(KEYED) - 1])
def test_file_cut_at_any_byte_leaves_a_good_policy_in_force_with_its_callers(tmp_path: Path, size: int) -> None:
    async def scenario() -> None:
        file = File(tmp_path, KEYED)
        asyncio.get_running_loop().call_later(0.9 * SETTLED_SECONDS, file.writes(KEYED))
        file.path.write_text(KEYED[:size])
        await file.watcher.look()
        assert (file.reads, file.codes) == ([], [])
        assert file.live.current.callers

    run(scenario())


def test_included_file_is_watched_also_before_it_is_there(tmp_path: Path) -> None:
    async def scenario() -> None:
        file = File(tmp_path)
        await file.change(OPEN + "include: [more.yaml]\n")
        assert file.codes == ["LG024"]
        (tmp_path / "more.yaml").write_text("callers: {team: {key: a-key-of-sixteen-c}}\n")
        await file.watcher.look()
        assert (file.codes, len(file.live.current.callers)) == ([], 1)

    run(scenario())


def key(file: File) -> str | None:
    return file.live.current.backends["a"].api_key


def test_secret_is_read_again_when_its_file_changes(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, held = with_secret(tmp_path), tmp_path / "secret"
        held.write_text("second-0123456789abcdef")
        await file.watcher.look()
        assert (key(file), len(file.live.history.versions)) == ("second-0123456789abcdef", 1)
        await file.watcher.look()
        assert len(file.reads) == 1

    run(scenario())


def test_secret_that_is_gone_leaves_the_policy_in_force_with_the_one_it_had(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, held = with_secret(tmp_path), tmp_path / "secret"
        held.unlink()
        await file.watcher.look()
        assert (key(file), file.codes) == ("first-0123456789abcdef", ["LG024"])
        held.write_text("second-0123456789abcdef")
        await file.watcher.look()
        assert (key(file), file.codes) == ("second-0123456789abcdef", [])

    run(scenario())


def test_secret_changes_the_policy_in_force_while_its_file_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, held = with_secret(tmp_path), tmp_path / "secret"
        await file.change(file.path.read_text().replace("vllm", "vlm"))
        held.write_text("second-0123456789abcdef")
        await file.watcher.look()
        assert (key(file), file.codes) == ("second-0123456789abcdef", ["LG030"])

    run(scenario())


def test_secret_changes_a_version_that_is_pinned_and_leaves_it_pinned(tmp_path: Path) -> None:
    async def scenario() -> None:
        file, held = with_secret(tmp_path), tmp_path / "secret"
        first = file.live.current.generation
        await file.change(OPEN)
        await file.live.rollback()
        held.write_text("second-0123456789abcdef")
        await file.watcher.look()
        assert (key(file), file.live.pinned) == ("second-0123456789abcdef", True)
        assert file.live.current.generation == first

    run(scenario())


def test_file_is_looked_at_now_and_then_where_it_cannot_be_watched(tmp_path: Path) -> None:
    async def scenario() -> None:
        directory = tmp_path / "mounted"
        directory.mkdir()
        file = File(directory)
        file.path.unlink()
        directory.rmdir()
        watching = asyncio.create_task(file.watcher.watch())

        def enough(policy: Policy) -> None:
            watching.cancel()

        file.live.listeners.append(enough)
        await asyncio.sleep(0.5 * LOOK_SECONDS)
        directory.mkdir()
        file.path.write_text(KEYED)
        await asyncio.wait([watching])
        assert file.reads == [(LOOK_SECONDS + SETTLED_SECONDS, KEYED)]

    run(scenario())


def test_policy_that_has_no_file_is_not_watched(tmp_path: Path) -> None:
    run(Watcher(LivePolicy(File(tmp_path).live.loaded)).watch())


def test_directories_are_those_of_every_link_on_the_way(tmp_path: Path) -> None:
    for name in ("etc", "srv", "releases/1"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "releases/1/policy.yaml").write_text(OPEN)
    (tmp_path / "srv/current").symlink_to("../releases/1")
    (tmp_path / "etc/policy.yaml").symlink_to(tmp_path / "srv/current/policy.yaml")
    found = {path.resolve() for path, _ in directories([tmp_path / "etc/policy.yaml"])}
    assert found >= {tmp_path.resolve() / name for name in ("etc", "srv", "releases/1")}


def test_links_in_a_circle_end_the_search_for_directories(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    assert tmp_path in {path for path, _ in directories([tmp_path / "a"])}


def config_map(directory: Path, version: str, text: str) -> None:
    """What a kubelet does with a ConfigMap: a new directory, and one rename of a link to it."""
    (directory / version).mkdir()
    (directory / version / "policy.yaml").write_text(text)
    (directory / "..data_tmp").symlink_to(version)
    (directory / "..data_tmp").rename(directory / "..data")


def renamed(directory: Path) -> None:
    """A file that is written beside, then put into place."""
    (directory / "new.yaml").write_text(KEYED)
    (directory / "new.yaml").rename(directory / "policy.yaml")


CHANGES: dict[str, Callable[[Path], object]] = {
    "written": lambda directory: (directory / "policy.yaml").write_text(KEYED),
    "renamed": renamed,
    "swapped": lambda directory: config_map(directory, "..2", KEYED),
}


class Seen:
    """Tells when the watcher looks for the first time: from then on no change is missed."""

    def __init__(self) -> None:
        self.looks = 0
        self.looked = asyncio.Event()

    async def aside(self, work: Callable[[], Result]) -> Result:
        """The work, in a thread; the first is to find the directories."""
        self.looks += 1
        if self.looks > 1:
            self.looked.set()
        return await asyncio.to_thread(work)

    async def begun(self, probe: Path) -> None:
        """Wait until the watch has begun: it looks at every file of the directory."""
        while not self.looked.is_set():
            probe.write_text("")
            with suppress(TimeoutError):
                await asyncio.wait_for(self.looked.wait(), 0.05)


@pytest.mark.asyncio
@pytest.mark.parametrize("change", CHANGES)
async def test_change_is_seen_by_a_real_watch(tmp_path: Path, change: str) -> None:
    config_map(tmp_path, "..1", OPEN)
    (tmp_path / "policy.yaml").symlink_to("..data/policy.yaml")
    reader, seen, taken = Reader(tmp_path / "policy.yaml", {}, CATALOGUE), Seen(), asyncio.Event()
    live = LivePolicy(reader.read(), reader, seen.aside)
    live.listeners.append(lambda policy: taken.set())
    watching = asyncio.create_task(Watcher(live).watch())
    try:
        async with asyncio.timeout(WAIT):
            await seen.begun(tmp_path / "probe")
            CHANGES[change](tmp_path)
            await taken.wait()
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    assert live.current.callers


@pytest.mark.asyncio
async def test_file_that_a_reload_has_brought_in_is_watched_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets/key").write_text("first-0123456789abcdef")
    path = tmp_path / "etc/policy.yaml"
    path.write_text(OPEN)
    reader, seen, keys = Reader(path, {}, CATALOGUE), Seen(), asyncio.Queue[str | None]()
    live = LivePolicy(reader.read(), reader, seen.aside)
    live.listeners.append(lambda policy: keys.put_nowait(policy.backends["a"].api_key))
    watching = asyncio.create_task(Watcher(live).watch())
    try:
        async with asyncio.timeout(WAIT):
            await seen.begun(tmp_path / "etc/probe")
            path.write_text(OPEN.replace("url:", f'api_key: "file:{tmp_path}/secrets/key", url:'))
            assert await keys.get() == "first-0123456789abcdef"
            seen.looks = 0
            seen.looked.clear()
            await seen.begun(tmp_path / "secrets/probe")
            (tmp_path / "secrets/key").write_text("second-0123456789abcdef")
            assert await keys.get() == "second-0123456789abcdef"
    finally:
        watching.cancel()
        await asyncio.wait([watching])
