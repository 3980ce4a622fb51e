"""How Ollama maps OpenAI's chat bodies to its own and back, with what it forgets on the way."""

import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import datetime

from gateway.demo.standins.wire import DONE, Json, Manner, event, is_done

BASE64 = tuple(f"data:{kind};base64," for kind in ("", "image/jpeg", "image/jpg", "image/png", "image/webp"))
SAME = {"max_tokens": "num_predict", "temperature": "temperature", "top_p": "top_p", "seed": "seed"}
SAME |= {"frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty"}
KINDS = {400: "invalid_request_error", 404: "not_found_error"}
USUAL = {
    401: "unauthorized",
    404: "model 'unknown' not found",
    500: "llama runner process has terminated: exit status 2",
}
BUSY = "server busy, please try again.  maximum pending requests exceeded"


def usual(status: int) -> str:
    """What Ollama says under a status if nothing more is known."""
    return USUAL.get(status, BUSY if status in (429, 503) else "the request failed")


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status."""
    error = {"message": message or usual(status), "type": KINDS.get(status, "api_error")}
    return {"error": {**error, "param": None, "code": None}}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: the mapping loses it; an empty chunk of no model comes out, and no end."""
    choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}
    chunk = {"id": "chatcmpl-0", "object": "chat.completion.chunk", "created": 0, "model": "", "choices": [choice]}
    return event({**chunk, "system_fingerprint": "fp_ollama"})


MANNER = Manner(refuse, interrupt, is_done, frozenset({"usage"}))


def native(body: Json) -> Json:
    """The native request of an OpenAI one; tool_choice, n, user and logit_bias are unknown to it."""
    if not body.get("messages"):
        raise ValueError("[] is too short - 'messages'")
    options = {ours: body[theirs] for theirs, ours in SAME.items() if body.get(theirs) is not None}
    if body.get("stop"):
        options["stop"] = [body["stop"]] if isinstance(body["stop"], str) else body["stop"]
    asked: Json = {"model": body.get("model", ""), "stream": bool(body.get("stream")), "options": options}
    asked["messages"] = [message for turn in body["messages"] for message in _messages(turn)]
    asked["tools"] = body.get("tools") or []
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_object":
        asked["format"] = "json"
    elif wanted.get("type") == "json_schema":
        asked["format"] = wanted["json_schema"]["schema"]
    return asked


def _messages(turn: Json) -> list[Json]:
    """One native message, or one for each part of a content list."""
    content = turn.get("content")
    if isinstance(content, list):
        return [{"role": turn["role"], **_part(part)} for part in content]
    message: Json = {"role": turn["role"], "content": content or ""}
    if turn.get("tool_calls"):
        message["tool_calls"] = [_call(call) for call in turn["tool_calls"]]
    if turn.get("tool_call_id"):
        message["tool_call_id"] = turn["tool_call_id"]
    return [message]


def _part(part: Json) -> Json:
    if part.get("type") == "text":
        return {"content": part["text"]}
    if part.get("type") != "image_url":
        raise ValueError("invalid message format")
    image = part["image_url"]
    url: str = image["url"] if isinstance(image, dict) else image
    if not url.startswith(BASE64):
        raise ValueError("invalid image input")
    return {"content": "", "images": [url.partition(",")[2]]}


def _call(call: Json) -> Json:
    function = call["function"]
    try:
        arguments = json.loads(function["arguments"])
    except ValueError:
        raise ValueError("invalid tool call arguments") from None
    return {"id": call.get("id", ""), "function": {"name": function["name"], "arguments": arguments}}


def completion(answer: Json) -> Json:
    """A whole native answer as OpenAI's."""
    message = answer["message"]
    calls = _calls(message)
    choice = {
        "index": 0,
        "message": {**message, **calls},
        "finish_reason": "tool_calls" if calls else answer["done_reason"],
    }
    return {**_head(answer), "object": "chat.completion", "choices": [choice], "usage": _usage(answer)}


async def frames(answers: AsyncGenerator[Json, None], *, include_usage: bool) -> AsyncGenerator[bytes, None]:
    """A native stream as OpenAI's events; a native error object is not recognised, and the stream just ends."""
    called = False
    async with aclosing(answers):
        async for answer in answers:
            if "error" in answer:
                yield interrupt(500, None)
                return
            calls = _calls(answer["message"])
            called = called or bool(calls)
            reason = "tool_calls" if called else answer.get("done_reason")
            delta = {"role": "assistant", "content": answer["message"]["content"], **calls}
            choice = {"index": 0, "delta": delta, "finish_reason": reason if answer["done"] else None}
            head = {**_head(answer), "object": "chat.completion.chunk"}
            yield event({**head, "choices": [choice]})
            if answer["done"] and include_usage:
                yield event({**head, "choices": [], "usage": _usage(answer)})
    yield DONE


def _calls(message: Json) -> Json:
    calls = [
        {
            "id": call["id"],
            "index": call["function"]["index"],
            "type": "function",
            "function": {"name": call["function"]["name"], "arguments": json.dumps(call["function"]["arguments"])},
        }
        for call in message.get("tool_calls") or []
    ]
    return {"tool_calls": calls} if calls else {}


def _head(answer: Json) -> Json:
    created = int(datetime.fromisoformat(answer["created_at"].replace("000Z", "+00:00")).timestamp())
    return {
        "id": f"chatcmpl-{created % 999}",
        "created": created,
        "model": answer["model"],
        "system_fingerprint": "fp_ollama",
    }


def _usage(answer: Json) -> Json:
    prompt, output = answer.get("prompt_eval_count", 0), answer.get("eval_count", 0)
    return {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}


def listed(tags: Json) -> Json:
    """The native model list as OpenAI's."""
    known = {"object": "model", "created": 1788249600, "owned_by": "library"}
    return {"object": "list", "data": [{"id": model["name"], **known} for model in tags["models"]]}
