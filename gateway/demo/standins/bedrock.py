"""A stand-in for AWS Bedrock: Converse and ConverseStream, judged by botocore's own signatures and service model."""

import base64
import hmac
import json
import re
import struct
import time
import uuid
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from botocore import auth, awsrequest, credentials, loaders, model, validate  # type: ignore[import-untyped]  # no types
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.demo.standins.faults import Turn
from gateway.demo.standins.hosted import KEY, Streamed, as_json, opened
from gateway.demo.standins.llama import Llama, LlamaError, Piece, Pieces
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import Json, Manner, line

REGION = "us-east-1"
ACCESS_KEY = "AKIASTANDIN000000000"
SECRET_KEY = "standin-secret-key-0123456789abcdefghij"  # noqa: S105  # known to everybody
ON_DEMAND = "meta.llama3-1-8b-instruct-v1:0"
PROFILES = tuple(f"us.meta.llama{name}-instruct-v1:0" for name in ("3-3-70b", "4-maverick-17b"))
MODELS = (ON_DEMAND, f"us.{ON_DEMAND}", *PROFILES)
LISTED = {ON_DEMAND: "ON_DEMAND"} | {id.removeprefix("us."): "INFERENCE_PROFILE" for id in PROFILES}
MINUTES, STAMP = timedelta(minutes=5), "%Y%m%dT%H%M%SZ"  # that a clock may be wrong, and how it is written
ARN = f"arn:aws:bedrock:{REGION}::foundation-model/"
LINES, EVENTS = "application/x-ndjson", "application/vnd.amazon.eventstream"
BAD_SIGNATURE = "InvalidSignatureException"
CORAL = "http://internal.amazon.com/coral/com.amazon.bedrock/"

USUAL = {  # status -> the exception and what it says
    400: ("ValidationException", "The provided request is not valid"),
    403: ("AccessDeniedException", "You don't have access to the model with the specified model ID."),
    404: ("ResourceNotFoundException", "Could not resolve the foundation model from the provided model identifier."),
    408: ("ModelTimeoutException", "Model has timed out in processing the request. Try your request again."),
    424: ("ModelErrorException", "The system encountered an unexpected error during processing. Try again."),
    429: ("ThrottlingException", "Too many requests, please wait before trying again."),
    500: ("InternalServerException", "The system encountered an unexpected error during processing. Try again."),
    503: ("ServiceUnavailableException", "Bedrock is unable to process your request."),
}
IN_STREAM = {400: "validation", 424: "modelStreamError", 429: "throttling", 503: "serviceUnavailable"}
STOP = {"length": "max_tokens", "tool_calls": "tool_use"}
SAME = {"maxTokens": "max_tokens", "temperature": "temperature", "topP": "top_p", "stopSequences": "stop"}


class Refused(Exception):
    """A request that Bedrock does not serve: the exception's status, name and words."""

    def __init__(self, status: int, words: str, name: str | None = None) -> None:
        super().__init__(words)
        self.status = status
        self.name = name or USUAL[status][0]


def usual(status: int) -> tuple[str, str]:
    """The exception of a status, and what it says."""
    return USUAL.get(status, USUAL[400 if status < 500 else 500])


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status; the exception's name is in a header."""
    return {"message": message or usual(status)[1]}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: an exception as an event."""
    return line({f"{IN_STREAM.get(status, 'internalServer')}Exception": refuse(status, message)})


MANNER = Manner(refuse, interrupt, lambda frame: frame.startswith(b'{"metadata"'), frozenset({"usage"}))


@dataclass(frozen=True, slots=True)
class BadChecksum:
    """Damages one event of a stream: its checksum is not that of its bytes."""

    after_chunks: int = 0

    async def play(self, turn: Turn) -> None:
        """Answer with one damaged event."""
        chunks = 0

        async def send(part: Message) -> None:
            nonlocal chunks
            if part["type"] == "http.response.body":
                part = {**part, "body": b"!" * (chunks == self.after_chunks) + part["body"]}
                chunks += 1
            await turn.send(part)

        await turn.answer(send)


def encoded(frame: bytes) -> bytes:
    """One line of JSON as a message of the event stream; `!` before it damages its checksum, no end cuts it in two."""
    text = frame.removeprefix(b"!").rstrip(b"\n")
    found = re.match(rb'\{"(\w+)":(.*?)\}?$', text, re.DOTALL)
    name, payload = (found[1].decode(), found[2]) if found else ("", text)
    kind = "exception" if name.endswith("Exception") else "event"
    padded = payload[:-1] + b',"p":"abcdefghijkl"}' if kind == "event" and payload.endswith(b"}") else payload
    headers = {f":{kind}-type": name, ":content-type": "application/json", ":message-type": kind}
    whole = message(headers, padded)
    if frame.startswith(b"!"):
        return whole[:-1] + bytes([whole[-1] ^ 1])
    return whole if frame.endswith(b"\n") else whole[: len(whole) // 2]


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """AWS's framing: lengths, their checksum, headers, payload, the checksum of all."""
    head = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack("!I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack("!I", zlib.crc32(body))


def framed(app: ASGIApp) -> ASGIApp:
    """The same app on AWS's wire: lines become messages, errors and answers get their headers."""

    async def wired(scope: Scope, receive: Receive, send: Send) -> None:
        streams = False

        async def wire(part: Message) -> None:
            nonlocal streams
            if part["type"] == "http.response.start":
                headers = {b"x-amzn-requestid": str(uuid.uuid4()).encode(), **dict(part["headers"])}
                content = headers.get(b"content-type", b"").decode()
                streams = content.startswith(LINES)
                headers |= {b"content-type": EVENTS.encode()} if streams else {}
                if part["status"] >= 400 and content.startswith("application/json"):
                    headers.setdefault(b"x-amzn-errortype", f"{usual(part['status'])[0]}:{CORAL}".encode())
                part = {**part, "headers": list(headers.items())}
            elif streams:
                part = {**part, "body": b"".join(map(encoded, part.get("body", b"").splitlines(keepends=True)))}
            await send(part)

        await app(scope, receive, wire)

    return wired


def check_caller(request: Request, body: bytes, key: str, now: float) -> None:
    """Raise Refused unless the caller has the bearer key, or a signature that botocore finds right."""
    said = request.headers.get("authorization", "")
    if said.startswith("Bearer "):
        if said != f"Bearer {key}":
            raise Refused(403, "Authentication failed: Please make sure your API Key is valid.")
        return
    found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=(.+), ?SignedHeaders=(.+), ?Signature=(\w+)", said)
    if found is None:
        raise Refused(403, "Missing Authentication Token", "MissingAuthenticationTokenException")
    access, _, scope = found[1].partition("/")
    stamp = request.headers.get("x-amz-date", "")
    if access != ACCESS_KEY:
        raise Refused(403, "The security token included in the request is invalid.", "UnrecognizedClientException")
    if scope != f"{stamp[:8]}/{REGION}/bedrock/aws4_request":
        raise Refused(403, "Credential should be scoped to a valid region. ", BAD_SIGNATURE)
    check_time(stamp, datetime.fromtimestamp(now, UTC))
    if not hmac.compare_digest(signature(request, body, found[2].split(";")), found[3]):
        words = "The request signature we calculated does not match the signature you provided."
        raise Refused(403, words, BAD_SIGNATURE)


def check_time(stamp: str, now: datetime) -> None:
    """Raise Refused for a signature of another time."""
    signed = datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    if signed < now - MINUTES:
        words = f"Signature expired: {stamp} is now earlier than {now - MINUTES:{STAMP}} ({now:{STAMP}} - 5 min.)"
        raise Refused(403, words, BAD_SIGNATURE)
    if signed > now + MINUTES:
        words = f"Signature not yet current: {stamp} is still later than {now + MINUTES:{STAMP}}"
        raise Refused(403, f"{words} ({now:{STAMP}} + 5 min.)", BAD_SIGNATURE)


def signature(request: Request, body: bytes, names: list[str]) -> str:
    """The signature that a request should have."""
    headers = {name: request.headers.get(name, "") for name in names}
    path = request.scope["raw_path"].decode() + (f"?{request.url.query}" if request.url.query else "")
    made = awsrequest.AWSRequest(request.method, f"http://{request.headers['host']}{path}", headers, body)
    made.context["timestamp"] = request.headers["x-amz-date"]
    signer = auth.SigV4Auth(credentials.Credentials(ACCESS_KEY, SECRET_KEY), "bedrock", REGION)
    return str(signer.signature(signer.string_to_sign(made, signer.canonical_request(made)), made))


class Form:
    """botocore's description of a service, and what fits it."""

    def __init__(self, service: str) -> None:
        self._model = model.ServiceModel(loaders.Loader().load_service_model(service, "service-2"), service)

    def check(self, shape: str, body: Json) -> None:
        """Raise Refused unless a request fits its shape."""
        if problems := self._problems(shape, body):
            raise Refused(400, f"{len(problems)} validation error(s) detected: {'; '.join(problems)}")

    def fit(self, shape: str, body: Json) -> Json:
        """An answer or event of ours, which fits its shape or is a bug."""
        assert not (problems := self._problems(shape, body)), problems
        return body

    def _problems(self, name: str, body: Json) -> list[str]:
        shape = self._model.shape_for(name)
        report = validate.ParamValidator().validate(native(shape, body), shape)
        return ([report.generate_report()] if report.has_errors() else []) + list(limits(shape, body, ""))


def native(shape: Any, value: Any) -> Any:
    """A JSON value with its blobs as bytes, as botocore has them."""
    if shape.type_name == "structure" and isinstance(value, dict) and not getattr(shape, "is_document_type", False):
        return {key: native(shape.members[key], one) if key in shape.members else one for key, one in value.items()}
    if shape.type_name == "list" and isinstance(value, list):
        return [native(shape.member, one) for one in value]
    return base64.b64decode(value, validate=True) if shape.type_name == "blob" and isinstance(value, str) else value


def limits(shape: Any, value: Any, place: str) -> Iterator[str]:
    """What a service checks and botocore does not: the largest numbers and the patterns."""
    if shape.type_name == "structure" and isinstance(value, dict):
        for key in value.keys() & shape.members.keys():
            yield from limits(shape.members[key], value[key], f"{place}.{key}".lstrip("."))
    elif shape.type_name == "list" and isinstance(value, list):
        for number, one in enumerate(value):
            yield from limits(shape.member, one, f"{place}.{number}")
    rule, said = shape.metadata, f"Value at '{place}' failed to satisfy constraint: Member must "
    if isinstance(value, int | float) and value > rule.get("max", value):
        yield f"{said}have value less than or equal to {rule['max']}"
    if isinstance(value, str) and "pattern" in rule and not re.fullmatch(rule["pattern"], value):
        yield f"{said}satisfy regular expression pattern: {rule['pattern']}"


def check_rules(model: str, body: Json, streams: bool) -> None:
    """Raise Refused for what Bedrock's Llama does not take, in Bedrock's words."""
    turns, tools = body.get("messages") or [], body.get("toolConfig")
    kinds = [{next(iter(block)) for block in turn["content"]} for turn in turns]
    mixed = [kind for kind in ("toolUse", "toolResult") if any(kind in found and found != {kind} for found in kinds)]
    forced = next((choice for choice in (tools or {}).get("toolChoice", {}) if choice != "auto"), None)
    blank = any(not block.get("text", "_").strip() for turn in turns for block in turn["content"])
    field = f"toolConfig.toolChoice.{forced}"
    rules = (
        (model not in MODELS, "The provided model identifier is invalid."),
        (not turns or turns[0]["role"] != "user", "A conversation must start with a user message."),
        (any(a["role"] == b["role"] for a, b in pairwise(turns)), "A conversation must alternate between roles."),
        (blank, "The text field in the ContentBlock object is blank. Add text to the text field, and try again."),
        (tools is None and {"toolUse", "toolResult"} & set().union(*kinds), "The toolConfig field must be defined."),
        (mixed, f"Conversation blocks and {mixed} blocks cannot be provided in the same turn."),
        (tools and streams, "This model doesn't support tool use in streaming mode."),
        (forced, f"This model doesn't support the {field} field. Remove {field} and try again."),
    )
    for broken, words in rules:
        if broken:
            raise Refused(400, words)


def llama_body(body: Json) -> Json:
    """llama.cpp's request for one of Converse, which has no seed: always the same, so that answers can be compared."""
    asked: Json = {SAME[name]: value for name, value in (body.get("inferenceConfig") or {}).items()} | {"seed": 3}
    asked["messages"] = [{"role": "system", "content": block["text"]} for block in body.get("system") or []]
    asked["messages"] += [message for turn in body["messages"] for message in openai_messages(turn)]
    if specs := [tool["toolSpec"] for tool in (body.get("toolConfig") or {}).get("tools", [])]:
        asked["tools"] = [function(spec["name"], parameters=spec["inputSchema"]["json"]) for spec in specs]
    return asked


def openai_messages(turn: Json) -> Iterator[Json]:
    """The messages of one turn; images are left out, since the model behind has no eyes."""
    uses = [block["toolUse"] for block in turn["content"] if "toolUse" in block]
    results = [block["toolResult"] for block in turn["content"] if "toolResult" in block]
    calls = [{"id": use["toolUseId"], **function(use["name"], arguments=json.dumps(use["input"]))} for use in uses]
    for result in results:
        yield {"role": "tool", "tool_call_id": result["toolUseId"], "content": texts(result["content"])}
    if not results:
        yield {"role": turn["role"], "content": texts(turn["content"]), **({"tool_calls": calls} if calls else {})}


def function(name: str, **more: object) -> Json:
    """OpenAI's tool or call."""
    return {"type": "function", "function": {"name": name, **more}}


def texts(blocks: list[Json]) -> str:
    """The text of blocks."""
    return "\n".join(block.get("text") or json.dumps(block.get("json", "")) for block in blocks if "image" not in block)


def usage(piece: Piece) -> Json:
    """Tokens used."""
    names = {"inputTokens": "prompt_tokens", "outputTokens": "completion_tokens", "totalTokens": "total_tokens"}
    return {name: (piece.usage or {})[theirs] for name, theirs in names.items()}


class Bedrock:
    """Answers Bedrock's paths with the help of a llama.cpp server."""

    def __init__(self, llama: Llama, key: str, clock: Callable[[], float]) -> None:
        self._llama = llama
        self._key = key
        self._clock = clock
        self._form = Form("bedrock-runtime")
        self._control = Form("bedrock")

    async def converse(self, request: Request) -> Response:
        """POST /model/{id}/converse."""
        piece = await self._llama.complete(await self._body(request, "ConverseRequest"))
        choice = piece.body["choices"][0]
        content: list[Json] = [{"text": text}] if (text := choice["message"].get("content")) else []
        for call in choice["message"].get("tool_calls") or []:
            use = {"toolUseId": f"tooluse_{uuid.uuid4().hex}", "name": call["function"]["name"]}
            content.append({"toolUse": {**use, "input": json.loads(call["function"]["arguments"])}})
        answer = {
            "output": {"message": {"role": "assistant", "content": content}},
            "stopReason": STOP.get(choice["finish_reason"], "end_turn"),
            "usage": usage(piece),
            "metrics": {"latencyMs": 1},
        }
        return as_json(self._form.fit("ConverseResponse", answer))

    async def converse_stream(self, request: Request) -> Response:
        """POST /model/{id}/converse-stream."""
        pieces = await self._llama.stream(await self._body(request, "ConverseStreamRequest"))
        return Streamed(self._frames(pieces), LINES)

    async def _body(self, request: Request, shape: str) -> Json:
        """What to ask llama.cpp, once the request is found right."""
        content = await request.body()
        check_caller(request, content, self._key, self._clock())
        try:
            body: Json = json.loads(content)
        except ValueError as error:
            raise Refused(400, "Unexpected token", "SerializationException") from error
        model = request.path_params["model"]
        self._form.check(shape, {**body, "modelId": model})
        check_rules(model, body, shape == "ConverseStreamRequest")
        return llama_body(body)

    async def _frames(self, pieces: Pieces) -> AsyncGenerator[bytes, None]:
        async with aclosing(pieces):
            try:
                async for event in events(pieces):
                    yield line(self._form.fit("ConverseStreamOutput", event))
            except LlamaError as error:
                yield interrupt(error.status, str(error))

    async def models(self, request: Request) -> Response:
        """GET /foundation-models."""
        check_caller(request, b"", self._key, self._clock())
        rows = [{"modelArn": ARN + id, "modelId": id, "inferenceTypesSupported": [type]} for id, type in LISTED.items()]
        return as_json(self._control.fit("ListFoundationModelsResponse", {"modelSummaries": rows}))


async def events(pieces: Pieces) -> AsyncGenerator[Json, None]:
    """The events of a streamed answer: a block of text has no start of its own."""
    yield {"messageStart": {"role": "assistant"}}
    async for piece in pieces:
        if text := piece.body["choices"][0]["delta"].get("content"):
            yield {"contentBlockDelta": {"delta": {"text": text}, "contentBlockIndex": 0}}
        if piece.finish is not None:
            yield {"contentBlockStop": {"contentBlockIndex": 0}}
            yield {"messageStop": {"stopReason": STOP.get(piece.finish, "end_turn")}}
            yield {"metadata": {"usage": usage(piece), "metrics": {"latencyMs": 1}}}


async def _refused(_: Request, error: Exception) -> Response:
    """Any refusal as Bedrock's."""
    if isinstance(error, LlamaError):
        words = f"This model's maximum context length is {error.context} tokens. Please reduce the length of the prompt"
        error = Refused(400, words) if error.too_long else Refused(500, str(error))
    assert isinstance(error, Refused)
    return as_json({"message": str(error)}, error.status, {"x-amzn-errortype": f"{error.name}:{CORAL}"})


def app(
    llama_url: str, *, key: str = KEY, script: Script | None = None, clock: Callable[[], float] = time.time
) -> ASGIApp:
    """A Bedrock in front of the llama.cpp server at a URL, for the keys above; `clock` is its Unix time."""
    llama = Llama(llama_url)
    bedrock = Bedrock(llama, key, clock)
    routes = [
        Route("/model/{model:path}/converse", bedrock.converse, methods=["POST"]),
        Route("/model/{model:path}/converse-stream", bedrock.converse_stream, methods=["POST"]),
        Route("/foundation-models", bedrock.models),
    ]
    manners = {f"/model/{model}/{verb}": MANNER for model in MODELS for verb in ("converse", "converse-stream")}
    inner = opened(llama, routes, {Refused: _refused, LlamaError: _refused})
    return framed((script or Script()).around(inner, {**manners, "": MANNER}))
