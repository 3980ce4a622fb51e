"""One timer for one attempt, in virtual time."""

import asyncio
import contextlib
from collections.abc import Awaitable

import pytest

from gateway.engine.watch import Watch
from gateway.errors import FirstTokenTimeout, IdleTimeout, TotalTimeout
from tests.engine.virtual_time import now, run


def watch(first: float = 12.0, idle: float = 20.0, total: float = 600.0) -> Watch:
    made = Watch("gpu-a", first, idle, now() + total, now)
    made.arm()
    return made


async def wait(armed: Watch, something: Awaitable[object]) -> None:
    """Wait for something while it is watched."""
    with armed:
        await something


def test_silence_before_the_first_content_ends_after_the_first_token_limit() -> None:
    async def scenario() -> float:
        armed = watch()
        with pytest.raises(FirstTokenTimeout, match=r"'gpu-a' sent no content within 12 s"):
            await wait(armed, asyncio.sleep(100))
        return now()

    assert run(scenario()) == pytest.approx(1012.0)


def test_pieces_without_content_do_not_extend_the_first_token_limit() -> None:
    async def scenario() -> float:
        armed = watch()
        with pytest.raises(FirstTokenTimeout):
            for _ in range(100):
                await wait(armed, asyncio.sleep(5))
        return now()

    assert run(scenario()) == pytest.approx(1012.0)


def test_silence_after_content_ends_after_the_idle_limit() -> None:
    async def scenario() -> float:
        armed = watch()
        await wait(armed, asyncio.sleep(10))
        armed.content = True
        with pytest.raises(IdleTimeout, match=r"'gpu-a' stopped in the middle of its answer \(20 s\)"):
            await wait(armed, asyncio.sleep(100))
        return now()

    assert run(scenario()) == pytest.approx(1030.0)


def test_stream_that_keeps_moving_is_never_idle() -> None:
    async def scenario() -> float:
        armed = watch()
        armed.content = True
        for _ in range(30):
            await wait(armed, asyncio.sleep(19))
        armed.disarm()
        return now()

    assert run(scenario()) == pytest.approx(1570.0)


def test_all_of_the_attempt_ends_at_its_deadline_however_it_moves() -> None:
    async def scenario() -> float:
        armed = watch(total=100)
        armed.content = True
        with pytest.raises(TotalTimeout):
            while True:
                await wait(armed, asyncio.sleep(15))
        return now()

    assert run(scenario()) == pytest.approx(1100.0)


def test_deadline_comes_before_the_first_token_limit_when_it_is_nearer() -> None:
    async def scenario() -> float:
        armed = watch(total=3)
        with pytest.raises(TotalTimeout):
            await wait(armed, asyncio.sleep(100))
        return now()

    assert run(scenario()) == pytest.approx(1003.0)


def test_deadline_that_has_passed_already_ends_the_first_wait() -> None:
    async def scenario() -> None:
        with pytest.raises(TotalTimeout):
            await wait(watch(total=-5), asyncio.sleep(100))

    run(scenario())


def test_caller_who_reads_slowly_does_not_count() -> None:
    async def scenario() -> float:
        armed = watch()
        armed.content = True
        for _ in range(5):
            await wait(armed, asyncio.sleep(1))
            await asyncio.sleep(60)  # the caller reads
        armed.disarm()
        return armed.waited

    assert run(scenario()) == pytest.approx(5.0)


def test_upstream_gets_all_of_its_idle_time_after_a_slow_caller() -> None:
    async def scenario() -> float:
        armed = watch()
        armed.content = True
        await asyncio.sleep(300)
        with pytest.raises(IdleTimeout):
            await wait(armed, asyncio.sleep(100))
        return now()

    assert run(scenario()) == pytest.approx(1320.0, abs=0.1)


def test_nothing_fires_after_it_was_disarmed() -> None:
    async def scenario() -> None:
        armed = watch()
        armed.disarm()
        await wait(armed, asyncio.sleep(100))

    run(scenario())


def test_cancellation_from_outside_stays_a_cancellation() -> None:
    async def scenario() -> asyncio.Task[None]:
        task = asyncio.create_task(attempt())
        asyncio.get_running_loop().call_later(5, task.cancel)
        await asyncio.wait([task])
        return task

    async def attempt() -> None:
        await wait(watch(), asyncio.sleep(100))

    assert run(scenario()).cancelled()


def test_cancellation_from_outside_wins_over_a_limit_of_the_same_moment() -> None:
    async def scenario() -> asyncio.Task[None]:
        task = asyncio.create_task(attempt())
        asyncio.get_running_loop().call_later(12, task.cancel)
        await asyncio.wait([task])
        return task

    async def attempt() -> None:
        await wait(watch(first=12), asyncio.sleep(100))

    assert run(scenario()).cancelled()


def test_cancellation_from_outside_stays_one_after_a_provider_has_swallowed_ours() -> None:
    async def scenario() -> BaseException | None:
        task = asyncio.create_task(attempt())
        asyncio.get_running_loop().call_later(30, task.cancel)
        return (await asyncio.gather(task, return_exceptions=True))[0]

    async def attempt() -> None:
        armed = watch(first=12)
        await wait(armed, stubborn())
        armed.disarm()
        await wait(armed, asyncio.sleep(100))

    async def stubborn() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(100)

    assert isinstance(run(scenario()), asyncio.CancelledError)


def test_task_is_not_left_cancelled_after_a_limit() -> None:
    async def scenario() -> int:
        with pytest.raises(FirstTokenTimeout):
            await wait(watch(), asyncio.sleep(100))
        task = asyncio.current_task()
        assert task is not None
        return task.cancelling()

    assert run(scenario()) == 0


def test_error_of_the_upstream_passes_as_it_is() -> None:
    async def scenario() -> None:
        armed = watch()
        with pytest.raises(ZeroDivisionError), armed:
            raise ZeroDivisionError
        armed.disarm()

    run(scenario())


def test_time_between_two_waits_is_not_waiting() -> None:
    async def scenario() -> float:
        armed = watch()
        await wait(armed, asyncio.sleep(2))
        await asyncio.sleep(3)
        await wait(armed, asyncio.sleep(4))
        armed.disarm()
        return armed.waited

    assert run(scenario()) == pytest.approx(6.0)
