"""OpenAI's chat request in the words of Bedrock's Converse, with the quirks of Llama there. Pure."""

import base64
import hashlib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from gateway.errors import Rejected
from gateway.types import ChatRequest, Deployment, Json

SYSTEM = ("system", "developer")
SAME = ("additionalModelRequestFields", "guardrailConfig", "performanceConfig", "requestMetadata")
IMAGES = {"png": "png", "jpeg": "jpeg", "jpg": "jpeg", "gif": "gif", "webp": "webp"}
HOTTEST = 1.0  # Bedrock's highest temperature, where OpenAI's is 2
TOOL_ID = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
NOTHING = "(no output)"  # of a tool: Bedrock takes no empty text

GEOGRAPHIES = (("us-gov-", "us-gov"), ("us-", "us"), ("eu-", "eu"), ("ap-", "apac"))
PROFILED = re.compile(r"(?:(?:us|us-gov|eu|apac)\.)?(meta\.llama(?:3-\d-|[4-9]).*)")  # Llama 3.1 and later


def profile_id(id: str, region: str | None) -> str:
    """The id to ask for: Llama 3.1 and later is served through the inference profile of the region's geography."""
    found = PROFILED.fullmatch(id)
    geography = next((name for start, name in GEOGRAPHIES if (region or "").startswith(start)), None)
    return f"{geography}.{found[1]}" if found and geography else id


def is_llama(id: str) -> bool:
    """Whether a model has Llama's quirks: no forced tools, no tools in a stream, no calls beside text."""
    return "llama" in id.lower()


def may_call(asked: Json) -> bool:
    """Whether the answer may call tools."""
    return bool(asked.get("tools")) and asked.get("tool_choice") != "none"


def converse_body(request: ChatRequest, deployment: Deployment) -> Json:
    """Converse's body for a canonical request; what Bedrock does not know is left out. Raises Rejected."""
    asked = request.body
    writer = Writer(deployment.backend, is_llama(deployment.id), may_call(asked))
    if (asked.get("response_format") or {}).get("type", "text") != "text":
        raise writer.cannot("a request for JSON by `response_format`", "response_format")
    if asked.get("n") not in (None, 1):
        raise writer.cannot("a request for more than one answer", "n")
    optional = {
        "system": [{"text": text} for text in writer.system(asked["messages"])],
        "inferenceConfig": inference(asked),
        "toolConfig": writer.tools(asked) if may_call(asked) else None,
        **{name: asked.get(name) for name in SAME},
    }
    body: Json = {"messages": writer.messages(asked["messages"])}
    return body | {name: value for name, value in optional.items() if value}


def inference(asked: Json) -> Json:
    """The sampling options that Bedrock knows for every model; a temperature above its highest is taken as that."""
    heat, stop = asked.get("temperature"), asked.get("stop")
    wanted = {
        "maxTokens": asked.get("max_completion_tokens") or asked.get("max_tokens"),
        "temperature": min(heat, HOTTEST) if isinstance(heat, int | float) else None,
        "topP": asked.get("top_p"),
        "stopSequences": [stop] if isinstance(stop, str) else stop,
    }
    return {name: value for name, value in wanted.items() if value is not None and value != []}


class Writer:
    """Writes messages and tools; knows whom for, and whether calls may be written as such."""

    def __init__(self, backend: str, llama: bool, calls: bool) -> None:
        self.backend = backend
        self.llama = llama
        self.calls = calls  # without tools to offer, Bedrock takes neither calls nor results
        self.names: dict[str, str] = {}  # of the tools called so far, by the call's id

    def cannot(self, what: str, param: str = "messages") -> Rejected:
        """The error of a request that Bedrock has no words for; another deployment may."""
        error = Rejected(f"Backend '{self.backend}' cannot be sent {what}.", param=param)
        error.elsewhere = True
        return error

    def system(self, messages: Iterable[Json]) -> Iterable[str]:
        """The texts of all system messages, which Bedrock keeps apart."""
        for message in messages:
            if message["role"] in SYSTEM:
                yield from (block["text"] for block in self.blocks(message.get("content")) if "text" in block)

    def messages(self, messages: Iterable[Json]) -> list[Json]:
        """The turns, which must alternate and begin with the user's."""
        turns: list[Json] = []
        for message in messages:
            role, blocks = ("", []) if message["role"] in SYSTEM else self.turn(message)
            if blocks and turns and turns[-1]["role"] == role:
                turns[-1]["content"] += blocks
            elif blocks:
                turns.append({"role": role, "content": blocks})
        if not turns or turns[0]["role"] != "user":
            raise self.cannot("a conversation that does not begin with a user's message")
        if self.llama:
            for turn in turns:
                turn["content"] = unmixed(turn["content"])
        return turns

    def turn(self, message: Json) -> tuple[str, list[Json]]:
        """Whose turn a message is, and its blocks."""
        if message["role"] in ("tool", "function"):
            return "user", self.result(message)
        blocks = self.blocks(message.get("content"))
        if message["role"] != "assistant":
            return "user", blocks
        return "assistant", blocks + [self.call(call) for call in message.get("tool_calls") or []]

    def call(self, call: Any) -> Json:
        """A tool call of an earlier answer, its arguments as an object."""
        function = call.get("function") if isinstance(call, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(function, dict) or not isinstance(name, str) or not call.get("id"):
            raise self.cannot("a tool call without an id and a function's name")
        try:
            arguments = orjson.loads(function.get("arguments") or "{}")
        except (orjson.JSONDecodeError, TypeError):
            arguments = None
        if not isinstance(arguments, dict):
            raise self.cannot(f"a call of '{name}' whose arguments are not a JSON object")
        self.names[str(call["id"])] = name
        if not self.calls:
            return {"text": orjson.dumps({"name": name, "parameters": arguments}).decode()}
        return {"toolUse": {"toolUseId": tool_id(call["id"]), "name": name, "input": arguments}}

    def result(self, message: Json) -> list[Json]:
        """A tool's result."""
        id = message.get("tool_call_id") or message.get("name") or ""
        blocks = self.blocks(message.get("content")) or [{"text": NOTHING}]
        if self.calls:
            return [{"toolResult": {"toolUseId": tool_id(id), "content": blocks}}]
        return [{"text": f"Result of {self.names.get(str(id)) or 'the tool'}:"}, *blocks]

    def blocks(self, content: Any) -> list[Json]:
        """A message's content as blocks; Bedrock takes no blank ones."""
        if not isinstance(content, list):
            return [{"text": content}] if isinstance(content, str) and content.strip() else []
        found = []
        for part in content:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind == "image_url":
                found.append({"image": self.image(part.get("image_url"))})
            elif kind in ("text", "refusal") and isinstance(text := part.get(kind), str):
                found += self.blocks(text)
            else:
                raise self.cannot(f"a content part of type '{kind}'")
        return found

    def image(self, source: Any) -> Json:
        """An image from its data: URL."""
        url = source.get("url") if isinstance(source, dict) else source
        about, _, data = url.partition(",") if isinstance(url, str) else ("", "", "")
        format = IMAGES.get(about.removeprefix("data:image/").partition(";")[0].lower())
        if format is None or not about.startswith("data:image/"):
            raise self.cannot("an image that is not a data: URL of a PNG, JPEG, GIF or WebP")
        plain = about.endswith(";base64")
        return {"format": format, "source": {"bytes": data if plain else encoded(unquote_to_bytes(data))}}

    def tools(self, asked: Json) -> Json:
        """The tools to offer; Llama cannot be made to call one, so it is offered only the one that is named."""
        specs = [self.tool(tool) for tool in asked["tools"]]
        choice = asked.get("tool_choice")
        function = choice.get("function") if isinstance(choice, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if self.llama:
            return {"tools": [spec for spec in specs if spec["toolSpec"]["name"] == name] or specs}
        forced = {"tool": {"name": name}} if name else {"any": {}} if choice == "required" else None
        return {"tools": specs} | ({"toolChoice": forced} if forced else {})

    def tool(self, tool: Any) -> Json:
        """One tool's name, purpose and schema."""
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise self.cannot("a tool that is not a function", "tools")
        schema = {"type": "object", **({"properties": {}} | (function.get("parameters") or {}))}
        said = {"description": function["description"]} if function.get("description") else {}
        return {"toolSpec": {"name": function["name"], **said, "inputSchema": {"json": schema}}}


def unmixed(blocks: list[Json]) -> list[Json]:
    """A turn as Llama takes it: words, or calls, or results. Words go inside a result; beside calls they are lost."""
    calls = [block for block in blocks if "toolUse" in block]
    results = [block for block in blocks if "toolResult" in block]
    if results:
        results[-1]["toolResult"]["content"] += [block for block in blocks if "toolResult" not in block]
    return calls or results or blocks


def tool_id(id: Any) -> str:
    """A call's id as Bedrock takes it: its own, or always the same one in its place."""
    text = str(id)
    return text if TOOL_ID.fullmatch(text) else "call_" + hashlib.sha256(text.encode()).hexdigest()[:32]


def encoded(data: bytes) -> str:
    """Bytes in base64."""
    return base64.b64encode(data).decode()
