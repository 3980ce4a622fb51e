"""Budgets outlive the process: what was spent, and what was reserved by one that was killed."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gateway.errors import BudgetSpent
from gateway.stores.books import Books
from gateway.stores.limits import NANO, Need
from gateway.stores.limits_memory import MemoryLimits
from gateway.stores.recorded import Recorded, first_of_month, seed
from gateway.types import Caller, Limits, Team
from tests.stores.books import asked, books, count, tell

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()
TEAM = Team("research", Limits(usd_per_month=10.0))
CALLER = Caller("search", limits=Limits(usd_per_day=2.0), team=TEAM)
FREE = Caller("anna", limits=Limits(rpm=5))


def started(directory: Path) -> tuple[Books, Recorded]:
    """A gateway's limits after its start."""
    kept = books(directory)
    kept.claim()
    limits = MemoryLimits(wall=lambda: NOW)
    seed(limits, kept.spent, NOW)
    return kept, Recorded(limits, kept.reservations, lambda: NOW)


def test_a_budget_that_is_spent_stays_so_after_a_restart(tmp_path: Path) -> None:
    kept, limits = started(tmp_path)
    tell(kept, *[asked(f"req_{number}", at=NOW, caller="search") for number in range(7)])  # 0.25 each
    kept.close()
    kept, limits = started(tmp_path)
    lease = asyncio.run(limits.acquire(CALLER, Need("a", nano=int(0.25 * NANO))))
    with pytest.raises(BudgetSpent):
        asyncio.run(limits.acquire(CALLER, Need("b", nano=1)))
    limits.settle(lease, 0, 0)
    asyncio.run(limits.acquire(CALLER, Need("b", nano=1)))
    kept.close()


def test_what_was_reserved_when_it_was_killed_is_spent(tmp_path: Path) -> None:
    killed, limits = started(tmp_path)
    asyncio.run(limits.acquire(CALLER, Need("a", nano=int(1.5 * NANO))))
    done = asyncio.run(limits.acquire(CALLER, Need("b", nano=int(0.4 * NANO))))
    limits.settle(done, 0, 0)
    asyncio.run(limits.acquire(FREE, Need("c", tokens=5)))
    killed.writer.flush()
    assert count(killed, "reservations") == 1
    killed.state.release()
    kept, limits = started(tmp_path)
    asyncio.run(limits.acquire(CALLER, Need("d", nano=int(0.5 * NANO))))
    with pytest.raises(BudgetSpent):
        asyncio.run(limits.acquire(CALLER, Need("e", nano=1)))
    kept.close()


def test_a_budget_that_refuses_takes_nothing_down(tmp_path: Path) -> None:
    kept, limits = started(tmp_path)
    with pytest.raises(BudgetSpent):
        asyncio.run(limits.acquire(CALLER, Need("a", nano=3 * NANO)))
    kept.writer.flush()
    assert count(kept, "reservations") == 0
    kept.close()


def test_a_month_has_its_first_day() -> None:
    for year, month, day in ((2026, 11, 24), (2026, 11, 1), (2024, 2, 29), (1970, 1, 1), (2027, 1, 31)):
        number = int(datetime(year, month, day, tzinfo=UTC).timestamp() // 86_400)
        assert first_of_month(number) == int(datetime(year, month, 1, tzinfo=UTC).timestamp() // 86_400)
