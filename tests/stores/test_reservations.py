"""What is reserved is spent when its process is killed, and once only."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.stores.reservations import Spent
from tests.stores.books import asked, books, count, rows, tell, usd

NOW = 1_800_000_000.0
DAY = int(NOW // 86_400)


def test_what_is_settled_soon_never_gets_to_the_disk(tmp_path: Path) -> None:
    kept = books(tmp_path)
    kept.reservations.opened("req_1", "search", "research", "chat", 0.5, NOW)
    kept.reservations.closed("req_1")
    assert (kept.writer.flush() and kept.writer.commits == 0) or count(kept, "reservations") == 0


def test_what_was_open_when_a_process_was_killed_is_charged_in_full(tmp_path: Path) -> None:
    killed = books(tmp_path)
    killed.reservations.opened("req_1", "search", "research", "chat", 0.5, NOW)
    killed.reservations.opened("req_2", "search", "research", "chat", 2.0, NOW)
    killed.writer.flush()
    killed.reservations.closed("req_2")
    tell(killed, asked("req_2"))
    killed.writer.flush()
    again = books(tmp_path)
    again.claim()
    assert [(row.request, row.n, row.usd, row.estimated, row.outcome) for row in rows(again)] == [
        ("req_2", 0, 0.25, False, "success"),
        ("req_1", -1, 0.5, True, "unsettled"),
    ]
    assert count(again, "reservations") == 0
    assert [event.name for event in again.news.held] == ["reservations.charged"]
    assert again.spent(DAY, DAY) == [Spent("search", False, 0.75, 0.75), Spent("research", True, 0.75, 0.75)]
    again.close()


def test_what_an_attempt_has_cost_already_is_not_charged_again(tmp_path: Path) -> None:
    killed = books(tmp_path)
    killed.reservations.opened("req_1", "search", "", "chat", 1.0, NOW)
    tell(killed, asked("req_1"))
    killed.writer.flush()
    again = books(tmp_path)
    again.claim()
    assert usd(again) == (1.0, 1.0)
    assert [row.usd for row in rows(again)] == [0.25, 0.75]
    again.close()


def test_what_another_gateway_has_reserved_is_left_alone_while_it_runs(tmp_path: Path) -> None:
    first = books(tmp_path)
    first.claim()
    first.reservations.opened("req_1", "search", "", "chat", 0.5, NOW)
    first.writer.flush()
    second = books(tmp_path)
    second.claim()
    assert (count(second, "reservations"), count(second, "attempts")) == (1, 0)
    first.reservations.closed("req_1")
    first.close()
    second.claim()
    assert (second.alone, count(second, "reservations"), count(second, "attempts")) == (True, 0, 0)
    second.close()


def test_a_reservation_that_grows_is_charged_as_it_was_last(tmp_path: Path) -> None:
    kept = books(tmp_path)
    kept.reservations.opened("req_1", "search", "", "chat", 0.5, NOW)
    kept.writer.flush()
    kept.reservations.opened("req_1", "search", "", "chat", 0.75, NOW)
    kept.writer.flush()
    again = books(tmp_path)
    again.claim()
    assert usd(again)[1] == 0.75
    again.close()


def test_sums_are_those_of_the_day_and_of_the_month(tmp_path: Path) -> None:
    kept = books(tmp_path)
    for number, back in enumerate((0, 0, 1, 5, 40)):
        tell(kept, asked(f"req_{number}", at=NOW - back * 86_400, caller="search"))
    kept.writer.flush()
    found = {(one.name, one.team): one for one in kept.spent(DAY, DAY - 10)}
    assert found["search", False] == Spent("search", False, 0.5, 1.0)
    assert found["research", True] == Spent("research", True, 0.5, 1.0)
    assert kept.spent(DAY + 60, DAY + 59) == []


OPEN, CLOSE, FLUSH = "open", "close", "flush"
STEPS = st.lists(st.tuples(st.sampled_from([OPEN, CLOSE, FLUSH]), st.integers(0, 4)), max_size=30)


@given(STEPS)
def test_the_file_has_what_was_open_at_the_last_transaction(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    kept = books(tmp_path_factory.mktemp("reserved"))
    opened: set[str] = set()
    for step, number in steps:
        id = f"req_{number}"
        if step == OPEN:
            kept.reservations.opened(id, "search", "", "chat", 0.5, NOW)
            opened.add(id)
        elif step == CLOSE:
            kept.reservations.closed(id)
            opened.discard(id)
        else:
            kept.writer.flush()
    kept.writer.flush()
    found = kept.state.read(lambda db: {id for (id,) in db.execute("SELECT id FROM reservations")})
    assert found == opened


SCRIPT = """
import os, signal, sys, time
from pathlib import Path
from tests.stores.books import asked, books, tell
kept = books(Path(sys.argv[1]))
kept.open()
for number in range(40):
    kept.reservations.opened(f"req_{number}", "search", "", "chat", 1.0, 1_800_000_000.0)
    if number < 30:
        tell(kept, asked(f"req_{number}"))
        kept.reservations.closed(f"req_{number}")
kept.writer.flush()
print("ready", flush=True)
time.sleep(60)
"""


def test_a_killed_process_has_spent_what_it_had_taken_down_and_reserved(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", SCRIPT, str(tmp_path)]
    with subprocess.Popen(
        command, cwd=root, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(root)}
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)
    again = books(tmp_path)
    again.claim()
    assert again.alone
    assert usd(again)[1] == pytest.approx(30 * 0.25 + 10 * 1.0)
    assert count(again, "attempts") == 40
    again.close()
