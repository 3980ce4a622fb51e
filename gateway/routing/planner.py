"""The decision: whom to try, best first, and why the others are out. Pure: same arguments, same plan."""

from collections.abc import Sequence

from gateway.errors import GatewayError, NoCandidate, NothingFits, TooLongForAll
from gateway.routing.filters import FILTERS, Filter
from gateway.routing.forecast import Case, believed, best_by_model, forecast
from gateway.routing.policy import Route
from gateway.routing.stats import EXPECTED_OUTPUT, UNSEEN, StatsBook
from gateway.routing.terms import TERMS, to_best
from gateway.types import ChatRequest, Choice, Plan, Rejection

TIE = 0.05  # scores closer than this share are a tie, and chance decides
PROBE_SHARE = 0.01  # of requests try the deployment that was measured longest ago
PROBE_AGE = 60.0  # seconds after which a measurement is old enough for that
GOLDEN = 0.6180339887  # its multiples spread evenly over [0, 1): one number shuffles any count of candidates
BUSY_RETRY = 1.0  # seconds to wait when everything is full


def plan(request: ChatRequest, route: Route, book: StatsBook, now: float, chance: float) -> Plan:
    """The plan of one request on its route; `now` is monotonic seconds, `chance` is in [0, 1).

    Raises NothingFits, TooLongForAll or NoCandidate when every deployment is out.
    """
    cases = consider(request, route, book, now)
    passed, rejected = sift(cases, [each for each in FILTERS if each.matters(request, route)])
    if not passed:
        passed, rejected = pardon(cases, rejected)
    if not passed:
        raise nobody(route, rejected, book, now)
    choices = rank(route, passed, chance)
    probing = probe(choices, book, now, chance)
    reason = f"probing {choices[0].deployment.name}, not measured lately" if probing else why(choices)
    return Plan(route.name, route.weights, tuple(choices), route.excluded + tuple(rejected), reason)


def consider(request: ChatRequest, route: Route, book: StatsBook, now: float) -> list[Case]:
    """A case for each candidate of the route, with its forecast."""
    best = best_by_model(route, book)
    expected = book.output.get(route.name, EXPECTED_OUTPUT)
    deployments, in_flight = book.deployments, book.in_flight
    cases = []
    for deployment, tier in route.candidates:
        stats = deployments.get(deployment.name, UNSEEN)
        flying = in_flight.get(deployment.backend, 0)
        latency = believed(deployment, stats, best.get(deployment.model), now)
        correction = book.correction.get(deployment.model, 1.0)
        outlook = forecast(request, deployment, latency, flying, correction, expected)
        cases.append(Case(request, route, deployment, stats, outlook, flying, now, tier))
    return cases


def sift(cases: Sequence[Case], filters: Sequence[Filter]) -> tuple[list[Case], list[Rejection]]:
    """The cases that no filter objects to, and a rejection for each of the others."""
    passed, rejected = [], []
    for case in cases:
        for code, check, _ in filters:
            reason = check(case)
            if reason is not None:
                rejected.append(Rejection(case.deployment, reason, code))
                break
        else:
            passed.append(case)
    return passed, rejected


def pardon(cases: Sequence[Case], rejected: list[Rejection]) -> tuple[list[Case], list[Rejection]]:
    """With nobody left, those that are out for their faults alone are asked all the same."""
    pardoned = {rejection.deployment.name for rejection in rejected if rejection.code == "ejected"}
    passed = [case for case in cases if case.deployment.name in pardoned]
    return passed, [rejection for rejection in rejected if rejection.deployment.name not in pardoned]


def rank(route: Route, cases: Sequence[Case], chance: float) -> list[Choice]:
    """The cases as choices, best first: by tier, then by score, near-ties shuffled.

    A score is the weighted sum of the terms' ratios to the best candidate: 1.0 is best in everything.
    """
    scores = [0.0] * len(cases)
    for term, weight in zip(TERMS, route.weights, strict=True):
        if weight:
            value = term.value
            ratios = to_best([value(case.deployment, case.forecast) for case in cases], term.scale)
            scores = [score + weight * ratio for score, ratio in zip(scores, ratios, strict=True)]
    choices = [
        Choice(case.deployment, score, case.forecast, case.tier) for case, score in zip(cases, scores, strict=True)
    ]
    if len(choices) == 1:
        return choices
    keys = [
        (choice.tier, choice.score * (1.0 + TIE * ((chance + index * GOLDEN) % 1.0)))
        for index, choice in enumerate(choices)
    ]
    return [choices[index] for index in sorted(range(len(choices)), key=keys.__getitem__)]


def probe(choices: list[Choice], book: StatsBook, now: float, chance: float) -> bool:
    """For a small share of requests, move the choice of the best tier that was measured longest ago to the front."""
    if chance >= PROBE_SHARE or len(choices) == 1:
        return False
    tier = choices[0].tier
    ages = [now - book.of(choice.deployment).seen if choice.tier == tier else 0.0 for choice in choices]
    oldest = max(range(len(choices)), key=ages.__getitem__)
    if oldest == 0 or ages[oldest] < PROBE_AGE:
        return False
    choices.insert(0, choices.pop(oldest))
    return True


def why(choices: Sequence[Choice]) -> str:
    """The decision in one line."""
    best = choices[0]
    if len(choices) == 1:
        return f"{best.deployment.name} is the only candidate"
    runner = choices[1]
    if runner.tier != best.tier:
        return f"{best.deployment.name} comes first by the route's preference"
    return f"{expected(best)}; next {expected(runner)}"


def expected(choice: Choice) -> str:
    """What a choice is expected to cost and to take."""
    forecast = choice.forecast
    return f"{choice.deployment.name} ${forecast.usd:.6f} and {forecast.seconds:.3g} s"


def nobody(route: Route, rejected: Sequence[Rejection], book: StatsBook, now: float) -> GatewayError:
    """The error that tells the caller why every candidate of the route is out."""
    everyone = (*rejected, *route.excluded)
    reasons = "; ".join(f"{rejection.deployment.name}: {rejection.reason}" for rejection in everyone[:8])
    details = {"candidates": [{"deployment": r.deployment.name, "reason": r.reason, "code": r.code} for r in everyone]}
    message = f"Route '{route.name}' has no deployment for this request ({reasons or 'it lists none'})."
    codes = {rejection.code for rejection in rejected}
    if codes == {"context"}:
        return TooLongForAll(
            f"{message} Shorten the prompt or ask for fewer tokens.", param="messages", details=details
        )
    if codes and codes <= {"capability", "context", "output"}:
        return NothingFits(f"{message} Ask another model or leave that parameter out.", details=details)
    wait = patience(rejected, book, now)
    return NoCandidate(f"{message} Try again in {wait:.0f} s.", retry_after=wait, details=details)


def patience(rejected: Sequence[Rejection], book: StatsBook, now: float) -> float:
    """Seconds until the first of the resting deployments may be asked again; at least one."""
    waits = [book.of(rejection.deployment).resting_until - now for rejection in rejected if rejection.code == "resting"]
    return max(BUSY_RETRY, min(waits)) if waits else BUSY_RETRY
