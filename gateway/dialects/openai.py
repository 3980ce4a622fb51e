"""How OpenAI's users write: chat requests in, answers, streams and errors out. Pure: bytes to values to bytes."""

import re
from collections.abc import Mapping, Sequence

import orjson

from gateway.dialects.limits import check_depth
from gateway.dialects.preferences import wish
from gateway.dialects.shape import Field, check_fields
from gateway.errors import GatewayError, InvalidRequest
from gateway.types import CacheControl, Caller, ChatRequest, Chunk, Json

TOKEN_CHARS = 4  # characters a token, until upstreams have told better
MESSAGE_TOKENS = 4  # that the chat template adds to each message
IMAGE_TOKENS = 1600  # of one image, as Llama 3.2 Vision has them
FORMS = ("json_object", "json_schema")  # of answers
UNFORCED = (None, "auto", "none")  # choices that leave it to the model
STOPS = 8  # stop strings
ADDRESS = re.compile(r"\s*(?!data:)[a-z][a-z0-9+.-]*:|\s*//", re.IGNORECASE)
DONE = b"data: [DONE]\n\n"

FIELDS = (
    Field("model", str, required=True, least=1),
    Field("messages", list, required=True, least=1, most=2048),
    Field("stream", bool),
    Field("stream_options", dict),
    Field("max_tokens", int, least=1),
    Field("max_completion_tokens", int, least=1),
    Field("n", int, least=1, most=4),
    Field("temperature", (int, float), least=0, most=2),
    Field("top_p", (int, float), least=0, most=1),
    Field("logprobs", bool),
    Field("top_logprobs", int, least=0, most=20),
    Field("tools", list, most=128),
    Field("response_format", dict),
    Field("metadata", dict),
)


def parse(raw: bytes) -> Json:
    """The body of a chat request, checked; raises InvalidRequest."""
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as exc:
        raise InvalidRequest(f"The body is not JSON: {exc.msg} at character {exc.pos}.") from exc
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    check_depth(raw, body)
    check_fields(body, FIELDS)
    check_tools(body.get("tools") or [])
    stop = body.get("stop")
    if isinstance(stop, list) and len(stop) > STOPS:
        raise InvalidRequest(f"'stop' must hold at most {STOPS} strings.", param="stop")
    return body


def check_tools(tools: Sequence[object]) -> None:
    """Raises InvalidRequest for a tool that is not one; what is in it is the upstream's business."""
    for index, tool in enumerate(tools):
        where = f"tools[{index}]"
        if not isinstance(tool, dict):
            raise InvalidRequest(f"'{where}' must be an object.", param=where)
        function = tool.get("function")
        named = isinstance(function, dict) and isinstance(function.get("name"), str)
        if tool.get("type", "function") == "function" and not named:
            raise InvalidRequest(f"'{where}.function' must be an object with a name.", param=f"{where}.function")


def chat_request(
    raw: bytes,
    id: str,
    headers: Mapping[str, str],
    caller: Caller,
    cache: CacheControl,
    arrived: float,
    deadline: float | None,
    at: float = 0.0,
) -> ChatRequest:
    """The request in a body, which arrived `at` that Unix time; raises InvalidRequest."""
    model, preferences, body = wish(parse(raw))
    stream = bool(body.get("stream"))
    characters, images = measure(body["messages"])
    tools = body.get("tools")
    if tools:
        characters += len(orjson.dumps(tools))
    options = body.get("stream_options")
    return ChatRequest(
        id=id,
        model=model,
        body=body,
        stream=stream,
        include_usage=bool(stream and options and options.get("include_usage")),
        prompt_tokens=characters // TOKEN_CHARS + MESSAGE_TOKENS * len(body["messages"]) + IMAGE_TOKENS * images,
        max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
        needs=needs(body, images),
        headers=headers,
        caller=caller,
        cache=cache,
        arrived=arrived,
        deadline=deadline,
        at=at,
        preferences=preferences,
        size=len(raw),
    )


def needs(body: Json, images: int) -> frozenset[str]:
    """The capabilities that a deployment must have for this body."""
    found = []
    if body.get("tools"):
        found.append("tools")
        if body.get("tool_choice") not in UNFORCED:
            found.append("tool_choice")
    wanted = body.get("response_format")
    if wanted and (form := wanted.get("type")) in FORMS:
        found.append(form)
    if (body.get("n") or 1) > 1:
        found.append("n")
    if images:
        found.append("vision")
    if body.get("logprobs"):
        found.append("logprobs")
    return frozenset(found)


def measure(messages: Sequence[object]) -> tuple[int, int]:
    """Characters and images of the messages; raises InvalidRequest for one that is not a message."""
    characters = images = 0
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise InvalidRequest(f"'messages[{index}]' must be an object with a role.", param=f"messages[{index}]")
        content = message.get("content")
        if isinstance(content, str):
            characters += len(content)
        elif isinstance(content, list):
            more, pictures = measure_parts(content, index)
            characters += more
            images += pictures
        elif content is not None:
            where = f"messages[{index}].content"
            raise InvalidRequest(f"'{where}' must be a string or a list of parts.", param=where)
    return characters, images


def measure_parts(parts: Sequence[object], index: int) -> tuple[int, int]:
    """Characters and images of one message's parts."""
    characters = images = 0
    for place, part in enumerate(parts):
        where = f"messages[{index}].content[{place}]"
        if not isinstance(part, dict):
            raise InvalidRequest(f"'{where}' must be an object.", param=where)
        text = part.get("text")
        if isinstance(text, str):
            characters += len(text)
        if part.get("type") == "image_url":
            check_image(part, where)
            images += 1
        elif part.get("type") != "text":
            check_addresses(part, where)
    return characters, images


def check_image(part: Json, where: str) -> None:
    """An image comes within the request: an upstream must not be sent out to fetch addresses that a caller names."""
    image = part.get("image_url")
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str) or not url.startswith("data:"):
        raise InvalidRequest(f"'{where}.image_url' must be a data: URL; images are not fetched.", param=where)


def check_addresses(part: object, where: str) -> None:
    """The same for parts of other kinds: whatever they are, they name no address."""
    if isinstance(part, str) and ADDRESS.match(part):
        raise InvalidRequest(f"'{where}' must hold its data itself; nothing is fetched.", param=where)
    if isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            check_addresses(inner, where)


def frames(chunks: Sequence[Chunk], include_usage: bool) -> bytes:
    """Chunks as server-sent events; a chunk with nothing but usage is left out unless it was asked for."""
    if include_usage:
        return b"".join([b"data: %b\n\n" % chunk.data for chunk in chunks])
    return b"".join([b"data: %b\n\n" % without_usage(chunk) for chunk in chunks if not only_usage(chunk.body)])


def only_usage(body: Json) -> bool:
    """Whether a chunk has usage and nothing else."""
    return not body["choices"] and bool(body.get("usage"))


def without_usage(chunk: Chunk) -> bytes:
    """A chunk's bytes without the usage that the caller did not ask for."""
    if not chunk.body.get("usage"):
        return chunk.data
    return orjson.dumps({name: value for name, value in chunk.body.items() if name != "usage"})


def error_body(error: GatewayError, request_id: str) -> bytes:
    """An error in OpenAI's shape; what only machines read is in a sibling that SDKs ignore."""
    shape: Json = {"message": error.message, "type": error.type, "param": error.param, "code": error.code}
    shape["gateway"] = {"request_id": request_id, **(error.details or {})}
    return orjson.dumps({"error": shape})


def error_event(error: GatewayError, request_id: str) -> bytes:
    """An error in the middle of a stream, after which nothing follows: no [DONE]."""
    return b"data: %b\n\n" % error_body(error, request_id)
