"""What vLLM counts of finished requests, by its own names; times and tokens are the llama.cpp server's."""

from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from gateway.demo.standins.llama import Piece

LABELS = ("engine", "model_name")
FIRST = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)
BETWEEN = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5, 5)
WHOLE = (0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480)


class Tally:
    """Counts the requests of one engine."""

    def __init__(self, model: str) -> None:
        self._registry = CollectorRegistry()
        self._first = self._histogram("time_to_first_token_seconds", FIRST).labels("0", model)
        self._between = self._histogram("inter_token_latency_seconds", BETWEEN).labels("0", model)
        self._whole = self._histogram("e2e_request_latency_seconds", WHOLE).labels("0", model)
        self._queued = self._histogram("request_queue_time_seconds", WHOLE).labels("0", model)
        self._asked = self._counter("prefix_cache_queries").labels("0", model)
        self._hits = self._counter("prefix_cache_hits").labels("0", model)
        self._preempted = self._counter("num_preemptions").labels("0", model)  # never: the toy has room for all
        self._success = self._counter("request_success", "finished_reason")
        self._model = model

    def finished(self, last: Piece) -> None:
        """Count a request by its whole answer, or by the last piece of a stream."""
        usage: dict[str, Any] = last.usage or {}
        timings = last.timings
        prefill, decode = timings.get("prompt_ms", 0.0) / 1000, timings.get("predicted_ms", 0.0) / 1000
        self._first.observe(prefill)
        self._between.observe(timings.get("predicted_per_token_ms", 0.0) / 1000)
        self._whole.observe(prefill + decode)
        self._queued.observe(0.0)
        self._asked.inc(usage.get("prompt_tokens", 0))
        self._hits.inc((usage.get("prompt_tokens_details") or {}).get("cached_tokens", 0))
        self._success.labels("0", self._model, last.finish or "stop").inc()

    def text(self) -> str:
        """The samples."""
        return generate_latest(self._registry).decode()

    def _counter(self, name: str, *more: str) -> Counter:
        return Counter(f"vllm:{name}", name, (*LABELS, *more), registry=self._registry)

    def _histogram(self, name: str, edges: tuple[float, ...]) -> Histogram:
        return Histogram(f"vllm:{name}", name, LABELS, registry=self._registry, buckets=edges)
