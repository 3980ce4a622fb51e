"""Tool calls that came as text, put where OpenAI's API has them; everything else goes through as it is. Pure."""

from collections.abc import Iterable

import orjson

from gateway.engine.leaks import LIMIT, Call, Reader
from gateway.types import ChatRequest, Chunk, Json

ENDED = ("stop", "tool_calls")  # an answer that was cut may hold half of its calls
OWN = ("tool_calls", "function_call", "refusal")  # what shows that the server knows what it does


class Pending:
    """A choice of which it is not known yet whether it is text or calls."""

    def __init__(self, names: Iterable[str]) -> None:
        self.reader = Reader(names)
        self.chunks: list[Chunk] = []  # from the first text on


class Repair:
    """Repairs one answer: text is held back while it can still be calls of the request's tools, and no longer."""

    def __init__(self, request: ChatRequest) -> None:
        wanted = request.body.get("tool_choice") != "none"
        self.names = tool_names(request.body.get("tools") or ()) if wanted else []
        self.id = request.id
        self.undecided = (request.body.get("n") or 1) if self.names else 0  # choices
        self.pending: dict[int, Pending] = {}
        self.decided: set[int] = set()

    @property
    def holding(self) -> bool:
        """Whether there is text that was not given yet."""
        return any(pending.chunks for pending in self.pending.values())

    def feed(self, chunks: list[Chunk]) -> list[Chunk]:
        """What can be given now of chunks, or of an answer in one piece."""
        if self.undecided <= 0 and not self.pending:
            return chunks
        return [given for chunk in chunks for given in self.given(chunk)]

    def given(self, chunk: Chunk) -> list[Chunk]:
        """What can be given now that a chunk has come."""
        choices = chunk.body["choices"]
        if any("message" in choice for choice in choices):
            return [self.whole(chunk)]
        if len(choices) == 1:
            return self.piece(chunk, choices[0])
        if all(index_of(choice) in self.decided for choice in choices):
            return [chunk]
        return [given for choice in choices for given in self.piece(with_choice(chunk, choice), choice)]

    def whole(self, chunk: Chunk) -> Chunk:
        """An answer in one piece."""
        choices = [self.whole_choice(choice) for choice in chunk.body["choices"]]
        if all(new is old for new, old in zip(choices, chunk.body["choices"], strict=True)):
            return chunk
        return made({**chunk.body, "choices": choices})

    def whole_choice(self, choice: Json) -> Json:
        """One of its choices; the same one when there is nothing to repair."""
        message = choice.get("message")
        if not isinstance(message, dict) or choice.get("finish_reason") not in ENDED:
            return choice
        text, reader = message.get("content"), Reader(self.names)
        if not isinstance(text, str) or any(message.get(name) for name in OWN) or not reader.feed(text):
            return choice
        calls = [self.call(call, index_of(choice), number) for number, call in enumerate(reader.calls())]
        if not calls:
            return choice
        return without_logprobs(
            {**choice, "message": {**message, "content": None, "tool_calls": calls}, "finish_reason": "tool_calls"}
        )

    def piece(self, chunk: Chunk, choice: Json) -> list[Chunk]:
        """What can be given now that a choice has gone on, or ended."""
        index = index_of(choice)
        if index in self.decided:
            return [chunk]
        pending = self.pending.get(index) or self.pending.setdefault(index, Pending(self.names))
        delta = choice.get("delta") or {}
        if not can_be_calls(delta, pending.reader) or len(pending.chunks) >= LIMIT:
            return self.released(index, chunk)
        reason = choice.get("finish_reason")
        if reason is not None:
            calls = pending.reader.calls() if reason in ENDED else []
            return self.repaired(index, chunk, choice, calls) if calls else self.released(index, chunk)
        if not pending.chunks and not delta.get("content"):
            return [chunk]
        pending.chunks.append(chunk)
        return []

    def released(self, index: int, chunk: Chunk) -> list[Chunk]:
        """A choice is text: all that was held of it, as it came."""
        return [*self.decide(index), chunk]

    def repaired(self, index: int, chunk: Chunk, choice: Json, calls: list[Call]) -> list[Chunk]:
        """A choice is calls, and its last chunk is here."""
        kept = [bare for held in self.decide(index) if (bare := without_text(held)) is not None]
        listed = [{"index": number, **self.call(call, index, number)} for number, call in enumerate(calls)]
        delta = {"index": index, "delta": {"tool_calls": listed}, "finish_reason": None}
        body = {name: value for name, value in chunk.body.items() if name != "usage"}
        rest = {name: value for name, value in (choice.get("delta") or {}).items() if name != "content"}
        last = without_logprobs({**choice, "delta": rest, "finish_reason": "tool_calls"})
        return [*kept, made({**body, "choices": [delta]}), made({**chunk.body, "choices": [last]})]

    def decide(self, index: int) -> list[Chunk]:
        """It is known what a choice is: what was held of it."""
        self.decided.add(index)
        self.undecided -= 1
        return self.pending.pop(index).chunks

    def call(self, call: Call, index: int, number: int) -> Json:
        """A call in OpenAI's shape; its id is one of its own in this answer."""
        function = {"name": call.name, "arguments": call.arguments}
        return {"id": f"call_{self.id}_{index}_{number}", "type": "function", "function": function}


def leaked(text: str, tools: Iterable[object]) -> bool:
    """Whether a text, or the beginning of one, is a call of one of the tools, which its server should have parsed."""
    reader = Reader(tool_names(tools))
    return (reader.feed(text[: LIMIT - 1]) or bool(reader.spans)) and reader.named


def tool_names(tools: Iterable[object]) -> list[str]:
    """The names of the functions among tools."""
    functions = [tool.get("function") for tool in tools if isinstance(tool, dict)]
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    return [name for name in names if isinstance(name, str)]


def can_be_calls(delta: object, reader: Reader) -> bool:
    """Whether a choice can still be calls, now that this has been added to it."""
    if not isinstance(delta, dict) or any(delta.get(name) for name in OWN):
        return False
    text = delta.get("content") or ""
    return isinstance(text, str) and reader.feed(text)


def without_text(chunk: Chunk) -> Chunk | None:
    """A chunk of one choice without its text; None when nothing is left."""
    (choice,) = chunk.body["choices"]
    delta = {name: value for name, value in (choice.get("delta") or {}).items() if name != "content"}
    return made({**chunk.body, "choices": [without_logprobs({**choice, "delta": delta})]}) if delta else None


def without_logprobs(choice: Json) -> Json:
    """A choice without the probabilities of a text that it no longer has."""
    return {**choice, "logprobs": None} if choice.get("logprobs") else choice


def with_choice(chunk: Chunk, choice: Json) -> Chunk:
    """One of the choices of a chunk as a chunk of its own."""
    return made({**chunk.body, "choices": [choice]})


def made(body: Json) -> Chunk:
    """A chunk of a body."""
    return Chunk(orjson.dumps(body), body)


def index_of(choice: Json) -> int:
    """The number of a choice."""
    index = choice.get("index")
    return index if isinstance(index, int) else 0
