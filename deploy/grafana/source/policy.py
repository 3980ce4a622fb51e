"""Policy: what the file in force does to requests."""

from deploy.grafana.source.board import Board, Chart, Filter, Query, Row
from deploy.grafana.source.promql import rate, success

ROUTE = 'route=~"$route"'
TRIED, ANSWERED = rate("gateway_attempts_total"), rate("gateway_requests_total", 'backend!=""')
CACHED = rate("gateway_cache_requests_total", 'result=~"hit|coalesced"')

FILE = Row(
    "The file",
    (
        Chart(
            "Last file taken over",
            "Red: the file as it is now was refused, and the last good one stays in force. `llama-gateway check "
            "FILE` says what is wrong.",
            "short",
            (Query("min(gateway_policy_reload_success)"),),
            "number",
            (1, 1),
            low=True,
        ),
        Chart(
            "In force for",
            "Since the policy was last taken over.",
            "s",
            (Query("time() - max(gateway_policy_reload_timestamp_seconds)"),),
            "number",
        ),
        Chart(
            "Generations in force",
            "More than one for long: some gateways have not read the file that others have.",
            "short",
            (Query("count(count by (generation) (gateway_policy_generation))"),),
            "number",
            (2, 3),
        ),
        Chart(
            "Generation",
            "Each change of the policy starts a new line.",
            "short",
            (Query("max by (generation) (gateway_policy_generation)", "{{generation}}"),),
            "states",
            names=("gone", "in force"),
            height=4,
        ),
    ),
)
ROUTES = Row(
    "Routes",
    (
        Chart(
            "Requests by route",
            "A route that gets nothing may be hidden by one above it: the first that matches is taken.",
            "reqps",
            (Query(rate("gateway_requests_total", ROUTE, "route"), "{{route}}"),),
            "stack",
        ),
        Chart(
            "Answered well by route",
            "Without what was the caller's own fault.",
            "percentunit",
            (Query(success(ROUTE, "route"), "{{route}}"),),
            limits=(0.99, 0.999),
            low=True,
        ),
        Chart(
            "Who answers each route",
            "Share of each backend in a route's answers.",
            "reqps",
            (
                Query(
                    rate("gateway_requests_total", f'{ROUTE}, backend!=""', "route, backend"), "{{route}} {{backend}}"
                ),
            ),
            "stack",
        ),
        Chart(
            "Nobody to ask",
            "`policy_no_candidate`: all are full, ejected or resting. `policy_nothing_fits`, `policy_too_long`: the "
            "route lacks a model that can do it. `llama-gateway explain --id` names the reason for each candidate.",
            "reqps",
            (
                Query(
                    rate("gateway_errors_total", f'{ROUTE}, error_type=~"policy_.*"', "route, error_type"),
                    "{{route}} {{error_type}}",
                ),
            ),
            "stack",
        ),
        Chart(
            "Broken `when`",
            "Expressions that failed, so that the route did not match. Guard fields that may be missing with `has()`.",
            "ops",
            (Query(rate("gateway_policy_expression_errors_total", ROUTE, "route"), "{{route}}"),),
        ),
        Chart(
            "Attempts a request",
            "1 is one attempt each. Above 1.1 for long: retries are at their budget; a backend that fails always "
            "should leave the route.",
            "short",
            (Query(f"{TRIED} / ({ANSWERED} - ({CACHED} or vector(0)))"),),
            limits=(1.1, 1.5),
        ),
    ),
)

BOARD = Board(
    "policy",
    "Policy",
    "What the policy in force does to requests.",
    (Filter("route", "route", "gateway_requests_total"),),
    (FILE, ROUTES),
)
