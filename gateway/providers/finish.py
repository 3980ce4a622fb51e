"""Why an answer ended, in OpenAI's words, whatever its host calls it."""

from gateway.errors import ServerFault
from gateway.types import Json

WORDS = {
    **{word: word for word in ("stop", "length", "tool_calls", "content_filter", "function_call")},
    **dict.fromkeys(("eos", "eos_token", "stop_sequence", "stop_token", "end_turn", "complete"), "stop"),
    **dict.fromkeys(("max_tokens", "max_length", "model_length", "model_context_window_exceeded"), "length"),
    **dict.fromkeys(("tool_use", "tool_call"), "tool_calls"),
    **dict.fromkeys(("content_filtered", "guardrail_intervened", "safety"), "content_filter"),
}
BROKEN = frozenset({"abort", "aborted", "cancelled", "canceled", "error"})
UNKNOWN = "length"  # the word for one that nobody knows: whether the answer is whole is not known either


class Endings:
    """The finish reasons of one answer; remembers which of its choices have called tools."""

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self.called: set[int] = set()

    def mend(self, choices: list[Json]) -> bool:
        """Bring finish reasons into OpenAI's words in place; whether any was changed. Raises ServerFault."""
        changed = False
        for choice in choices:
            piece = choice.get("delta") or choice.get("message")
            if isinstance(piece, dict) and piece.get("tool_calls"):
                self.called.add(index_of(choice))
            reason = choice.get("finish_reason")
            if reason is not None and (word := self.word(reason, choice)) != reason:
                choice["finish_reason"], changed = word, True
        return changed

    def word(self, reason: object, choice: Json) -> str | None:
        """OpenAI's word for a reason; None for an empty one. vLLM says `stop` after a call that was forced."""
        said = str(reason).lower()
        if not said:
            return None
        if said in BROKEN:
            raise ServerFault(f"Backend '{self.backend}' gave its answer up ('{said}').")
        word = WORDS.get(said, UNKNOWN)
        return "tool_calls" if word == "stop" and index_of(choice) in self.called else word


def index_of(choice: Json) -> int:
    """The number of a choice."""
    index = choice.get("index")
    return index if isinstance(index, int) else 0
