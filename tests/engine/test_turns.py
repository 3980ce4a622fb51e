"""Whose turn is it, and after which wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import errors
from gateway.engine.turns import JITTER, LONGEST_WAIT, PER_DEPLOYMENT, Turn, Turns, backoff
from gateway.errors import UpstreamError
from gateway.types import Choice, Forecast
from tests.routing.samples import deployment

NO_FORECAST = Forecast(0, 0, 0.0, 0.0, 0.0)
A, B, C, D = (Choice(deployment(name), 1.0, NO_FORECAST, 0) for name in "abcd")


def turns(*choices: Choice, attempts: int = 3, chance: float = 0.0) -> Turns:
    return Turns(choices, attempts, lambda: chance)


def limited(seconds: float | None) -> UpstreamError:
    return errors.RateLimited("slow down", retry_after=seconds)


def fault() -> UpstreamError:
    return errors.ServerFault("broken")


def after(order: Turns, turn: Turn | None, error: UpstreamError) -> Turn | None:
    assert turn is not None
    return order.next(turn.choice, error)


def asked(order: Turns, error: UpstreamError) -> list[str]:
    """The backends in the order of their turns, when all of them fail in the same way."""
    found, turn = [], order.next()
    while turn is not None:
        found.append(turn.choice.deployment.backend)
        turn = order.next(turn.choice, error)
    return found


def test_each_choice_is_asked_once_best_first_before_any_is_asked_again() -> None:
    found = asked(turns(A, B, attempts=4), fault())
    assert found[:2] == ["a", "b"]
    assert sorted(found[2:]) == ["a", "b"]


def test_first_turns_come_without_a_wait() -> None:
    order = turns(A, B)
    first = order.next()
    second = after(order, first, limited(5.0))
    assert first is not None and second is not None
    assert (first.wait, second.wait) == (0.0, 0.0)


def test_there_are_no_more_attempts_than_allowed() -> None:
    assert asked(turns(A, B, C, D, attempts=3), fault()) == ["a", "b", "c"]
    assert asked(turns(A, attempts=1), fault()) == ["a"]


def test_one_deployment_is_asked_twice_at_most() -> None:
    assert asked(turns(A, attempts=9), fault()) == ["a"] * PER_DEPLOYMENT


@pytest.mark.parametrize(
    "kind",
    [
        errors.FirstTokenTimeout,
        errors.IdleTimeout,
        errors.QuotaExhausted,
        errors.BadCredentials,
        errors.ModelGone,
        errors.ContextExceeded,
    ],
)
def test_deployment_is_not_asked_again_when_it_was_silent_or_asking_is_pointless(kind: type[UpstreamError]) -> None:
    assert asked(turns(A, B, attempts=9), kind("no")) == ["a", "b"]


@pytest.mark.parametrize("kind", [errors.Refused, errors.Rejected, errors.TotalTimeout])
def test_nobody_else_is_asked_after_an_error_that_another_would_repeat(kind: type[UpstreamError]) -> None:
    assert asked(turns(A, B, attempts=9), kind("no")) == ["a"]


def test_no_choices_are_no_turns() -> None:
    assert turns().next() is None


def test_retry_after_is_waited_out_and_a_little_more() -> None:
    for chance in (0.0, 0.5, 0.999):
        order = turns(A, chance=chance)
        again = after(order, order.next(), limited(4.0))
        assert again is not None
        assert again.wait == pytest.approx(4.0 * (1 + JITTER * chance))


def test_longest_wait_is_ten_seconds() -> None:
    order = turns(A, chance=0.999)
    again = after(order, order.next(), limited(LONGEST_WAIT))
    assert again is not None and again.wait >= LONGEST_WAIT


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
@pytest.mark.parametrize("seconds", [10.1, 11.0, 12.0, 600.0])
def test_retry_after_above_ten_seconds_is_not_waited_for_whatever_the_chance(seconds: float, chance: float) -> None:
    order = turns(A, chance=chance)
    assert after(order, order.next(), limited(seconds)) is None


def test_shortest_wait_goes_first() -> None:
    order = turns(A, B, C, attempts=9)
    turn = order.next()
    for seconds in (9.0, 3.0, 6.0):
        turn = after(order, turn, limited(seconds))
    assert turn is not None and (turn.choice, turn.wait) == (B, 3.0)


def test_choice_that_asks_for_too_long_does_not_hinder_another() -> None:
    order = turns(A, B, attempts=9)
    second = after(order, order.next(), limited(600.0))
    again = after(order, second, limited(2.0))
    assert again is not None and (again.choice, again.wait) == (B, 2.0)
    assert after(order, again, limited(2.0)) is None


def test_turn_is_the_last_when_nobody_can_follow() -> None:
    order = turns(A, B, attempts=3)
    first = order.next()
    second = after(order, first, errors.FirstTokenTimeout("silent"))
    assert first is not None and second is not None
    assert (first.last, second.last) == (False, True)


def test_last_of_the_allowed_attempts_is_the_last_turn() -> None:
    order = turns(A, B, C, attempts=2)
    second = after(order, order.next(), fault())
    assert second is not None and second.last


def test_only_choice_has_all_the_time_there_is() -> None:
    only = turns(A).next()
    assert only is not None and only.last


def test_turn_is_the_last_when_the_others_ask_for_more_patience_than_we_have() -> None:
    order = turns(A, B)
    second = after(order, order.next(), limited(600.0))
    assert second is not None and second.last


@pytest.mark.parametrize(("attempt", "most"), [(1, 0.25), (2, 0.5), (3, 1.0), (5, 4.0), (50, 4.0), (5000, 4.0)])
def test_backoff_is_a_random_share_of_a_time_that_doubles_up_to_four_seconds(attempt: int, most: float) -> None:
    assert all(0.0 <= backoff(attempt) <= most for _ in range(200))


ERRORS = st.sampled_from(
    [
        errors.ServerFault,
        errors.RateLimited,
        errors.FirstTokenTimeout,
        errors.Unreachable,
        errors.Refused,
        errors.ContextExceeded,
        errors.TotalTimeout,
    ]
)


@given(
    st.integers(1, 4),
    st.integers(0, 8),
    st.floats(0, 1, exclude_max=True),
    st.lists(st.tuples(ERRORS, st.none() | st.floats(0, 100)), min_size=10, max_size=10),
)
def test_any_run_of_errors_ends_within_all_bounds(
    count: int, attempts: int, chance: float, run: list[tuple[type[UpstreamError], float | None]]
) -> None:
    order = turns(*(A, B, C, D)[:count], attempts=attempts, chance=chance)
    seen: list[tuple[str, UpstreamError]] = []
    turn, failures = order.next(), iter(run)
    while turn is not None:
        name = turn.choice.deployment.backend
        earlier = [error for backend, error in seen if backend == name]
        assert all(error.again for error in earlier)
        assert all(error.elsewhere for _, error in seen)
        if earlier and earlier[-1].retry_after is not None:
            assert turn.wait >= earlier[-1].retry_after
        assert turn.wait <= LONGEST_WAIT * (1 + JITTER)
        kind, seconds = next(failures)
        seen.append((name, kind("no", retry_after=seconds)))
        turn = order.next(turn.choice, seen[-1][1])
    names = [name for name, _ in seen]
    assert len(names) <= attempts
    assert all(names.count(name) <= PER_DEPLOYMENT for name in names)
    assert names[:count] == list("abcd")[: min(len(names), count)]


def test_choice_that_can_no_longer_be_asked_is_passed_over_with_its_reason() -> None:
    order = Turns([A, B, C], 3, lambda: 0.0, lambda choice: "full" if choice is B else None)
    second = after(order, order.next(), fault())
    assert second is not None and second.choice is C
    assert order.skipped == [f"{B.deployment.name}: full"]


def test_first_turn_is_taken_as_planned() -> None:
    first = Turns([A, B], 3, lambda: 0.0, lambda choice: "full").next()
    assert first is not None and first.choice is A


def test_choice_beyond_the_allowed_attempts_takes_the_turn_of_one_that_is_passed_over() -> None:
    order = Turns([A, B, C], 2, lambda: 0.0, lambda choice: "resting" if choice is B else None)
    second = after(order, order.next(), fault())
    assert second is not None and (second.choice, second.last) == (C, True)


def test_turn_is_the_last_when_all_others_can_no_longer_be_asked() -> None:
    order = Turns([A, B, C], 9, lambda: 0.0, lambda choice: "full" if choice is C else None)
    second = after(order, order.next(), errors.FirstTokenTimeout("silent"))
    assert second is not None and (second.choice, second.last) == (B, True)


def test_larger_model_that_can_no_longer_be_asked_is_none_to_wait_for() -> None:
    small = Choice(deployment("small", size=8.0), 1.0, NO_FORECAST, 0)
    free = Turns([small, A], 3, lambda: 0.0, lambda choice: None)
    full = Turns([small, A], 3, lambda: 0.0, lambda choice: "full")
    for order, left in ((free, True), (full, False)):
        turn = order.next()
        assert turn is not None
        assert order.larger_left(turn.choice) is left


def closing(*closed: Choice, full: tuple[Choice, ...] = (), attempts: int = 3) -> Turns:
    """Turns in which some choices cannot be asked now, and some of those can be waited for."""
    return Turns(
        [A, B, C],
        attempts,
        lambda: 0.0,
        lambda choice: "full" if choice in closed else None,
        full=lambda one: one in full,
    )


def test_whoever_is_full_is_waited_for_when_nobody_is_free_and_before_anybody_is_asked_again() -> None:
    order = closing(B, C, full=(B, C), attempts=4)
    found, turn = [], order.next()
    while turn is not None:
        found.append((turn.choice.deployment.backend, turn.waits))
        turn = order.next(turn.choice, fault())
    assert found == [("a", False), ("b", True), ("c", True), ("a", True)]


def test_whoever_is_closed_for_another_reason_is_not_waited_for() -> None:
    order = closing(B, C, full=(C,), attempts=2)
    second = after(order, order.next(), fault())
    assert second is not None and (second.choice, second.waits) == (C, True)


def test_whoever_could_not_help_is_not_waited_for_either() -> None:
    order = closing(B, C, full=(B, C))
    assert after(order, order.next(), errors.Inadequate("flawed")) is None


def test_choice_beside_the_first_is_the_best_that_is_open_and_its_turn_is_not_taken() -> None:
    order = closing(B)
    order.next()
    assert order.beside() == order.beside() == C
    turn = order.first_time()
    assert turn is not None and turn.choice == C
    assert order.beside() is None


def test_nobody_is_beside_the_first_when_no_attempt_is_left() -> None:
    order = closing(attempts=1)
    order.next()
    assert order.beside() is None


def test_failure_of_an_attempt_beside_another_may_be_repeated_later() -> None:
    order = turns(A, B, attempts=4)
    first, second = order.next(), order.next()
    assert first is not None and second is not None
    order.hear_all([(second, fault()), (second, errors.InternalError("a defect"))])
    third = order.next(first.choice, errors.FirstTokenTimeout("silent"))
    assert third is not None and third.choice == B


def test_backoff_doubles_with_each_round() -> None:
    order = turns(A, B, attempts=9, chance=0.5)
    turn = order.next()
    waits = []
    while turn is not None:
        waits.append(turn.wait)
        turn = order.next(turn.choice, fault())
    assert waits == [0.0, 0.0, 0.5 * backoff(1), 0.5 * backoff(2)]
    assert backoff(2) == 2 * backoff(1)


def test_only_those_of_the_same_model_go_on_while_there_are_any() -> None:
    small = Choice(deployment("e", "llama-3.1-8b-instruct"), 1.0, NO_FORECAST, 0)
    order = turns(A, B, small, C)
    order.next()
    order.near("llama-3.1-8b-instruct")
    assert list(order.ahead()) == [small]
    order.near("nobody's")
    assert list(order.ahead()) == [small]


def test_nobody_joins_when_no_attempt_is_left() -> None:
    order = turns(A, attempts=1)
    order.next()
    assert order.joined([B]) is None


def test_whoever_was_asked_does_not_join_again() -> None:
    order = turns(A, attempts=3)
    order.next()
    joined = order.joined([A, B])
    assert joined is not None and joined.choice == B
    assert list(order.ahead()) == []


@pytest.mark.parametrize(("attempts", "left"), [(2, True), (1, False)])
def test_larger_model_is_left_only_while_an_attempt_is(attempts: int, left: bool) -> None:
    small, large = (
        Choice(deployment(name, size=size), 1.0, NO_FORECAST, 0) for name, size in (("s", 8.0), ("l", 70.0))
    )
    order = turns(small, large, attempts=attempts)
    first = order.next()
    assert first is not None
    assert order.larger_left(first.choice) is left
