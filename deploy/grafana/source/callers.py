"""Callers: who asks how much, what it costs, and whose limits are used up."""

from deploy.grafana.source.board import Board, Chart, Filter, Query, Row
from deploy.grafana.source.promql import hourly, rate

CALLER = 'caller=~"$caller"'

USE = Row(
    "Use",
    (
        Chart(
            "Requests by caller",
            "Requests a second. A sudden rise is often a loop in somebody's code: `limits: {rpm}` bounds a caller.",
            "reqps",
            (Query(rate("gateway_caller_requests_total", CALLER, "caller"), "{{caller}}"),),
            "stack",
        ),
        Chart(
            "Tokens by caller",
            "Tokens a second, prompts and answers; answers from the cache are not counted again.",
            "short",
            (
                Query(
                    rate("gateway_caller_tokens_total", CALLER, "caller, gen_ai_token_type"),
                    "{{caller}} {{gen_ai_token_type}}",
                ),
            ),
            "stack",
        ),
        Chart(
            "Cost an hour by caller",
            "US dollars an hour at list prices, at the pace of now.",
            "currencyUSD",
            (Query(hourly("gateway_caller_cost_usd_total", CALLER, "caller"), "{{caller}}"),),
            "stack",
        ),
        Chart(
            "Requests by outcome",
            "How each caller's requests ended. `rejected`: their mistakes or their limits; `client_cancelled`: they "
            "did not wait, their own timeout may be too short.",
            "reqps",
            (Query(rate("gateway_caller_requests_total", CALLER, "caller, outcome"), "{{caller}} {{outcome}}"),),
            "stack",
        ),
    ),
)

LIMITS = Row(
    "Limits and budgets",
    (
        Chart(
            "Refused by a limit",
            "Answered with 429. `team_...` is a limit of all callers of a team together. Often: raise the limit, or "
            "ask the caller to heed `retry-after`.",
            "reqps",
            (Query(rate("gateway_limit_rejections_total", CALLER, "caller, limit"), "{{caller}} {{limit}}"),),
            "stack",
        ),
        Chart(
            "Budget left",
            "US dollars left today or this month (UTC). At nothing, requests are refused until the day or month ends.",
            "currencyUSD",
            (
                Query(
                    f"min by (caller, limit) (gateway_budget_remaining_usd{{{CALLER}}})",
                    "{{caller}} {{limit}}",
                ),
            ),
        ),
        Chart(
            "Budget spent",
            "Share of each budget. An alert comes at 80 %.",
            "percentunit",
            (
                Query(
                    f"1 - min by (caller, limit) (gateway_budget_remaining_usd{{{CALLER}}} / gateway_budget_usd)",
                    "{{caller}} {{limit}}",
                ),
            ),
            "bars",
            (0.8, 0.95),
        ),
    ),
)

BOARD = Board(
    "callers",
    "Callers",
    "Who asks how much, what it costs, and whose limits are used up.",
    (Filter("caller", "caller", "gateway_caller_requests_total"),),
    (USE, LIMITS),
)
