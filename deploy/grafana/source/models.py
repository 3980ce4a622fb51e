"""Models and cost: which model answered what was asked, how fast, and for how much."""

from deploy.grafana.source.board import Board, Chart, Filter, Query, Row
from deploy.grafana.source.overview import DURATION, PER_TOKEN, TTFT
from deploy.grafana.source.promql import hourly, quantile, rate

MODEL = 'model=~"$model"'
ROUTED = 'gen_ai_request_model=~"$model"'

USE = Row(
    "Use",
    (
        Chart(
            "What was asked for",
            "Answered requests by the `model` that callers wrote; `other` is a name the policy does not know.",
            "reqps",
            (Query(rate(f"{DURATION}_count", ROUTED, "gen_ai_original_model"), "{{gen_ai_original_model}}"),),
            "stack",
        ),
        Chart(
            "Who answered",
            "By canonical model and the upstream's own name for it. Not what you expect: `llama-gateway explain`.",
            "reqps",
            (
                Query(
                    rate(f"{DURATION}_count", ROUTED, "gen_ai_request_model, gen_ai_response_model"),
                    "{{gen_ai_request_model}} as {{gen_ai_response_model}}",
                ),
            ),
            "stack",
        ),
        Chart(
            "Tokens by model",
            "Tokens a second, prompts and answers together.",
            "short",
            (Query(rate("gen_ai_client_token_usage_sum", ROUTED, "gen_ai_request_model"), "{{gen_ai_request_model}}"),),
            "stack",
        ),
        Chart(
            "Prompt, tokens",
            "The mean and the longest twentieth. Growing: a route with `match: {input_tokens: ...}` may take the "
            "long ones.",
            "short",
            (
                Query(quantile(0.5, "gen_ai_client_token_usage", f'{ROUTED}, gen_ai_token_type="input"'), "p50"),
                Query(quantile(0.95, "gen_ai_client_token_usage", f'{ROUTED}, gen_ai_token_type="input"'), "p95"),
            ),
        ),
        Chart(
            "Answer, tokens",
            "Long answers cost most of the time and of the money; `max_tokens` bounds them.",
            "short",
            (
                Query(quantile(0.5, "gen_ai_client_token_usage", f'{ROUTED}, gen_ai_token_type="output"'), "p50"),
                Query(quantile(0.95, "gen_ai_client_token_usage", f'{ROUTED}, gen_ai_token_type="output"'), "p95"),
            ),
        ),
        Chart(
            "Answers from the cache",
            "By what the cache had: `bypass` is a route without one. Few hits: callers send `temperature` above 0, "
            "or no two prompts are the same.",
            "reqps",
            (Query(rate("gateway_cache_requests_total", by="result"), "{{result}}"),),
            "stack",
        ),
    ),
)
SPEED = Row(
    "Speed by model",
    (
        Chart(
            "Time to the first token, p95",
            "Streams only. One model alone is slow: its backends are full or far; Backends says which.",
            "s",
            (Query(quantile(0.95, TTFT, ROUTED, "gen_ai_request_model"), "{{gen_ai_request_model}}"),),
        ),
        Chart(
            "Time per further token, p50",
            "Streams only. Compare a model with itself elsewhere by the provider's name.",
            "s",
            (
                Query(
                    quantile(0.5, PER_TOKEN, ROUTED, "gen_ai_request_model, gen_ai_provider_name"),
                    "{{gen_ai_request_model}} {{gen_ai_provider_name}}",
                ),
            ),
        ),
        Chart(
            "Time to the last token, p95",
            "Whole requests. A larger model takes longer for as many tokens; `size` and `optimize` weigh that.",
            "s",
            (Query(quantile(0.95, DURATION, ROUTED, "gen_ai_request_model"), "{{gen_ai_request_model}}"),),
        ),
    ),
)
MONEY = Row(
    "Money",
    (
        Chart(
            "Cost an hour by model",
            "US dollars an hour at list prices, at the pace of now.",
            "currencyUSD",
            (Query(hourly("gateway_cost_usd_total", MODEL, "model"), "{{model}}"),),
            "stack",
        ),
        Chart(
            "Cost of a million tokens",
            "What was really paid, own hardware at nothing. Above your provider's list price: failed attempts are "
            "paid too.",
            "currencyUSD",
            (Query(f"{rate('gateway_cost_usd_total')} / {rate('gen_ai_client_token_usage_sum')} * 1e6"),),
        ),
        Chart(
            "Saved an hour by cause",
            "`cache`: answered again for nothing. `own_hardware`: instead of the cheapest hosted candidate. `size`: "
            "instead of the largest model that the route allows.",
            "currencyUSD",
            (Query(hourly("gateway_saved_usd_total", by="reason"), "{{reason}}"),),
            "stack",
        ),
        Chart(
            "Bursting",
            "1 while a route's burst rule calls hosted deployments because own hardware is too slow. Often: buy "
            "hardware, or raise `burst.when.ttft`.",
            "short",
            (Query("max by (route) (gateway_burst_active)", "{{route}}"),),
        ),
        Chart(
            "Cost of bursts an hour",
            "US dollars an hour; `burst.max_usd_per_hour` ends it.",
            "currencyUSD",
            (Query(hourly("gateway_burst_usd_total", by="route"), "{{route}}"),),
            "stack",
        ),
        Chart(
            "Cost of shadows an hour",
            "US dollars an hour for requests that are mirrored and whose answers nobody gets.",
            "currencyUSD",
            (Query(hourly("gateway_shadow_cost_usd_total", by="route, model"), "{{route}} {{model}}"),),
            "stack",
        ),
    ),
)
SHADOWS = Row(
    "Shadows: what another model would have done",
    (
        Chart(
            "Mirrored requests",
            "By outcome. `dropped`: more than eight at once; `budget`: the hour's money is spent.",
            "reqps",
            (Query(rate("gateway_shadow_requests_total", by="outcome"), "{{outcome}}"),),
            "stack",
        ),
        Chart(
            "The shadow by the answer, median",
            "1 is alike. `length`: longer answers; `ttft`, `seconds`: slower; `cost`: dearer.",
            "short",
            (Query(quantile(0.5, "gateway_shadow_difference", by="quantity"), "{{quantity}}"),),
        ),
        Chart(
            "Flaws",
            "JSON or tool calls that were asked for and came out wrong, by side. More on the shadow's: do not switch.",
            "ops",
            (Query(rate("gateway_shadow_flaws_total", by="side"), "{{side}}"),),
        ),
    ),
)

BOARD = Board(
    "models",
    "Models and cost",
    "Which model answered what was asked, how fast, and for how much.",
    (Filter("model", "model", "gateway_backend_up"),),
    (USE, SPEED, MONEY, SHADOWS),
)
