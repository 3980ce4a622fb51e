"""A plan in words: who, in what order, what each would cost, why the others are out."""

from collections.abc import Iterator

from gateway.routing.terms import TERMS
from gateway.types import Choice, Json, Plan


def plan_json(plan: Plan) -> Json:
    """A plan as JSON-ready values: every term's value in its unit, its ratio to the best, and the weighted score."""
    return {
        "route": plan.route,
        "reason": plan.reason,
        "weights": {term.name: weight for term, weight in zip(TERMS, plan.weights, strict=True)},
        "choices": [choice_json(choice, plan.weights) for choice in plan.choices],
        "rejected": [
            {"deployment": out.deployment.name, "reason": out.reason, "code": out.code} for out in plan.rejected
        ],
    }


def choice_json(choice: Choice, weights: tuple[float, ...]) -> Json:
    """One candidate: what its terms add is its score."""
    terms = zip(TERMS, choice.values, choice.ratios, weights, strict=True)
    return {
        "deployment": choice.deployment.name,
        "model": choice.deployment.model,
        "score": choice.score,
        "tier": choice.tier,
        "prompt_tokens": choice.forecast.prompt_tokens,
        "output_tokens": choice.forecast.output_tokens,
        "usd": choice.forecast.usd,
        "ttft": choice.forecast.ttft,
        "seconds": choice.forecast.seconds,
        "terms": {
            term.name: {"value": value, "unit": term.unit, "ratio": ratio, "weight": weight, "adds": ratio * weight}
            for term, value, ratio, weight in terms
        },
    }


def plan_text(plan: Json) -> str:
    """A plan, as plan_json has it, for a terminal."""
    return "\n".join(lines(plan)) + "\n"


def lines(plan: Json) -> Iterator[str]:
    """The lines of a plan's text."""
    weights = ", ".join(f"{name} {weight:g}" for name, weight in plan["weights"].items() if weight)
    yield f"route    {plan['route']} (weights: {weights})"
    yield f"decision {plan['reason']}"
    choices = plan["choices"]
    if choices:
        first = choices[0]
        yield f"request  about {first['prompt_tokens']} prompt tokens, {first['output_tokens']} to come"
        yield ""
        width = max(len(choice["deployment"]) for choice in choices)
        yield f"   {'deployment':{width}}  tier      USD  first token  last token    size  score = what each term adds"
        for place, choice in enumerate(choices, 1):
            yield choice_line(place, choice, width)
    if len(choices) > 1:
        yield ""
        yield difference(choices[0], choices[1])
    for out in plan["rejected"]:
        yield f"out: {out['deployment']}: {out['reason']} [{out['code']}]"


def choice_line(place: int, choice: Json, width: int) -> str:
    """One candidate in a line."""
    adds = " + ".join(f"{term['adds']:.3f} {name}" for name, term in choice["terms"].items() if term["weight"])
    size = choice["terms"]["size"]["value"]
    return (
        f"{place:2} {choice['deployment']:{width}}  {choice['tier']:4} {choice['usd']:8.6f} {choice['ttft']:10.3f} s"
        f" {choice['seconds']:9.3f} s {size:6g}B  {choice['score']:.3f} = {adds}"
    )


def difference(first: Json, second: Json) -> str:
    """What the runner-up would have meant."""
    usd, seconds = second["usd"] - first["usd"], second["seconds"] - first["seconds"]
    return f"runner-up {second['deployment']}: {usd:+.6f} USD, {seconds:+.3f} s"
