"""Columns that are kept from plan to plan are those that a look at everything would give."""

from copy import copy

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.board import Board, board_of
from gateway.routing.book import REMEMBERED, Known
from gateway.routing.lane import Candidate, Lane
from gateway.routing.stats import Stats
from tests.routing.samples import deployment

FLEET = [deployment(name) for name in ("a", "b", "c")]
NAMES = [*[one.name for one in FLEET], "elsewhere/m"]
CHANGES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.floats(0.1, 9.0), st.booleans()), max_size=12
)  # whose, its time to the first token, and whether somebody looks afterwards


def lane() -> Lane:
    """Three deployments, one of them in it twice."""
    return Lane([Candidate(one) for one in (*FLEET, FLEET[0])])


def told(board: Board) -> tuple[list[Stats], list[float | None], list[int], float]:
    """What a plan reads, as far as it tells one state from another."""
    return board.stats, board.firsts, board.measured, board.last_ejected


@given(CHANGES)
def test_board_is_what_one_made_anew_would_be(changes: list[tuple[str, float, bool]]) -> None:
    ours, known = lane(), Known()
    for name, ttft, looked in changes:
        known[name] = Stats(ttft=ttft, ejected_until=ttft)
        if looked:
            board_of(ours, known)
    assert told(board_of(ours, known)) == told(Board(ours, known))


def test_board_that_was_not_looked_at_for_long_is_made_anew() -> None:
    ours, known = lane(), Known()
    board_of(ours, known)
    for count in range(3 * REMEMBERED):
        known[NAMES[count % 3]] = Stats(ttft=float(count))
    assert told(board_of(ours, known)) == told(Board(ours, known))
    assert len(known.recent) <= REMEMBERED


def test_board_is_that_of_the_statistics_it_is_asked_with() -> None:
    ours, known = lane(), Known()
    known["a"] = Stats()
    mine = board_of(ours, known)
    other = copy(known)
    other[FLEET[0].name] = Stats(ttft=5.0)
    assert board_of(ours, other).firsts[0] == 5.0
    assert board_of(ours, known).firsts[0] is None
    assert mine.firsts[0] is None


def test_many_that_are_set_at_once_are_seen() -> None:
    ours, known = lane(), Known()
    board_of(ours, known)
    known.put({FLEET[1].name: Stats(ttft=1.0)})
    assert board_of(ours, known).measured == [1]
