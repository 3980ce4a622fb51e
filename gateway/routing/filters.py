"""Why not this deployment? Each filter answers with a reason, or None when it has no objection."""

from collections.abc import Callable
from typing import NamedTuple

from gateway.routing.book import StatsBook
from gateway.routing.breaker import state
from gateway.routing.preferences import dispreferred
from gateway.routing.stats import GONE, Stats
from gateway.routing.view import Case, View
from gateway.types import Deployment

FOREVER = float("inf")
STALE = 30.0  # seconds after which a measurement no longer shuts a deployment out
WHEN = {
    "context": "no context window of the others holds the request",
    "refused": "the others refuse the request",
    "overloaded": "the others are too busy or down",
    "burst": "the route's burst rule calls it",
}


class Filter(NamedTuple):
    """A reason against deployments.

    `screen` marks those that `check` may object to, for all candidates of a lane that has some, and is empty when it
    objects to none; the check itself has the word.
    """

    code: str
    check: Callable[[Case], str | None]
    screen: Callable[[View], list[bool]]


def in_reserve(case: Case) -> str | None:
    """It joins for a cause alone, and that has not come."""
    if not case.when or case.when in case.causes:
        return None
    gone = f"nobody serves {case.when.removeprefix('gone ')} any more"
    return f"in reserve: joins when {WHEN.get(case.when, gone)}"


def lacks_capability(case: Case) -> str | None:
    """The request needs something that this deployment cannot do."""
    needs, can = case.request.needs, case.deployment.capabilities
    return None if needs <= can else f"cannot do {', '.join(sorted(needs - can))}"


def lacks_language(case: Case) -> str | None:
    """The model was not trained for the language of the request, as far as both are known."""
    language, speaks = case.language, case.deployment.languages
    if language is None or not speaks or language in speaks:
        return None
    return f"was not trained for the language '{language}'"


def too_short_context(case: Case) -> str | None:
    """Prompt and asked completion do not fit into the context window, in tokens."""
    holds = case.deployment.context
    if holds is None:
        return None
    need = case.forecast.prompt_tokens + (case.request.max_tokens or 0)
    return f"needs {need} tokens, holds {holds}" if need > holds else None


def too_dear(case: Case) -> str | None:
    """The expected price is above `require.max_usd`."""
    allowed, usd = case.route.max_usd, case.forecast.usd
    return None if allowed is None or usd <= allowed else f"costs ${usd:.6f}, the route allows ${allowed:g}"


def too_slow(case: Case) -> str | None:
    """The expected first token is later than `require.ttft`.

    A deployment that was never measured, or not lately, gets its chance: one slow answer must not shut it out for good.
    """
    allowed, ttft = case.route.max_ttft, case.forecast.ttft
    if allowed is None or ttft <= allowed or case.stats.ttft is None or case.now - case.stats.seen > STALE:
        return None
    return f"first token in {ttft:.2f} s, the route wants {allowed:g} s"


def too_long(case: Case) -> str | None:
    """The request asks for a longer completion than the deployment gives, in tokens."""
    asked, gives = case.request.max_tokens, case.deployment.max_output
    return None if asked is None or gives is None or asked <= gives else f"gives {gives} tokens, {asked} are asked for"


def not_allowed(case: Case) -> str | None:
    """The caller may not use its model."""
    caller = case.request.caller
    if caller.models is None or case.deployment.model in caller.models:
        return None
    return f"serves a model that caller '{caller.name}' may not use"


def not_wanted(case: Case) -> str | None:
    """The caller's own preferences exclude it."""
    wishes = case.request.preferences
    return None if wishes is None else dispreferred(wishes, case.deployment)


def full(case: Case) -> str | None:
    """The backend has as many requests in flight as its `limits.concurrency` allows, or as it bears at present."""
    return crowding(case.deployment, case.in_flight) or strain(case.asked, case.limit)


def resting(case: Case) -> str | None:
    """Cooling after a rate limit, or parked because asking is pointless for now."""
    return rest(case.stats, case.now)


def crowding(deployment: Deployment, in_flight: int) -> str | None:
    """Why a deployment's backend takes no more requests."""
    limit = deployment.concurrency
    return None if limit is None or in_flight < limit else f"full: {in_flight} of {limit} in flight"


def strain(asked: int, limit: int | None) -> str | None:
    """Why a deployment that was overloaded takes no more requests for now."""
    return None if limit is None or asked < limit else f"was overloaded: takes {limit} at a time now, {asked} in flight"


def rest(stats: Stats, now: float) -> str | None:
    """Why a deployment must be left alone for a while."""
    left = stats.resting_until - now
    if left <= 0:
        return None
    return stats.resting_because if left == FOREVER else f"{stats.resting_because}, for another {left:.1f} s"


def unavailable(deployment: Deployment, book: StatsBook, now: float) -> str | None:
    """Why a deployment of a plan cannot be asked any more, now that its turn has come."""
    return (
        crowding(deployment, book.in_flight.get(deployment.backend, 0))
        or strain(book.asked.get(deployment.name, 0), book.limit(deployment))
        or rest(book.of(deployment), now)
    )


def gone(stats: Stats, now: float) -> bool:
    """Whether a deployment no longer serves its model."""
    return stats.resting_until > now and stats.resting_because == GONE


def ejected(case: Case) -> str | None:
    """Its breaker is open, or half-open while another request tries it."""
    left, breaker = case.stats.ejected_until - case.now, case.stats.breaker
    if left <= 0:
        return None
    if state(breaker, case.now) == "half_open":
        return "comes back after an outage, and another request tries it just now"
    because = f" ({breaker.because})" if breaker.because else ""
    return f"ejected{because}, for another {left:.1f} s"


def wishful(view: View) -> list[bool]:
    """All of them, when the request has preferences."""
    return [] if view.request.preferences is None else [True] * len(view.lane.names)


def restricted(view: View) -> list[bool]:
    """All of them, when the caller may use some models only."""
    return [] if view.request.caller.models is None else [True] * len(view.lane.names)


def waiting(view: View) -> list[bool]:
    """Those in reserve."""
    causes = view.causes
    return [bool(when) and when not in causes for when in view.lane.whens] if view.lane.causes else []


def incapable(view: View) -> list[bool]:
    """Those that cannot do all that is needed."""
    needs = view.request.needs
    if needs <= view.lane.common:
        return []
    return [not needs <= one.capabilities for one in view.lane.deployments]


def foreign(view: View) -> list[bool]:
    """Those that are known not to speak the request's language."""
    language = view.language
    if language is None:
        return []
    return [bool(one.languages) and language not in one.languages for one in view.lane.deployments]


def short(view: View) -> list[bool]:
    """Those whose window is too small."""
    asked = view.request.max_tokens or 0
    if max(view.prompts) + asked <= view.lane.least_context:
        return []
    return [prompt + asked > holds for prompt, holds in zip(view.prompts, view.lane.contexts, strict=True)]


def curt(view: View) -> list[bool]:
    """Those that give fewer tokens."""
    asked = view.request.max_tokens or 0
    if asked <= view.lane.least_output:
        return []
    return [asked > gives for gives in view.lane.outputs]


def dear(view: View) -> list[bool]:
    """Those above the route's price."""
    allowed = view.route.max_usd
    if allowed is None or max(view.usd) <= allowed:
        return []
    return [usd > allowed for usd in view.usd]


def slow(view: View) -> list[bool]:
    """Those above the route's time to the first token."""
    allowed = view.route.max_ttft
    if allowed is None or max(view.ttfts) <= allowed:
        return []
    return [ttft > allowed for ttft in view.ttfts]


def crowded(view: View) -> list[bool]:
    """Those at their limit."""
    book, names = view.book, view.lane.names
    if not book.allowances and max(view.flying) < view.lane.least_concurrency:
        return []
    strained = {name for name, known in book.allowances.items() if book.asked.get(name, 0) >= known.slots}
    rows = zip(view.flying, view.lane.concurrency, names, strict=True)
    return [flying >= most or name in strained for flying, most, name in rows]


def tired(view: View) -> list[bool]:
    """Those that rest."""
    now = view.now
    return [until > now for until in view.board.resting] if view.board.last_rested > now else []


def thrown_out(view: View) -> list[bool]:
    """Those that are ejected."""
    now = view.now
    return [until > now for until in view.board.ejected] if view.board.last_ejected > now else []


FILTERS = (  # what the policy and the state of things say
    Filter("reserve", in_reserve, waiting),
    Filter("capability", lacks_capability, incapable),
    Filter("context", too_short_context, short),
    Filter("output", too_long, curt),
    Filter("cost", too_dear, dear),
    Filter("latency", too_slow, slow),
    Filter("busy", full, crowded),
    Filter("resting", resting, tired),
    Filter("ejected", ejected, thrown_out),  # these two last: whoever is out for one of them alone may be pardoned
    Filter("language", lacks_language, foreign),
)
# What the caller may use and what it says come after all of those, so that they only ever narrow: they call no reserve,
# and pardon nobody.
GRANTS = Filter("caller", not_allowed, restricted)
WISHES = Filter("preference", not_wanted, wishful)
