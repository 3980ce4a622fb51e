"""A second attempt beside a slow first one: who wins, what is raised, and that nothing is left behind."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.attempt import Attempt
from gateway.engine.race import race
from gateway.errors import FirstTokenTimeout, GatewayError, Refused, ServerFault, TotalTimeout, Unreachable
from gateway.outcomes import Outcome
from gateway.types import Backend, Chunk, Timeouts
from tests.engine.fakes import GOOD, Script, ScriptedProvider, text
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, request

Step = float | str | BaseException


class Runs:
    """Generators that play scripts: seconds to wait, items to give, errors to raise."""

    def __init__(self) -> None:
        self.begun: dict[str, float] = {}
        self.closed: dict[str, float] = {}
        self.tasks: dict[str, set[object]] = {}

    async def play(self, name: str, *steps: Step, closing: float = 0.0) -> AsyncGenerator[str, None]:
        self.begun[name] = now()
        driven = self.tasks[name] = {asyncio.current_task()}
        try:
            for step in steps:
                driven.add(asyncio.current_task())
                if isinstance(step, float):
                    await asyncio.sleep(step)
                elif isinstance(step, str):
                    yield step
                else:
                    raise step
        finally:
            driven.add(asyncio.current_task())
            try:
                await asyncio.sleep(closing)
            finally:
                self.closed[name] = now()

    def quiet(self) -> bool:
        """Whether all that was begun is closed, by the task that began it, and no other task is left."""
        alone = asyncio.all_tasks() == {asyncio.current_task()}
        return alone and self.begun.keys() == self.closed.keys() and all(len(one) == 1 for one in self.tasks.values())


async def items(running: AsyncGenerator[str, None]) -> list[tuple[str, float]]:
    """What a race gives, and how many seconds after its begin."""
    begun = now()
    async with aclosing(running) as found:
        return [(item, round(now() - begun, 6)) async for item in found]


def raced(
    first: tuple[Step, ...], second: tuple[Step, ...] | None = ("b",), after: float = 2.0, **facts: float
) -> tuple[list[tuple[str, float]] | BaseException, Runs]:
    """What came of a race, which has left nothing behind."""

    async def scenario() -> tuple[list[tuple[str, float]] | BaseException, Runs]:
        runs = Runs()

        def other() -> AsyncGenerator[str, None] | None:
            return None if second is None else runs.play("second", *second, **facts)

        found: list[tuple[str, float]] | BaseException
        try:
            found = await items(race(runs.play("first", *first, **facts), other, after))
        except (GatewayError, ZeroDivisionError) as exc:
            found = exc
        assert runs.quiet()
        return found, runs

    return run(scenario())


def fault(words: str = "broken") -> ServerFault:
    return ServerFault(words)


def test_first_that_is_quick_is_the_answer_and_no_second_begins() -> None:
    found, runs = raced((1.0, "a", 5.0, "b"))
    assert found == [("a", 1.0), ("b", 6.0)]
    assert "second" not in runs.begun


def test_second_begins_after_the_delay_and_its_content_wins() -> None:
    found, runs = raced((10.0, "a"), (1.0, "b", 1.0, "c"))
    assert found == [("b", 3.0), ("c", 4.0)]
    assert (runs.begun["second"], runs.closed["first"]) == (1002.0, 1003.0)


def test_first_may_still_win_when_both_run() -> None:
    found, runs = raced((3.0, "a", 1.0, "b"), (5.0, "c"))
    assert found == [("a", 3.0), ("b", 4.0)]
    assert runs.closed["second"] == 1003.0


def test_first_wins_when_both_have_content_in_the_same_moment() -> None:
    assert raced((3.0, "a"), (1.0, "b"))[0] == [("a", 3.0)]


def test_second_may_decline() -> None:
    assert raced((10.0, "a"), None)[0] == [("a", 10.0)]


def test_answer_does_not_wait_until_the_loser_is_closed() -> None:
    found, runs = raced((10.0, "a"), (1.0, "b", 1.0, "c"), closing=7.0)
    assert found == [("b", 3.0), ("c", 4.0)]
    assert runs.closed["first"] == 1010.0


def test_failure_before_the_delay_is_raised_at_once() -> None:
    error = fault()
    found, runs = raced((1.0, error))
    assert found is error
    assert "second" not in runs.begun


def test_failure_of_the_first_leaves_the_second_running() -> None:
    assert raced((3.0, fault()), (4.0, "b"))[0] == [("b", 6.0)]


def test_failure_of_the_second_leaves_the_first_running() -> None:
    assert raced((9.0, "a"), (1.0, fault()))[0] == [("a", 9.0)]


@pytest.mark.parametrize("seconds", [0.5, 1.0, 4.0])
def test_error_of_the_first_is_raised_when_both_fail(seconds: float) -> None:
    error = fault("the first")
    assert raced((3.0, error), (seconds, fault("the second")))[0] is error


@pytest.mark.parametrize("error", [Refused("no"), TotalTimeout("late"), ZeroDivisionError()])
def test_failure_that_nobody_may_hide_ends_both(error: BaseException) -> None:
    assert raced((3.0, error), (4.0, "b"))[0] is error
    found, runs = raced((9.0, "a"), (1.0, error))
    assert found is error
    assert runs.closed["first"] == 1003.0


def test_failure_after_content_is_raised_after_the_content() -> None:
    async def scenario() -> tuple[list[str], bool]:
        runs = Runs()
        running = race(runs.play("first", "a", 1.0, "b", fault()), lambda: None, 2.0)
        found = [await anext(running), await anext(running)]
        with pytest.raises(ServerFault):
            await anext(running)
        return found, runs.quiet()

    assert run(scenario()) == (["a", "b"], True)


def test_reader_who_is_slow_is_not_run_away_from() -> None:
    async def scenario() -> list[float]:
        given: list[float] = []

        async def source() -> AsyncGenerator[int, None]:
            for number in range(5):
                given.append(now() - 1000.0)
                yield number

        async with aclosing(race(source(), lambda: None, 2.0)) as found:
            async for _ in found:
                await asyncio.sleep(10)
        return given

    assert run(scenario()) == [0.0, 0.0, 10.0, 20.0, 30.0]


@pytest.mark.parametrize("seconds", [0.0, 1.0, 2.0, 2.5, 3.5, 100.0])
def test_cancellation_closes_both_at_any_time(seconds: float) -> None:
    async def scenario() -> bool:
        runs = Runs()
        running = race(runs.play("first", 90.0, "a"), lambda: runs.play("second", 1.0, "b", 90.0, "c"), 2.0)
        task = asyncio.create_task(items(running))
        await asyncio.sleep(seconds)
        task.cancel()
        await asyncio.wait([task])
        return runs.quiet() and (task.cancelled() or seconds == 100.0)

    assert run(scenario())


def test_cancellation_waits_for_the_closing_however_often_it_comes() -> None:
    async def scenario() -> tuple[bool, bool, float]:
        runs = Runs()
        running = race(runs.play("first", 90.0, closing=20.0), lambda: runs.play("second", 90.0, closing=25.0), 2.0)
        task = asyncio.create_task(items(running))
        for _ in range(4):
            await asyncio.sleep(3)
            task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), runs.quiet(), now()

    assert run(scenario()) == (True, True, 1028.0)


def test_cancellation_while_the_loser_is_closed_is_not_lost() -> None:
    async def scenario() -> tuple[bool, bool, float]:
        runs = Runs()
        running = race(runs.play("first", 90.0, closing=7.0), lambda: runs.play("second", 1.0, "b"), 2.0)
        task = asyncio.create_task(items(running))
        await asyncio.sleep(5)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled(), runs.quiet(), now()

    assert run(scenario()) == (True, True, 1010.0)


def test_reader_who_leaves_closes_both() -> None:
    async def scenario() -> bool:
        runs = Runs()
        running = race(runs.play("first", 90.0, "a"), lambda: runs.play("second", 1.0, "b", 90.0, "c"), 2.0)
        assert await anext(running) == "b"
        await running.aclose()
        return runs.quiet()

    assert run(scenario())


@contextmanager
def complaints() -> Iterator[list[BaseException]]:
    """The exceptions that nobody has handled."""
    found: list[BaseException] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, told: found.append(told["exception"]))
    yield found


@pytest.mark.parametrize(("error", "count"), [(Unreachable("gone"), 0), (ZeroDivisionError(), 1)])
def test_loser_that_fails_while_it_is_closed_is_told_only_if_that_is_a_defect(error: BaseException, count: int) -> None:
    async def loser() -> AsyncGenerator[str, None]:
        try:
            await asyncio.sleep(90)
            yield "a"
        finally:
            raise error

    async def scenario() -> int:
        runs = Runs()
        with complaints() as found:
            assert await items(race(loser(), lambda: runs.play("second", "b"), 2.0)) == [("b", 2.0)]
        assert runs.quiet()
        return len(found)

    assert run(scenario()) == count


times = st.sampled_from([0.0, 1.0, 2.0, 3.0, 4.0])
ends = st.sampled_from(["item", "fault", "refused", "end"])
scripts = st.lists(st.tuples(times, ends), min_size=1, max_size=3)


def written(name: str, script: list[tuple[float, str]]) -> tuple[Step, ...]:
    """The steps of a script."""
    steps: list[Step] = []
    for seconds, end in script:
        steps.append(seconds)
        if end == "end":
            break
        ways: dict[str, Step] = {"item": name, "fault": fault(name), "refused": Refused(name)}
        steps.append(ways[end])
    return tuple(steps)


@given(scripts, scripts, times, st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0, 99.0]), times)
def test_race_gives_one_ones_items_in_order_and_leaves_nothing_behind(
    first: list[tuple[float, str]], second: list[tuple[float, str]], after: float, patience: float, closing: float
) -> None:
    async def scenario() -> None:
        runs = Runs()
        running = race(
            runs.play("first", *written("a", first), closing=closing),
            lambda: runs.play("second", *written("b", second), closing=closing),
            after,
        )
        task = asyncio.create_task(items(running))
        await asyncio.wait([task], timeout=patience)
        task.cancel()
        await asyncio.wait([task])
        assert runs.quiet()
        if not task.cancelled() and task.exception() is None:
            assert len({item for item, _ in task.result()}) <= 1

    run(scenario())


class Attempts:
    """Real attempts at scripted providers."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.tasks: list[Any] = []

    async def run(self, name: str, script: Script, patience: float) -> AsyncGenerator[list[Chunk], None]:
        provider = ScriptedProvider(Backend(name, "scripted", f"http://{name}"))
        provider.scripts = [script]
        asked = request(stream=True)
        async with Attempt(
            asked, deployment(name), provider, Timeouts(), patience, now, self.outcomes.append
        ) as attempt:
            while (batch := await attempt.batch()) is not None:
                yield batch

    def told(self) -> dict[str, str]:
        """What came of each."""
        return {one.deployment.backend: one.outcome for one in self.outcomes}


def attempted(
    first: Script, second: Script, patience: float = 12.0
) -> tuple[list[list[Chunk]] | GatewayError, Attempts, float]:
    """What a race of two attempts gives, their outcomes, and when it was over."""

    async def scenario() -> tuple[list[list[Chunk]] | GatewayError, Attempts, float]:
        both, found = Attempts(), list[list[Chunk]]()
        running = race(both.run("a", first, patience), lambda: both.run("b", second, patience), 2.0)
        try:
            async with aclosing(running):
                async for batch in running:
                    found.append(batch)
        except GatewayError as exc:
            return exc, both, now()
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return found, both, now()

    return run(scenario())


def test_timer_of_an_attempt_ends_that_attempt_and_not_the_race() -> None:
    found, both, _ = attempted([100.0], [11.0, *GOOD])
    assert isinstance(found, list) and found
    assert both.told() == {"a": "timeout", "b": "success"}


def test_two_attempts_that_stay_silent_end_with_the_timeout_of_the_first() -> None:
    error, both, ended = attempted([100.0], [100.0])
    assert isinstance(error, FirstTokenTimeout) and "'a' sent no content within 12 s" in error.message
    assert both.told() == {"a": "timeout", "b": "timeout"}
    assert ended == pytest.approx(1014.0)


def test_attempt_that_loses_has_its_outcome_and_no_fault() -> None:
    _, both, _ = attempted([50.0], GOOD)
    assert both.told() == {"a": "client_cancelled", "b": "success"}
    assert all(one.verdict != "fault" for one in both.outcomes)


def test_idle_timer_of_the_winner_is_raised_to_the_reader() -> None:
    error, both, _ = attempted([text("Hello"), 100.0], GOOD)
    assert isinstance(error, GatewayError) and "stopped in the middle" in error.message
    assert both.told() == {"a": "partial"}
