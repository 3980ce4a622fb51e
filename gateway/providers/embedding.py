"""Vectors of texts, as OpenAI's API and Ollama's give them."""

from collections.abc import Sequence
from typing import Any

import orjson

from gateway.errors import UpstreamError
from gateway.providers.http import ANSWER_LIMIT, HttpProvider, beginning, not_promised
from gateway.providers.port import HttpCall
from gateway.types import Deployment


async def embedded(provider: HttpProvider, call: HttpCall, deployment: Deployment) -> Sequence[float]:
    """The vector that an upstream answers with; raises UpstreamError."""
    try:
        response = await provider.transport.send(call)
        try:
            if response.status != 200:
                body = await beginning(response)
                raise provider.error(deployment, response.status, response.headers, body)
            return vector_in(await response.read(ANSWER_LIMIT), provider.backend.name)
        finally:
            response.close()
    except UpstreamError as exc:
        raise provider.cleaned(exc) from exc.__cause__


def vector_in(body: bytes, backend: str) -> Sequence[float]:
    """The first vector in an answer; raises InvalidResponse."""
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise not_promised(backend, "vectors that are not JSON") from exc
    vector = first(parsed)
    if not isinstance(vector, list) or not vector or not all(isinstance(one, float | int) for one in vector):
        raise not_promised(backend, "an answer without a vector")
    return vector


def first(parsed: Any) -> Any:
    """`data[0].embedding` of OpenAI, `embeddings[0]` of Ollama."""
    if not isinstance(parsed, dict):
        return None
    rows = parsed.get("data") or parsed.get("embeddings")
    row = rows[0] if isinstance(rows, list) and rows else None
    return row.get("embedding") if isinstance(row, dict) else row
