"""A difference is shown by section, privacy last, and a log's requests below it."""

from gateway.policytools.diff import Change, Difference
from gateway.policytools.diff_text import diff_text, relative
from gateway.policytools.privacy import Leak
from gateway.policytools.replay import Figures, Found, Move, Replay

CHANGES = (
    Change("routes", "a", "added", "", "", "1", "route 'a' is new"),
    Change("backends", "b", "changed", "url", "x", "y", "backend 'b': url was x, is y"),
)
LEAKS = (Leak("route 'a'", "lost", ("b/m",), "route 'a' now may"), Leak("route 'c'", "gained", (), "route 'c' stays"))
NONE = Found(0, ())
REPLAY = Replay(
    requests=10,
    planned=8,
    route_changes=1,
    model_changes=2,
    backend_changes=3,
    before=Figures(1.0, 0.1, 0.2, 1.0, 2.0, 3.0, 4.0),
    after=Figures(1.5, 0.1, 0.1, 1.0, 2.0, 3.0, 4.0),
    moves=(Move("route", "a", "none", 1),),
    lost_privacy=Found(7, ("r1", "r2", "r3", "r4", "r5", "r6")),
    gained_privacy=NONE,
    fails_now=Found(1, ("r9 (timeout)",)),
    works_now=NONE,
)


def test_changes_are_shown_by_section_and_privacy_last() -> None:
    assert diff_text(Difference("old", "new", CHANGES, LEAKS), None, colour=False) == (
        "routes\n  + route 'a' is new\nbackends\n  ~ backend 'b': url was x, is y\n"
        "privacy\n  ! route 'a' now may\n  + route 'c' stays\n"
    )


def test_no_difference_is_a_sentence() -> None:
    assert diff_text(Difference("old", "new", (), ()), None, colour=True).count("old and new mean the same.") == 1


def test_requests_are_counted_with_cost_and_time_before_and_after() -> None:
    shown = diff_text(Difference("old", "new", (), ()), REPLAY, colour=False)
    assert "10 requests, 8 of them planned by both" in shown
    assert "route changes for 1 (10.0%)" in shown and "route a -> none: 1" in shown
    assert "USD, all of them             1.0000       1.5000    +50.0%" in shown
    assert "! 7 may now leave the house: r1, r2, r3, r4, r5, ...\n" in shown
    assert "! 1 would fail now: r9 (timeout)\n" in shown and "stay in the house" not in shown


def test_colour_only_when_asked() -> None:
    shown = diff_text(Difference("old", "new", CHANGES, LEAKS), REPLAY, colour=True)
    assert "\x1b[1mroutes\x1b[0m" in shown and "\x1b[31m  ! route 'a' now may\x1b[0m" in shown


def test_a_change_is_relative_where_there_was_something() -> None:
    assert (relative(1.0, 1.0), relative(0.0, 1.0), relative(2.0, 1.0)) == ("same", "new", "-50.0%")
