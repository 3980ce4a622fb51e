"""The engine: finds a request's route and opens its answer."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches

from gateway.engine.answer import Answer
from gateway.engine.observers import tell_answered
from gateway.engine.shadow import Shadows
from gateway.engine.tools import Tools
from gateway.errors import Forbidden, ModelNotFound
from gateway.outcomes import Record
from gateway.routing.book import StatsBook
from gateway.routing.policy import Policy, Route
from gateway.telemetry.trace_context import trace_of
from gateway.types import ChatRequest, Json, Preferences

NAME_LIMIT = 100  # characters of an unknown name that are looked at and repeated
NEAREST = 3  # names that an error about an unknown model suggests


class Engine:
    """Answers requests by the policy that is current when they come."""

    def __init__(self, policy: Callable[[], Policy], tools: Tools, shadows: Shadows) -> None:
        self.policy = policy
        self.tools = tools
        self.shadows = shadows

    def open(self, request: ChatRequest, policy: Policy) -> Answer:
        """The answer to a request by one generation of the policy; raises ModelNotFound or Forbidden."""
        request, route = routed(request, policy, self.tools.book)
        if (error := barred(request, route)) is not None:
            raise error
        if route.shadow is not None:
            return self.shadows.opened(request, policy, route)
        return Answer(request, policy, route, self.tools)

    def traced(self, request: ChatRequest) -> ChatRequest:
        """The request with its span, where somebody traces; else its caller's is passed on, if that is valid."""
        parent, trace = request.headers.get("traceparent", ""), self.tools.trace
        own = trace_of(parent) if trace is None else trace(parent)
        return request if own is None else replace(request, trace=own.header)

    def tell(self, record: Record, answer: Answer | None = None) -> None:
        """Tell every observer of a request that is over, and mirror it where its route has a shadow."""
        tell_answered(self.tools.observers, record)
        if answer is not None and answer.route.shadow is not None:
            self.shadows.over(answer, record)


def routed(request: ChatRequest, policy: Policy, book: StatsBook) -> tuple[ChatRequest, Route]:
    """The request as it is planned, and its route: that of its model, else of the first it lists that has one.

    Raises ModelNotFound.
    """
    listed = () if request.preferences is None else request.preferences.models
    for name in (request.model, *listed):
        asked = request if name == request.model else replace(request, model=name)
        route = policy.route(asked, book)
        if route is None:
            continue
        if request.preferences is None or not listed:
            return request, route
        request = with_models(request, request.preferences, policy)
        return request, with_implicit(route, request, policy, book)
    raise unknown_model(request, policy, book)


def barred(request: ChatRequest, route: Route) -> Forbidden | None:
    """Why the caller may not use a route; None when they may."""
    allowed = request.caller.routes
    if allowed is None or route.name in allowed:
        return None
    return Forbidden(f"Caller '{request.caller.name}' may not use route '{route.name}'; ask for access to it.")


def with_models(request: ChatRequest, wishes: Preferences, policy: Policy) -> ChatRequest:
    """The request with its models by canonical name, the one it asks for first; other names only find routes."""
    found = [policy.canonical(name) for name in (request.model, *wishes.models)]
    models = tuple(dict.fromkeys(name for name in found if name is not None))
    return replace(request, preferences=wishes._replace(models=models))


def with_implicit(route: Route, request: ChatRequest, policy: Policy, book: StatsBook) -> Route:
    """A model's implicit route joined by those of the other models listed.

    Only of models whose own request would take the implicit route too: a named one may forbid what this allows.
    """
    if request.preferences is None or policy.model_routes.get(route.models[0]) is not route:
        return route
    asked = ((model, replace(request, model=model)) for model in request.preferences.models)
    others = [
        policy.model_routes[model] for model, one in asked if policy.route(one, book) is policy.model_routes[model]
    ]
    routes = [route, *(other for other in others if other is not route)]
    return replace(
        route,
        models=tuple(model for one in routes for model in one.models),
        candidates=tuple(candidate for one in routes for candidate in one.candidates),
        excluded=tuple(out for one in routes for out in one.excluded),
    )


def unknown_model(request: ChatRequest, policy: Policy, book: StatsBook) -> ModelNotFound:
    """The 404 for a name that neither a route nor a model has: the nearest names, and why each route did not match."""
    allowed = request.caller.routes
    routes: list[Json] = [
        {"route": route.name, "reason": route.mismatch(request, book)}
        for route in policy.routes
        if allowed is None or route.name in allowed
    ]
    return not_served(request.model, policy.names, {"routes": routes})


def not_served(name: str, names: Iterable[str], details: Json) -> ModelNotFound:
    """The 404 for a name: the nearest of `names`, and what else machines may want."""
    near = get_close_matches(name[:NAME_LIMIT], names, NEAREST, 0.4)
    hint = f"Did you mean {' or '.join(repr(each) for each in near)}?" if near else "See GET /v1/models."
    message = f"The model '{name[:NAME_LIMIT]}' is not served here. {hint}"
    return ModelNotFound(message, param="model", details={"nearest": near, **details})
