"""What an answer has shown so far: content, finish reasons, usage, the model's name."""

from gateway.types import Json, Usage

CONTENT = ("content", "tool_calls", "reasoning_content", "reasoning", "refusal", "function_call")
CHARS_PER_TOKEN = 4.0  # of an answer whose upstream does not count


class Tally:
    """Reads canonical chunks, or one canonical answer, as they pass."""

    def __init__(self, choices: int = 1) -> None:
        self.choices = choices  # that were asked for
        self.content = False
        self.finished: dict[int, str | None] = {}  # choice -> its finish reason
        self.usage: Usage | None = None
        self.model: str | None = None
        self.characters = 0

    def add(self, body: Json) -> None:
        """One more chunk."""
        if self.model is None and isinstance(name := body.get("model"), str):
            self.model = name
        for choice in body["choices"]:
            self.add_choice(choice)
        if usage := body.get("usage"):
            self.usage = usage_of(usage) or self.usage

    def add_choice(self, choice: Json) -> None:
        """One choice's piece: its text counts as content, and so does its end."""
        reason, index, delta = choice.get("finish_reason"), choice.get("index"), choice.get("delta")
        plain = reason is None and self.content and type(index) is int and index in self.finished
        if plain and delta and len(delta) == 1 and type(text := delta.get("content")) is str:
            self.characters += len(text)  # nearly all chunks are such
            return
        index = index if isinstance(index, int) else 0
        if reason is not None:
            self.finished[index] = str(reason)
            self.content = True
        elif index not in self.finished:
            self.finished[index] = None
        piece = choice.get("delta") or choice.get("message")
        if isinstance(piece, dict):
            text = piece.get("content")
            for said in (text, piece.get("reasoning_content"), *arguments(piece.get("tool_calls"))):
                if isinstance(said, str):
                    self.characters += len(said)
            if not self.content:
                self.content = any(piece.get(name) for name in CONTENT)

    @property
    def complete(self) -> bool:
        """Whether every choice that was asked for has come to its end."""
        return len(self.finished) >= self.choices and None not in self.finished.values()

    @property
    def cut(self) -> str:
        """How an answer that is not complete falls short."""
        done = sum(reason is not None for reason in self.finished.values())
        if self.choices > 1:
            return f"ended its answer with {done} of {self.choices} choices finished"
        return "ended its answer before it was finished"

    @property
    def whole(self) -> bool:
        """Whether the answer ended by itself: neither cut by a limit nor by a filter."""
        return self.complete and all(reason in ("stop", "tool_calls") for reason in self.finished.values())

    def counted(self, prompt_tokens: int) -> Usage:
        """The usage, estimated from the text when the upstream has not said."""
        return self.usage or Usage(prompt_tokens, round(self.characters / CHARS_PER_TOKEN), estimated=True)


def arguments(calls: object) -> list[object]:
    """The pieces of arguments in a piece's tool calls."""
    if not isinstance(calls, list):
        return []
    functions = [call.get("function") for call in calls if isinstance(call, dict)]
    return [function.get("arguments") for function in functions if isinstance(function, dict)]


def usage_of(usage: object) -> Usage | None:
    """OpenAI's usage object; None when it is not one (zero is a number, missing is not)."""
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens", 0)
    if not isinstance(prompt, int) or not isinstance(completion, int) or prompt < 0 or completion < 0:
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(prompt, completion, cached if isinstance(cached, int) and 0 <= cached <= prompt else 0)
