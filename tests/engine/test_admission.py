"""Whom the gateway takes on."""

import asyncio
import os
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.admission import LOOK_EVERY, SHARES, Admission, Memory, Most, caps, class_of
from gateway.errors import InvalidRequest, Shed
from gateway.types import Class
from tests.engine.virtual_time import VirtualLoop, now, run

CLASSES: tuple[Class, ...] = ("critical", "default", "sheddable", "batch")
NO_PROC = Path("/nowhere")


THOUSAND = Most(in_flight=1000)


def taken(in_flight: int, lag: float = 0.0, memory: float | None = None) -> list[Class]:
    """The classes that are taken on."""
    limits = caps(lag, memory, THOUSAND)
    return [class_ for class_ in CLASSES if in_flight < limits[class_]]


def test_classes_go_from_most_to_least_important() -> None:
    assert tuple(SHARES) == CLASSES == get_args(Class)
    assert sorted(SHARES.values(), reverse=True) == list(SHARES.values())


@pytest.mark.parametrize(
    ("in_flight", "count"),
    [(0, 4), (599, 4), (600, 3), (799, 3), (800, 2), (949, 2), (950, 1), (999, 1), (1000, 0), (5000, 0)],
)
def test_least_important_are_refused_first_as_requests_in_flight_grow(in_flight: int, count: int) -> None:
    assert taken(in_flight) == list(CLASSES[:count])


LAGS = [(0.05, 4), (0.065, 3), (0.085, 2), (0.097, 1), (0.49, 1), (0.51, 0), (9.0, 0)]


@pytest.mark.parametrize(("lag", "count"), LAGS)
def test_least_important_are_refused_first_as_the_event_loop_lags(lag: float, count: int) -> None:
    assert taken(0, lag) == list(CLASSES[:count])


@pytest.mark.parametrize(
    ("memory", "count"), [(None, 4), (0.1, 4), (0.7, 4), (0.72, 3), (0.79, 2), (0.84, 1), (0.86, 0)]
)
def test_least_important_are_refused_first_as_memory_fills(memory: float | None, count: int) -> None:
    assert taken(0, memory=memory) == list(CLASSES[:count])


@given(st.integers(0, 1200), st.floats(0, 0.2), st.none() | st.floats(0, 1))
def test_whoever_is_more_important_is_taken_on_whenever_another_is(
    in_flight: int, lag: float, memory: float | None
) -> None:
    found = taken(in_flight, lag, memory)
    assert found == list(CLASSES[: len(found)])


def test_caller_without_the_header_has_their_own_class() -> None:
    assert class_of(None, "sheddable") == "sheddable"


@pytest.mark.parametrize("own", CLASSES)
@pytest.mark.parametrize("asked", CLASSES)
def test_callers_may_lower_their_class_and_not_raise_it(own: Class, asked: Class) -> None:
    assert class_of(asked, own) == max(own, asked, key=CLASSES.index)


@pytest.mark.parametrize("asked", [" Batch ", "BATCH"])
def test_class_is_read_whatever_its_case_and_spaces(asked: str) -> None:
    assert class_of(asked, "default") == "batch"


@pytest.mark.parametrize("asked", ["", "urgent", "critical,batch"])
def test_word_that_is_no_class_is_the_callers_error(asked: str) -> None:
    with pytest.raises(InvalidRequest, match="one of critical, default, sheddable, batch"):
        class_of(asked, "default")


def admission(most: Most = THOUSAND, memory: float | None = None) -> Admission:
    """An admission in virtual time."""
    return Admission(now, most, lambda: memory)


def test_admission_counts_who_enters_and_leaves() -> None:
    door = admission(Most(in_flight=2))
    door.enter("critical")
    door.enter("critical")
    with pytest.raises(Shed, match="too busy for requests of class 'critical'") as caught:
        door.enter("critical")
    assert (caught.value.status, caught.value.code, caught.value.outcome) == (503, "overloaded", "shed")
    assert caught.value.retry_after == 1.0
    door.leave()
    door.enter("critical")
    assert (door.in_flight, door.shed) == (2, {"critical": 1})


def test_memory_that_is_nearly_used_up_refuses_everybody_until_it_is_not() -> None:
    async def scenario() -> None:
        shares = [0.9, 0.9, 0.4, 0.4, 0.4]
        door = Admission(now, memory=lambda: shares.pop(0))
        door.start()
        await asyncio.sleep(1.5 * LOOK_EVERY)
        with pytest.raises(Shed):
            door.enter("critical")
        await asyncio.sleep(2 * LOOK_EVERY)
        door.enter("batch")
        door.stop()

    run(scenario())


def stall(seconds: float) -> None:
    """The loop is busy for so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.now += seconds


def test_idle_loop_does_not_lag() -> None:
    async def scenario() -> float:
        lag = admission()
        lag.start()
        await asyncio.sleep(10)
        lag.stop()
        return lag.lag

    assert run(scenario()) == pytest.approx(0.0)


def test_loop_that_is_late_again_and_again_lags() -> None:
    async def scenario() -> tuple[float, float]:
        lag = admission()
        lag.start()
        for _ in range(5):
            await asyncio.sleep(LOOK_EVERY / 2)
            stall(0.3)
            await asyncio.sleep(0)
        busy = lag.lag
        with pytest.raises(Shed):
            lag.enter("default")
        await asyncio.sleep(10 * LOOK_EVERY)
        lag.stop()
        lag.enter("batch")
        return busy, lag.lag

    busy, later = run(scenario())
    assert busy == pytest.approx(0.3 - LOOK_EVERY / 2)
    assert later == pytest.approx(0.0)


def test_one_long_step_of_the_loop_is_no_lag() -> None:
    async def scenario() -> float:
        lag = admission()
        lag.start()
        await asyncio.sleep(LOOK_EVERY / 2)
        stall(5.0)
        await asyncio.sleep(LOOK_EVERY)
        lag.stop()
        return lag.lag

    assert run(scenario()) == pytest.approx(0.0)


def test_sampler_that_is_stopped_leaves_no_timer() -> None:
    async def scenario() -> None:
        lag = admission()
        lag.start()
        lag.start()
        await asyncio.sleep(1)
        lag.stop()
        lag.stop()
        await asyncio.Event().wait()

    with pytest.raises(RuntimeError, match="no timer is set"):
        run(scenario())


def test_sampler_that_was_stopped_may_start_again() -> None:
    async def scenario() -> bool:
        lag = admission()
        lag.start()
        lag.stop()
        lag.start()
        before = lag.due
        await asyncio.sleep(1)
        lag.stop()
        return lag.due > before

    assert run(scenario())


def world(folder: Path, group: str = "/", limits: dict[str, object] | None = None) -> Memory:
    """A process of a hundred pages in that group, and the limits of groups; "." is the outermost."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    proc.mkdir()
    (proc / "statm").write_text("9999 100 50 1 0 200 0\n")
    (proc / "cgroup").write_text(f"0::{group}\n")
    for name, limit in ({".": "max"} | (limits or {})).items():
        (cgroups / name).mkdir(parents=True, exist_ok=True)
        (cgroups / name / "memory.max").write_text(f"{limit}\n")
    return Memory(lambda: 0.0, proc, cgroups)


PAGE = os.sysconf("SC_PAGE_SIZE")


def test_memory_is_the_share_of_the_groups_limit(tmp_path: Path) -> None:
    assert world(tmp_path, limits={".": 400 * PAGE}).share() == pytest.approx(0.25)


def test_memory_without_a_limit_is_not_known(tmp_path: Path) -> None:
    assert world(tmp_path).share() is None


def test_narrowest_of_the_groups_around_a_process_counts(tmp_path: Path) -> None:
    memory = world(tmp_path, "/a b/c", limits={"a b": 200 * PAGE, "a b/c": 800 * PAGE})
    assert memory.share() == pytest.approx(0.5)


def test_group_that_is_named_as_the_host_sees_it_falls_back_on_the_mounted_one(tmp_path: Path) -> None:
    assert world(tmp_path, "/docker/abc", limits={".": 200 * PAGE}).share() == pytest.approx(0.5)


def test_system_without_such_files_knows_no_memory() -> None:
    assert Memory(lambda: 0.0, NO_PROC, NO_PROC).share() is None


@pytest.mark.parametrize("written", ["", "max", "-1", "0", "many"])
def test_limit_that_is_no_number_is_none(tmp_path: Path, written: str) -> None:
    assert world(tmp_path, limits={".": written}).share() is None


def test_memory_is_looked_up_once_a_second_at_most(tmp_path: Path) -> None:
    memory, time = world(tmp_path, limits={".": 400 * PAGE}), [0.0]
    memory.clock = lambda: time[0]
    assert memory.share() == pytest.approx(0.25)
    (tmp_path / "proc" / "statm").write_text("9999 200 50 1 0 200 0\n")
    time[0] = 0.9
    assert memory.share() == pytest.approx(0.25)
    time[0] = 1.0
    assert memory.share() == pytest.approx(0.5)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_memory_of_this_process_is_a_share_or_not_known() -> None:
    share = Memory(lambda: 0.0).share()
    assert share is None or 0.0 < share < 1.5
