"""Backends: who is well, who is slow, who fails and why."""

from deploy.grafana.source.board import Board, Chart, Filter, Query, Row
from deploy.grafana.source.promql import rate

ONE = 'backend=~"$backend"'
BOTH = f'{ONE}, model=~"$model"'
FAULTS = 'error_type=~"(upstream|gateway)_.*"'
TRIED = rate("gateway_attempts_total", BOTH, "backend")
FAILED = rate("gateway_attempts_total", f'{BOTH}, outcome!~"success|client_cancelled"', "backend")

HEALTH = Row(
    "Health",
    (
        Chart(
            "Up",
            "Red while a deployment is ejected (its breaker is open) or resting (it asked for patience, refused our "
            "key, or no longer serves the model). GET /admin/backends says which, and until when.",
            "short",
            (Query(f"min by (backend, model) (gateway_backend_up{{{BOTH}}})", "{{backend}} {{model}}"),),
            "states",
            names=("out", "up"),
        ),
        Chart(
            "Breaker",
            "Open after five failures in a row or half of ten; then single requests try it. Stays open: the backend "
            "is down or unreachable from here; `llama-gateway doctor` asks it.",
            "short",
            (Query(f"max by (backend, model) (gateway_breaker_state{{{BOTH}}})", "{{backend}} {{model}}"),),
            "states",
            names=("closed", "half-open", "open"),
        ),
        Chart(
            "Attempts by backend",
            "Requests sent to each backend, a second; failed ones and repetitions count too.",
            "reqps",
            (Query(rate("gateway_attempts_total", BOTH, "backend"), "{{backend}}"),),
            "stack",
        ),
        Chart(
            "Share of failed attempts",
            "Of what was sent to a backend, without callers who left. Above 5 %: see the reasons beside this, then "
            "the backend's own log.",
            "percentunit",
            (Query(f"({FAILED} or 0 * {TRIED}) / {TRIED}", "{{backend}}"),),
            limits=(0.05, 0.2),
        ),
        Chart(
            "Failed attempts by reason",
            "`upstream_credentials`: replace its `api_key`. `upstream_quota_exhausted`: top up the account. "
            "`upstream_model_gone`: correct the model's `id`. `upstream_rate_limited`, `upstream_overloaded`: lower "
            "its `limits.concurrency`, or give the route another candidate. Timeouts: raise `timeouts`, or add "
            "hardware.",
            "ops",
            (
                Query(
                    rate(
                        "gateway_attempts_total", f'{BOTH}, error_type=~"(upstream|gateway)_.*"', "backend, error_type"
                    ),
                    "{{backend}} {{error_type}}",
                ),
            ),
            "stack",
        ),
    ),
)
LOAD = Row(
    "Load and speed",
    (
        Chart(
            "In flight",
            "Requests that a backend is working on now. Flat at its `limits.concurrency`: it is full.",
            "short",
            (Query(f"sum by (backend) (gateway_inflight_requests{{{ONE}}})", "{{backend}}"),),
        ),
        Chart(
            "Expected time to the first token",
            "What the planner counts with: learnt from answers. It drifts back towards the best of its model when "
            "nothing is measured.",
            "s",
            (Query(f"max by (backend, model) (gateway_predicted_ttft_seconds{{{BOTH}}})", "{{backend}} {{model}}"),),
        ),
        Chart(
            "Waiting",
            "Requests that wait for a place at the backend. It is full: see In flight.",
            "short",
            (Query(f"sum by (backend) (gateway_queue_depth{{{ONE}}})", "{{backend}}"),),
        ),
        Chart(
            "Tokens that nobody got",
            "Answers that were broken off, beaten or begun again, by reason. They are paid for all the same.",
            "short",
            (Query(rate("gateway_wasted_tokens_total", ONE, "backend, reason"), "{{backend}} {{reason}}"),),
            "stack",
        ),
        Chart(
            "Moves away from a deployment",
            "From whom to whom requests have moved after a failure.",
            "ops",
            (Query(rate("gateway_fallbacks_total", 'from=~"($backend)/.*"', "from, to"), "{{from}} to {{to}}"),),
            "stack",
        ),
    ),
)
MONEY = Row(
    "Money and dates",
    (
        Chart(
            "Cost an hour",
            "US dollars an hour at list prices, at the pace of now.",
            "currencyUSD",
            (Query(f"{rate('gateway_cost_usd_total', BOTH, 'backend')} * 3600", "{{backend}}"),),
            "stack",
        ),
        Chart(
            "Answers without usage",
            "Their tokens are estimated, and so is their cost. A server that never tells: switch usage on there "
            "(`stream_options.include_usage` is always asked for).",
            "ops",
            (Query(rate("gateway_usage_missing_total", ONE, "backend"), "{{backend}}"),),
        ),
        Chart(
            "Days until a model is switched off",
            "By the catalogue, or `retires` in the policy. Name a `successor` in time: it takes over step by step.",
            "d",
            (
                Query(
                    f"min by (backend, model) ((gateway_model_retires_timestamp_seconds{{{BOTH}}} - time()) / 86400)",
                    "{{backend}} {{model}}",
                ),
            ),
            "bars",
            (14, 60),
            low=True,
        ),
    ),
)

BOARD = Board(
    "backends",
    "Backends",
    "Each server and account: health, failures and their reasons, load, expected speed.",
    (Filter("backend", "backend", "gateway_backend_up"), Filter("model", "model", "gateway_backend_up")),
    (HEALTH, LOAD, MONEY),
)
