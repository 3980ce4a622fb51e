"""The long tail of hosts, over the litellm SDK; it is imported when such a backend is first asked, not before."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeVar

import orjson

from gateway.errors import Disconnected, ModelGone, Rejected, Unreachable, UpstreamError
from gateway.providers.failures import failure
from gateway.providers.finish import Endings
from gateway.providers.http import not_promised, secrets_of
from gateway.providers.kind import Kind
from gateway.providers.port import ServedModel, Transport
from gateway.types import Backend, ChatRequest, Chunk, Deployment, Json, Timeouts

if find_spec("litellm") is None:
    raise ImportError("The kind litellm needs the package litellm. Install llama-gateway[litellm].")

# What keeps the library off the network while it is imported, and from reading a .env file.
OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_OFFLINE_MODE": "true",
    "LITELLM_MODE": "PRODUCTION",
}
CALLBACKS = (
    *("callbacks", "input_callback", "success_callback", "failure_callback", "service_callback"),
    *("_async_input_callback", "_async_success_callback", "_async_failure_callback"),
)

Result = TypeVar("Result")
Shape = Callable[[object], bool] | dict[str, "Shape"] | list["Shape"] | tuple["Shape", ...]
DROPPED = object()


def anything(value: object) -> bool:
    """JSON that only the model reads."""
    return True


def scalar(value: object) -> bool:
    """A value that holds no others."""
    return value is None or isinstance(value, str | int | float)


def data_url(value: object) -> bool:
    """An image that comes along: the library would fetch any other."""
    return isinstance(value, str) and value.startswith("data:")


FUNCTION: Shape = {"name": scalar, "description": scalar, "parameters": anything, "strict": scalar}
CALL: Shape = {"id": scalar, "type": scalar, "function": {"name": scalar, "arguments": scalar}}
PART: Shape = {
    "type": scalar,
    "text": scalar,
    "refusal": scalar,
    "image_url": (data_url, {"url": data_url, "detail": scalar}),
    "input_audio": {"data": scalar, "format": scalar},
}
MESSAGE: Shape = {
    "role": scalar,
    "content": (scalar, [PART]),
    "name": scalar,
    "refusal": scalar,
    "tool_calls": [CALL],
    "tool_call_id": scalar,
}
SCHEMA: Shape = {"name": scalar, "description": scalar, "schema": anything, "strict": scalar}
# All of a request that becomes an argument, at any depth; whatever is not here stays here.
FIELDS: Mapping[str, Shape] = {
    "messages": [MESSAGE],
    "temperature": scalar,
    "top_p": scalar,
    "max_tokens": scalar,
    "stop": (scalar, [scalar]),
    "seed": scalar,
    "tools": [{"type": scalar, "function": FUNCTION}],
    "tool_choice": (scalar, {"type": scalar, "function": {"name": scalar}}),
    "response_format": {"type": scalar, "json_schema": SCHEMA},
    "n": scalar,
    "logprobs": scalar,
    "top_logprobs": scalar,
    "presence_penalty": scalar,
    "frequency_penalty": scalar,
    "user": scalar,
    "parallel_tool_calls": scalar,
}
# Wishes that an answer may do without: left out where the library says that the host does not know them.
WISHES = frozenset({"seed", "user", "presence_penalty", "frequency_penalty", "parallel_tool_calls"})

BROKEN = frozenset({"ReadError", "WriteError", "RemoteProtocolError", "ServerDisconnectedError", "ClientPayloadError"})
NO_CONNECTION = frozenset({"ConnectError", "ConnectTimeout", "ClientConnectorError"})
MEANT: Mapping[str, tuple[int, str]] = {  # a class of the library -> a status and a code that mean the same to us
    "ContextWindowExceededError": (413, ""),
    "ContentPolicyViolationError": (400, "content_filter"),
    "PaymentRequiredError": (402, ""),
    "Timeout": (408, ""),
}


class LiteLlm:
    """litellm's `acompletion` with the model string as the deployment's id: `azure/...`, `vertex_ai/...`.

    Address, key and headers come from the policy alone; where it gives no key, the library reads the host's own
    variables.
    """

    kind = Kind(
        "litellm",
        telemetry="litellm",
        needs_url=False,  # the library knows its hosts' addresses
        timeouts=Timeouts(connect=3, first_token=15, first_token_last=90, idle=30, total=600),
        transport=False,  # the library has connections of its own
    )

    def __init__(self, backend: Backend, transport: Transport) -> None:
        self.backend = backend
        self.secrets = secrets_of(backend)
        self.library: Any = None  # untyped until it is there
        self.wishes: dict[str, frozenset[str]] = {}  # model string -> those of WISHES that its host knows
        self.settings: Json = {"num_retries": 0, "max_retries": 0, "no-log": True, "caching": False}
        if backend.url:
            self.settings["api_base"] = backend.url
        if backend.api_key:
            self.settings["api_key"] = backend.api_key
        if backend.headers:
            self.settings["extra_headers"] = dict(backend.headers)

    async def answer(self, request: ChatRequest, deployment: Deployment) -> AsyncIterator[list[Chunk]]:
        """The answer in canonical chunks as they arrive, or one chunk when the request does not stream."""
        if self.library is None:
            self.library = await asyncio.to_thread(load)  # seconds, in which others are served
        arguments = self.arguments(request, deployment)
        found = await self.asked(self.library.acompletion(**arguments), deployment)
        if not request.stream:
            yield [self.whole(found.model_dump(exclude_none=True))]
            return
        endings = Endings(self.backend.name)
        try:
            while (piece := await self.asked(anext(found, None), deployment)) is not None:
                yield [self.piece(piece.model_dump(exclude_none=True), found, endings)]
        finally:
            await found.aclose()

    async def models(self) -> list[ServedModel]:
        """None: the library has no list of what a host serves."""
        return []

    def arguments(self, request: ChatRequest, deployment: Deployment) -> Json:
        """What the library is called with: of the request's body only what is allowed."""
        asked = request.body
        if "max_completion_tokens" in asked:
            asked = {**asked, "max_tokens": asked["max_completion_tokens"]}
        wanted = allowed(asked, self.known(deployment.id))
        for tool in wanted.get("tools") or ():
            if tool.get("type", "function") != "function" or "function" not in tool:
                raise Rejected(f"Backend '{self.backend.name}' takes tools of type `function` only.", param="tools")
        if request.stream:
            wanted |= {"stream": True, "stream_options": {"include_usage": True}}
        return wanted | self.settings | {"model": deployment.id, "timeout": deployment.timeouts.total}

    def known(self, model: str) -> frozenset[str]:
        """The wishes that the host of a model string knows."""
        if model not in self.wishes:
            try:
                supported = self.library.get_supported_openai_params(model=model)
            except Exception as exc:
                raise self.meaning(exc, model) from exc
            self.wishes[model] = WISHES.intersection(supported or ())
        return self.wishes[model]

    async def asked(self, waiting: Awaitable[Result], deployment: Deployment) -> Result:
        """What comes of a call; the library may raise whatever a hundred hosts' code raises, which ends here."""
        try:
            return await waiting
        except Exception as exc:
            raise self.meaning(exc, deployment.id) from exc

    def whole(self, body: Json) -> Chunk:
        """A whole answer as a chunk."""
        choices = body.get("choices")
        if not isinstance(choices, list) or not choices:
            raise not_promised(self.backend.name, "an answer without choices")
        for choice in choices:
            choice.pop("provider_specific_fields", None)
            choice.setdefault("message", {}).setdefault("content", None)
            choice["message"].pop("provider_specific_fields", None)
        Endings(self.backend.name).mend(choices)
        return Chunk(orjson.dumps(body), body)

    def piece(self, body: Json, stream: Any, endings: Endings) -> Chunk:
        """A piece of a stream as a chunk, without what the library makes up: an end, or tokens counted by itself."""
        made_up = getattr(stream, "received_finish_reason", True) is None
        for choice in body.setdefault("choices", []):
            choice.pop("provider_specific_fields", None)
            choice.setdefault("delta", {}).pop("provider_specific_fields", None)
            if made_up or "finish_reason" not in choice:
                choice["finish_reason"] = None
        if "usage" in body and not any(getattr(chunk, "usage", None) for chunk in stream.chunks):
            del body["usage"]
        endings.mend(body["choices"])
        return Chunk(orjson.dumps(body), body)

    def meaning(self, exc: Exception, model: str) -> UpstreamError:
        """The error that an exception of the library stands for, without keys and addresses."""
        where = f"Backend '{self.backend.name}'"
        exc = getattr(exc, "original_exception", None) or exc
        names = {kind.__name__ for link in causes(exc) for kind in type(link).__mro__}
        if "HTTPStatusError" not in names:
            if names & NO_CONNECTION:
                return Unreachable(f"{where} cannot be reached.")
            if names & BROKEN:
                return Disconnected(f"{where} closed the connection before the end of its answer.")
            if "JSONDecodeError" in names:
                return not_promised(self.backend.name, "an answer that is not JSON")
        if "LiteLLMUnknownProvider" in names or "LLM Provider NOT provided" in str(exc):
            return ModelGone(f"{where} does not serve the model '{model}': it names no provider that litellm knows.")
        status, body = complaint_of(exc, names, self.redacted(str(getattr(exc, "message", exc))))
        found = failure(self.backend.name, model, status, headers_of(exc), body)
        if "UnsupportedParamsError" in names:
            found.elsewhere = True  # it is the host that cannot, not the request that is wrong
        return found

    def redacted(self, text: str) -> str:
        """A message without our own credentials."""
        for secret in self.secrets:
            text = text.replace(secret, "[redacted]")
        return text


def load() -> Any:
    """The library: offline, silent, and without anything that reports to anybody."""
    os.environ.update(OFFLINE)
    library: Any = import_module("litellm")
    library.telemetry = False
    library.suppress_debug_info = True
    library.turn_off_message_logging = True
    library.disable_streaming_logging = True
    logging.getLogger("LiteLLM").setLevel(logging.CRITICAL)  # its lines hold addresses and prompts
    for name in CALLBACKS:
        if hasattr(library, name):
            setattr(library, name, [])
    return library


def allowed(body: Json, wishes: frozenset[str]) -> Json:
    """The fields of a body that may become arguments."""
    found = {}
    for name, shape in FIELDS.items():
        if body.get(name) is None or (name in WISHES and name not in wishes):
            continue
        value = kept(body[name], shape)
        if value is not DROPPED:
            found[name] = value
    return found


def kept(value: object, shape: Shape) -> object:
    """A value without what its shape does not have; DROPPED when it has another shape altogether."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return DROPPED
        inner = {name: kept(value[name], shape[name]) for name in shape if name in value}
        return {name: one for name, one in inner.items() if one is not DROPPED}
    if isinstance(shape, list):
        if not isinstance(value, list):
            return DROPPED
        return [one for item in value if (one := kept(item, shape[0])) is not DROPPED]
    if isinstance(shape, tuple):
        return next((one for form in shape if (one := kept(value, form)) is not DROPPED), DROPPED)
    return value if shape(value) else DROPPED


def causes(exc: BaseException | None) -> Iterator[BaseException]:
    """An exception and what it came from."""
    seen: set[int] = set()
    while exc is not None and id(exc) not in seen:
        seen.add(id(exc))
        yield exc
        exc = exc.__cause__ or exc.__context__


def complaint_of(exc: Exception, names: set[str], message: str) -> tuple[int, bytes]:
    """The status and the body that the upstream, or the library in its place, has answered with."""
    meant = next((MEANT[name] for name in MEANT if name in names), None)
    said = message.rpartition("Exception - ")[2].removeprefix(f"litellm.{type(exc).__name__}: ")
    if said.startswith("{") and meant is None:
        return status_of(exc), said.encode()
    status, code = meant or (status_of(exc), "")
    return status, orjson.dumps({"error": {"message": said, "code": code}})


def status_of(exc: Exception) -> int:
    """The status of an exception; 500 when it has none that means an error."""
    status = getattr(exc, "status_code", None)
    return status if isinstance(status, int) and 300 <= status < 600 else 500


def headers_of(exc: Exception) -> Mapping[str, str]:
    """The headers of the answer behind an exception, names in lower case."""
    found = getattr(exc, "litellm_response_headers", None) or getattr(getattr(exc, "response", None), "headers", None)
    return {str(name).lower(): str(value) for name, value in dict(found or {}).items()}
