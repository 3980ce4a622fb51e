"""The situations a target is put into, and the figures read off each."""

import json
from collections.abc import Callable
from dataclasses import dataclass

from .tools import LoadResult

SYSTEM = (
    "You are the assistant of a team that runs its own language models. Answer in plain words, name your "
    "sources where you have any, and say so when you do not know. Never invent a figure: one that nobody "
    "measured is worse than none, and the people who read your answer will act on it. Keep to what was asked, "
    "give the reason before the conclusion, and end with the one thing you would check first. "
)
QUESTION = (
    "We serve an eight-billion-parameter model on two machines and pay a provider for whatever they cannot "
    "take. Last week the queue in front of both was never empty between nine and eleven, while the provider's "
    "bill hardly moved. Where would you look first, what would you measure, and in what order would you change "
    "the settings of the router, the servers and the limits of the callers?"
)


def body(model: str, stream: bool) -> bytes:
    """Return the request, about 0.9 KB."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    asked: dict[str, object] = {"model": model, "messages": messages, "max_tokens": 256, "temperature": 0}
    if stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(asked, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of load."""

    name: str
    many: bool  # the connections asked for on the command line; otherwise one
    stream: bool = False
    cached: bool = False  # every answer must come from the cache; otherwise none may


CASES = (
    Case("plain", many=True),
    Case("plain_one", many=False),
    Case("stream", many=True, stream=True),
    Case("stream_one", many=False, stream=True),
    Case("cached", many=True, cached=True),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one case gave: the load's view, and the CPU seconds of the target's processes (none for `direct`)."""

    load: LoadResult
    cpu: float | None
    chunks: int  # events of one stream

    @property
    def cpu_us(self) -> float | None:
        """Return CPU microseconds per request."""
        return None if self.cpu is None else self.cpu * 1e6 / (self.load.requests + self.load.errors)


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of the table: its name in JSON, its title, and where it comes from."""

    name: str
    title: str
    case: str
    read: Callable[[Sample], float | None]


def _cpu_per_chunk(sample: Sample) -> float | None:
    return None if sample.cpu_us is None else sample.cpu_us / sample.chunks


METRICS = (
    Metric("cpu_us", "CPU us per request", "plain", lambda s: s.cpu_us),
    Metric("rps", "requests per second, one core", "plain", lambda s: s.load.rps),
    Metric("p50_us_one", "latency p50, us, 1 connection", "plain_one", lambda s: s.load.p50_us),
    Metric("p99_us_one", "latency p99, us, 1 connection", "plain_one", lambda s: s.load.p99_us),
    Metric("p50_us_many", "latency p50, us, {many} connections", "plain", lambda s: s.load.p50_us),
    Metric("p99_us_many", "latency p99, us, {many} connections", "plain", lambda s: s.load.p99_us),
    Metric("cpu_us_chunk", "CPU us per streamed chunk", "stream", _cpu_per_chunk),
    Metric("chunks_per_second", "chunks per second, {many} streams", "stream", lambda s: s.load.rps * s.chunks),
    Metric("ttft_us_one", "time to first token, us, 1 stream", "stream_one", lambda s: s.load.ttfb_p50_us),
    Metric("cpu_us_hit", "CPU us per cache hit", "cached", lambda s: s.cpu_us),
    Metric("hits_per_second", "cache hits per second", "cached", lambda s: s.load.rps),
)
ADDED = {
    "p50_us_one": "added latency p50, us, 1 connection",
    "p99_us_one": "added latency p99, us, 1 connection",
    "p50_us_many": "added latency p50, us, {many} connections",
    "p99_us_many": "added latency p99, us, {many} connections",
    "ttft_us_one": "added time to first token, us",
}
PROCESS = {"memory_mb": "resident memory after load, MB", "start_s": "start to ready, s"}
TITLES = {
    **{metric.name: metric.title for metric in METRICS},
    **{f"added_{name}": title for name, title in ADDED.items()},
    **PROCESS,
}


def figures(case: Case, sample: Sample) -> dict[str, float]:
    """Return the metrics that this case gives."""
    values = {metric.name: metric.read(sample) for metric in METRICS if metric.case == case.name}
    return {name: value for name, value in values.items() if value is not None}


def complaint(case: Case, sample: Sample, reached_upstream: int) -> str | None:
    """Return why the figures of this case must not be believed, if there is a reason."""
    seen = sample.load
    if seen.errors or not seen.requests:
        return f"{seen.errors} of {seen.errors + seen.requests} requests failed"
    if case.stream and seen.events < seen.requests * sample.chunks:
        return f"{seen.events / seen.requests:.1f} events a stream instead of {sample.chunks}"
    if case.cached and reached_upstream:
        return f"{reached_upstream} of {seen.requests} requests missed the cache"
    if not case.cached and reached_upstream < seen.requests:
        return f"only {reached_upstream} of {seen.requests} requests reached the upstream"
    return None
