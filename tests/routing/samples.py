"""Values to route with, each with only what its test is about spelled out."""

from typing import Any

from gateway.outcomes import Outcome
from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate
from gateway.routing.policy import Policy, Route
from gateway.routing.view import View
from gateway.types import Backend, ChatRequest, Deployment, Usage

MODEL = "llama-3.3-70b-instruct"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}]}


def deployment(backend: str = "gpu-a", model: str = MODEL, **facts: Any) -> Deployment:
    """A deployment named after its backend and model, on own hardware unless told otherwise."""
    usual: dict[str, Any] = {
        "name": f"{backend}/{model}",
        "id": model,
        "kind": "vllm",
        "location": "self_hosted",
        "size": 70.0,
    }
    return Deployment(backend=backend, model=model, **(usual | facts))


def request(**facts: Any) -> ChatRequest:
    """A short chat request."""
    usual: dict[str, Any] = {"id": "req_1", "model": MODEL, "body": BODY, "prompt_tokens": 100}
    return ChatRequest(**(usual | facts))


def route(*deployments: Deployment, **facts: Any) -> Route:
    """A route over deployments, all of the same tier unless `candidates` says otherwise."""
    candidates: tuple[Candidate, ...] = facts.pop("candidates", tuple(Candidate(one) for one in deployments))
    models = tuple(sorted({candidate.deployment.model for candidate in candidates}))
    usual: dict[str, Any] = {"name": "chat", "models": models, "candidates": candidates}
    return Route(**(usual | facts))


def view(asked: ChatRequest, rules: Route, known: StatsBook | None = None, now: float = 1000.0) -> View:
    """A route's own lane, as a request sees it."""
    return View(asked, rules, rules.lane, known or StatsBook(), now)


def policy(*routes: Route, **facts: Any) -> Policy:
    """A policy of these routes; each answers to its model names."""
    deployments = {one.deployment.name: one.deployment for route in routes for one in route.candidates}.values()
    asked = {name for route in routes for name in (*route.asked, *route.models)}
    usual: dict[str, Any] = {
        "generation": "g1",
        "backends": {
            one.backend: Backend(one.backend, one.kind, "http://127.0.0.1:1", concurrency=one.concurrency)
            for one in deployments
        },
        "deployments": tuple(deployments),
        "routes": routes,
        "model_routes": {},
        "spellings": {},
        "by_model": {name: tuple(r for r in routes if name in (*r.asked, *r.models)) for name in asked},
        "any_model": (),
        "names": tuple(sorted(asked)),
    }
    return Policy(**(usual | facts))


def outcome(target: Deployment, ended: float = 0.0, **facts: Any) -> Outcome:
    """An attempt that ended well, unless told otherwise."""
    usual: dict[str, Any] = {"outcome": "success", "verdict": "ok", "started": ended - 1.0}
    if facts.get("first") is not None:
        usual["rest"] = ended - facts["first"]
    return Outcome(target, ended=ended, **(usual | facts))


def fault(target: Deployment, ended: float = 0.0, **facts: Any) -> Outcome:
    """An attempt that counts against its deployment."""
    usual = {"outcome": "upstream_error", "verdict": "fault", "error_type": "upstream_server_error"}
    return outcome(target, ended, **(usual | facts))


def usage(prompt: int = 100, completion: int = 20, **facts: Any) -> Usage:
    """Tokens used."""
    return Usage(prompt, completion, **facts)
