"""The real llama.cpp server behind every stand-in: OpenAI bodies in, parsed pieces of an answer out."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from gateway.demo.standins.wire import Json

Pieces = AsyncGenerator["Piece", None]

LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)  # llama.cpp drops idle connections unasked
TIMEOUT = httpx.Timeout(120, connect=10)


class LlamaError(Exception):
    """llama.cpp refused a request or failed half-way through an answer."""

    def __init__(self, status: int, error: Json) -> None:
        super().__init__(str(error.get("message", "llama.cpp failed")))
        self.status = status
        self.kind = str(error.get("type", ""))
        self.prompt_tokens = int(error.get("n_prompt_tokens", 0))
        self.context = int(error.get("n_ctx", 0))

    @property
    def too_long(self) -> bool:
        """Whether the prompt did not fit."""
        return self.kind == "exceed_context_size_error"


@dataclass(frozen=True, slots=True)
class Piece:
    """A whole answer or one chunk of it; usage and timings come with the last one only."""

    body: Json
    usage: Json | None = None
    timings: Json = field(default_factory=dict)

    @property
    def finish(self) -> str | None:
        """Why generation ended, on the chunk that says so."""
        choices = self.body.get("choices") or [{}]
        reason: str | None = choices[0].get("finish_reason")
        return reason


class Llama:
    """A llama.cpp server at a base URL, usable while its context is open."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=url.rstrip("/"), limits=LIMITS, timeout=TIMEOUT, trust_env=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def post(self, path: str, body: Json) -> Json:
        """The JSON answer of any llama.cpp path, or LlamaError."""
        response = await self._client.post(path, json=body)
        _raise_for(response.status_code, response.content)
        answer: Json = response.json()
        return answer

    async def metrics(self) -> dict[str, float]:
        """llama.cpp's own gauges and counters, by name without its prefix."""
        text = (await self._client.get("/metrics")).text
        samples = (row.split() for row in text.splitlines() if row.startswith("llamacpp:"))
        return {name.removeprefix("llamacpp:"): float(value) for name, value in samples}

    async def complete(self, body: Json) -> Piece:
        """The whole answer to an OpenAI chat body."""
        answer = await self.post("/v1/chat/completions", {**_understood(body), "stream": False})
        return Piece(answer, answer.pop("usage", None), answer.pop("timings", {}))

    async def stream(self, body: Json) -> Pieces:
        """The chunks of an answer; refusals are raised before the first, usage comes with the last."""
        asked = {**_understood(body), "stream": True, "stream_options": {"include_usage": True}}
        request = self._client.build_request("POST", "/v1/chat/completions", json=asked)
        response = await self._client.send(request, stream=True)
        if response.status_code >= 400:
            _raise_for(response.status_code, await response.aread())
        return _with_usage(_chunks(response))


def _raise_for(status: int, content: bytes) -> None:
    if status >= 400:
        error = json.loads(content).get("error", {})
        raise LlamaError(status, error)


async def _chunks(response: httpx.Response) -> AsyncGenerator[Json, None]:
    try:
        async for text in response.aiter_lines():
            if not text.startswith("data: ") or text == "data: [DONE]":
                continue
            chunk = json.loads(text[len("data: ") :])
            if "error" in chunk:
                raise LlamaError(500, chunk["error"])
            yield chunk
    finally:
        await response.aclose()


async def _with_usage(chunks: AsyncGenerator[Json, None]) -> Pieces:
    """Hold the finishing chunk back until its usage, which llama.cpp sends after it, can go along."""
    last: Json | None = None
    async with aclosing(chunks):
        async for chunk in chunks:
            usage, timings = chunk.pop("usage", None), chunk.pop("timings", {})
            if usage is not None and last is not None:
                yield Piece(last, usage, timings)
                last = None
            elif chunk["choices"][0]["finish_reason"] is not None:
                last = chunk
            else:
                yield Piece(_with_text(chunk))
    if last is not None:
        yield Piece(last)


def _with_text(chunk: Json) -> Json:
    """The same chunk; llama.cpp's first one has a null content where the providers have an empty one."""
    delta = chunk["choices"][0]["delta"]
    if "content" in delta and delta["content"] is None:
        delta["content"] = ""
    return chunk


def _understood(body: Json) -> Json:
    """The same request in the words llama.cpp knows."""
    asked = dict(body)
    if "max_completion_tokens" in asked:
        asked.setdefault("max_tokens", asked.pop("max_completion_tokens"))
    choice = asked.get("tool_choice")
    if isinstance(choice, dict):  # llama.cpp knows no named tool: offer that one only, and require it
        name = choice["function"]["name"]
        asked["tools"] = [tool for tool in asked.get("tools", []) if tool["function"]["name"] == name]
        asked["tool_choice"] = "required"
    return asked


def tool_calls(deltas: list[Json]) -> list[Json]:
    """The whole tool calls that a stream's delta messages add up to."""
    calls: dict[int, Json] = {}
    for delta in deltas:
        for part in delta.get("tool_calls") or []:
            call = calls.setdefault(
                part["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
            )
            call["id"] = part.get("id") or call["id"]
            call["function"]["name"] += part["function"].get("name") or ""
            call["function"]["arguments"] += part["function"].get("arguments") or ""
    return [calls[index] for index in sorted(calls)]
