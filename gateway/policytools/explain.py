"""A plan in words: who, in what order, what each would cost, why the others are out."""

from collections.abc import Iterator

from gateway.routing.terms import TERMS, to_best
from gateway.types import Choice, Json, Plan


def plan_json(plan: Plan) -> Json:
    """A plan as JSON-ready values: every term's value in its unit, its ratio to the best, and what it adds."""
    return {
        "route": plan.route,
        "reason": plan.reason,
        "weights": {term.name: weight for term, weight in zip(TERMS, plan.weights, strict=True)},
        "choices": [choice_json(choice, terms) for choice, terms in zip(plan.choices, terms_of(plan), strict=True)],
        "rejected": [
            {"deployment": out.deployment.name, "reason": out.reason, "code": out.code} for out in plan.rejected
        ],
    }


def choice_json(choice: Choice, terms: Json) -> Json:
    """One candidate: what its terms add is its score."""
    forecast = choice.forecast
    return {
        "deployment": choice.deployment.name,
        "model": choice.deployment.model,
        "score": choice.score,
        "tier": choice.tier,
        "prompt_tokens": forecast.prompt_tokens,
        "output_tokens": forecast.output_tokens,
        "usd": forecast.usd,
        "ttft": forecast.ttft,
        "seconds": forecast.seconds,
        "terms": terms,
    }


def terms_of(plan: Plan) -> list[Json]:
    """For each choice its terms, as the planner has weighed them."""
    rows: list[Json] = [{} for _ in plan.choices]
    for term, weight in zip(TERMS, plan.weights, strict=True) if plan.choices else ():
        values = [term.value(choice.deployment, choice.forecast) for choice in plan.choices]
        for row, value, ratio in zip(rows, values, to_best(values, term.scale), strict=True):
            row[term.name] = {
                "value": value,
                "unit": term.unit,
                "ratio": ratio,
                "weight": weight,
                "adds": ratio * weight,
            }
    return rows


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
