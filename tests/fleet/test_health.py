"""When a server is well, by what the looks at it have shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.fleet.health import (
    CACHE,
    CROWD,
    FALL,
    SILENT,
    STALE_SECONDS,
    STILL,
    STILL_SECONDS,
    Health,
    strangers,
)
from gateway.types import Load

BUSY, IDLE = Load(2.0, 1.0, 0.5, 100.0), Load(0.0, 0.0, 0.0, 100.0)


def looked(*loads: Load, at: float = 1000.0, step: float = 1.0) -> tuple[Health, float]:
    """After looks at these loads, one a second; and when the last of them was."""
    health = Health()
    for index, load in enumerate(loads):
        health = health.loaded(load, at + index * step)
    return health, at + (len(loads) - 1) * step


def test_server_is_not_well_after_three_failed_checks_in_a_row_and_well_after_one_that_passes() -> None:
    health = Health()
    for _ in range(FALL - 1):
        health = health.checked(False)
    assert health.trouble(0.0) == ""
    assert health.checked(True).checked(False).trouble(0.0) == ""
    health = health.checked(False)
    assert health.trouble(0.0) == SILENT
    assert health.checked(True).trouble(0.0) == ""


def test_server_with_work_whose_tokens_stand_still_is_not_well() -> None:
    count = int(STILL_SECONDS)
    health, now = looked(*[BUSY] * count)
    assert health.trouble(now) == ""
    health = health.loaded(BUSY, now + 1)
    assert health.trouble(now + 1) == STILL
    assert health.loaded(BUSY._replace(tokens=101.0), now + 2).trouble(now + 2) == ""


@pytest.mark.parametrize("load", [IDLE, BUSY._replace(tokens=101.0), BUSY._replace(tokens=0.0)])
def test_rest_and_any_new_token_and_a_new_start_begin_anew(load: Load) -> None:
    half = [BUSY] * int(STILL_SECONDS * 0.6)
    again = [BUSY._replace(tokens=load.tokens)] * int(STILL_SECONDS * 0.6)
    health, now = looked(*half, load, *again)
    assert health.trouble(now) == ""


def test_long_gap_between_two_looks_proves_nothing() -> None:
    health, now = looked(BUSY, BUSY, step=STILL_SECONDS + 1)
    assert health.trouble(now) == ""


def test_trouble_that_nobody_has_seen_lately_is_none() -> None:
    health, now = looked(*[BUSY] * (int(STILL_SECONDS) + 1))
    assert health.trouble(now) == STILL
    assert health.trouble(now + 60) == ""


def test_load_is_believed_for_a_few_seconds() -> None:
    health, now = looked(BUSY)
    assert health.fresh(now + STALE_SECONDS) == BUSY
    assert health.fresh(now + STALE_SECONDS + 0.1) is None
    assert health.loaded(None, now + 1) == health
    assert Health().fresh(0.0) is None


@given(st.lists(st.booleans(), max_size=30))
def test_checks_alone_decide_by_the_last_three(checks: list[bool]) -> None:
    health = Health()
    for well in checks:
        health = health.checked(well)
    assert (health.trouble(0.0) == SILENT) == (len(checks) >= FALL and not any(checks[-FALL:]))


@pytest.mark.parametrize(
    ("load", "ours", "count"),
    [
        (Load(3.0, 0.0, 0.1, 0.0), 3, 0),
        (Load(5.0, 2.0, 0.1, 0.0), 3, 4),
        (Load(1.0, 0.0, 0.1, 0.0), 9, 0),
        (Load(8.0, CROWD + 1, 0.1, 0.0), 14, 16),
        (Load(1.0, 0.0, CACHE + 0.01, 0.0), 1, 16),
        (Load(40.0, CROWD + 1, 0.1, 0.0), 0, 46),
    ],
)
def test_saturated_server_counts_as_crowded_whoever_has_filled_it(load: Load, ours: int, count: int) -> None:
    assert strangers(load, ours, 8) == count
