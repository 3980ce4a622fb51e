"""Which headers the routes of a policy look at: of all others, nothing needs to be kept to plan a request again."""

import re
from collections.abc import Iterable

from gateway.config.schema import RouteSpec

CREDENTIALS = frozenset({"authorization", "proxy-authorization", "x-api-key", "cookie"})  # never kept
QUOTED = re.compile(r"""["']([\w.-]+)["']""")
ATTRIBUTE = re.compile(r"headers\s*\.\s*(\w+)")


def looked_at(routes: Iterable[RouteSpec]) -> frozenset[str]:
    """The names, in lower case; of an expression over headers every text that may be one."""
    found: set[str] = set()
    for route in routes:
        found.update(route.match.headers or ())
        text = route.match.when or ""
        if "headers" in text:
            found.update(QUOTED.findall(text), ATTRIBUTE.findall(text))
    return frozenset(name.lower() for name in found) - CREDENTIALS
