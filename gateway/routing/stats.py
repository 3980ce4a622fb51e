"""What we lately saw of each deployment, learnt from outcomes; no clock of its own."""

from typing import NamedTuple

from gateway.types import Deployment, Outcome

WEIGHT = 0.2  # of a new sample in the moving averages: about the last ten count
FAULTS_TO_EJECT = 5  # in a row
EJECT_SECONDS = 5.0
EJECT_SECONDS_MAX = 7.0  # a cap this low brings a recovered deployment back within ten seconds
COOL_SECONDS = 2.0  # after a 429 that names no time
COOL_SECONDS_MAX = 300.0  # whatever time it names
EXPECTED_OUTPUT = 256  # tokens, until a route has answered
PREFILL_AS_TOKENS = 10  # a first token takes about as long as ten further ones
PARKING = {  # what makes asking pointless for a while: seconds, and the reason
    "upstream_credentials": (60.0, "refuses our credentials"),
    "upstream_quota_exhausted": (300.0, "has no quota or credit left"),
    "upstream_model_gone": (600.0, "no longer serves this model"),
}


class Stats(NamedTuple):
    """What we saw of one deployment; seconds, seconds per token, and times of the monotonic clock."""

    ttft: float | None = None
    per_token: float | None = None
    seen: float = float("-inf")  # when the latencies were last measured
    faults: int = 0  # in a row
    ejections: int = 0
    ejected_until: float = float("-inf")  # after faults; asked all the same when nobody else is left
    resting_until: float = float("-inf")  # as the upstream asked, or because asking is pointless
    resting_because: str = ""


UNSEEN = Stats()


class StatsBook:
    """Keeps Stats by deployment, requests in flight by backend, and the habits that forecasts need."""

    def __init__(self) -> None:
        self.deployments: dict[str, Stats] = {}
        self.in_flight: dict[str, int] = {}
        self.output: dict[str, float] = {}  # route -> expected completion tokens
        self.correction: dict[str, float] = {}  # model -> true prompt tokens / our estimate

    def of(self, deployment: Deployment) -> Stats:
        """What we lately saw of a deployment."""
        return self.deployments.get(deployment.name, UNSEEN)

    def started(self, deployment: Deployment) -> None:
        """One more request is on its way to the deployment's backend."""
        self.in_flight[deployment.backend] = self.in_flight.get(deployment.backend, 0) + 1

    def ended(self, outcome: Outcome) -> None:
        """The attempt is over: learn from it."""
        deployment = outcome.deployment
        self.in_flight[deployment.backend] -= 1
        self.deployments[deployment.name] = learnt(self.of(deployment), outcome)

    def forgive(self) -> None:
        """The policy has changed: whoever was parked may have a new key, a paid account or the right model id now."""
        reasons = {because for _, because in PARKING.values()}
        for name, stats in self.deployments.items():
            if stats.resting_because in reasons:
                self.deployments[name] = stats._replace(resting_until=float("-inf"), resting_because="")

    def habits(self, route: str, model: str, estimated_prompt: int, outcome: Outcome) -> None:
        """Correct the forecasts of a route and a model by the usage that came back."""
        usage = outcome.usage
        if usage is None or usage.estimated:
            return
        self.output[route] = mean(self.output.get(route), float(usage.completion))
        if estimated_prompt > 0 and usage.prompt > 0:
            ratio = min(4.0, max(0.25, usage.prompt / estimated_prompt))
            self.correction[model] = mean(self.correction.get(model), ratio)


def mean(old: float | None, new: float) -> float:
    """The moving average after one more sample."""
    return new if old is None else old + WEIGHT * (new - old)


def learnt(stats: Stats, outcome: Outcome) -> Stats:
    """The stats after one more outcome."""
    if outcome.verdict == "fault":
        stats = blamed(stats, outcome)
    elif outcome.verdict == "ok":
        stats = stats._replace(faults=0, ejections=0, ejected_until=float("-inf"))
    return measured(rested(stats, outcome), outcome)


def blamed(stats: Stats, outcome: Outcome) -> Stats:
    """One more fault in a row; enough of them eject the deployment, and so does each one after that."""
    faults = stats.faults + 1
    if faults < FAULTS_TO_EJECT:
        return stats._replace(faults=faults)
    seconds = min(EJECT_SECONDS_MAX, EJECT_SECONDS * 2 ** min(stats.ejections, 1))
    return stats._replace(faults=faults, ejections=stats.ejections + 1, ejected_until=outcome.ended + seconds)


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


def measured(stats: Stats, outcome: Outcome) -> Stats:
    """The latencies after one more sample; an attempt without content shows only how long it was silent."""
    if outcome.first is None:
        silent = outcome.streamed and outcome.error_type == "upstream_first_token_timeout"
        return punished(stats, outcome) if silent else stats
    tokens = outcome.usage.completion if outcome.usage is not None else 0
    sample = streamed_sample if outcome.streamed else whole_sample
    ttft, per_token = sample(stats, outcome.first - outcome.started, outcome.rest, tokens)
    return stats._replace(
        ttft=mean(stats.ttft, ttft),
        per_token=stats.per_token if per_token is None else mean(stats.per_token, per_token),
        seen=outcome.ended,
    )


def streamed_sample(stats: Stats, first: float, rest: float, tokens: int) -> tuple[float, float | None]:
    """Time to the first token and seconds per further one, as a stream shows them."""
    return first, rest / (tokens - 1) if tokens > 1 and rest > 0 else None


def whole_sample(stats: Stats, first: float, rest: float, tokens: int) -> tuple[float, float | None]:
    """An answer in one piece shows only the sum: shared out as the known latencies stand to one another."""
    total = first + rest
    if stats.ttft is None or stats.per_token is None:
        per_token = total / (tokens + PREFILL_AS_TOKENS)
        return per_token * PREFILL_AS_TOKENS, per_token
    ratio = total / max(1e-9, stats.ttft + tokens * stats.per_token)
    return stats.ttft * ratio, stats.per_token * ratio


def punished(stats: Stats, outcome: Outcome) -> Stats:
    """Silence until our limit bounds the time to the first token from below; one shorter than known says nothing."""
    silence = outcome.ended - outcome.started
    if stats.ttft is not None and silence <= stats.ttft:
        return stats
    return stats._replace(ttft=mean(stats.ttft, silence), seen=outcome.ended)
