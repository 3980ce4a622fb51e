"""All that was lately seen: Stats by deployment, requests in flight, and the habits that forecasts need."""

from collections import deque
from collections.abc import Iterable, Mapping

from gateway.outcomes import Outcome
from gateway.routing.breaker import (
    HALF_OPEN,
    NEVER,
    Transition,
    answering,
    free,
    held,
    let_go,
    state,
    transition,
    trying,
)
from gateway.routing.concurrency import Allowance, cut, grown
from gateway.routing.rollout import Progress, Rollout, moved
from gateway.routing.stats import PARKING, UNSEEN, Stats, learnt, mean
from gateway.types import Deployment, Load, Plan

TRIAL_SLACK = 1.0  # seconds that a trial may take beyond the time to its first token, before somebody else may try
HOUR = 3600.0
PENNIES = 60.0  # seconds whose spendings are kept as one sum
OVERLOADS = frozenset({"upstream_rate_limited", "upstream_overloaded"})
DRAINED = "drained by the operator"
REMEMBERED = 512  # changes


class Known(dict[str, Stats]):
    """Stats by deployment, and which of them were set lately."""

    def __init__(self) -> None:
        super().__init__()
        self.changed = 0  # times that anything was set
        self.recent: list[str] = []  # what was set, the last of them last

    def __setitem__(self, name: str, stats: Stats) -> None:
        super().__setitem__(name, stats)
        self.changed += 1
        self.recent.append(name)
        if len(self.recent) > REMEMBERED:
            del self.recent[: REMEMBERED // 2]

    def put(self, many: Mapping[str, Stats]) -> None:
        """Set many at once."""
        self.update(many)
        self.recent.clear()  # whoever looks finds that too little is told, and takes everything anew
        self.changed += 1

    def __copy__(self) -> "Known":
        made = Known()
        made.put(self)
        return made


class StatsBook:
    """Keeps Stats by deployment, requests in flight by backend, and the habits that forecasts need."""

    def __init__(self) -> None:
        self.deployments = Known()
        self.in_flight: dict[str, int] = {}
        self.asked: dict[str, int] = {}  # the same by deployment
        self.allowances: dict[str, Allowance] = {}  # deployment -> its limit, for those that were overloaded lately
        self.output: dict[str, float] = {}  # route -> expected completion tokens
        self.correction: dict[str, float] = {}  # model -> true prompt tokens / our estimate
        self.cached: dict[str, float] = {}  # route -> share of prompt tokens that prefix caches held
        self.leading: dict[str, frozenset[str]] = {}  # route -> deployments that were as good as the best
        self.bursts: set[str] = set()  # routes whose burst rule is active
        self.loads: dict[str, Load] = {}  # backend -> what it says of its own work, while that is fresh
        self.strangers: dict[str, int] = {}  # backend -> requests there that are not ours, or as good as that many
        self.drained: frozenset[str] = frozenset()  # backends that get no new requests until an operator says so
        self.expression_errors: dict[str, int] = {}  # route -> expressions that failed
        self.spendings: dict[str, deque[tuple[float, float]]] = {}  # what -> minute and US dollars
        # route, arm and plan -> how far it is: another plan begins anew, a reload with the same one does not
        self.rollouts: dict[tuple[str, str, Rollout], Progress] = {}

    def of(self, deployment: Deployment) -> Stats:
        """What we lately saw of a deployment."""
        return self.deployments.get(deployment.name, UNSEEN)

    def take(self, deployment: Deployment) -> None:
        """A slot of the deployment is held for somebody who has waited for it, and will start."""
        name, backend = deployment.name, deployment.backend
        self.in_flight[backend] = self.in_flight.get(backend, 0) + 1
        self.asked[name] = self.asked.get(name, 0) + 1

    def untake(self, deployment: Deployment) -> None:
        """That slot is held no longer: they start now, or never will."""
        self.in_flight[deployment.backend] -= 1
        self.asked[deployment.name] -= 1

    def started(self, deployment: Deployment, now: float = NEVER) -> Transition | None:
        """One more request is on its way to the deployment, since `now`; returns what that does to its breaker."""
        name, backend = deployment.name, deployment.backend
        self.in_flight[backend] = self.in_flight.get(backend, 0) + 1
        self.asked[name] = self.asked.get(name, 0) + 1
        stats = self.deployments.get(name, UNSEEN)
        if stats.breaker.closed or not free(stats.breaker, now):
            return None
        breaker = trying(stats.breaker, now, deployment.timeouts.first_token + TRIAL_SLACK)
        self.deployments[name] = stats._replace(breaker=breaker, ejected_until=breaker.until)
        return HALF_OPEN if breaker.trials == 1 else None

    def answering(self, deployment: Deployment, started: float, now: float) -> Transition | None:
        """An attempt that was started then has its first content now; returns what that does to the breaker."""
        stats = self.deployments.get(deployment.name, UNSEEN)
        if stats.breaker.closed:
            return None
        breaker = answering(stats.breaker, started, now)
        self.deployments[deployment.name] = stats._replace(breaker=breaker, ejected_until=breaker.until)
        return transition(stats.breaker, breaker, now)

    def ended(self, outcome: Outcome) -> Transition | None:
        """The attempt is over: learn from it; returns what that does to the deployment's breaker."""
        deployment = outcome.deployment
        name = deployment.name
        self.in_flight[deployment.backend] -= 1
        self.asked[name] -= 1
        before = self.deployments.get(name, UNSEEN)
        self.deployments[name] = after = learnt(before, outcome)
        if self.allowances or outcome.error_type in OVERLOADS:
            self.allow(outcome)
        return transition(before.breaker, after.breaker, outcome.ended)

    def allow(self, outcome: Outcome) -> None:
        """Fewer requests at a time for a deployment that is overloaded, more again when it answers."""
        deployment = outcome.deployment
        name, most = deployment.name, deployment.concurrency or deployment.slots
        known = self.allowances.get(name)
        if outcome.error_type in OVERLOADS:
            known = cut(known, most, outcome.started, outcome.ended)
        elif known is not None and outcome.verdict == "ok":
            known = grown(known, most)
        if known is None:
            self.allowances.pop(name, None)
        else:
            self.allowances[name] = known

    def limit(self, deployment: Deployment) -> int | None:
        """Requests that a deployment was found to bear at a time; None when it may have all that its backend takes."""
        known = self.allowances.get(deployment.name)
        return None if known is None else known.slots

    def spend(self, what: str, usd: float, now: float) -> None:
        """So many US dollars were spent on a purpose that has an hourly limit."""
        kept, minute = self.spendings.setdefault(what, deque()), now // PENNIES * PENNIES
        if kept and kept[-1][0] == minute:
            usd += kept.pop()[1]
        kept.append((minute, usd))

    def spent(self, what: str, now: float) -> float:
        """US dollars spent on a purpose within the last hour, and up to a minute before it."""
        kept = self.spendings.get(what)
        if not kept:
            return 0.0
        while kept and kept[0][0] + PENNIES <= now - HOUR:
            kept.popleft()
        return sum([usd for _, usd in kept])

    def share(self, route: str, arm: str, rollout: Rollout) -> float:
        """The share of a route's requests that an arm which rolls out has now."""
        progress = self.rollouts.get((route, arm, rollout))
        return rollout.steps[0] if progress is None else progress.share(rollout)

    def roll(self, route: str, arm: str, rollout: Rollout, outcome: Outcome, base: bool) -> Progress:
        """Count one more outcome of an arm that rolls out, or of its base; returns how far it is now."""
        progress = self.rollouts.get((route, arm, rollout)) or Progress(since=outcome.ended)
        self.rollouts[route, arm, rollout] = progress = moved(progress.counting(outcome, base), rollout, outcome.ended)
        return progress

    def decided(self, plan: Plan, bursts: bool) -> None:
        """A plan was made: who was as good as the best, and whether the route's burst rule is active."""
        before = self.leading.get(plan.route)
        if plan.leading and plan.leading != before:
            best = plan.choices[0].tier
            compared = {choice.deployment.name for choice in plan.choices if choice.tier == best}
            self.leading[plan.route] = plan.leading | ((before or frozenset()) - compared)
        if bursts:
            (self.bursts.add if "burst" in plan.causes else self.bursts.discard)(plan.route)

    def drain(self, backends: frozenset[str], deployments: Iterable[Deployment]) -> None:
        """Let the deployments of these backends rest for as long as they are named here; those of others work again."""
        self.drained = backends
        for name, stats in self.deployments.items():
            if stats.resting_because == DRAINED:
                self.deployments[name] = stats._replace(resting_until=NEVER, resting_because="")
        for one in deployments:
            if one.backend in backends:
                parked = self.of(one)._replace(resting_until=float("inf"), resting_because=DRAINED)
                self.deployments[one.name] = parked

    def eject(self, deployment: Deployment, now: float, until: float, because: str) -> Transition | None:
        """The deployment is known not to be well, whatever its answers were; returns what that does to its breaker."""
        stats = self.of(deployment)
        breaker = held(stats.breaker, until, because)
        if breaker is stats.breaker:
            return None
        self.deployments[deployment.name] = stats._replace(breaker=breaker, ejected_until=breaker.until)
        told = state(stats.breaker, now) == "open"
        return None if told else transition(stats.breaker, breaker, now)

    def readmit(self, deployment: Deployment, now: float, because: str) -> None:
        """It is well again: it may be tried."""
        stats = self.of(deployment)
        breaker = let_go(stats.breaker, now, because)
        if breaker is not stats.breaker:
            self.deployments[deployment.name] = stats._replace(breaker=breaker, ejected_until=breaker.until)

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
        if usage.prompt > 0 and (usage.cached or route in self.cached):
            self.cached[route] = mean(self.cached.get(route), min(1.0, usage.cached / usage.prompt))
        if estimated_prompt > 0 and usage.prompt > 0:
            ratio = min(4.0, max(0.25, usage.prompt / estimated_prompt))
            self.correction[model] = mean(self.correction.get(model), ratio)
