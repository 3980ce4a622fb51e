"""What the planes show of policies, deployments and requests, as JSON-ready values."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from gateway.catalogue.facts import LicenceTerms, ModelFacts
from gateway.outcomes import Measured, Outcome, Record, Shadowed
from gateway.routing.book import StatsBook
from gateway.routing.breaker import state
from gateway.routing.forecast import prior
from gateway.routing.policy import Policy
from gateway.types import Caller, Deployment, Json, Price

NO_TTFTS: Mapping[str, Iterable[float]] = MappingProxyType({})


def model_rows(policy: Policy, caller: Caller) -> list[Json]:
    """Every name that a caller may write as `model`, in OpenAI's shape with facts beside it."""
    by_model: dict[str, list[Deployment]] = {}
    for deployment in policy.deployments:
        by_model.setdefault(deployment.model, []).append(deployment)
    rows = []
    if caller.routes is None or "default" in caller.routes:
        served = [(name, found) for name, found in sorted(by_model.items()) if may_use(caller, name)]
        rows += [model_row(policy.models[name], deployments) for name, deployments in served]
    for route in policy.routes:
        if (caller.routes is None or route.name in caller.routes) and any(may_use(caller, one) for one in route.models):
            rows += [route_row(name, route.name, route.models) for name in route.asked if name not in by_model]
    return list({row["id"]: row for row in rows}.values())


def may_use(caller: Caller, model: str) -> bool:
    """Whether a model is one of those that a caller may use."""
    return caller.models is None or model in caller.models


def model_row(facts: ModelFacts, deployments: Sequence[Deployment]) -> Json:
    """A model, what is true of it, and where it is served; prices in US dollars per million tokens."""
    contexts = [deployment.context for deployment in deployments if deployment.context is not None]
    return {
        "id": facts.name,
        "object": "model",
        "created": 0,
        "owned_by": "llama-gateway",
        "family": facts.family,
        "generation": facts.generation,
        "base": facts.base,
        "size_billions": facts.size,
        "active_billions": facts.active,
        "context": max(contexts, default=None),
        "capabilities": sorted(frozenset().union(*(deployment.capabilities for deployment in deployments))),
        "languages": sorted(facts.languages),
        "image_languages": sorted(facts.image_languages),
        "modalities": sorted(facts.modalities),
        "licences": [licence_row(terms) for terms in facts.licences],
        "successor": facts.successor,
        "replacement": facts.replacement,
        "backends": [deployment.backend for deployment in deployments],
        "retires": {one.backend: one.retires.isoformat() for one in deployments if one.retires is not None},
        "prices": {one.backend: price_row(one.price) for one in deployments if one.price is not None},
    }


def licence_row(terms: LicenceTerms) -> Json:
    """A licence, and what it asks."""
    return {
        "id": terms.id,
        "name": terms.name,
        "url": terms.url,
        "built_with": terms.built_with,
        "asks": list(terms.asks),
    }


def price_row(price: Price) -> Json:
    """A price in US dollars per million tokens."""
    cheap = {} if price.cached_input is None else {"cached_input": price.cached_input}
    return {"input": price.input, "output": price.output, **cheap}


def route_row(name: str, route: str, models: Sequence[str]) -> Json:
    """A name that a route answers to."""
    return {
        "id": name,
        "object": "model",
        "created": 0,
        "owned_by": "llama-gateway",
        "route": route,
        "models": list(models),
    }


def backend_rows(
    policy: Policy, book: StatsBook, now: float, ttfts: Mapping[str, Iterable[float]] = NO_TTFTS
) -> list[Json]:
    """What we know of each deployment now; latencies in seconds, those of `ttfts` the latest, by deployment."""
    return [deployment_row(deployment, book, now, ttfts.get(deployment.name, ())) for deployment in policy.deployments]


def deployment_row(deployment: Deployment, book: StatsBook, now: float, ttfts: Iterable[float] = ()) -> Json:
    """One deployment's health, load and latency; `resting_for` is null while there is no end to it."""
    stats = book.of(deployment)
    drained = deployment.backend in book.drained
    guess = prior(deployment)
    return {
        "deployment": deployment.name,
        "backend": deployment.backend,
        "model": deployment.model,
        "id": deployment.id,
        "location": deployment.location,
        "in_flight": book.in_flight.get(deployment.backend, 0),
        "concurrency": deployment.concurrency,
        "up": stats.up(now),
        "breaker": state(stats.breaker, now),
        "faults": stats.faults,
        "ejected_because": stats.breaker.because,
        "ejected_for": round(max(0.0, stats.ejected_until - now), 1),
        "resting_for": None if drained else round(max(0.0, stats.resting_until - now), 1),
        "resting_because": stats.resting_because,
        "drained": drained,
        "measured": stats.ttft is not None,
        "ttft": guess.ttft if stats.ttft is None else stats.ttft,
        "per_token": guess.per_token if stats.per_token is None else stats.per_token,
        "price": None if deployment.price is None else [deployment.price.input, deployment.price.output],
        "retires": None if deployment.retires is None else deployment.retires.isoformat(),
        "recent_ttfts": [round(ttft, 4) for ttft in ttfts],
    }


def record_row(record: Record) -> Json:
    """One request in a line."""
    deployment = record.deployment
    return {
        "id": record.id,
        "at": record.at,
        "asked": record.asked[:200],
        "caller": record.caller,
        "route": record.route,
        "model": deployment.model if deployment else None,
        "backend": deployment.backend if deployment else None,
        "outcome": record.outcome,
        "status": record.status,
        "stream": record.stream,
        "cache": record.cache,
        "attempts": len(record.attempts),
        "prompt_tokens": record.usage.prompt if record.usage else None,
        "completion_tokens": record.usage.completion if record.usage else None,
        "cost_usd": record.cost,
        "ttft": record.ttft,
        "duration": record.duration,
        "reason": record.reason,
        "error_type": record.error_type,
        "message": record.message,
    }


def attempt_rows(record: Record) -> list[Json]:
    """The attempts of a request; seconds, `offset` those since its arrival."""
    if not record.attempts:
        return []
    begun = record.attempts[0].started - dict(record.overhead).get("request", 0.0)
    return [{**attempt_row(outcome), "offset": outcome.started - begun} for outcome in record.attempts]


def attempt_row(outcome: Outcome) -> Json:
    """One attempt of a request; seconds."""
    return {
        "deployment": outcome.deployment.name,
        "outcome": outcome.outcome,
        "error_type": outcome.error_type,
        "message": outcome.message,
        "ttft": None if outcome.first is None else outcome.first - outcome.started,
        "duration": outcome.ended - outcome.started,
        "cost_usd": outcome.cost,
        "estimated": bool(outcome.usage and outcome.usage.estimated),
        "answered_by": outcome.answered,
    }


def shadow_row(told: Shadowed) -> Json:
    """What came of mirroring a request; the ratios are the shadow's by the answer's."""
    return {
        "outcome": told.outcome,
        "deployment": told.deployment.name if told.deployment else None,
        "cost_usd": told.cost,
        "error_type": told.error_type,
        "message": told.message,
        "ratios": dict(told.ratios),
        "same_calls": told.same_calls,
        "answer": None if told.answer is None else measured_row(told.answer),
        "shadow": None if told.shadow is None else measured_row(told.shadow),
    }


def measured_row(measured: Measured) -> Json:
    """One of two answers that are compared; seconds."""
    return {
        "deployment": measured.deployment.name,
        "completion_tokens": measured.tokens,
        "characters": measured.characters,
        "ttft": measured.ttft,
        "duration": measured.seconds,
        "cost_usd": measured.cost,
        "finish": list(measured.finish),
        "flaw": measured.flaw,
    }
