"""Ollama's native API, which alone can set how long a prompt may be."""

import base64
import math
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from gateway.errors import Rejected, UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.embedding import embedded
from gateway.providers.failures import failure
from gateway.providers.http import HttpProvider, loaded, not_promised
from gateway.providers.kind import Kind
from gateway.providers.ndjson import LineSplitter
from gateway.providers.openai_compatible import headers_of
from gateway.providers.port import HttpCall, ServedModel, Transport
from gateway.types import Backend, ChatRequest, Chunk, Deployment, Json, Timeouts

ADDRESS = "http://127.0.0.1:11434"  # of an Ollama that nobody has told otherwise
LARGEST_WINDOW = 32768  # where nobody says what the model holds: its memory is not the caller's to choose
SMALLEST_WINDOW = 4096  # tokens
MARGIN = 1.25  # prompt tokens are an estimate, and too small a window is worse than too large a one
OUTPUT = 1024  # tokens kept free for an answer without a limit
SAME = (
    *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed"),
    *("repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty"),
)
ROLES = {"developer": "system", "function": "tool"}
EFFORTS: dict[str, str | bool] = {"none": False, "minimal": "low", "xhigh": "max"}
MEANT = (  # what an error under status 200 would have had for a status
    (re.compile(r"busy|pending requests", re.IGNORECASE), 503),
    (re.compile(r"model .*not found", re.IGNORECASE), 404),
    (re.compile(r"context[ _](length|size)", re.IGNORECASE), 400),
)


class Ollama(HttpProvider):
    """POST {url}/api/chat: options apart from messages, arguments as objects, answers as lines of JSON.

    A cold model is loaded before the first byte, and giving up on that would abort the load: hence the long limits.
    """

    kind = Kind(
        "ollama",
        telemetry="ollama",
        location="self_hosted",
        timeouts=Timeouts(connect=2, first_token=330, first_token_last=330, idle=60, total=1800),
        keepalive=30,
        cold=330,
        slots=1,
        queue=16,
        queue_wait=30,
        capabilities=frozenset({"tools", "json_schema", "vision"}),
        offers=frozenset({"json_object"}),
    )

    def __init__(self, backend: Backend, transport: Transport) -> None:
        super().__init__(backend, transport)
        base = (backend.url or ADDRESS).rstrip("/").removesuffix("/v1").removesuffix("/api")
        self.chat_url = f"{base}/api/chat"
        self.embed_url = f"{base}/api/embed"
        self.models_url = f"{base}/api/tags"
        self.headers = headers_of(backend)

    def call(self, request: ChatRequest, deployment: Deployment) -> HttpCall:
        """The chat request in Ollama's words."""
        body = orjson.dumps(native_body(request, deployment))
        return HttpCall("POST", self.chat_url, self.headers, body, deployment.timeouts.connect)

    async def embed(self, text: str, deployment: Deployment) -> Sequence[float]:
        """The vector of a text."""
        body = orjson.dumps({"model": deployment.id, "input": text})
        call = HttpCall("POST", self.embed_url, self.headers, body, deployment.timeouts.connect)
        return await embedded(self, call, deployment)

    def completion(self, body: bytes, request: ChatRequest) -> Chunk:
        """The answer in one piece."""
        parsed = loaded(body)
        if parsed is None:
            raise not_promised(self.backend.name, "an answer that is not a JSON object")
        if error := parsed.get("error"):
            raise told(self.backend.name, request.model, error)
        if not is_sound(parsed) or not parsed.get("done"):
            raise not_promised(self.backend.name, "an answer without a finished message")
        calls = calls_of(parsed, request, 0)
        message = {"role": "assistant", "content": None, **pieces(parsed)} | ({"tool_calls": calls} if calls else {})
        if not calls:
            message["content"] = message["content"] or ""
        choice = {"index": 0, "message": message, "finish_reason": finish_reason(parsed, bool(calls))}
        answer = {**head(parsed, request, "chat.completion"), "choices": [choice]}
        if usage := usage_of(parsed, request):
            answer["usage"] = usage
        return Chunk(orjson.dumps(answer), answer)

    def decoder(self, request: ChatRequest, deployment: Deployment) -> "LineDecoder":
        """A decoder for one stream."""
        return LineDecoder(self.backend.name, request, deployment)

    def models_call(self) -> HttpCall:
        """GET {url}/api/tags."""
        return HttpCall("GET", self.models_url, self.headers, b"", self.backend.timeouts.connect)

    def models_listed(self, body: bytes) -> list[ServedModel]:
        """The models on its disk; how long their context is, the list does not say."""
        rows = (loaded(body) or {}).get("models")
        if not isinstance(rows, list):
            raise not_promised(self.backend.name, "a list of models of an unknown shape")
        return [ServedModel(row["name"]) for row in rows if isinstance(row, dict) and isinstance(row.get("name"), str)]


class LineDecoder(Decoder):
    """Ollama's lines to OpenAI's chunks: text as it comes, tool calls whole, usage in a chunk of its own."""

    def __init__(self, backend: str, request: ChatRequest, deployment: Deployment) -> None:
        super().__init__(backend)
        self.request = request
        self.model_id = deployment.id
        self.lines = LineSplitter()
        self.head: Json = {}  # of all chunks, once the first is made
        self.calls = 0  # tool calls so far
        self.usage: Chunk | None = None  # still to be sent

    def split(self, part: bytes) -> list[bytes]:
        """Whole lines."""
        return self.lines.feed(part)

    def feed(self, part: bytes) -> list[Chunk]:
        """The chunks that this part completes; the last line makes two."""
        chunks = super().feed(part)
        if self.usage is not None:
            chunks.append(self.usage)
            self.usage = None
        return chunks

    def chunk(self, data: bytes) -> Chunk | None:
        """One line as a chunk; the first malformed one is skipped."""
        said = loaded(data)
        if said is not None and (error := said.get("error")):
            raise told(self.backend, self.model_id, error)
        if said is None or not is_sound(said):
            self.skip()
            return None
        self.done = bool(said.get("done"))
        delta = self.delta(said)
        if self.done:
            usage = usage_of(said, self.request)
            self.usage = None if usage is None else self.chunk_of([], usage=usage)
        elif not delta:
            return None
        reason = finish_reason(said, self.calls > 0) if self.done else None
        return self.chunk_of([{"index": 0, "delta": delta, "finish_reason": reason}])

    def delta(self, said: Json) -> Json:
        """What a line adds; the first that adds anything says the role."""
        delta = pieces(said)
        if calls := calls_of(said, self.request, self.calls):
            delta["tool_calls"] = [{"index": self.calls + place, **call} for place, call in enumerate(calls)]
            self.calls += len(calls)
        if self.head or not (delta or self.done):
            return delta
        self.head = head(said, self.request, "chat.completion.chunk")
        return {"role": "assistant", "content": "", **delta}

    def chunk_of(self, choices: list[Json], **more: Json) -> Chunk:
        """A chunk with the head that all of a stream share."""
        body = {**self.head, "choices": choices, **more}
        return Chunk(orjson.dumps(body), body)


def native_body(request: ChatRequest, deployment: Deployment) -> Json:
    """Ollama's body for a canonical request; never to be cut short in silence. Raises Rejected."""
    asked = request.body
    body: Json = {
        "model": deployment.id,
        "messages": native_messages(asked["messages"], deployment.backend),
        "stream": request.stream,
        "options": options(asked) | {"num_ctx": window(request, deployment.context)},
        "truncate": False,
        "shift": False,
    }
    optional = {
        "tools": tools(asked),
        "format": format_of(asked.get("response_format")),
        "think": think(asked),
        "keep_alive": asked.get("keep_alive"),
    }
    return body | {name: value for name, value in optional.items() if value is not None}


def options(asked: Json) -> Json:
    """The sampling options that Ollama knows, by its names."""
    found = {name: asked[name] for name in SAME if asked.get(name) is not None}
    if (penalty := asked.get("repetition_penalty")) is not None:
        found.setdefault("repeat_penalty", penalty)
    if stop := asked.get("stop"):
        found["stop"] = [stop] if isinstance(stop, str) else stop
    if limit := asked.get("max_completion_tokens") or asked.get("max_tokens"):
        found["num_predict"] = limit
    return found


def window(request: ChatRequest, context: int | None) -> int:
    """Tokens of context to ask for: a power of two, since each new size makes Ollama load the model again."""
    need = math.ceil(request.prompt_tokens * MARGIN) + (request.max_tokens or OUTPUT)
    size = max(SMALLEST_WINDOW, 1 << (need - 1).bit_length())
    return min(size, LARGEST_WINDOW if context is None else context)


def tools(asked: Json) -> list[Json] | None:
    """The tools to offer: none when none is wanted, the one that is named when one is; it cannot be made to call."""
    offered, choice = asked.get("tools"), asked.get("tool_choice")
    if not offered or choice == "none":
        return None
    name = called(choice)
    return [tool for tool in offered if name is not None and called(tool) == name] or list(offered)


def called(thing: object) -> str | None:
    """The name of the function in a tool, a call or a choice; None when there is none."""
    function = thing.get("function") if isinstance(thing, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else None


def format_of(wanted: Json | None) -> object:
    """`json`, a schema, or None for text."""
    kind = (wanted or {}).get("type")
    if wanted is None or kind not in ("json_object", "json_schema"):
        return None
    schema = wanted.get("json_schema")
    return (schema.get("schema") if isinstance(schema, dict) else None) or "json"


def think(asked: Json) -> object:
    """Whether and how hard to think, if the caller has said."""
    effort = asked.get("reasoning_effort")
    said = asked.get("think")
    return EFFORTS.get(effort, effort) if said is None and isinstance(effort, str) else said


def native_messages(messages: list[Json], backend: str) -> list[Json]:
    """The messages; a tool's result has the tool's name beside the id of the call. Raises Rejected."""
    names: dict[str, str] = {}
    return [native_message(message, names, backend) for message in messages]


def native_message(message: Json, names: dict[str, str], backend: str) -> Json:
    """One message; `names` are those of the calls so far, by id."""
    role = ROLES.get(message["role"], message["role"])
    text, images = content(message.get("content"), backend)
    found: Json = {"role": role, "content": text}
    if images:
        found["images"] = images
    if thinking := message.get("reasoning_content") or message.get("reasoning"):
        found["thinking"] = thinking
    if calls := message.get("tool_calls"):
        found["tool_calls"] = [native_call(call, backend) for call in listed(calls)]
        names.update({str(call.get("id")): call["function"]["name"] for call in listed(calls)})
    if role == "tool":
        id = message.get("tool_call_id")
        named = {"tool_name": names.get(str(id)) or message.get("name"), "tool_call_id": id}
        found |= {name: value for name, value in named.items() if value is not None}
    return found


def native_call(call: Any, backend: str) -> Json:
    """A tool call of an earlier answer, its arguments as an object."""
    name = called(call)
    if name is None:
        raise untranslatable(backend, "a tool call without a function's name")
    try:
        arguments = orjson.loads(call["function"].get("arguments") or "{}")
    except (orjson.JSONDecodeError, TypeError):
        arguments = None
    if not isinstance(arguments, dict):
        raise untranslatable(backend, f"a call of '{name}' whose arguments are not a JSON object")
    given = {"id": call["id"]} if call.get("id") else {}
    return {**given, "function": {"name": name, "arguments": arguments}}


def listed(value: Any) -> list[Any]:
    """A list, also of what should have been one."""
    return value if isinstance(value, list) else [value]


def content(parts: Any, backend: str) -> tuple[str, list[str]]:
    """Text and base64 images of a message's content."""
    if not isinstance(parts, list):
        return parts or "", []
    texts, images = [], []
    for part in parts:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "image_url":
            images.append(image(part.get("image_url"), backend))
        elif kind in ("text", "refusal") and isinstance(text := part.get(kind), str):
            texts.append(text)
        else:
            raise untranslatable(backend, f"a content part of type '{kind}'")
    return "\n".join(texts), images


def image(source: Any, backend: str) -> str:
    """The base64 of an image's data: URL."""
    url = source.get("url") if isinstance(source, dict) else source
    if not isinstance(url, str) or not url.startswith("data:"):
        raise untranslatable(backend, "an image that is not a data: URL")
    about, _, data = url.partition(",")
    return data if about.endswith(";base64") else base64.b64encode(unquote_to_bytes(data)).decode()


def untranslatable(backend: str, what: str) -> Rejected:
    """The error of a request that Ollama has no words for; another deployment may."""
    error = Rejected(f"Backend '{backend}' cannot be sent {what}.", param="messages")
    error.elsewhere = True
    return error


def is_sound(said: Json) -> bool:
    """Whether the message and its calls are of the shape that everything after this relies on."""
    message = said.get("message")
    if not isinstance(message, dict):
        return False
    texts = (message.get("content") or "", message.get("thinking") or "")
    calls = message.get("tool_calls") or []
    return (
        all(isinstance(text, str) for text in texts)
        and isinstance(calls, list)
        and all(called(call) is not None for call in calls)
    )


def head(said: Json, request: ChatRequest, kind: str) -> Json:
    """What an answer begins with: id, kind, Unix time and model."""
    try:
        created = int(datetime.fromisoformat(said["created_at"]).timestamp())
    except (KeyError, TypeError, ValueError):
        created = 0
    return {
        "id": f"chatcmpl-{request.id}",
        "object": kind,
        "created": created,
        "model": said.get("model") or request.model,
    }


def pieces(said: Json) -> Json:
    """Text and thoughts of a message, as far as there are any."""
    found = {"content": said["message"].get("content"), "reasoning_content": said["message"].get("thinking")}
    return {name: text for name, text in found.items() if text}


def calls_of(said: Json, request: ChatRequest, first: int) -> list[Json]:
    """OpenAI's tool calls of a message; `first` is the number of the first, from which it gets an id if it has none."""
    return [
        {
            "id": call.get("id") or f"call_{request.id}_{number}",
            "type": "function",
            "function": {
                "name": call["function"]["name"],
                "arguments": orjson.dumps(call["function"].get("arguments") or {}).decode(),
            },
        }
        for number, call in enumerate(said["message"].get("tool_calls") or [], first)
    ]


def finish_reason(said: Json, with_calls: bool) -> str:
    """Why it ended: Ollama says `stop` also after tool calls."""
    if said.get("done_reason") == "length":
        return "length"
    return "tool_calls" if with_calls else "stop"


def usage_of(said: Json, request: ChatRequest) -> Json | None:
    """OpenAI's usage; Ollama leaves out what is zero, and prompt tokens that it had in its cache."""
    prompt, completion = count(said, "prompt_eval_count"), count(said, "eval_count")
    if prompt is None and completion is None:
        return None
    prompt = request.prompt_tokens if prompt is None else prompt
    completion = completion or 0
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def count(said: Json, name: str) -> int | None:
    """A number of tokens; None when it is not there."""
    value = said.get(name)
    return value if isinstance(value, int) and value >= 0 else None


def told(backend: str, model_id: str, error: object) -> UpstreamError:
    """The error that an answer reports under status 200: mere words, which have to stand for a status."""
    words = error if isinstance(error, str) else orjson.dumps(error).decode()
    status = next((status for pattern, status in MEANT if pattern.search(words)), 500)
    nothing: Mapping[str, str] = {}
    return failure(backend, model_id, status, nothing, orjson.dumps({"error": words}))
