"""What the console's charts are made of."""

from gateway.telemetry.pulse import SECONDS, Pulse, Tick
from gateway.types import Usage
from tests.telemetry.records import A, record


def test_second_sums_what_ended_in_it_and_nothing_else() -> None:
    pulse = Pulse()
    pulse.answered(record(usage=Usage(100, 21), ttft=1.0, cost=0.25))
    pulse.answered(record(outcome="upstream_error", usage=None, cost=None, ttft=None))
    made = pulse.tick(1.0)
    assert made == Tick(1.0, 2, 1, 100, 21, 0.25, 0.0, 1.0, 1.0, 0)
    assert pulse.tick(2.0) == Tick(2.0)


def test_totals_grow_and_ticks_are_bounded() -> None:
    pulse = Pulse()
    for second in range(SECONDS + 5):
        pulse.answered(record())
        pulse.tick(float(second))
    assert (pulse.totals.requests, len(pulse.ticks)) == (SECONDS + 5, SECONDS)


def test_caller_that_hangs_up_is_nobodys_failure() -> None:
    pulse = Pulse()
    pulse.answered(record(outcome="client_cancelled"))
    assert pulse.tick(1.0).failures == 0


def test_callers_own_mistake_is_no_failure_and_the_gateways_own_is_one() -> None:
    pulse = Pulse()
    for error in ("caller_unknown_model", "caller_rate_limited", "policy_nothing_fits"):
        pulse.answered(record(outcome="rejected", error_type=error))
    assert pulse.tick(1.0).failures == 0
    pulse.answered(record(outcome="rejected", error_type="gateway_store"))
    assert pulse.tick(2.0).failures == 1


def test_times_to_the_first_token_are_kept_for_deployments_of_the_policy_alone() -> None:
    pulse = Pulse()
    pulse.answered(record(ttft=0.5))
    pulse.tick(1.0)
    assert list(pulse.ttfts[A.name]) == [0.5]
    pulse.keep([])
    assert pulse.ttfts == {}
