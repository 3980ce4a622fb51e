"""The engine: finds a request's route and opens its answer."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from difflib import get_close_matches

from gateway.engine.answer import Answer, Tools
from gateway.engine.observers import tell_answered
from gateway.engine.shadow import Shadows
from gateway.errors import Forbidden, ModelNotFound
from gateway.routing.policy import Policy, Route
from gateway.routing.stats import StatsBook
from gateway.types import ChatRequest, Json, Preferences, Record

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
        if request.preferences is not None and request.preferences.models:
            request = with_models(request, request.preferences, policy)
        route = self.route(request, policy)
        allowed = request.caller.routes
        if allowed is not None and route.name not in allowed:
            raise Forbidden(f"Caller '{request.caller.name}' may not use route '{route.name}'; ask for access to it.")
        if route.shadow is not None:
            return self.shadows.opened(request, policy, route)
        return Answer(request, policy, route, self.tools)

    def route(self, request: ChatRequest, policy: Policy) -> Route:
        """The route of a request: by its model, else by the first of its list that has one; raises ModelNotFound."""
        book, listed = self.tools.book, () if request.preferences is None else request.preferences.models
        for name in (request.model, *listed):
            asked = request if name == request.model else replace(request, model=name)
            route = policy.route(asked, book)
            if route is not None:
                return with_implicit(route, listed, policy) if listed else route
        raise unknown_model(request, policy, book)

    def tell(self, record: Record, answer: Answer | None = None) -> None:
        """Tell every observer of a request that is over, and mirror it where its route has a shadow."""
        tell_answered(self.tools.observers, record)
        if answer is not None and answer.route.shadow is not None:
            self.shadows.over(answer, record)


def with_models(request: ChatRequest, wishes: Preferences, policy: Policy) -> ChatRequest:
    """The request with its list of models by canonical name, the one it asks for first."""
    first = policy.canonical(request.model)
    listed = [policy.canonical(name) or name for name in wishes.models]
    models = tuple(dict.fromkeys(listed if first is None else [first, *listed]))
    return replace(request, preferences=wishes._replace(models=models))


def with_implicit(route: Route, models: Iterable[str], policy: Policy) -> Route:
    """A model's implicit route joined by those of the other models listed: each could be asked for by itself."""
    if policy.model_routes.get(route.models[0]) is not route:
        return route
    others = [policy.model_routes[model] for model in models if model in policy.model_routes]
    routes = [route, *(other for other in others if other is not route)]
    return replace(
        route,
        models=tuple(model for one in routes for model in one.models),
        candidates=tuple(candidate for one in routes for candidate in one.candidates),
        excluded=tuple(out for one in routes for out in one.excluded),
    )


def unknown_model(request: ChatRequest, policy: Policy, book: StatsBook) -> ModelNotFound:
    """The 404 for a name that neither a route nor a model has: the nearest names, and why each route did not match."""
    near = get_close_matches(request.model[:NAME_LIMIT], policy.names, NEAREST, 0.4)
    hint = f"Did you mean {' or '.join(repr(name) for name in near)}?" if near else "See GET /v1/models."
    allowed = request.caller.routes
    routes: list[Json] = [
        {"route": route.name, "reason": route.mismatch(request, book)}
        for route in policy.routes
        if allowed is None or route.name in allowed
    ]
    message = f"The model '{request.model[:NAME_LIMIT]}' is not served here. {hint}"
    return ModelNotFound(message, param="model", details={"nearest": near, "routes": routes})
