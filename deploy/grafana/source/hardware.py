"""Own hardware: what vLLM, Ollama and llama.cpp say of themselves, beside what the gateway sees of them."""

from deploy.grafana.source.board import Board, Chart, Filter, Query, Row
from deploy.grafana.source.overview import PER_TOKEN, TTFT
from deploy.grafana.source.promql import quantile, rate

SERVER = 'instance=~"$instance"'
OLLAMA = 'gen_ai_provider_name="ollama"'


def vllm(metric: str, by: str = "instance, model_name") -> str:
    """A gauge of vLLM's, each engine added."""
    return f"sum by ({by}) (vllm:{metric}{{{SERVER}}})"


HITS = rate("vllm:prefix_cache_hits_total", SERVER, "instance")
QUERIES = rate("vllm:prefix_cache_queries_total", SERVER, "instance")
NAMED = "{{instance}} {{model_name}}"
VLLM = Row(
    "vLLM",
    (
        Chart(
            "Running",
            "Requests in a batch now.",
            "short",
            (Query(vllm("num_requests_running"), NAMED),),
        ),
        Chart(
            "Waiting",
            "Requests that the server has accepted and not begun. Above 0 for long: it is full; add a replica, or "
            "let the route `burst`.",
            "short",
            (Query(vllm("num_requests_waiting"), NAMED),),
            limits=(1, 10),
        ),
        Chart(
            "KV cache in use",
            "Near 1, running requests are thrown out and begun again: shorten contexts, or give it more memory "
            "(`--gpu-memory-utilization`, `--kv-cache-dtype fp8`).",
            "percentunit",
            (Query(f"max by (instance, model_name) (vllm:kv_cache_usage_perc{{{SERVER}}})", NAMED),),
            limits=(0.8, 0.95),
        ),
        Chart(
            "Tokens",
            "Tokens a second that the server has read and written.",
            "short",
            (
                Query(rate("vllm:prompt_tokens_total", SERVER, "instance"), "{{instance}} prompt"),
                Query(rate("vllm:generation_tokens_total", SERVER, "instance"), "{{instance}} answer"),
            ),
            "stack",
        ),
        Chart(
            "Time to the first token",
            "As the server measures it, its own queue included. Much less than the gateway's: look at the network.",
            "s",
            (
                Query(quantile(0.5, "vllm:time_to_first_token_seconds", SERVER, "instance"), "{{instance}} p50"),
                Query(quantile(0.95, "vllm:time_to_first_token_seconds", SERVER, "instance"), "{{instance}} p95"),
            ),
        ),
        Chart(
            "Time between tokens, p95",
            "Grows with the batch. Too slow to read along: fewer at a time (`--max-num-seqs`), or another replica.",
            "s",
            (Query(quantile(0.95, "vllm:inter_token_latency_seconds", SERVER, "instance"), "{{instance}}"),),
        ),
        Chart(
            "Prompts found in the prefix cache",
            "Share of prompt tokens that were not computed again. Low with long common prompts: start vLLM with "
            "`--enable-prefix-caching`, and let one conversation stay at one server.",
            "percentunit",
            (Query(f"{HITS} / {QUERIES}", "{{instance}}"),),
        ),
        Chart(
            "Finished requests",
            "By the reason for which they ended. `abort`: the gateway or its caller hung up.",
            "reqps",
            (
                Query(
                    rate("vllm:request_success_total", SERVER, "instance, finished_reason"),
                    "{{instance}} {{finished_reason}}",
                ),
            ),
            "stack",
        ),
        Chart(
            "Thrown out and begun again",
            "Preemptions a second: the KV cache is too small for what runs. Shorten contexts, lower `--max-num-seqs`.",
            "ops",
            (Query(rate("vllm:num_preemptions_total", SERVER, "instance"), "{{instance}}"),),
        ),
        Chart(
            "In flight by the gateway",
            "What the gateway has at these servers now. Less than the server runs: somebody else uses it too.",
            "short",
            (Query("sum by (backend) (gateway_inflight_requests)", "{{backend}}"),),
        ),
        Chart(
            "Expected time to the first token",
            "What the planner counts with.",
            "s",
            (Query("max by (backend, model) (gateway_predicted_ttft_seconds)", "{{backend}} {{model}}"),),
        ),
    ),
)
OLLAMAS = Row(
    "Ollama",
    (
        Chart(
            "Answers",
            "By the model's name at the server. Many models at one Ollama: each change loads one anew.",
            "reqps",
            (
                Query(
                    rate("gen_ai_server_request_duration_seconds_count", OLLAMA, "gen_ai_response_model"),
                    "{{gen_ai_response_model}}",
                ),
            ),
            "stack",
        ),
        Chart(
            "Time to the first token",
            "Seconds at a time are cold loads: `OLLAMA_KEEP_ALIVE=-1` keeps a model in memory.",
            "s",
            (Query(quantile(0.5, TTFT, OLLAMA), "p50"), Query(quantile(0.95, TTFT, OLLAMA), "p95")),
        ),
        Chart(
            "Time per further token",
            "Slower than usual: part of the model is on the CPU; `ollama ps` says how much.",
            "s",
            (Query(quantile(0.5, PER_TOKEN, OLLAMA), "p50"), Query(quantile(0.95, PER_TOKEN, OLLAMA), "p95")),
        ),
    ),
)
LLAMA_CPP = Row(
    "llama.cpp",
    (
        Chart(
            "At work",
            "Requests in slots, and those that wait for one. Waiting for long: start it with more `--parallel` slots.",
            "short",
            (
                Query(f"sum by (instance) (llamacpp:requests_processing{{{SERVER}}})", "{{instance}} processing"),
                Query(f"sum by (instance) (llamacpp:requests_deferred{{{SERVER}}})", "{{instance}} waiting"),
            ),
        ),
        Chart(
            "Tokens",
            "Tokens a second that the server has read and written.",
            "short",
            (
                Query(rate("llamacpp:prompt_tokens_total", SERVER, "instance"), "{{instance}} prompt"),
                Query(rate("llamacpp:tokens_predicted_total", SERVER, "instance"), "{{instance}} answer"),
            ),
            "stack",
        ),
        Chart(
            "Pace",
            "Tokens a second of one answer, as the server measures it.",
            "short",
            (Query(f"max by (instance) (llamacpp:predicted_tokens_seconds{{{SERVER}}})", "{{instance}}"),),
        ),
    ),
)

BOARD = Board(
    "hardware",
    "Own hardware",
    "What vLLM, Ollama and llama.cpp say of themselves, beside what the gateway sees of them. Prometheus must "
    "scrape the servers too: see deploy/prometheus/prometheus.yml.",
    (Filter("instance", "instance", "up"),),
    (VLLM, OLLAMAS, LLAMA_CPP),
)
