"""What each provider costs by itself, without sockets: a request to bytes, a stream's bytes to chunks."""

import gc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import process_time
from typing import Any

from gateway.providers.http import HttpProvider
from gateway.providers.registry import KINDS, provider_class
from gateway.types import Backend, ChatRequest, Deployment

from .cases import QUESTION, SYSTEM
from .stats import Round, cell, ratios, spreads
from .wires import CHUNKS, WIRES, Parts, stream

PLAIN = "openai_compatible"  # what the others are compared with
MODELS = {"bedrock": "meta.llama3-1-8b-instruct-v1:0", "replicate": "meta/meta-llama-3-8b-instruct"}
APART = {"litellm": "its SDK speaks to the upstream; there are no bytes of ours to measure"}
TOOLLESS = frozenset({"replicate"})  # asked without tools, for which its API has no words
REQUEST, CHUNK = "cpu_us_call", "cpu_us_decoded"
TITLES = {REQUEST: "CPU us per request", CHUNK: "CPU us per streamed chunk"}
OWN_WIRE = {"ollama": {CHUNK: 2.5}, "bedrock": {CHUNK: 2.5}}  # goals: times the plain one's figure
ALIKE = 1.10  # the goal of those that speak as the plain one does, per request and per chunk
BATCH_SECONDS = 0.02  # of work between two looks at the clock

TOOL = {
    "type": "function",
    "function": {
        "name": "queue_depth",
        "description": "The number of requests that wait in front of a server.",
        "parameters": {"type": "object", "properties": {"server": {"type": "string"}}, "required": ["server"]},
    },
}

Work = Callable[[], object]


class Nobody:
    """A transport that is never used."""

    async def send(self, call: object) -> Any:
        """Nobody answers."""
        raise NotImplementedError

    async def close(self) -> None:
        """Nothing is open."""


@dataclass(frozen=True, slots=True)
class Job:
    """Work that is done again and again, and how many pieces it has."""

    work: Work
    pieces: int = 1

    def cpu_us(self, times: int) -> float:
        """CPU microseconds per piece, over so many times, without the collector of garbage."""
        work = self.work
        gc.disable()
        try:
            begun = process_time()
            for _ in range(times):
                work()
            return (process_time() - begun) * 1e6 / (times * self.pieces)
        finally:
            gc.enable()

    def times(self, seconds: float = BATCH_SECONDS) -> int:
        """How often it can be done in so many seconds; warms up besides."""
        times = 1
        while (spent := self.cpu_us(times) * times * self.pieces / 1e6) < seconds / 4:
            times *= 2
        return max(1, round(times * seconds / spent))


def provider(kind: str) -> HttpProvider:
    """A provider that nobody answers."""
    made = provider_class(kind)(Backend("bench", kind, "http://127.0.0.1:9", api_key="bench-key"), Nobody())
    assert isinstance(made, HttpProvider)
    return made


def question(kind: str, stream: bool) -> ChatRequest:
    """A request of about 1 KB."""
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    tools = {} if kind in TOOLLESS or stream else {"tools": [TOOL]}
    body = {"model": "bench", "messages": messages, "max_tokens": 256, "temperature": 0, "stream": stream, **tools}
    return ChatRequest("bench-1", "bench", body, stream, prompt_tokens=250, max_tokens=256)


def deployment(kind: str) -> Deployment:
    """The deployment that is asked."""
    return Deployment("bench/llama", "bench", "llama", MODELS.get(kind, "bench-model"), kind, "hosted", context=8192)


def asking(kind: str) -> Job:
    """Making the HTTP request."""
    made, asked, where = provider(kind), question(kind, stream=False), deployment(kind)
    return Job(lambda: made.call(asked, where))


def decoded(made: HttpProvider, asked: ChatRequest, where: Deployment, parts: Parts) -> list[bytes]:
    """The canonical bytes of a stream that is read event by event."""
    decoder = made.decoder(asked, where)
    return [chunk.data for part in parts for chunk in decoder.feed(part)]


def decoding(kind: str) -> Job:
    """Reading one stream."""
    made, asked, where, parts = provider(kind), question(kind, stream=True), deployment(kind), stream(kind)
    return Job(lambda: decoded(made, asked, where, parts), CHUNKS)


def measured(
    rounds: int, say: Callable[[str], None] = lambda text: None, seconds: float = BATCH_SECONDS
) -> dict[str, Sequence[Round | None]]:
    """The figures of every kind, round by round, each round through all of them."""
    kinds = [PLAIN, *(kind for kind in KINDS if kind != PLAIN and kind not in APART)]
    jobs = {(kind, name): make(kind) for kind in kinds for name, make in ((REQUEST, asking), (CHUNK, decoding))}
    times = {key: job.times(seconds) for key, job in jobs.items()}
    found: dict[str, list[Round | None]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        say(f"adapters, round {number + 1} of {rounds}")
        for kind in kinds:
            found[kind].append({name: jobs[kind, name].cpu_us(times[kind, name]) for name in TITLES})
    return dict(found)


def goals(kind: str) -> Mapping[str, float]:
    """How many times the plain one's figure a kind may cost."""
    if kind in WIRES:
        return OWN_WIRE.get(kind, {})
    return {} if kind == PLAIN else {REQUEST: ALIKE, CHUNK: ALIKE}


def table(rounds: Mapping[str, Sequence[Round | None]]) -> str:
    """A Markdown table: a row a kind, its figures, their ratio to the plain one's in the same round, and the goal."""
    columns = [column for title in TITLES.values() for column in (title, f"times {PLAIN}", "goal")]
    rows = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    for kind, found in rounds.items():
        own, compared, wanted = spreads(one for one in found if one), ratios(found, rounds[PLAIN]), goals(kind)
        cells = [
            text
            for name in TITLES
            for text in (cell(own.get(name)), cell(compared.get(name)), f"{wanted[name]:g}" if name in wanted else "-")
        ]
        rows.append(f"| {kind} | {' | '.join(cells)} |")
    return "\n".join(rows)


def section(rounds: Mapping[str, Sequence[Round | None]]) -> list[str]:
    """The report's paragraphs about adapters; none where none were measured."""
    if not rounds:
        return []
    about = (
        "In process and without sockets: a request of 1 KB with a system prompt and tools to the bytes that are sent; "
        f"a stream of {CHUNKS} chunks in the kind's own wire format, one chunk a read, to canonical bytes. "
        f"Without tools: {', '.join(sorted(TOOLLESS))}. Not measured: "
        + "; ".join(f"{kind} ({reason})" for kind, reason in APART.items())
    )
    return ["## Adapters", f"{about}.", table(rounds)]
