"""A plan in words: who, in what order, what each would cost, why the others are out."""

from collections.abc import Iterator, Sequence

from gateway.errors import GatewayError
from gateway.routing.filters import FILTERS, GRANTS, WISHES
from gateway.routing.planner import Deliberation, concluded
from gateway.routing.terms import TERMS, to_best
from gateway.types import Choice, Json, Plan, Rejection


def plan_json(plan: Plan) -> Json:
    """A plan as JSON-ready values: every term's value in its unit, its ratio to the best, and what it adds."""
    choices = [choice_json(choice, terms) for choice, terms in zip(plan.choices, terms_of(plan), strict=True)]
    return {
        "route": plan.route,
        "arm": plan.arm,
        "causes": sorted(plan.causes),
        "reason": plan.reason,
        "weights": {term.name: weight for term, weight in zip(TERMS, plan.weights, strict=True)},
        "choices": choices,
        "runner_up": runner_up(choices),
        "rejected": [rejected_json(out) for out in plan.rejected if out.code != "reserve"],
        "reserves": [rejected_json(out) for out in plan.rejected if out.code == "reserve"],
    }


def deliberation_json(found: Deliberation, chance: float) -> Json:
    """The plan that a deliberation leads to, with the verdict of every filter on every candidate.

    When it leads to none there are no choices, and `error` says why.
    """
    try:
        return {**plan_json(concluded(found, chance)), "verdicts": verdicts(found)}
    except GatewayError as error:
        weights = tuple(found.weights)
        rejected = (*[found.out[place] for place in sorted(found.out)], *found.view.route.excluded)
        arm = "" if found.arm is None else found.arm.name
        nothing = Plan(found.view.route.name, weights, (), rejected, error.message, arm, found.view.causes)
        told = {"status": error.status, "code": error.code, "message": error.message}
        return {**plan_json(nothing), "verdicts": verdicts(found), "error": told}


def choice_json(choice: Choice, terms: Json) -> Json:
    """One candidate: what its terms add is its score."""
    forecast = choice.forecast
    return {
        "deployment": choice.deployment.name,
        "model": choice.deployment.model,
        "score": choice.score,
        "tier": choice.tier,
        "when": choice.when,
        "prompt_tokens": forecast.prompt_tokens,
        "output_tokens": forecast.output_tokens,
        "usd": forecast.usd,
        "ttft": forecast.ttft,
        "seconds": forecast.seconds,
        "late": forecast.late,
        "terms": terms,
    }


def rejected_json(out: Rejection) -> Json:
    """One candidate that is not asked, and the first reason."""
    return {"deployment": out.deployment.name, "reason": out.reason, "code": out.code}


def terms_of(plan: Plan) -> list[Json]:
    """For each choice its terms, as the planner has weighed them."""
    rows: list[Json] = [{} for _ in plan.choices]
    for term, weight, column in zip(TERMS, plan.weights, plan.columns, strict=True) if plan.choices else ():
        values = [column[choice.place] for choice in plan.choices]
        for row, value, ratio in zip(rows, values, to_best(values, term.scale), strict=True):
            row[term.name] = {
                "value": value,
                "unit": term.unit,
                "ratio": ratio,
                "weight": weight,
                "adds": ratio * weight,
            }
    return rows


def runner_up(choices: Sequence[Json]) -> Json | None:
    """The second choice: its cost and time, and how much more than the first's they are."""
    if len(choices) < 2:
        return None
    first, second = choices[:2]
    return {
        "deployment": second["deployment"],
        "usd": second["usd"],
        "seconds": second["seconds"],
        "more_usd": second["usd"] - first["usd"],
        "more_seconds": second["seconds"] - first["seconds"],
    }


def verdicts(found: Deliberation) -> list[Json]:
    """For each candidate what each filter says: a reason against it, or nothing."""
    view, rows = found.view, []
    for place in view.lane.places:
        case = view.case(place)
        said = {each.code: each.check(case) for each in (*FILTERS, GRANTS, WISHES)}
        row = {"deployment": case.deployment.name, "when": case.when, "passed": place in found.passed}
        rows.append({**row, "filters": said})
    return rows


def plan_text(plan: Json) -> str:
    """A plan, as plan_json or deliberation_json has it, for a terminal."""
    return "\n".join(lines(plan)) + "\n"


def lines(plan: Json) -> Iterator[str]:
    """The lines of a plan's text."""
    weights = ", ".join(f"{name} {weight:g}" for name, weight in plan["weights"].items() if weight)
    yield f"route    {plan['route']}{arm(plan)} (weights: {weights})"
    refused = plan.get("error")
    yield (
        f"refused  {refused['status']} {refused['code']}: {refused['message']}"
        if refused
        else f"decision {plan['reason']}"
    )
    if plan["causes"]:
        yield f"called   the reserves for {', '.join(plan['causes'])}"
    yield from choice_lines(plan["choices"])
    if plan["runner_up"]:
        yield ""
        yield difference(plan["runner_up"])
    more = objections(plan.get("verdicts", ()))
    for out in plan["rejected"]:
        reasons = [f"{reason} [{code}]" for code, reason in more.get(out["deployment"], {}).items()]
        first = f"{out['reason']} [{out['code']}]"
        yield f"out: {out['deployment']}: {'; '.join([first, *[reason for reason in reasons if reason != first]])}"
    for out in plan["reserves"]:
        yield f"in reserve: {out['deployment']}: {out['reason'].removeprefix('in reserve: ')}"


def arm(plan: Json) -> str:
    """The arm of the route's split, where one answers."""
    return f", arm {plan['arm']}" if plan["arm"] else ""


def choice_lines(choices: Sequence[Json]) -> Iterator[str]:
    """The table of those that may be asked."""
    if not choices:
        return
    yield f"request  about {choices[0]['prompt_tokens']} prompt tokens, {choices[0]['output_tokens']} to come"
    yield ""
    width = max(len(choice["deployment"]) for choice in choices)
    yield (
        f"   {'deployment':{width}}  tier      USD  first token  last token  1 in 20 after    size"
        "  score = what each term adds"
    )
    for place, choice in enumerate(choices, 1):
        yield choice_line(place, choice, width)
        yield from term_lines(choice)


def choice_line(place: int, choice: Json, width: int) -> str:
    """One candidate in a line."""
    adds = " + ".join(f"{term['adds']:.3f} {name}" for name, term in choice["terms"].items() if term["weight"])
    size = choice["terms"]["size"]["value"]
    return (
        f"{place:2} {choice['deployment']:{width}}  {choice['tier']:4} {choice['usd']:8.6f} {choice['ttft']:10.3f} s"
        f" {choice['seconds']:9.3f} s {choice['late']:12.3f} s {size:6g}B  {choice['score']:.3f} = {adds}"
    )


def term_lines(choice: Json) -> Iterator[str]:
    """The terms of one candidate that count."""
    for name, term in choice["terms"].items():
        if term["weight"]:
            amount = f"{term['value']:.6g} {term['unit']}"
            yield f"     {name:9} {amount:>16} is {term['ratio']:.3f} of the best, times {term['weight']:g}"


def difference(other: Json) -> str:
    """What the runner-up would have meant."""
    return (
        f"runner-up {other['deployment']}: ${other['usd']:.6f} ({other['more_usd']:+.6f}),"
        f" {other['seconds']:.3f} s ({other['more_seconds']:+.3f})"
    )


def objections(rows: Sequence[Json]) -> dict[str, Json]:
    """All that speaks against each candidate, by its name and the filter's code."""
    return {
        row["deployment"]: {code: reason for code, reason in row["filters"].items() if reason is not None}
        for row in rows
        if not row["passed"] and not row["when"]
    }
