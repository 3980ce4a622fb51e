"""Was a fault passed? Pure judgements over what the caller and the wall saw of one cell."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from tests.faults.client import Reply
from tests.faults.exchange import Attempt
from tests.faults.policies import Cell
from tests.faults.text import begins

Verdict = Literal["pass", "partial", "safe", "fail"]
WORST: tuple[Verdict, ...] = ("fail", "safe", "partial", "pass")
BACK_SECONDS = 10.0  # from the recovery until the primary answers again; the gateway's own, so never scaled


@dataclass(frozen=True, slots=True)
class Seen:
    """All that was seen of one cell."""

    cell: Cell
    replies: list[Reply]
    attempts: dict[str, list[Attempt]]  # by role
    scale: float
    timed: bool  # whether times are judged: only where they are real
    recovered: float | None = None  # when the test brought the primary up again

    @property
    def reply(self) -> Reply:
        """The one that counts."""
        return self.replies[-1]

    def count(self, role: str) -> int:
        """Attempts at a role."""
        return len(self.attempts.get(role, ()))

    def slowest(self) -> float:
        """Seconds of the slowest reply."""
        return max(reply.ended - reply.started for reply in self.replies)


Judge = Callable[[Seen], tuple[Verdict, str]]


def worst(found: list[tuple[Verdict, str]]) -> tuple[Verdict, str]:
    """The worst of several."""
    return min(found, key=lambda one: WORST.index(one[0]), default=("pass", ""))


def answered(seen: Seen) -> tuple[Verdict, str]:
    """Every caller has the whole text, each word once; a clear error is only safe."""
    return worst([judged(reply, seen) for reply in seen.replies])


def judged(reply: Reply, seen: Seen) -> tuple[Verdict, str]:
    """One reply, against the text that its attempts were to say."""
    said = [attempt.said for found in seen.attempts.values() for attempt in found if attempt.said is not None]
    mine = [one for one in said if reply.text and begins(reply.text, one.length, one.letter)]
    if reply.end == "hung":
        return "fail", "it hung"
    if reply.success:
        whole = bool(reply.finish) and any(reply.text == one.text for one in mine)
        return ("pass", "") if whole else ("fail", f"a wrong answer looks right: ends {reply.text[-12:]!r}")
    if reply.text and not mine:
        return "fail", "text that nobody said"
    return ("safe", f"a clear error: {code(reply)}") if reply.clean else ("fail", f"neither: {reply.end}")


def code(reply: Reply) -> str:
    """The code of a reply's error."""
    return str((reply.error or {}).get("code"))


def all_of(*judges: Judge) -> Judge:
    """The worst of what several say."""
    return lambda seen: worst([judge(seen) for judge in judges])


def at_most(role: str, most: float, each: bool = True) -> Judge:
    """No more attempts at a role than so many, for each request or in all."""

    def judge(seen: Seen) -> tuple[Verdict, str]:
        limit = most * len(seen.replies) if each else most
        count = seen.count(role)
        return ("pass", "") if count <= limit else ("partial", f"{count} attempts at the {role}, {limit:g} allowed")

    return judge


def within(seconds: float) -> Judge:
    """No reply took longer, where times are real."""

    def judge(seen: Seen) -> tuple[Verdict, str]:
        slow = seen.timed and seen.slowest() > seconds
        return ("partial", f"took {seen.slowest():.1f} s, {seconds:g} s allowed") if slow else ("pass", "")

    return judge


def patient(seconds: float) -> Judge:
    """No second attempt at the primary before the time that it asked for."""

    def judge(seen: Seen) -> tuple[Verdict, str]:
        found = seen.attempts["primary"]
        early = [
            after.arrived - before.arrived
            for before, after in pairwise(found)
            if after.arrived - before.arrived < seconds * seen.scale
        ]
        return ("fail", f"asked again after {early[0]:.3f} s") if early else ("pass", "")

    return judge


def usage_right(seen: Seen) -> tuple[Verdict, str]:
    """The usage that the caller was told is what the one who answered bills."""
    winner = max((found[-1] for found in seen.attempts.values() if found), key=lambda attempt: attempt.arrived)
    usage = seen.reply.usage or {}
    told = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    return ("pass", "") if told == winner.would_bill else ("fail", f"told {told}, billed {winner.would_bill}")


def reported(seen: Seen) -> tuple[Verdict, str]:
    """The model and the backend that the caller is told are the fallback's."""
    reply, back = seen.reply, seen.cell.role("fallback")
    names = {body.get("model") for body in reply.bodies}
    right = names <= {seen.cell.id(back), back.model} and reply.headers.get("x-gateway-model") == back.model
    named = reply.headers.get("x-gateway-backend") == f"{seen.cell.name}-fallback"
    return ("pass", "") if right and named and names else ("fail", f"told {names}, {reply.headers}")


def window(seen: Seen) -> tuple[Verdict, str]:
    """Not retried on the same window; the larger one answers, or the caller is told clearly."""
    if seen.count("primary") > len(seen.replies) or seen.count("fallback"):
        return "partial", f"{seen.count('primary')} + {seen.count('fallback')} attempts at the same window"
    if seen.reply.success:
        return answered(seen)
    return ("pass", "") if seen.reply.clean and seen.reply.status == 400 else ("fail", "no clear 400")


def refused(seen: Seen) -> tuple[Verdict, str]:
    """The refusal reaches the caller as one, and nobody else was asked."""
    if seen.count("fallback"):
        return "fail", "the filter was routed around"
    right = seen.reply.clean and seen.reply.status == 400 and code(seen.reply) == "content_filter"
    return ("pass", "") if right else ("partial", f"told as {seen.reply.status} {code(seen.reply)}")


def spared(seen: Seen) -> tuple[Verdict, str]:
    """Few attempts are wasted on a primary that is down, and it is back soon after it is well again."""
    failed = [attempt for attempt in seen.attempts["primary"] if not attempt.whole]
    asked = [reply for reply in seen.replies if seen.recovered is None or reply.started < seen.recovered]
    if len(failed) > 0.3 * len(asked):
        return "partial", f"{len(failed)} wasted attempts for {len(asked)} requests"
    good = [attempt.arrived for attempt in seen.attempts["primary"] if attempt.whole]
    if seen.recovered is None or not good:
        return "partial", "the primary was not asked again"
    away = good[0] - seen.recovered
    return ("pass", "") if away <= BACK_SECONDS else ("partial", f"back after {away:.1f} s")
