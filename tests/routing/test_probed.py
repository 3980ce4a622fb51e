"""What is known of a server by looking at it: out while it is not well, and less liked while it is crowded."""

from gateway.routing.book import StatsBook
from gateway.routing.breaker import state
from gateway.routing.planner import plan
from tests.routing.samples import deployment, fault, outcome, request, route

NOW = 1000.0
ONE, OTHER = deployment("one", slots=8), deployment("two", slots=8)
RULES = route(ONE, OTHER)


def asked(book: StatsBook, now: float = NOW) -> list[str]:
    """Whom a request would ask, in order."""
    return [choice.deployment.backend for choice in plan(request(), RULES, book, now, 0.5).choices]


def test_server_that_is_not_well_is_out_and_its_transition_is_told_once() -> None:
    book = StatsBook()
    told = book.eject(ONE, NOW, NOW + 6, "is not well")
    assert told is not None and (told.state, told.because) == ("open", "is not well")
    assert asked(book) == ["two"]
    assert book.eject(ONE, NOW + 2, NOW + 8, "is not well") is None
    assert not book.of(ONE).up(NOW + 7)
    assert book.of(ONE).up(NOW + 8)  # nobody has said so again


def test_server_that_is_well_again_is_tried_by_a_real_request() -> None:
    book = StatsBook()
    book.eject(ONE, NOW, NOW + 6, "is not well")
    book.readmit(ONE, NOW + 1, "is not well")
    assert state(book.of(ONE).breaker, NOW + 1) == "half_open"
    assert sorted(asked(book, NOW + 1)) == ["one", "two"]


def test_readmission_opens_no_breaker_that_its_own_answers_have_opened() -> None:
    book = StatsBook()
    for _ in range(5):
        book.started(ONE, NOW)
        book.ended(fault(ONE, started=NOW, ended=NOW))
    assert not book.of(ONE).up(NOW)
    book.readmit(ONE, NOW, "is not well")
    assert not book.of(ONE).up(NOW)


def test_shorter_ejection_does_not_shorten_a_longer_one() -> None:
    book = StatsBook()
    book.eject(ONE, NOW, NOW + 60, "is not well")
    before = book.of(ONE)
    assert book.eject(ONE, NOW, NOW + 6, "is not well") is None
    assert book.of(ONE) is before


def test_last_server_is_asked_although_it_is_not_well() -> None:
    book = StatsBook()
    for one in (ONE, OTHER):
        book.eject(one, NOW, NOW + 6, "is not well")
    assert sorted(asked(book)) == ["one", "two"]


def test_server_that_others_have_filled_comes_after_one_that_is_free() -> None:
    book = StatsBook()
    for one in (ONE, OTHER):
        for _ in range(3):
            book.started(one, NOW)
            book.ended(outcome(one))
    book.strangers = {"one": 16}
    assert asked(book) == ["two", "one"]
    book.strangers = {"two": 16}
    assert asked(book) == ["one", "two"]
