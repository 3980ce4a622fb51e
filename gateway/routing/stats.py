"""What we lately saw of each deployment, learnt from outcomes; no clock of its own."""

from typing import NamedTuple
from zlib import crc32

from gateway.outcomes import Outcome
from gateway.routing.breaker import (
    FRESH,
    Breaker,
    failed,
    spared,
    state,
    succeeded,
)
from gateway.routing.line import Line

GONE = "no longer serves this model"
WEIGHT = 0.2  # of a new sample in the moving averages: about the last ten count
GOLDEN = 0.6180339887  # its multiples spread evenly over [0, 1)
COOL_SECONDS = 2.0  # after a 429 that names no time
COOL_SECONDS_MAX = 300.0  # whatever time it names
EXPECTED_OUTPUT = 256  # tokens, until a route has answered
LEAST_BASE = 0.01  # of the mean time to the first token, that it takes however short the prompt
START_TAIL = 2.0  # the time that one in twenty exceeds, by the usual one, until it is learnt
TAIL_STEP = 0.1  # by which one sample moves it
MOST_TAIL = 20.0
HALF_LIFE = 60.0  # seconds after which what was seen is half forgotten
FORGOTTEN = 1e-3  # a share of failures below which nothing is left of them
PREFILL_AS_TOKENS = 10  # a first token takes about as long as ten further ones
STALLED = "upstream_first_token_timeout"
PARKING = {  # what makes asking pointless for a while: seconds, and the reason
    "upstream_credentials": (60.0, "refuses our credentials"),
    "upstream_quota_exhausted": (300.0, "has no quota or credit left"),
    "upstream_model_gone": (600.0, GONE),
}


class Stats(NamedTuple):
    """What we saw of one deployment; seconds, seconds per token, and times of the monotonic clock."""

    ttft: float | None = None
    per_token: float | None = None
    seen: float = float("-inf")  # when the latencies were last measured
    breaker: Breaker = FRESH
    ejected_until: float = float("-inf")  # the breaker's `until`; asked all the same when nobody else is left
    resting_until: float = float("-inf")  # as the upstream asked, or because asking is pointless
    resting_because: str = ""
    slope: float = 0.0  # seconds by which one more token of the prompt delays the first of the answer
    offset: float = 0.0  # seconds that the mean prompt takes by that slope
    tail: float = START_TAIL  # the time to the last token that one in twenty exceeds, by the usual one
    failing: float = 0.0  # share of attempts that failed lately
    failed: float = float("-inf")  # when that was last learnt
    prompt: float | None = None  # tokens: the mean prompt behind `ttft`
    line: Line = Line()
    guessed: bool = False  # whether the pace is that of silences alone

    def first_token(self, prompt: float) -> float:
        """Seconds to the first token for a prompt of so many tokens; zero when none was measured."""
        return 0.0 if self.ttft is None else self.ttft + self.slope * prompt - self.offset

    @property
    def faults(self) -> int:
        """Faults in a row."""
        return self.breaker.faults

    def up(self, now: float) -> bool:
        """Whether its breaker is not open, and it does not rest."""
        return now >= self.resting_until and (now >= self.ejected_until or state(self.breaker, now) != "open")

    def failures(self, now: float) -> float:
        """Share of attempts that failed lately, half forgotten after HALF_LIFE."""
        return self.failing * 0.5 ** ((now - self.failed) / HALF_LIFE) if self.failing else 0.0


UNSEEN = Stats()


def mean(old: float | None, new: float) -> float:
    """The moving average after one more sample."""
    return new if old is None else old + WEIGHT * (new - old)


def learnt(stats: Stats, outcome: Outcome) -> Stats:
    """The stats after one more outcome; an attempt without content shows only how long it was silent."""
    breaker = judged(stats.breaker, outcome)
    if outcome.error_type:
        stats = rested(stats, outcome)
    if stats.failing or outcome.verdict == "fault":
        stats = blamed(stats, outcome)
    if outcome.first is not None:
        return measured(stats, outcome, outcome.first - outcome.started, breaker)
    if outcome.error_type == STALLED:
        stats = silenced(stats, outcome)
    return stats if breaker is stats.breaker else stats._replace(breaker=breaker, ejected_until=breaker.until)


def blamed(stats: Stats, outcome: Outcome) -> Stats:
    """The share of attempts that failed after one more; what says nothing of the deployment leaves it as it is."""
    if outcome.verdict == "neutral":
        return stats
    failing = mean(stats.failures(outcome.ended), 1.0 if outcome.verdict == "fault" else 0.0)
    return stats._replace(failing=failing if failing > FORGOTTEN else 0.0, failed=outcome.ended)


def judged(breaker: Breaker, outcome: Outcome) -> Breaker:
    """The breaker after one more outcome; what parks the deployment is no matter of it."""
    if outcome.verdict == "ok":
        return succeeded(breaker, outcome.started, outcome.ended)
    if outcome.verdict == "neutral" or outcome.error_type in PARKING:
        return spared(breaker, outcome.started)
    return failed(breaker, outcome.started, outcome.ended, dice(outcome))


def dice(outcome: Outcome) -> float:
    """A number in [0, 1) that no two deployments have at the same time."""
    return (crc32(outcome.deployment.name.encode()) / 2**32 + outcome.ended * GOLDEN) % 1.0


def rested(stats: Stats, outcome: Outcome) -> Stats:
    """A rate limit cools a deployment, refused credentials or a vanished model park it."""
    if outcome.error_type == "upstream_rate_limited":
        seconds = COOL_SECONDS if outcome.retry_after is None else min(outcome.retry_after, COOL_SECONDS_MAX)
        because = "asked us to slow down (429)"
    elif outcome.error_type in PARKING:
        seconds, because = PARKING[outcome.error_type]
    else:
        return stats
    until = outcome.ended + seconds
    return stats if until < stats.resting_until else stats._replace(resting_until=until, resting_because=because)


def measured(stats: Stats, outcome: Outcome, first: float, breaker: Breaker) -> Stats:
    """The latencies after one more sample, with the first content after so many seconds, and the breaker after it."""
    usage, rest = outcome.usage, outcome.rest
    tokens, prompt = (0, 0) if usage is None else (usage.completion, usage.prompt)
    sample = streamed_sample if outcome.streamed else whole_sample
    shown, per_token = sample(stats, first, rest, tokens, prompt)
    ttft, pace = mean(stats.ttft, shown), None if stats.guessed else stats.per_token
    line, mean_prompt, slope = leaning(stats, ttft, shown, prompt)
    return Stats(  # all at once: every answer makes one
        ttft=ttft,
        per_token=stats.per_token if per_token is None else mean(pace, per_token),
        seen=outcome.ended,
        breaker=breaker,
        ejected_until=breaker.until,
        resting_until=stats.resting_until,
        resting_because=stats.resting_because,
        slope=slope,
        offset=slope * mean_prompt if mean_prompt else 0.0,
        tail=tail(stats, first + rest, tokens, prompt),
        failing=stats.failing,
        failed=stats.failed,
        prompt=mean_prompt,
        line=line,
        guessed=stats.guessed and per_token is None,
    )


def leaning(stats: Stats, ttft: float, sample: float, prompt: int) -> tuple[Line, float | None, float]:
    """How the time to the first token grows with the prompt, after one more sample: line, mean prompt and slope.

    A prompt of p tokens has its first token after ttft + slope * (p - mean prompt) seconds, both means over the same
    samples; even no prompt at all takes a hundredth of the mean. A prompt of unknown length counts as a mean one.
    """
    line, mean_prompt = stats.line, stats.prompt
    if prompt > 0:
        line, mean_prompt = line.and_one(prompt, sample), mean(mean_prompt, prompt)
    slope = line.slope()
    if not slope or not mean_prompt:
        return line, mean_prompt, 0.0
    return line, mean_prompt, min(slope, (1 - LEAST_BASE) * ttft / mean_prompt)


def tail(stats: Stats, seconds: float, tokens: int, prompt: int) -> float:
    """The ratio to the expected time that one in twenty exceeds, after one more sample of `seconds`.

    Stochastic approximation of a quantile (Robbins and Monro, 1951): up by 0.95 of a step when exceeded, else down
    by 0.05 of one. An answer whose length is not known says nothing.
    """
    if stats.ttft is None or stats.per_token is None or tokens <= 0:
        return stats.tail
    expected = stats.first_token(prompt) + tokens * stats.per_token
    step = TAIL_STEP * (0.95 if seconds > expected * stats.tail else -0.05)
    return min(MOST_TAIL, max(1.0, stats.tail * (1 + step)))


def streamed_sample(stats: Stats, first: float, rest: float, tokens: int, prompt: int) -> tuple[float, float | None]:
    """Time to the first token and seconds per further one, as a stream shows them."""
    return first, rest / (tokens - 1) if tokens > 1 and rest > 0 else None


def whole_sample(stats: Stats, first: float, rest: float, tokens: int, prompt: int) -> tuple[float, float | None]:
    """An answer in one piece shows only the sum: shared out as the known latencies stand to one another."""
    total = first + rest
    expected, pace = stats.first_token(prompt or stats.prompt or 0.0), stats.per_token
    if pace is None or expected + tokens * pace <= 0:
        per_token = total / (tokens + PREFILL_AS_TOKENS)
        return per_token * PREFILL_AS_TOKENS, per_token
    ratio = total / (expected + tokens * pace)
    return expected * ratio, pace * ratio


def silenced(stats: Stats, outcome: Outcome) -> Stats:
    """Silence until our limit bounds the latencies from below; one shorter than what is known says nothing."""
    silence = outcome.ended - outcome.started
    if not outcome.streamed:
        unmeasured = stats.per_token is None or stats.guessed
        return stalled(stats, silence, outcome.ended) if unmeasured else stats
    if stats.ttft is not None and silence <= stats.ttft:
        return stats
    return stats._replace(ttft=mean(stats.ttft, silence), seen=outcome.ended)


def stalled(stats: Stats, silence: float, now: float) -> Stats:
    """After an answer in one piece that was not awaited, from a deployment whose pace was never measured.

    The silence bounds the time to a last token, of which it is not known how many there would have been. The pace is
    doubled each time at least, so that a slow server has more time until it can answer, up to one token a silence.
    """
    pace = min(silence, max(silence / (EXPECTED_OUTPUT + PREFILL_AS_TOKENS), 2 * (stats.per_token or 0.0)))
    pace = max(pace, stats.per_token or 0.0)
    ttft = pace * PREFILL_AS_TOKENS if stats.ttft is None else stats.ttft
    return stats._replace(ttft=ttft, per_token=pace, seen=now, guessed=True)
