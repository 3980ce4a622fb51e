"""The last requests."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.requests import RequestLog
from gateway.types import Plan, Rejection
from tests.routing.samples import deployment
from tests.telemetry.records import LOST, record, shadowed


def test_records_are_found_by_their_id_and_the_newest_come_first() -> None:
    log = RequestLog()
    log.attempted(LOST)
    for number in range(5):
        log.answered(record(id=f"req_{number}"))
    assert [one.id for one in log.last(3)] == ["req_4", "req_3", "req_2"]
    assert log.get("req_0") == record(id="req_0")
    assert log.get("req_9") is None


@given(st.lists(st.integers(0, 30)), st.integers(1, 10))
def test_no_more_records_are_kept_than_allowed(ids: list[int], kept: int) -> None:
    log = RequestLog(kept)
    for number in ids:
        log.answered(record(id=str(number)))
        assert log.last(1)[0].id == str(number) or ids.count(number) > 1
        assert len(log.last(10**6)) <= kept
    assert log.last(0) == []


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 9))), st.integers(1, 10), st.integers(1, 30))
def test_plans_take_no_more_room_than_allowed_and_the_newest_is_always_there(
    asked: list[tuple[int, int]], kept: int, candidates: int
) -> None:
    log = RequestLog(kept, candidates)
    for number, rejected in asked:
        plan = Plan("chat", (), (), (Rejection(deployment("a"), "full"),) * rejected, "")
        log.answered(record(id=str(number), plan=plan))
        there = [len(one.plan.rejected) for one in log.last(kept) if one.plan is not None]
        assert log.held == sum(there) == sum(log.plans.values())
        assert log.held <= max(candidates, rejected)
        newest = log.get(str(number))
        assert newest is not None
        assert newest.plan == plan


def test_what_came_of_mirroring_a_request_is_kept_as_long_as_its_record() -> None:
    log = RequestLog(2)
    log.shadowed(shadowed())
    assert log.shadow("req_1") is None
    log.answered(record())
    log.shadowed(shadowed())
    assert log.shadow("req_1") == shadowed()
    for number in range(2, 4):
        log.answered(record(id=f"req_{number}"))
    log.shadowed(shadowed())
    assert log.shadow("req_1") is None
    assert log.shadows == {}
