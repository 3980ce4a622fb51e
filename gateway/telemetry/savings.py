"""What a choice has saved, and why: never more than the policy would really have paid elsewhere for the same tokens.

An answer has one cause at the most, in this order. All amounts are of the tokens that were used, at list prices
without anybody's prefix cache, less what the request has cost with all its attempts.

- `cache`: it came from the cache and has cost nothing; saved is what its first making cost.
- `own_hardware`: own hardware answered; saved is what the cheapest hosted deployment of the plan would have cost.
- `size`: a model answered that is not the largest of the plan; saved is what the cheapest deployment of the largest
  would have cost.

The plan has only whom this request was allowed to ask; a reserve that nobody called is not in it. Own hardware without
a price counts as paid.
"""

from collections.abc import Iterable, Sequence

from gateway.outcomes import Record
from gateway.types import Deployment, Price

OWN = "self_hosted"
PAID = Price(0.0, 0.0)  # own hardware
Saving = tuple[str, float]  # the cause, US dollars


def saved(record: Record) -> Saving | None:
    """What a request has saved, and why; None where there was nothing to choose, or nothing was saved."""
    if record.saved:
        return "cache", record.saved
    if record.outcome != "success":
        return None
    plan, usage, deployment, paid = record.plan, record.usage, record.deployment, record.cost
    if plan is None or usage is None or deployment is None or paid is None or len(plan.allowed) < 2:
        return None
    own = deployment.location == OWN
    others = hosted(plan.allowed) if own else larger(deployment, plan.allowed)
    costs = [price.input * usage.prompt + price.output * usage.completion for price in others]
    least = min(costs, default=0.0) / 1e6 - paid
    return ("own_hardware" if own else "size", least) if least > 0 else None


def hosted(allowed: Iterable[Deployment]) -> list[Price]:
    """The prices of hosted deployments, where they are known."""
    return [one.price for one in allowed if one.location != OWN and one.price is not None]


def larger(deployment: Deployment, allowed: Sequence[Deployment]) -> list[Price]:
    """The prices of the largest model, where they are known; none when it is the one that answered."""
    largest = max([one.size or 0.0 for one in allowed])
    if largest <= (deployment.size or largest):
        return []
    return [one.price or PAID for one in allowed if one.size == largest and (one.price or one.location == OWN)]
