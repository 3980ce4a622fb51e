"""Parts of a route's requests that others answer: arms of a split, successors that take over, and shadows."""

from collections.abc import Iterable, Iterator, Sequence

from gateway.config.choices import ArmSpec
from gateway.config.constraints import Excluded, sift
from gateway.config.context import Context
from gateway.config.deployments import Fleet
from gateway.config.reserves import Placed, candidates, own_places
from gateway.config.schema import RouteSpec, SuccessorSpec
from gateway.routing.lane import Candidate, Lane
from gateway.routing.policy import Arm, Shadow
from gateway.routing.rollout import Rollout


class Splitting:
    """Makes the arms of one route; `own` are the route's candidates, who stand behind those of each arm."""

    def __init__(self, spec: RouteSpec, own: Sequence[Candidate], fleet: Fleet, context: Context) -> None:
        self.spec = spec
        self.own = own
        self.fleet = fleet
        self.context = context
        self.excluded: list[Excluded] = []

    def arms(self) -> tuple[Arm, ...]:
        """The arms of the split, then those that take over step by step."""
        return (*self.split(), *self.rollouts())

    def split(self) -> Iterator[Arm]:
        """Each part that has models; the others are the route's own."""
        total = sum(item.weight for item in self.spec.split or ())
        for item in self.spec.split or ():
            lane = self.lane(item.models or ()) if item.weight > 0 else None
            if lane is not None:
                yield Arm(arm_name(item), item.weight / total, lane)

    def rollouts(self) -> Iterator[Arm]:
        """Each successor of the route's models that takes over step by step."""
        for model in dict.fromkeys(self.spec.models):
            declared = self.context.file.models.get(model)
            after = None if declared is None else declared.successor
            if after is None or after.steps is None:
                continue
            lane = self.lane((after.model,))
            if lane is not None:
                yield Arm(f"{model} -> {after.model}", after.steps[0], lane, rollout(after, after.steps))

    def lane(self, models: Iterable[str]) -> Lane | None:
        """The deployments of some models, the route's own behind them; None when there are none."""
        sifted = sift(models, self.spec, self.fleet)
        self.excluded += sifted.excluded
        first = candidates(own_places(sifted, self.spec), self.spec)
        if not first:
            return None
        names = {one.deployment.name for one in first}
        shift = 1 + max(one.tier for one in first)
        rest = [one._replace(tier=one.tier + shift) for one in self.own if one.deployment.name not in names]
        return Lane((*first, *rest))


def arm_name(item: ArmSpec) -> str:
    """The name of a part of a split that has models."""
    return item.name or (item.models or [""])[0]


def rollout(spec: SuccessorSpec, steps: Sequence[float]) -> Rollout:
    """The plan by which a successor takes over."""
    return Rollout(tuple(steps), spec.every, spec.requests, spec.max_error_rate, spec.max_slowdown)


def shadow(spec: RouteSpec, fleet: Fleet) -> Shadow | None:
    """Who is asked as well; None when nobody of them may be."""
    if spec.shadow is None:
        return None
    lane = Lane(candidates([Placed(one) for one in sift(spec.shadow.models, spec, fleet).allowed], spec))
    return Shadow(lane, spec.shadow.share, spec.shadow.max_usd_per_hour) if lane.names else None
