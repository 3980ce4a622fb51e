"""The questions of a `match` that need more than the request: an expression, and what tells a language."""

from gateway.config.context import Context
from gateway.config.expressions import BadExpression, expression, when
from gateway.config.languages import detector
from gateway.config.matchers import Dear
from gateway.config.problems import Path
from gateway.config.schema import RouteSpec
from gateway.routing.policy import Detect, Matcher


def dear(spec: RouteSpec, path: Path, context: Context) -> Dear:
    """What a route's match needs made for it, checked."""
    return Dear(asked(spec, path, context), told(spec, path, context))


def asked(spec: RouteSpec, path: Path, context: Context) -> Matcher | None:
    """The expression of a route as a question; None where there is none that can be used."""
    text = spec.match.when
    if text is None or context.unread(text):
        return None
    try:
        return when(expression(text), spec.name)
    except BadExpression as exc:
        message = f"`when` of the route '{spec.name}' cannot be used: {exc}. Correct it."
        context.report.add("LG064", (*path, "match", "when"), message)
        return None


def told(spec: RouteSpec, path: Path, context: Context) -> Detect | None:
    """What tells a request's language, where the match asks for one."""
    if spec.match.language is None:
        return None
    try:
        return detector()
    except LookupError as exc:
        message = f"`language` of the route '{spec.name}' cannot be told: {exc}."
        context.report.add("LG065", (*path, "match", "language"), message, key=True)
        return None
