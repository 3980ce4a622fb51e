"""The sixteen faults of the failover bench, with all times scaled down: judged by order and counts."""

import asyncio

import pytest

from tests.faults.client import Reply
from tests.faults.conftest import Running
from tests.faults.exchange import Attempt
from tests.faults.failover_bench import FAULTS, Fault, cells, seen_of
from tests.faults.invariants import violations
from tests.faults.policies import pair
from tests.faults.runner import Stage
from tests.faults.speech import Said
from tests.faults.verdicts import Seen, Verdict, judged, spared

REPEATS = 3
AT_ONCE = 3
CELLS = cells(FAULTS, REPEATS)
FORMS = [pytest.param(fault, form, id=f"{fault.id}-{form}") for fault in FAULTS for form in fault.forms]
Found = dict[str, dict[str, list[Seen]]]


async def everything(stage: Stage) -> Found:
    """All faults in all forms, a few at once: the scaled limits are short, and a crowd on a busy machine meets them."""
    places = asyncio.Semaphore(AT_ONCE)

    async def one(fault: Fault) -> dict[str, list[Seen]]:
        async with places:
            return await seen_of(stage, fault, REPEATS, timed=False)

    found = await asyncio.gather(*map(one, FAULTS))
    return {fault.id: seen for fault, seen in zip(FAULTS, found, strict=True)}


@pytest.fixture(scope="module")
def found(running: Running) -> Found:
    """What was seen of each fault, by form."""
    return running.run(everything(running.stage))


@pytest.mark.parametrize(("fault", "form"), FORMS)
def test_fault_is_passed(found: Found, fault: Fault, form: str) -> None:
    verdicts = [fault.judge(seen) for seen in found[fault.id][form]]
    assert verdicts == [("pass", "")] * REPEATS


def test_nothing_is_violated_by_any_of_them(running: Running, found: Found) -> None:
    assert running.run(violations(running.stage)) == []


# The judge itself must not be fooled.

CELL = pair("judged", "cut-40")
WHOLE = b'data: {"choices":[{"delta":{"content":"w0001 w0002 "},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
SHORT = b'data: {"choices":[{"delta":{"content":"w0001 "},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
TWICE = b'data: {"choices":[{"delta":{"content":"w0001 w0001 w0002 "},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
MIXED = b'data: {"choices":[{"delta":{"content":"w0001 v0002 "},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
ERROR = b'data: {"choices":[{"delta":{"content":"w0001 "}}]}\n\ndata: {"error":{"code":"gone"}}\n\n'
NOTHING = b'data: {"choices":[{"delta":{"content":"w0001 "}}]}\n\n'


def attempt(said: Said, arrived: float = 0.0, whole: bool = True) -> Attempt:
    """An attempt that was to say something."""
    return Attempt("m", 1, "", arrived, True, False, {}, "", said, words=said.length, whole=whole)


@pytest.mark.parametrize(
    ("body", "verdict"),
    [(WHOLE, "pass"), (SHORT, "fail"), (TWICE, "fail"), (MIXED, "fail"), (ERROR, "safe"), (NOTHING, "fail")],
    ids=["whole", "short", "twice", "mixed", "error", "neither"],
)
def test_judge_tells_a_whole_answer_from_one_that_only_looks_so(body: bytes, verdict: Verdict) -> None:
    said = [attempt(Said("m", 2)), attempt(Said("m", 2, "v"))]
    reply = Reply("r", "judged", True, 0.0, status=200, body=body, end="whole" if b"DONE" in body else "closed")
    assert judged(reply, Seen(CELL, [reply], {"primary": said}, 1.0, False))[0] == verdict


@pytest.mark.parametrize(("failed", "back", "verdict"), [(3, 9.0, "pass"), (4, 9.0, "partial"), (3, 11.0, "partial")])
def test_judge_counts_the_attempts_at_a_primary_that_is_down(failed: int, back: float, verdict: Verdict) -> None:
    replies = [Reply("r", "judged", True, started) for started in range(10)]
    wasted = [attempt(Said("m"), whole=False) for _ in range(failed)]
    primary = [*wasted, attempt(Said("m"), arrived=10 + back)]
    assert spared(Seen(CELL, replies, {"primary": primary}, 1.0, False, recovered=10.0))[0] == verdict
