"""The limit of a deployment that was overloaded."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.concurrency import GROWTH, Allowance, cut, grown


def test_overload_leaves_seven_tenths_and_never_less_than_one() -> None:
    known = cut(None, 10, 0.0, 1.0)
    assert known.slots == 7
    for second in range(2, 20):
        known = cut(known, 10, float(second), float(second))
    assert known.slots == 1


def test_whole_flight_that_is_refused_cuts_once() -> None:
    known = cut(None, 64, 0.0, 1.0)
    assert cut(known, 64, 0.5, 1.1) is known


def test_twenty_answers_give_one_back_until_it_is_whole_again() -> None:
    known: Allowance | None = cut(None, 3, 0.0, 1.0)
    slots = []
    while known is not None:
        slots.append(known.slots)
        known = grown(known, 3)
    assert slots == [2] * GROWTH


def test_each_twenty_answers_allow_one_request_more() -> None:
    known: Allowance | None = Allowance(7.0)
    limits = []
    for answer in range(3 * GROWTH):
        assert known is not None, answer
        limits.append(known.limit)
        known = grown(known, 10)
    assert limits == [7.0] * GROWTH + [8.0] * GROWTH + [9.0] * GROWTH
    assert known is None


def test_request_that_was_sent_when_the_limit_was_cut_may_cut_it_again() -> None:
    once = cut(None, 10, 0.0, 1.0)
    assert cut(once, 10, 1.0, 2.0).limit < once.limit


@given(st.integers(1, 512), st.lists(st.booleans(), max_size=200))
def test_limit_is_never_below_one_and_always_below_the_own_one(most: int, overloads: list[bool]) -> None:
    known: Allowance | None = None
    for second, overloaded in enumerate(overloads):
        if overloaded:
            known = cut(known, most, float(second), float(second))
        elif known is not None:
            known = grown(known, most)
        assert known is None or 1 <= known.limit < max(most, 1.1)
