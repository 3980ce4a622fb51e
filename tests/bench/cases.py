"""The situations a target is put into, and the figures read off each."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

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


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of load."""

    name: str
    connections: int = 0  # 0: those asked for on the command line
    stream: bool = False
    cache: Literal["", "hit", "miss"] = ""  # what a look into the exact cache must find; nothing: none is asked for
    pace: str = ""  # what the upstream is told in the prompt: how long it thinks, and between the events of a stream
    chunks: int = 0  # events of a stream, where they are others than those asked for on the command line
    once: bool = False  # each connection asks once, at the same time as all others
    pad: int = 0  # bytes of prompt besides
    crowd: bool = False  # comes after the memory was read; what is lost is a figure, and no fault of the measurement


def body(model: str, case: Case, extra: Mapping[str, object] = MappingProxyType({})) -> bytes:
    """Return the request, about 0.9 KB; `extra` is what it says besides."""
    count = f"counter={0:08d} " if case.cache == "miss" else ""
    system = f"{SYSTEM}{count}{case.pace}" + (f"pace-chunks={case.chunks} " if case.chunks else "")
    question = QUESTION + " And then?" * (case.pad // 10)
    messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
    asked: dict[str, object] = {"model": model, "messages": messages, "max_tokens": 256, "temperature": 0, **extra}
    if case.stream:
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    return json.dumps(asked, separators=(",", ":")).encode()


SLOW = "pace-delay-us=50000 "
CASES = (
    Case("plain"),
    Case("plain_one", 1),
    Case("stream", stream=True),
    Case("stream_one", 1, stream=True),
    Case("stream_apart", stream=True, pace="pace-interval-us=2000 "),
    Case("cached", cache="hit"),
    Case("slow", 64, pace=SLOW),
    Case("missing", cache="miss", crowd=True),
    Case("slow_crowd", 1000, pace=SLOW, crowd=True),
    Case("stream_crowd", 1000, stream=True, pace="pace-interval-us=250000 ", chunks=20, once=True, crowd=True),
)


@dataclass(frozen=True, slots=True)
class Sample:
    """What one case gave: the load's view, and of the target's processes (none for `direct`) CPU seconds and memory."""

    load: LoadResult
    cpu: float | None
    chunks: int  # events of one stream
    peak_mb: float = 0.0  # resident

    @property
    def asked(self) -> int:
        """Return how many requests were begun."""
        return self.load.requests + self.load.errors

    @property
    def cpu_us(self) -> float | None:
        """Return CPU microseconds per request."""
        return None if self.cpu is None else self.cpu * 1e6 / self.asked

    @property
    def cpu_us_chunk(self) -> float | None:
        """Return CPU microseconds per event of a stream that arrived."""
        return None if self.cpu is None else self.cpu * 1e6 / max(1, self.load.events)

    @property
    def lost(self) -> float:
        """Return requests without an answer, and answers' worth of events that did not come."""
        missing = max(0, self.load.requests * self.chunks - self.load.events) / self.chunks if self.load.events else 0
        return self.load.errors + missing


@dataclass(frozen=True, slots=True)
class Metric:
    """A figure of the table: its name in JSON, its title, and where it comes from."""

    name: str
    title: str
    case: str
    read: Callable[[Sample], float | None]


METRICS = (
    Metric("cpu_us", "CPU us per request", "plain", lambda s: s.cpu_us),
    Metric("rps", "requests per second, one core", "plain", lambda s: s.load.rps),
    Metric("p50_us_one", "latency p50, us, 1 connection", "plain_one", lambda s: s.load.p50_us),
    Metric("p99_us_one", "latency p99, us, 1 connection", "plain_one", lambda s: s.load.p99_us),
    Metric("p50_us_many", "latency p50, us, {many} connections", "plain", lambda s: s.load.p50_us),
    Metric("p99_us_many", "latency p99, us, {many} connections", "plain", lambda s: s.load.p99_us),
    Metric("cpu_us_chunk", "CPU us per streamed chunk, as fast as they come", "stream", lambda s: s.cpu_us_chunk),
    Metric(
        "cpu_us_chunk_apart", "CPU us per streamed chunk, each on its own", "stream_apart", lambda s: s.cpu_us_chunk
    ),
    Metric("chunks_per_second", "chunks per second, {many} streams", "stream", lambda s: s.load.rps * s.chunks),
    Metric("ttft_us_one", "time to first token, us, 1 stream", "stream_one", lambda s: s.load.ttfb_p50_us),
    Metric("cpu_us_slow", "CPU us per request, 50 ms upstream, 64 in flight", "slow", lambda s: s.cpu_us),
    Metric("p50_us_slow", "latency p50, us, 50 ms upstream, 64 in flight", "slow", lambda s: s.load.p50_us),
    Metric("p99_us_slow", "latency p99, us, 50 ms upstream, 64 in flight", "slow", lambda s: s.load.p99_us),
    Metric(
        "cpu_us_slow_crowd", "CPU us per request, 50 ms upstream, 1,000 in flight", "slow_crowd", lambda s: s.cpu_us
    ),
    Metric(
        "rps_slow_crowd", "requests per second, 50 ms upstream, 1,000 in flight", "slow_crowd", lambda s: s.load.rps
    ),
    Metric("lost_slow_crowd", "requests lost, 1,000 in flight", "slow_crowd", lambda s: s.lost),
    Metric("cpu_us_stream_crowd", "CPU us per chunk, 1,000 open streams", "stream_crowd", lambda s: s.cpu_us_chunk),
    Metric("mb_stream_crowd", "resident with 1,000 open streams, MB", "stream_crowd", lambda s: s.peak_mb or None),
    Metric("lost_stream_crowd", "streams lost or cut, of 1,000", "stream_crowd", lambda s: s.lost),
    Metric("cpu_us_miss", "CPU us per request that the cache does not have", "missing", lambda s: s.cpu_us),
    Metric("cpu_us_hit", "CPU us per cache hit", "cached", lambda s: s.cpu_us),
    Metric("hits_per_second", "cache hits per second", "cached", lambda s: s.load.rps),
)
ADDED = {
    "p50_us_one": "added latency p50, us, 1 connection",
    "p99_us_one": "added latency p99, us, 1 connection",
    "p50_us_many": "added latency p50, us, {many} connections",
    "p99_us_many": "added latency p99, us, {many} connections",
    "ttft_us_one": "added time to first token, us",
    "p50_us_slow": "added latency p50, us, 50 ms upstream, 64 in flight",
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
    if not seen.requests or (seen.errors and not case.crowd):
        return f"{seen.errors} of {sample.asked} requests failed"
    if case.stream and not case.crowd and seen.events < seen.requests * sample.chunks:
        return f"{seen.events / seen.requests:.1f} events a stream instead of {sample.chunks}"
    if case.cache == "hit" and reached_upstream:
        return f"{reached_upstream} of {seen.requests} requests missed the cache"
    if case.cache != "hit" and reached_upstream < seen.requests:
        return f"only {reached_upstream} of {seen.requests} requests reached the upstream"
    return None
