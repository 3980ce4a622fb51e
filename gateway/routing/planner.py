"""The decision: whom to try, best first, and why the others are out. Pure: same arguments, same plan."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from gateway.errors import Forbidden, GatewayError, NoCandidate, NothingFits, TooLongForAll
from gateway.routing.book import StatsBook
from gateway.routing.breaker import RAMP, share
from gateway.routing.causes import BURST, left_out, standing
from gateway.routing.choices import Choices
from gateway.routing.filters import FILTERS, GRANTS, WISHES, Filter
from gateway.routing.lane import Lane
from gateway.routing.policy import Arm, Route, Weights
from gateway.routing.preferences import rank
from gateway.routing.split import arm_of
from gateway.routing.terms import TERMS
from gateway.routing.view import View
from gateway.types import ChatRequest, Choice, Plan, Preferences, Rejection

TIE = 0.05  # scores closer than this share are a tie, and chance decides
INERTIA = 0.03  # by which a newcomer must be better before it joins those that were as good as the best
NEWCOMER = 1.0 + INERTIA
PARDONED = ("language", "busy", "ejected")  # what is better than nobody, the lesser evil first
WAITED_FOR = ("busy",)
LATER = FILTERS[[each.code for each in FILTERS].index("busy") + 1 :]  # whoever is merely full, none of these is against
PROBE_SHARE = 0.01  # of requests try the deployment that was measured longest ago
PROBE_AGE = 60.0  # seconds after which a measurement is old enough for that
RAMP_SPREAD = 7919.0  # a chance is used for ties and arms as well: other digits decide here
BUSY_RETRY = 1.0  # seconds to wait when everything is full
DRAINED_RETRY = 600.0  # at most: nobody knows when a backend that an operator has drained comes back
SOON = frozenset({"busy", "latency", "ejected"})  # what passes sooner than a rest
PREFERRED = " by the route's preference"
NOBODY: frozenset[str] = frozenset()
EVEN = Weights()
SORTS = {"price": Weights(1.0, 0.0), "latency": Weights(0.0, 1.0), "throughput": Weights(0.0, 1.0)}


class Deliberation(NamedTuple):
    """What a plan is made of; places are those of candidates in the lane."""

    arm: Arm | None
    view: View
    passed: Sequence[int]  # places of those that may be asked
    out: Mapping[int, Rejection]  # by place: why the others may not
    weights: Weights
    full: bool = False  # whether they must be waited for, all of them


def plan(
    request: ChatRequest,
    route: Route,
    book: StatsBook,
    now: float,
    chance: float,
    causes: frozenset[str] = NOBODY,
) -> Plan:
    """The plan of one request on its route; `now` is monotonic seconds, `chance` is in [0, 1).

    `causes` are those that have come up in earlier attempts; they call the reserves that wait for them.
    Raises NothingFits, TooLongForAll or NoCandidate when every deployment is out.
    """
    return concluded(deliberate(request, route, book, now, chance, causes), chance)


def deliberate(
    request: ChatRequest, route: Route, book: StatsBook, now: float, chance: float, causes: frozenset[str] = NOBODY
) -> Deliberation:
    """Who may be asked and who not; the arguments are those of a plan."""
    arm = arm_of(request, route, book, chance)
    view = considered(request, route, lane_of(arm, route), book, now, causes)
    passed, out = sift(view, FILTERS)
    while not passed and (more := (left_out(out.values()) & view.lane.causes) - view.causes):
        view.causes |= more
        passed, out = sift(view, FILTERS)
    full = False
    if not passed:
        passed, out, full = pardon(view, out, PARDONED)
    elif out and view.board.last_ejected > now:
        passed, out = disbelieved(view, passed, out)
    if request.caller.models is not None:
        passed, out = narrowed(view, passed, out, GRANTS)
    if request.preferences is not None:
        passed, out = narrowed(view, passed, out, WISHES)
    if not passed and out:
        passed, out, full = pardon(view, out, WAITED_FOR)
    if view.lane.repeats:
        passed = once(view, passed)
    return Deliberation(arm, view, passed, out, weights_of(request, route), full)


def concluded(found: Deliberation, chance: float) -> Plan:
    """The plan that follows; raises as `plan` does."""
    arm, view, passed, out, weights, full = found
    route, rejected = view.route, [out[place] for place in sorted(out)] if out else []
    if not passed:
        raise nobody(route, rejected, view.book, view.now)
    columns = tuple([term.values(view) for term in TERMS])
    scores = scored(columns, passed, weights)
    order, leading = ranked(view, passed, scores, chance)
    probing = probe(view, passed, order, chance)
    choices = Choices(view, passed, scores, order)
    reason = f"probing {choices[0].deployment.name}, not measured lately" if probing else why(choices, full)
    excluded = route.excluded + tuple(rejected) if rejected else route.excluded
    split = "" if arm is None else arm.name
    known = view.lane.deployments
    allowed = known if len(passed) == len(known) else [known[place] for place in passed]
    return Plan(route.name, weights, choices, excluded, reason, split, view.causes, leading, columns, full, allowed)


def lane_of(arm: Arm | None, route: Route) -> Lane:
    """Who may answer: the arm's lane, else the route's own."""
    return route.lane if arm is None else arm.lane


def considered(
    request: ChatRequest, route: Route, lane: Lane, book: StatsBook, now: float, causes: frozenset[str] = NOBODY
) -> View:
    """What each candidate would cost and take, and which causes call reserves."""
    view = View(request, route, lane, book, now)
    if lane.causes:
        view.causes = causes | standing(view)
    return view


def sift(view: View, filters: Iterable[Filter]) -> tuple[Sequence[int], dict[int, Rejection]]:
    """The places of the candidates that no filter objects to, and the first objection to each of the others."""
    out: dict[int, Rejection] = {}
    everyone = view.lane.places
    for each in filters if everyone else ():
        marks = each.screen(view)
        if True not in marks:
            continue
        for place, marked in enumerate(marks):
            if marked and place not in out and (reason := each.check(view.case(place))) is not None:
                out[place] = Rejection(view.lane.deployments[place], reason, each.code)
    return ([place for place in everyone if place not in out] if out else everyone), out


def pardon(
    view: View, out: Mapping[int, Rejection], codes: Sequence[str]
) -> tuple[Sequence[int], dict[int, Rejection], bool]:
    """With nobody left, those that are out for the language or for their faults alone are asked all the same.

    Those that are merely full are waited for (True).
    """
    for code in codes:
        passed = [place for place in sorted(out) if out[place].code == code]
        if code == "busy":
            passed = [place for place in passed if merely_full(view, place)]
        if passed:
            rest = {place: rejection for place, rejection in out.items() if place not in passed}
            return passed, rest, code == "busy"
    return [], dict(out), False


def merely_full(view: View, place: int) -> bool:
    """Whether nothing is against a candidate but that it is full."""
    case = view.case(place)
    return not any(each.check(case) for each in LATER)


def disbelieved(
    view: View, passed: Sequence[int], out: dict[int, Rejection]
) -> tuple[Sequence[int], dict[int, Rejection]]:
    """Breakers that have thrown out most of a model's deployments of the best tier, but not all, are ignored.

    The few that are left could not bear the load of all (as Envoy's panic threshold). Where none of them is left,
    others take the load, or all are pardoned.
    """
    tiers, models = view.lane.tiers, view.lane.models
    ejected = [place for place in out if out[place].code == "ejected"]
    best = min([tiers[place] for place in (*passed, *ejected)])
    left = Counter([models[place] for place in passed if tiers[place] == best])
    thrown = Counter([models[place] for place in ejected if tiers[place] == best])
    panicking = {model for model, count in thrown.items() if count > left[model] > 0}
    back = {place for place in ejected if tiers[place] == best and models[place] in panicking}
    if not back:
        return passed, out
    return sorted({*passed, *back}), {place: rejection for place, rejection in out.items() if place not in back}


def narrowed(
    view: View, passed: Sequence[int], out: Mapping[int, Rejection], by: Filter
) -> tuple[Sequence[int], dict[int, Rejection]]:
    """Without those that the caller may not use, or the request's own preferences exclude."""
    reasons = ((place, by.check(view.case(place))) for place in view.lane.places)
    unwanted = {place: Rejection(view.lane.deployments[place], reason, by.code) for place, reason in reasons if reason}
    return [place for place in passed if place not in unwanted], {**out, **unwanted}


def once(view: View, passed: Sequence[int]) -> Sequence[int]:
    """Nobody twice: whoever is in the lane for several causes keeps the first of its tiers."""
    names, tiers = view.lane.names, view.lane.tiers
    firsts: dict[str, int] = {}
    for place in sorted(passed, key=tiers.__getitem__):
        firsts.setdefault(names[place], place)
    return sorted(firsts.values())


def weights_of(request: ChatRequest, route: Route) -> Weights:
    """The route's weights, unless the request sorts by something; without any, cost and latency alike."""
    wishes = request.preferences
    weights = route.weights if wishes is None or wishes.sort is None else SORTS.get(wishes.sort, route.weights)
    return weights if any(weights) else EVEN


def scored(columns: Sequence[Sequence[float]], passed: Sequence[int], weights: Sequence[float]) -> list[float]:
    """The weighted sum of the terms' ratios to the best of those that passed: 1.0 is best in everything.

    A ratio is (value + scale) / (best + scale); what is the same for all is added at once.
    """
    least, weighed = 0.0, []
    everyone = len(passed) == len(columns[0])
    for term, values, weight in zip(TERMS, columns, weights, strict=True):
        if not weight:
            continue
        if not everyone:
            values = [values[place] for place in passed]
        best = min(values)
        if values[0] == best and max(values) == best:
            least += weight
            continue
        factor = weight / (best + term.scale)
        least += factor * term.scale
        weighed.append((factor, values))
    if not weighed:
        return [least] * len(passed)
    (factor, values), *others = weighed
    scores = [least + factor * value for value in values]
    for factor, values in others:
        scores = [score + factor * value for score, value in zip(scores, values, strict=False)]
    return scores


def ranked(
    view: View, passed: Sequence[int], scores: Sequence[float], chance: float
) -> tuple[list[int], frozenset[str]]:
    """The order, as places in `passed`: by tier, then by score, near-ties shuffled; and who is as good as the best.

    Whoever was as good lately stays so until it is clearly worse: a newcomer must be better by INERTIA. What one
    caller's preferences, or its list of models, make the best tells nothing to others.
    """
    count, lane = len(passed), view.lane
    if count == 1:
        return [0], NOBODY
    names = lane.names if count == len(lane.names) else [lane.names[place] for place in passed]
    before = view.book.leading.get(view.route.name, NOBODY)
    handicaps = [1.0 if name in before else NEWCOMER for name in names] if before else [NEWCOMER] * count
    keys = [
        score * (handicap + TIE * ((chance + shuffled) % 1.0))
        for score, handicap, shuffled in zip(scores, handicaps, lane.shuffle, strict=False)
    ]
    tiers = tiers_of(view, passed, chance)
    if tiers is None:
        order = within = sorted(range(count), key=keys.__getitem__)
    else:
        pairs = list(zip(tiers, keys, strict=True))
        order = sorted(range(count), key=pairs.__getitem__)
        within = [index for index in order if tiers[index] == tiers[order[0]]]
    if view.request.preferences is not None or view.request.caller.models is not None:
        return order, NOBODY
    handicapped = [scores[index] * handicaps[index] for index in within]
    limit = min(handicapped) * (1.0 + TIE)
    return order, frozenset([names[index] for index, key in zip(within, handicapped, strict=True) if key <= limit])


def tiers_of(view: View, passed: Sequence[int], chance: float) -> list[tuple[int, ...]] | None:
    """What sorts candidates before their scores do; None when nothing does."""
    wishes, lane = view.request.preferences, view.lane
    burst, ramping = BURST in view.causes, view.board.last_ejected > view.now - RAMP
    if not lane.tiered and wishes is None and not burst and not ramping:
        return None
    return [
        (
            late(view, index) if burst else 0,
            lane.tiers[index],
            held_back(view, index, chance) if ramping else 0,
            *wanted(wishes, view, index),
        )
        for index in passed
    ]


def held_back(view: View, index: int, chance: float) -> int:
    """1 for a deployment whose breaker was closed a moment ago, unless it is in its share of first places."""
    closed_at = view.board.ejected[index]
    if not view.now - RAMP < closed_at <= view.now or not view.board.stats[index].breaker.closed:
        return 0
    drawn = (chance * RAMP_SPREAD + view.lane.shuffle[index]) % 1.0
    return int(drawn >= share(closed_at, view.now))


def wanted(wishes: Preferences | None, view: View, index: int) -> tuple[int, ...]:
    """The place of a candidate by the request's own wishes."""
    return () if wishes is None else rank(wishes, view.lane.deployments[index])


def late(view: View, index: int) -> int:
    """While bursting: own hardware that is fast enough, then hosted, then own that is not."""
    if view.lane.whens[index]:
        return 1
    rule = view.route.burst
    return 0 if rule is None or view.ttfts[index] <= rule.below else 2


def probe(view: View, passed: Sequence[int], order: list[int], chance: float) -> bool:
    """For a small share of requests, move the choice of the best tier that was measured longest ago to the front."""
    if chance >= PROBE_SHARE or len(order) == 1 or view.request.preferences is not None:
        return False
    tiers = [view.lane.tiers[passed[index]] for index in order]
    seen = [
        view.board.stats[passed[index]].seen if tier == tiers[0] else view.now
        for index, tier in zip(order, tiers, strict=True)
    ]
    oldest = min(range(len(order)), key=seen.__getitem__)
    if oldest == 0 or view.now - seen[oldest] < PROBE_AGE:
        return False
    order.insert(0, order.pop(oldest))
    return True


def why(choices: Sequence[Choice], full: bool = False) -> str:
    """The decision in one line."""
    best = choices[0]
    if full:
        return f"{best.deployment.name} comes first of those that are full; the request waits for it"
    called = f", called from the reserve ({best.when})" if best.when else ""
    if len(choices) == 1:
        return f"{best.deployment.name} is the only candidate{called}"
    runner = choices[1]
    if runner.tier != best.tier or called:
        return f"{best.deployment.name} comes first{called or PREFERRED}"
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
    codes = {rejection.code for rejection in rejected} - {"reserve"}
    if codes == {GRANTS.code}:
        return Forbidden(f"{message} Ask for access to another model.", details=details)
    codes.discard(GRANTS.code)
    if codes == {"context"}:
        return TooLongForAll(
            f"{message} Shorten the prompt or ask for fewer tokens.", param="messages", details=details
        )
    if codes and codes <= {"capability", "context", "output", "language", "preference"}:
        return NothingFits(f"{message} Ask another model or leave that parameter out.", details=details)
    if not rejected:
        return NoCandidate(
            f"{message} The policy leaves nobody; ask another model, or have it changed.", details=details
        )
    wait = patience(rejected, book, now)
    return NoCandidate(f"{message} Try again in {wait:.0f} s.", retry_after=wait, details=details)


def patience(rejected: Sequence[Rejection], book: StatsBook, now: float) -> float:
    """Seconds until the first of those that are out for now may be asked again; at least one."""
    if any(rejection.code in SOON for rejection in rejected):
        return BUSY_RETRY
    waits = [book.of(rejection.deployment).resting_until - now for rejection in rejected if rejection.code == "resting"]
    return max(BUSY_RETRY, min([*waits, DRAINED_RETRY])) if waits else BUSY_RETRY
