"""The budget of a request: it holds, and it says what grew when it does not."""

import subprocess
import sys
from pathlib import Path

import pytest

from .budget import Cost, accept, budgets, exceeded, instructions, named

ROOT = Path(__file__).parents[2]
ALLOWED = Cost({"instructions": 1000, "calls": 100, "c_calls": 80, "peak_bytes": 5000}, {"gateway/a.py:f": 400})


def spent(**more: int) -> dict[str, Cost]:
    """A plain request that costs as much as it may, but for this."""
    return {"plain": Cost({**ALLOWED.figures, **more}, {"gateway/a.py:f": 470, "gateway/b.py:g": 90})}


def test_a_request_costs_no_more_instructions_calls_and_bytes_than_the_budget_has() -> None:
    """In a process of its own: no test before it has changed how logs are written or what is imported."""
    command = [sys.executable, "-m", "tests.bench.budget"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def test_a_little_more_is_tolerated() -> None:
    assert exceeded(spent(instructions=1050, calls=105), {"plain": ALLOWED}) == []


def test_what_is_over_the_budget_is_told_with_the_functions_that_grew() -> None:
    (told,) = exceeded(spent(instructions=1051), {"plain": ALLOWED})
    assert "`plain` costs 1051 bytecode instructions, 1000 allowed and 5% besides" in told
    assert told.endswith("  gateway/b.py:g: few -> 90 instructions\n  gateway/a.py:f: 400 -> 470 instructions")


@pytest.mark.parametrize("figure", ["calls", "c_calls", "peak_bytes"])
def test_each_figure_has_its_limit(figure: str) -> None:
    assert len(exceeded(spent(**{figure: ALLOWED.figures[figure] * 2}), {"plain": ALLOWED})) == 1


def test_an_accepted_budget_is_read_again_and_leaves_those_of_other_versions(tmp_path: Path) -> None:
    file = tmp_path / "budget.json"
    accept({"plain": ALLOWED}, file)
    assert budgets(file, "3.99") == {}
    accept(spent(calls=1), file, "3.99")
    assert budgets(file) == {"plain": ALLOWED}
    assert budgets(file, "3.99") == spent(calls=1)


def test_the_same_work_always_runs_through_the_same_instructions() -> None:
    def work() -> list[int]:
        return sorted(-number for number in range(50))

    found = instructions(work, apart=())
    assert found == instructions(work, apart=())
    assert found.total() > 50
    assert instructions(work).total() == 0


def test_a_function_is_named_by_its_file_below_the_sources() -> None:
    assert named(named.__code__) == "tests/bench/budget.py:named"
    assert named(subprocess.run.__code__) == "subprocess.py:run"
