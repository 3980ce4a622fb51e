"""Chat requests as Replicate's predictions, and predictions as canonical answers."""

import math
import re
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from typing import Any
from urllib.parse import SplitResult, quote, urlsplit

import orjson

from gateway.providers.http import not_promised
from gateway.providers.replicate_prompt import is_llama_2, llama_2, llama_3, turns, untranslatable
from gateway.providers.replicate_stream import chunk
from gateway.types import ChatRequest, Chunk, Deployment, Json

OVER = frozenset({"succeeded", "failed", "canceled", "aborted"})
OWN_HOSTS = (".replicate.com", ".replicate.net", ".replicate.delivery")  # its streams come from .net
SAME = ("temperature", "top_p", "top_k", "seed", "presence_penalty", "frequency_penalty", "min_tokens")
LLAMA_3_STOPS = ("<|end_of_text|>", "<|eot_id|>")
CONTEXT = 8192  # tokens of a deployment that does not say
OUTPUT = 2048  # tokens of an answer without a limit: Replicate's own 512 would cut it without a word
LEAST = 256  # tokens of it where the prompt leaves little room
MARGIN = 1.25  # prompt tokens are an estimate
ID = re.compile(r"[\w-]{1,128}", re.ASCII)
FIRST_PAUSE, LAST_PAUSE = 0.5, 2.0  # seconds between two looks at a prediction


def place(model_id: str) -> tuple[str, Json]:
    """The path that predictions of a model are made at, and what the body says of the model."""
    if model_id.startswith("deployments/"):
        return f"/{quote(model_id)}/predictions", {}
    _, colon, version = model_id.partition(":")
    return ("/predictions", {"version": version}) if colon else (f"/models/{quote(model_id)}/predictions", {})


def body_of(request: ChatRequest, deployment: Deployment, more: Json) -> bytes:
    """The body that makes a prediction."""
    stream = {"stream": True} if request.stream else {}
    return orjson.dumps({**more, "input": input_of(request, deployment), **stream})


def input_of(request: ChatRequest, deployment: Deployment) -> Json:
    """The model's input: all turns in one prompt that no other template is put around. Raises Rejected."""
    asked = request.body
    check(asked, deployment.backend)
    old = is_llama_2(f"{deployment.model} {deployment.id} {deployment.base}")
    said = turns(asked["messages"], deployment.backend)
    found = {name: asked[name] for name in SAME if asked.get(name) is not None}
    found |= {"prompt": llama_2(said) if old else llama_3(said), "prompt_template": "{prompt}"}
    found["max_new_tokens" if old else "max_tokens"] = limit(request, deployment)
    if stops := [*(() if old else LLAMA_3_STOPS), *asked_stops(asked, deployment.backend)]:
        found["stop_sequences"] = ",".join(stops)
    return found


def check(asked: Json, backend: str) -> None:
    """Raise Rejected for what would be passed over in silence."""
    if (asked.get("n") or 1) > 1:
        raise untranslatable(backend, "a request for several choices", "n")
    if asked.get("tools") and asked.get("tool_choice") != "none":
        raise untranslatable(backend, "tools", "tools")
    if (asked.get("response_format") or {}).get("type", "text") != "text":
        raise untranslatable(backend, "a response format", "response_format")


def limit(request: ChatRequest, deployment: Deployment) -> int:
    """Tokens that the answer may have: what was asked for, or what the context is likely to hold."""
    asked = request.body.get("max_completion_tokens") or request.body.get("max_tokens")
    if isinstance(asked, int):
        return asked
    room = (deployment.context or CONTEXT) - math.ceil(request.prompt_tokens * MARGIN)
    return max(LEAST, min(OUTPUT, deployment.max_output or OUTPUT, room))


def asked_stops(asked: Json, backend: str) -> list[str]:
    """The caller's stop sequences; raises Rejected for one that a comma-separated list cannot hold."""
    stop = asked.get("stop") or []
    stops = [stop] if isinstance(stop, str) else list(stop)
    if any("," in one for one in stops):
        raise untranslatable(backend, "a stop sequence with a comma", "stop")
    return stops


def prediction(body: bytes, backend: str) -> Json:
    """A prediction as Replicate tells it; raises InvalidResponse for anything else."""
    try:
        said = orjson.loads(body)
    except orjson.JSONDecodeError as exc:
        raise not_promised(backend, "a prediction that is not JSON") from exc
    known = isinstance(said, dict) and isinstance(said.get("id"), str) and isinstance(said.get("status"), str)
    if not known or ID.fullmatch(said["id"]) is None:
        raise not_promised(backend, "a prediction without id and status")
    found: Json = said
    return found


def stream_url(said: Json, base: str) -> str | None:
    """Where the output can be read as it comes, if that is a place our key may be sent to."""
    urls = said.get("urls")
    url = urls.get("stream") if isinstance(urls, dict) else None
    if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url:
        return None
    try:
        there, ours = urlsplit(url), urlsplit(base)
        same = (there.scheme, there.hostname, there.port) == (ours.scheme, ours.hostname, ours.port)
        return url if same or is_replicates(there) or (is_near(there) and is_near(ours)) else None
    except ValueError:
        return None


def is_replicates(url: SplitResult) -> bool:
    """Whether it is one of Replicate's own hosts, over TLS."""
    return url.scheme == "https" and url.port in (None, 443) and f".{url.hostname}".endswith(OWN_HOSTS)


def is_near(url: SplitResult) -> bool:
    """Whether it is on this machine."""
    host = url.hostname or ""
    try:
        return url.scheme in ("http", "https") and (host == "localhost" or ip_address(host).is_loopback)
    except ValueError:
        return False


def pauses() -> Iterator[float]:
    """Seconds before each look at a prediction."""
    pause = FIRST_PAUSE
    while True:
        yield pause
        pause = min(pause * 1.5, LAST_PAUSE)


def whole(said: Json, request: ChatRequest, backend: str) -> Chunk:
    """The answer in one piece. Raises InvalidResponse."""
    message = {"role": "assistant", "content": text_of(said, backend)}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason(said)}
    usage = usage_of(said)
    return chunk(head(said, request, "chat.completion"), [choice], **({"usage": usage} if usage else {}))


def endings(said: Json, top: Json, begun: bool) -> list[Chunk]:
    """The chunks that end a stream: why it is over, and its usage where that is known."""
    delta = {} if begun else {"role": "assistant", "content": ""}
    last = chunk(top, [{"index": 0, "delta": delta, "finish_reason": finish_reason(said)}])
    usage = usage_of(said)
    return [last, chunk(top, [], usage=usage)] if usage else [last]


def head(said: Json, request: ChatRequest, kind: str) -> Json:
    """What an answer begins with: id, kind, Unix time and model."""
    try:
        created = int(datetime.fromisoformat(said["created_at"]).timestamp())
    except (KeyError, TypeError, ValueError):
        created = 0
    model = said.get("model") or request.model
    return {"id": f"chatcmpl-{request.id}", "object": kind, "created": created, "model": model}


def text_of(said: Json, backend: str) -> str:
    """The output: a text, or the pieces of one."""
    output = said.get("output")
    pieces = output if isinstance(output, list) else [output or ""]
    if not all(isinstance(piece, str) for piece in pieces):
        raise not_promised(backend, "an output that is not text")
    return "".join(pieces)


def finish_reason(said: Json) -> str:
    """Why it ended: Replicate does not say, but an answer of as many tokens as allowed was cut."""
    asked = said.get("input")
    given = asked if isinstance(asked, dict) else {}
    allowed = given.get("max_tokens") or given.get("max_new_tokens")
    used = counted(said, "output_token_count")
    return "length" if isinstance(allowed, int) and used is not None and used >= allowed else "stop"


def usage_of(said: Json) -> Json | None:
    """OpenAI's usage; None when the metrics do not have it."""
    prompt, completion = counted(said, "input_token_count"), counted(said, "output_token_count")
    if prompt is None or completion is None:
        return None
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def counted(said: Json, name: str) -> int | None:
    """A number of tokens among the metrics; None when it is not there."""
    metrics: Any = said.get("metrics")
    value = metrics.get(name) if isinstance(metrics, dict) else None
    return int(value) if isinstance(value, int | float) and value >= 0 else None
