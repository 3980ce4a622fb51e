"""`python -m tests.bench.budget`: what a request costs in instructions and calls of the interpreter: they never vary.

Without a word it compares with the budget; `--accept` writes a new one. What counts are the instructions of Python's
bytecode, the calls of Python functions and of functions in C, and the bytes that a request needs at most.
"""

import argparse
import gc
import json
import platform
import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

from .cases import CASES, Case
from .inmemory import InMemory, in_memory

FILE = Path(__file__).with_name("budget.json")
TOLERANCE = {"instructions": 0.05, "calls": 0.05, "c_calls": 0.05, "peak_bytes": 0.15}  # tables grow by leaps
WARM = 12  # requests before one is counted
MODELS = {"": "bench", "hit": "bench-cache"}
COUNTED = tuple(case for case in CASES if case.name in ("plain", "stream", "cached"))
FIGURES = {
    "instructions": "bytecode instructions",
    "calls": "calls of Python functions",
    "c_calls": "calls of functions in C",
    "peak_bytes": "bytes at most",
}
EVENTS = ("call", "c_call")
APART = ("tests/", "asyncio/base_events.py", "asyncio/events.py", "selectors.py")
LEAST = 0.003  # the share of a request's instructions from which on a function is kept in the budget
SHOWN = 8  # functions of which it is told that they grew
ROOTS = ("site-packages/", f"{Path(__file__).parents[2]}/", f"{Path(json.__file__).parents[1]}/")


@dataclass(frozen=True, slots=True)
class Cost:
    """What one request costs, and the instructions of each function."""

    figures: Mapping[str, int]
    functions: Mapping[str, int]


def named(code: CodeType) -> str:
    """A function as a reader finds it: file without the way to it, and qualified name."""
    file = code.co_filename
    for root in ROOTS:
        file = file.rpartition(root)[2] if root in file else file
    return f"{file}:{code.co_qualname}"


def instructions(work: Callable[[], object], apart: tuple[str, ...] = APART) -> Counter[str]:
    """The instructions that each function ran through."""
    found: Counter[CodeType] = Counter()

    def step(frame: FrameType, event: str, arg: object) -> Any:
        if event == "opcode":
            found[frame.f_code] += 1
        return step

    def entered(frame: FrameType, event: str, arg: object) -> Any:
        frame.f_trace_lines, frame.f_trace_opcodes = False, True
        return step

    sys.settrace(entered)
    try:
        work()
    finally:
        sys.settrace(None)
    names: Counter[str] = Counter()
    for code, count in found.items():
        if not (name := named(code)).startswith(apart):
            names[name] += count
    return names


def counts(name: str) -> bool:
    """Whether a function is on the way of a request; those of the harness and of the loop under it are not."""
    return not name.startswith(APART)


def calls(work: Callable[[], object]) -> dict[str, int]:
    """How many functions were called."""
    found: Counter[tuple[str, CodeType]] = Counter()

    def profile(frame: FrameType, event: str, arg: object) -> None:
        found[event, frame.f_code] += 1

    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(None)
    own = {
        event: sum(n for (kind, code), n in found.items() if kind == event and counts(named(code))) for event in EVENTS
    }
    return {"calls": own["call"], "c_calls": own["c_call"]}


def peak(work: Callable[[], object]) -> int:
    """The bytes above what was there that were in use at most."""
    tracemalloc.start()
    try:
        work()
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        work()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


def cost(gateway: InMemory, case: Case) -> Cost:
    """What a request costs that is like many before it."""

    def work() -> None:
        gateway.ask(case, MODELS[case.cache])

    for _ in range(WARM):
        work()
    by_function = instructions(work)
    figures = {"instructions": by_function.total(), **calls(work), "peak_bytes": peak(work)}
    return Cost(figures, by_function)


def measured() -> dict[str, Cost]:
    """The cost of each kind of request."""
    gc.disable()
    try:
        with in_memory() as gateway:
            return {case.name: cost(gateway, case) for case in COUNTED}
    finally:
        gc.enable()


def version() -> str:
    """The minor version of Python, on which instructions depend."""
    return ".".join(platform.python_version_tuple()[:2])


def budgets(file: Path = FILE, python: str | None = None) -> dict[str, Cost]:
    """The committed budget for a version of Python, this one's by default; none where there is none."""
    whole = json.loads(file.read_text()).get(python or version(), {}) if file.exists() else {}
    return {name: Cost(row["figures"], row["functions"]) for name, row in whole.items()}


def accept(found: Mapping[str, Cost], file: Path = FILE, python: str | None = None) -> None:
    """Make what was found the budget of a version of Python, this one's by default; those of others stay."""
    whole = json.loads(file.read_text()) if file.exists() else {}
    whole[python or version()] = {
        name: {"figures": dict(one.figures), "functions": weighty(one)} for name, one in found.items()
    }
    file.write_text(json.dumps(whole, indent=1) + "\n")


def weighty(one: Cost) -> dict[str, int]:
    """The functions that are worth keeping, by name."""
    least = one.figures["instructions"] * LEAST
    return {name: count for name, count in sorted(one.functions.items()) if count >= least}


def grown(allowed: Cost, after: Mapping[str, int]) -> list[str]:
    """The functions that run through more instructions than before, the worst first."""
    before, least = allowed.functions, int(allowed.figures["instructions"] * LEAST)
    more = {name: count - before.get(name, least) for name, count in after.items()}
    worst = sorted(more.items(), key=lambda one: -one[1])[:SHOWN]
    return [f"  {name}: {before.get(name, 'few')} -> {after[name]} instructions" for name, by in worst if by > 0]


def exceeded(found: Mapping[str, Cost], budget: Mapping[str, Cost]) -> list[str]:
    """What costs more than it may, each with what grew; empty when all is well."""
    told = []
    for name, allowed in budget.items():
        over = [
            f"{found[name].figures[figure]} {title}, {limit} allowed and {TOLERANCE[figure]:.0%} besides"
            for figure, title in FIGURES.items()
            if found[name].figures[figure] > (limit := allowed.figures[figure]) * (1 + TOLERANCE[figure])
        ]
        if over:
            what = grown(allowed, found[name].functions)
            told.append("\n".join([f"A request of the kind `{name}` costs {'; '.join(over)}. What grew:", *what]))
    return told


def table(found: Mapping[str, Cost], budget: Mapping[str, Cost]) -> str:
    """Figures beside the budget."""
    rows = [f"{'':10} {'':28} {'now':>10} {'budget':>10}"]
    for name, one in found.items():
        for figure, title in FIGURES.items():
            limit = budget[name].figures[figure] if name in budget else "-"
            rows.append(f"{name:10} {title:28} {one.figures[figure]:>10} {limit:>10}")
    return "\n".join(rows)


def main() -> int:
    """Compare or accept; 1 if something costs too much."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.budget", description=__doc__)
    parser.add_argument("--accept", action="store_true", help="what is measured now is the budget")
    parser.add_argument("--top", type=int, default=0, metavar="N", help="show the N dearest functions of each kind")
    parser.add_argument("--file", type=Path, default=FILE)
    asked = parser.parse_args()
    found, budget = measured(), budgets(asked.file)
    print(table(found, budget))
    for name, one in found.items() if asked.top else ():
        dearest = Counter(one.functions).most_common(asked.top)
        print(f"\n{name}", *(f"{count:>8} {function}" for function, count in dearest), sep="\n")
    if asked.accept:
        accept(found, asked.file)
        return 0
    told = exceeded(found, budget)
    print(*told, sep="\n\n")
    if told:
        print(
            "\nMake it cheaper, or, where it is worth it, accept it: make budget. Commit tests/bench/budget.json then."
        )
    return int(bool(told))


if __name__ == "__main__":
    sys.exit(main())
