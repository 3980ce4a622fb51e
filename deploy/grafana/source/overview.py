"""Overview: is it well, how fast, what does it cost."""

from deploy.grafana.source.board import Board, Chart, Filter, Query, Row
from deploy.grafana.source.promql import hourly, quantile, rate, success

ROUTE = 'route=~"$route"'
TTFT, DURATION, PER_TOKEN = (
    "gen_ai_server_time_to_first_token_seconds",
    "gen_ai_server_request_duration_seconds",
    "gen_ai_server_time_per_output_token_seconds",
)

NOW = Row(
    "Now",
    (
        Chart(
            "Requests",
            "Requests a second that have ended. None at all: look whether callers reach the port, then at the log.",
            "reqps",
            (Query(rate("gateway_requests_total", ROUTE)),),
            "number",
        ),
        Chart(
            "Answered well",
            "Share of requests that got a whole answer, without those that were the caller's own fault. Below 99 %: "
            "see the errors by fault below, then the dashboard Backends.",
            "percentunit",
            (Query(success(ROUTE)),),
            "number",
            (0.99, 0.999),
            low=True,
        ),
        Chart(
            "First token, p95",
            "One stream in twenty waits longer than this for its first token. Too long: own hardware is full (Own "
            "hardware), or a hosted backend is slow (Backends); `burst` and `optimize` decide who is asked instead.",
            "s",
            (Query(quantile(0.95, TTFT)),),
            "number",
            (1, 2.5),
        ),
        Chart(
            "Cost an hour",
            "US dollars an hour at the pace of now, at list prices; own hardware counts as paid.",
            "currencyUSD",
            (Query(hourly("gateway_cost_usd_total", ROUTE)),),
            "number",
        ),
        Chart(
            "Saved an hour",
            "US dollars an hour that the cache, own hardware and smaller models have saved. See Models and cost.",
            "currencyUSD",
            (Query(hourly("gateway_saved_usd_total")),),
            "number",
        ),
        Chart(
            "Deployments out",
            "Deployments that are ejected or resting. Others answer meanwhile; Backends says who and why.",
            "short",
            (Query("count(gateway_backend_up) - sum(gateway_backend_up)"),),
            "number",
            (1, 3),
        ),
    ),
)
TRAFFIC = Row(
    "Traffic",
    (
        Chart(
            "Requests by outcome",
            "How requests ended. `partial` is an answer that broke off, `shed` one that nobody had room for, "
            "`rejected` the caller's mistake or limit.",
            "reqps",
            (Query(rate("gateway_requests_total", ROUTE, "outcome"), "{{outcome}}"),),
            "stack",
        ),
        Chart(
            "Requests by route",
            "Which rule of the policy took them. An empty name: refused before a route was found.",
            "reqps",
            (Query(rate("gateway_requests_total", ROUTE, "route"), "{{route}}"),),
            "stack",
        ),
        Chart(
            "Errors by whose fault",
            "`caller_*` is for the app's developer, `policy_*` for whoever edits the policy, `upstream_*` for the "
            "backend's owner (all attempts failed), `gateway_*` for us: its log has the reason.",
            "reqps",
            (Query(rate("gateway_errors_total", ROUTE, "error_type"), "{{error_type}}"),),
            "stack",
        ),
    ),
)
LATENCY = Row(
    "Latency",
    (
        Chart(
            "Time to the first token",
            "Streams only, from the request's first byte. The dashed line is the objective of the alerts.",
            "s",
            tuple(Query(quantile(share, TTFT), f"p{share * 100:.0f}") for share in (0.5, 0.95, 0.99)),
            limits=(2.5, 10),
        ),
        Chart(
            "Time per further token",
            "Streams only: the pace of reading. 0.05 s are twenty tokens a second.",
            "s",
            tuple(Query(quantile(share, PER_TOKEN), f"p{share * 100:.0f}") for share in (0.5, 0.95)),
        ),
        Chart(
            "Time to the last token",
            "Whole requests, streamed or not; long answers take long.",
            "s",
            tuple(Query(quantile(share, DURATION), f"p{share * 100:.0f}") for share in (0.5, 0.95)),
        ),
        Chart(
            "The gateway's own time, p99",
            "`request`: until an upstream was asked; `response`: from its first content to the caller. More than "
            "some milliseconds: the machine is out of CPU; start another gateway.",
            "s",
            (Query(quantile(0.99, "gateway_overhead_seconds", by="phase"), "{{phase}}"),),
            limits=(0.01, 0.1),
        ),
        Chart(
            "In flight",
            "Requests that backends are working on now.",
            "short",
            (Query("sum by (backend) (gateway_inflight_requests)", "{{backend}}"),),
            "stack",
        ),
        Chart(
            "Moves to the next deployment",
            "By what went wrong with the one before. Callers notice nothing of it but time; many of one reason are "
            "worth a look at Backends.",
            "ops",
            (Query(rate("gateway_fallbacks_total", by="reason"), "{{reason}}"),),
            "stack",
        ),
    ),
)
PRESSURE = Row(
    "Pressure",
    (
        Chart(
            "Waiting",
            "Requests that wait for a place at a backend, by class. Above 0 for long: own hardware is full; let the "
            "route `burst`, or raise `limits.concurrency` if the servers can bear it.",
            "short",
            (Query("sum by (class) (gateway_queue_depth)", "{{class}}"),),
            "stack",
        ),
        Chart(
            "Refused for want of room",
            "By class, the least important first. Give what can wait the class `batch`.",
            "reqps",
            (Query(rate("gateway_shed_total", by="class"), "{{class}}"),),
            "stack",
        ),
        Chart(
            "Tokens that nobody got",
            "`disconnect`: the caller left; `retry`, `splice`: the answer was begun again; `hedge`: the other one "
            "was faster; `escalation`: a larger model did better. They are paid for all the same.",
            "short",
            (Query(rate("gateway_wasted_tokens_total", by="reason"), "{{reason}}"),),
            "stack",
        ),
    ),
)
STORES = Row(
    "Stores",
    (
        Chart(
            "Store up",
            "`state` is the SQLite file, the other one what several gateways share. Red: the log says why; limits "
            "are kept by each gateway alone meanwhile, and budgets refuse rather than overspend.",
            "short",
            (Query("min by (store) (gateway_store_up)", "{{store}}"),),
            "states",
            names=("away", "up"),
        ),
        Chart(
            "Done without the store",
            "What each use did while the store was away: a cache misses, a limit counts for this gateway alone.",
            "ops",
            (Query(rate("gateway_store_fallback_total", by="store, use"), "{{store}} {{use}}"),),
        ),
    ),
)
MONEY = Row(
    "Tokens and money",
    (
        Chart(
            "Tokens",
            "Tokens a second as the upstreams counted them.",
            "short",
            (Query(rate("gen_ai_client_token_usage_sum", by="gen_ai_token_type"), "{{gen_ai_token_type}}"),),
            "stack",
        ),
        Chart(
            "Cost an hour by route",
            "US dollars an hour at the pace of now.",
            "currencyUSD",
            (Query(hourly("gateway_cost_usd_total", ROUTE, "route"), "{{route}}"),),
            "stack",
        ),
        Chart(
            "Saved an hour by cause",
            "`cache`: answered again for nothing. `own_hardware`: instead of the cheapest hosted candidate. `size`: "
            "instead of the largest model that the route allows.",
            "currencyUSD",
            (Query(hourly("gateway_saved_usd_total", by="reason"), "{{reason}}"),),
            "stack",
        ),
    ),
)

BOARD = Board(
    "overview",
    "Overview",
    "Is the gateway well, how fast is it, what does it cost.",
    (Filter("route", "route", "gateway_requests_total"),),
    (NOW, TRAFFIC, LATENCY, PRESSURE, MONEY, STORES),
)
