"""What must hold for every request, whatever went wrong; each violation is a sentence."""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from tests.faults.client import Reply
from tests.faults.exchange import Attempt
from tests.faults.policies import KEY, SECRET
from tests.faults.runner import PATIENCE, Joined, Stage
from tests.faults.text import begins, words

OUTCOMES = {"success", "partial", "upstream_error", "client_cancelled", "timeout", "shed", "rejected"}
FOREIGN = 60  # words that an upstream says whose attempts are not noted here
LATE = 1.0  # seconds after a caller has gone in which the gateway may not have seen it yet
REQUESTS = re.compile(r"^gateway_requests_total\{([^}]*)\} ([\d.e+]+)$", re.MULTILINE)


async def violations(stage: Stage) -> list[str]:
    """Everything that does not hold of the requests since the last check; the stage is at rest then."""
    replies = stage.replies
    rows = await stage.rows()
    found = [f"{len(replies)} requests, {len(rows)} records"] if len(rows) != len(replies) else []
    joined, strangers = join(stage, replies, rows)
    found += strangers
    for one in joined:
        name = f"{one.reply.cell} {one.reply.token} ({'stream' if one.reply.stream else 'whole'})"
        attempts = stage.wall.of(one.reply.token)
        found += [f"{name}: {what}" for check in CHECKS for what in check(one, attempts)]
    stage.known |= {row["id"] for row in rows}
    stage.checked += len(rows)
    stage.replies, stage.fresh = [], {}
    return found + await stage.quiet() + await totals(stage) + await leaks(stage, replies, rows)


def join(stage: Stage, replies: list[Reply], rows: list[dict[str, Any]]) -> tuple[list[Joined], list[str]]:
    """Replies with their records: by id, else, for callers who left before any head, by the route that they asked."""
    by_id = {row["id"]: row for row in rows}
    joined, nameless = [], []
    for reply in replies:
        row = by_id.pop(reply.id, None)
        if row is None:
            nameless.append(reply)
        else:
            joined.append(Joined(reply, row, stage.cells[reply.cell]))
    left = list(by_id.values())
    strangers = []
    for reply in nameless:
        row = next((row for row in left if row["asked"] == reply.cell and row["stream"] == reply.stream), None)
        if row is None:
            strangers.append(f"{reply.cell} {reply.token}: no record of it")
        else:
            left.remove(row)
            joined.append(Joined(reply, row, stage.cells[reply.cell]))
    return joined, strangers


def ended_once(one: Joined, attempts: list[Attempt]) -> Iterator[str]:
    """I1: one terminal outcome, the same for the caller as for the record."""
    reply, outcome = one.reply, one.row["outcome"]
    if outcome not in OUTCOMES:
        yield f"its outcome is '{outcome}'"
    if reply.end == "hung":
        yield "it hung"
    if reply.end == "left":
        if outcome not in ("client_cancelled", "success"):
            yield f"its caller left, and its record says '{outcome}'"
    elif reply.success != (outcome == "success"):
        yield f"its caller saw {'a success' if reply.success else 'none'}, its record says '{outcome}'"
    elif not reply.success and not reply.clean:
        yield f"it is neither a success nor a clear error: {reply.end}, {reply.raw[-200:]!r}"


def whole_or_nothing(one: Joined, attempts: list[Attempt]) -> Iterator[str]:
    """I2, I5: a success is exactly what one attempt said; anything else is the beginning of one."""
    reply = one.reply
    if not attempts and any(back.foreign for back in one.cell.backs):
        if not begins(reply.text, FOREIGN) or (reply.success and reply.text != words(FOREIGN)):
            yield f"its text is not the one of its upstream: {reply.text[-30:]!r}"
        return
    texts = [(attempt.said.length, attempt.said.letter) for attempt in attempts if attempt.said is not None]
    if reply.success:
        last = attempts[-1].said if attempts else None
        if not reply.finish:
            yield "a success without a finish reason"
        if last is None or reply.text != last.text:
            yield f"a success whose text is not the last attempt's: {reply.text[-30:]!r}"
    elif reply.text and not any(begins(reply.text, count, letter) for count, letter in texts):
        yield f"its text is the beginning of no attempt's: {reply.text[-60:]!r}"


def counted(one: Joined, attempts: list[Attempt]) -> Iterator[str]:
    """I3: the tokens of the record and the caller's are those that the winner would bill."""
    if not one.reply.success or not attempts or not (attempts[-1].billed and attempts[-1].whole):
        return
    billed, row = attempts[-1].would_bill, one.row
    if (row["prompt_tokens"], row["completion_tokens"]) != billed:
        yield f"the winner bills {billed}, the record has {row['prompt_tokens']}, {row['completion_tokens']}"
    usage = one.reply.usage or {}
    if (usage.get("prompt_tokens"), usage.get("completion_tokens")) != billed:
        yield f"the winner bills {billed}, the caller was told {usage}"


def bounded(one: Joined, attempts: list[Attempt]) -> Iterator[str]:
    """I4: attempts within the route's bounds, as many as the record says but for races of reused connections."""
    races = sum(attempt.reused and attempt.sent == 0 for attempt in attempts)
    if len(attempts) > one.row["attempts"] + races:
        yield f"the wall saw {len(attempts)} attempts, the record has {one.row['attempts']}"
    if one.row["attempts"] > one.cell.attempts + 1:  # one for a splice
        yield f"{one.row['attempts']} attempts where {one.cell.attempts} are allowed"


def nothing_after(one: Joined, attempts: list[Attempt]) -> Iterator[str]:
    """I6: no attempt starts after the caller has gone, or has its answer; none works on after that."""
    late = [attempt for attempt in attempts if attempt.arrived > one.reply.ended + LATE]
    if late:
        yield f"{len(late)} attempts after its end"
    if any(not attempt.over.is_set() for attempt in attempts):
        yield "an attempt works on after its end"


CHECKS = (ended_once, whole_or_nothing, counted, bounded, nothing_after)


async def totals(stage: Stage) -> list[str]:
    """I12: as many requests in the metrics as in the records, by route."""
    text = (await stage.admin.get("/metrics")).text
    counts: Counter[str] = Counter()
    for labels, value in REQUESTS.findall(text):
        named = dict(part.split("=", 1) for part in labels.split(","))
        if named["route"].strip('"') in stage.cells:
            counts[named["route"]] += int(float(value))
    total = sum(counts.values())
    return [f"the metrics count {total} requests, {stage.checked} were recorded"] if total != stage.checked else []


async def leaks(stage: Stage, replies: list[Reply], rows: list[dict[str, Any]]) -> list[str]:
    """I10: no secret anywhere; the log is complete first."""
    async with asyncio.timeout(PATIENCE):
        while stage.gateway.output.count("request.answered") < stage.checked:
            await asyncio.sleep(0.02)
    places = {
        "the log": stage.gateway.output,
        "the metrics": (await stage.admin.get("/metrics")).text,
        "the records": str(rows),
        "an answer": "".join(reply.raw.decode("utf-8", "replace") for reply in replies),
    }
    return [f"a secret in {place}" for place, text in places.items() for word in (KEY, SECRET) if word in text]
