"""Chats as the one text that Replicate's Llama models take, by Llama's own chat templates."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from gateway.errors import Rejected
from gateway.types import Json

LLAMA_2 = re.compile(r"llama-?2\b|code-?llama", re.IGNORECASE)
ROLES = {
    "system": "system",
    "developer": "system",
    "assistant": "assistant",
    "tool": "ipython",  # who answers to Llama's calls
    "function": "ipython",
}
SPECIAL_2 = re.compile(r"([\[<])(/?INST\]|</?SYS>>|/?s>)")
SPECIAL_3 = re.compile(r"<\|(\w+)\|>")


class Turn(NamedTuple):
    """Who says what."""

    role: str
    text: str


def is_llama_2(name: str) -> bool:
    """Whether a model's name is that of Llama 2 or Code Llama, which have a template of their own."""
    return LLAMA_2.search(name) is not None


def turns(messages: list[Json], backend: str) -> list[Turn]:
    """The messages as plain text, earlier tool calls as the JSON that Llama writes them in. Raises Rejected."""
    return [Turn(ROLES.get(said["role"], "user"), spoken(said, backend)) for said in messages]


def spoken(message: Json, backend: str) -> str:
    """The text of a message; raises Rejected for what a text cannot hold."""
    content = message.get("content") or ""
    parts = [content] if isinstance(content, str) else [text_of(part, backend) for part in content]
    calls = message.get("tool_calls") or []
    return "\n".join(filter(None, ["".join(parts), *map(written, calls)]))


def text_of(part: Any, backend: str) -> str:
    """The text of a content part; raises Rejected for any other kind."""
    kind = part.get("type") if isinstance(part, dict) else None
    text = part.get(kind) if kind in ("text", "refusal") else None
    if not isinstance(text, str):
        raise untranslatable(backend, f"a content part of type '{kind}'", "messages")
    return text


def written(call: Any) -> str:
    """An earlier tool call as Llama writes one."""
    function = call.get("function") if isinstance(call, dict) else None
    named = function if isinstance(function, dict) else {}
    try:
        parameters = orjson.loads(named.get("arguments") or "{}")
    except (orjson.JSONDecodeError, TypeError):
        parameters = named.get("arguments")
    return orjson.dumps({"name": named.get("name"), "parameters": parameters}).decode()


def llama_3(said: Iterable[Turn]) -> str:
    """The template of Llama 3 and later, up to where the assistant is to speak."""
    return "<|begin_of_text|>" + "".join(map(section, said)) + header("assistant")


def section(turn: Turn) -> str:
    """One turn; what looks like one of the template's tokens in its text no longer does."""
    text = SPECIAL_3.sub(r"<| \1 |>", turn.text).strip()
    return f"{header(turn.role)}{text}<|eot_id|>"


def header(role: str) -> str:
    """What announces a turn."""
    return f"<|start_header_id|>{role}<|end_header_id|>\n\n"


def llama_2(said: Iterable[Turn]) -> str:
    """The template of Llama 2: the system's words go into the user's first; the tokenizer adds the first <s>."""
    clean = [Turn(turn.role, SPECIAL_2.sub(r"\1 \2", turn.text).strip()) for turn in said]
    system = "\n\n".join(turn.text for turn in clean if turn.role == "system")
    asked = [f"<<SYS>>\n{system}\n<</SYS>>"] if system else []
    done = ""
    for turn in clean:
        if turn.role == "assistant":
            done += f"{instruction(asked)} {turn.text} </s><s>"
            asked = []
        elif turn.role != "system":
            asked.append(turn.text)
    return done + instruction(asked)


def instruction(asked: list[str]) -> str:
    """What a user says between two answers."""
    return "[INST] " + "\n\n".join(asked) + " [/INST]"


def untranslatable(backend: str, what: str, param: str) -> Rejected:
    """The error of a request that Replicate has no words for; another deployment may."""
    error = Rejected(f"Backend '{backend}' cannot be sent {what}.", param=param)
    error.elsewhere = True
    return error
