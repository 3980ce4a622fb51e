"""Who stands where on a route: its own deployments in tiers, and those in reserve, each for its cause."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gateway.config import sizes
from gateway.config.constraints import Excluded, Sifted, sift
from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.models import next_of
from gateway.config.schema import RouteSpec
from gateway.routing.causes import BURST, CONTEXT, OVERLOADED, REFUSED, gone_model
from gateway.routing.lane import Candidate
from gateway.routing.policy import Burst
from gateway.types import Deployment

BEHIND = 1  # places behind the route's own that a fallback stands, whatever its size
EASE = 0.5  # of what starts a burst: below it the burst ends, where nothing else is written


class Placed(NamedTuple):
    """A deployment, what calls it if it is in reserve, and how far behind the route's own it stands."""

    deployment: Deployment
    when: str = ""
    behind: int = 0


class Reserve(NamedTuple):
    """A model in reserve."""

    model: str
    when: str
    behind: int = 0


class Places(NamedTuple):
    """Everybody on a route, in no order yet, and who is out."""

    placed: list[Placed]
    excluded: list[Excluded]


def places(spec: RouteSpec, fleet: Fleet, context: Context) -> Places:
    """The route's own deployments and its reserves."""
    own = sift(spec.models, spec, fleet)
    found, excluded = own_places(own, spec), [*own.excluded]
    known = {(one.deployment.name, one.when) for one in found}
    for model, when, behind in reserves(spec, context):
        more = sift((model,), spec, fleet)
        excluded += more.excluded
        for one in more.allowed:
            if known.isdisjoint(((one.name, when), (one.name, ""))):
                known.add((one.name, when))
                found.append(Placed(one, when, behind))
    return Places(found, excluded)


def own_places(sifted: Sifted, spec: RouteSpec) -> list[Placed]:
    """The deployments of a route or an arm; with a burst rule, hosted ones wait until own hardware is too slow.

    A rule of `defaults` is none for a route that prefers them.
    """
    rule = spec.burst is not None and (spec.prefer is None or spec.prefer[0] != "hosted")
    holds = rule and any(one.location == "self_hosted" for one in sifted.allowed)
    return [Placed(one, BURST if holds and one.location == "hosted" else "") for one in sifted.allowed]


def reserves(spec: RouteSpec, context: Context) -> Iterator[Reserve]:
    """Each model in reserve: who takes the place of one that is gone, the fallbacks, and the substitutes."""
    for model in dict.fromkeys(spec.models):
        for behind, successor in enumerate(successors(model, spec.models, context)):
            yield Reserve(successor, gone_model(model), behind)
    written = spec.fallback
    if written is not None:
        for when, models in (
            (CONTEXT, written.context),
            (REFUSED, written.refused),
            (OVERLOADED, written.overloaded),
        ):
            yield from (Reserve(model, when, BEHIND) for model in models or ())
    yield from (Reserve(model, OVERLOADED, BEHIND) for model in substitutes(spec.models, context))


def substitutes(own: Sequence[str], context: Context) -> Iterator[str]:
    """Who may answer in the place of a route's models while these cannot."""
    for model in own:
        declared = context.file.models.get(model)
        yield from (declared.substitutes or ()) if declared is not None else ()


def successors(model: str, own: Sequence[str], context: Context) -> list[str]:
    """Who takes a model's place, who takes the place of that, and so on, up to one of the route's own."""
    declared, found = context.file.models, [model]
    while (after := next_of(declared.get(found[-1]))) is not None and after not in found and after not in own:
        found.append(after)
    return found[1:]


def candidates(placed: Iterable[Placed], spec: RouteSpec) -> tuple[Candidate, ...]:
    """Candidates with their tiers: fallbacks last, then by `prefer`, then by `size`."""
    placed = list(placed)
    keys = [(one.behind, preference(spec, one.deployment), sizes.rank(spec.size, one.deployment)) for one in placed]
    order = {key: tier for tier, key in enumerate(sorted(set(keys)))}
    return tuple(Candidate(one.deployment, order[key], one.when) for one, key in zip(placed, keys, strict=True))


def preference(spec: RouteSpec, deployment: Deployment) -> int:
    """The place in `prefer` of what a deployment is; past the end when it is not there."""
    wanted = spec.prefer or ()
    is_a = (deployment.location, deployment.backend)
    return next((place for place, word in enumerate(wanted) if word in is_a), len(wanted))


def burst(spec: RouteSpec, placed: Iterable[Placed]) -> Burst | None:
    """The burst rule of a route, where it holds anybody back."""
    rule = spec.burst
    if rule is None or all(one.when != BURST for one in placed):
        return None
    above = rule.when.ttft
    return Burst(above, above * EASE if rule.back_below is None else rule.back_below, rule.max_usd_per_hour)
