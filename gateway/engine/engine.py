"""The engine: finds a request's route and opens its answer."""

from collections.abc import Callable
from difflib import get_close_matches

from gateway.engine.answer import Answer, Tools
from gateway.engine.observers import tell_answered
from gateway.errors import Forbidden, ModelNotFound
from gateway.routing.policy import Policy
from gateway.types import ChatRequest, Json, Record

NAME_LIMIT = 100  # characters of an unknown name that are looked at and repeated
NEAREST = 3  # names that an error about an unknown model suggests


class Engine:
    """Answers requests by the policy that is current when they come."""

    def __init__(self, policy: Callable[[], Policy], tools: Tools) -> None:
        self.policy = policy
        self.tools = tools

    def open(self, request: ChatRequest, policy: Policy) -> Answer:
        """The answer to a request by one generation of the policy; raises ModelNotFound or Forbidden."""
        route = policy.route(request)
        if route is None:
            raise unknown_model(request, policy)
        allowed = request.caller.routes
        if allowed is not None and route.name not in allowed:
            raise Forbidden(f"Caller '{request.caller.name}' may not use route '{route.name}'; ask for access to it.")
        return Answer(request, policy, route, self.tools)

    def tell(self, record: Record) -> None:
        """Tell every observer of a request that is over."""
        tell_answered(self.tools.observers, record)


def unknown_model(request: ChatRequest, policy: Policy) -> ModelNotFound:
    """The 404 for a name that neither a route nor a model has: the nearest names, and why each route did not match."""
    near = get_close_matches(request.model[:NAME_LIMIT], policy.names, NEAREST, 0.4)
    hint = f"Did you mean {' or '.join(repr(name) for name in near)}?" if near else "See GET /v1/models."
    routes: list[Json] = [{"route": route.name, "reason": route.mismatch(request)} for route in policy.routes]
    message = f"The model '{request.model[:NAME_LIMIT]}' is not served here. {hint}"
    return ModelNotFound(message, param="model", details={"nearest": near, "routes": routes})
