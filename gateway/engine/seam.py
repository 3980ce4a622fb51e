"""Where an answer that broke in the middle may go on: what was given of it, and the joint to the next attempt."""

from collections.abc import Mapping
from dataclasses import replace

import orjson

from gateway.engine.splice import Continuation, Delivered, Mismatch, Splice, summed
from gateway.engine.tally import CHARS_PER_TOKEN, usage_of
from gateway.errors import Rejected, SpliceMismatch, UpstreamError
from gateway.outcomes import Outcome
from gateway.providers.kind import Kind
from gateway.types import ChatRequest, Chunk, Json, Usage

FORMS = (  # fields of a body by which a server makes an answer keep to a form
    "tools",
    "grammar",
    "json_schema",
    "regex",
    "ebnf",
    "structured_outputs",
    "guided_json",
    "guided_regex",
    "guided_choice",
    "guided_grammar",
)


class Seam:
    """Lets the chunks of an answer pass, and joins to them those of a second attempt after the first has broken."""

    def __init__(self, request: ChatRequest, mode: str) -> None:
        self.request = request
        self.mode = mode
        self.delivered = Delivered(request.body.get("n") or 1)
        self.broken: UpstreamError | None = None  # what ended the first attempt
        self.model = ""  # that wrote the first part
        self.spent: Usage | None = None  # by the first attempt
        self.used: Usage | None = None  # the same, where the second only continues it
        self.joint: Splice | None = None

    def given(self, chunks: list[Chunk]) -> list[Chunk]:
        """What of an attempt's chunks goes to the caller; raises SpliceMismatch."""
        if self.joint is not None:
            chunks = self.joined(self.joint, chunks)
        for chunk in chunks:
            self.delivered.add(chunk.body)
        return chunks

    def joined(self, joint: Splice, chunks: list[Chunk]) -> list[Chunk]:
        """What is new in the chunks of a second attempt."""
        try:
            found = [new for chunk in chunks if (new := joint.feed(chunk)) is not None]
        except Mismatch as exc:
            raise SpliceMismatch(f"The second answer does not go on from the first: {exc}.") from exc
        return found if self.used is None else [with_both(chunk, self.used) for chunk in found]

    @property
    def repeats(self) -> bool:
        """Whether a second attempt has begun from the start, and says once more what was given already."""
        return self.joint is not None and self.used is None

    def breaks(self, error: UpstreamError, outcome: Outcome) -> bool:
        """Whether an answer that broke may be taken up by another attempt: once, and only where text can be joined."""
        if self.broken is not None or not error.elsewhere or self.delivered.why_not():
            return False
        self.broken, self.spent, self.model = error, outcome.usage, outcome.deployment.model
        return True

    def refused(self, error: UpstreamError) -> bool:
        """Whether a target that was to continue does not take a prefill, so that it is asked to begin anew instead."""
        if not isinstance(error, Rejected) or not isinstance(self.joint, Continuation):
            return False
        self.mode, self.joint, self.used = "splice", None, None
        return True

    def resume(self, kind: Kind, model: str) -> ChatRequest:
        """The request for the second attempt at a deployment of that kind and model.

        Only the model that wrote the first part continues it: what another one begins anew is compared with it.
        """
        if model != self.model:
            kind = replace(kind, prefill=None)
        prefill = self.delivered.prefill() if self.mode == "continue" and continuable(self.request) else None
        if prefill is None or kind.prefill is None:
            self.joint, self.used = Splice(self.delivered), None
            return self.request
        self.joint, self.used = Continuation(self.delivered), self.spent
        return replace(self.request, body=continued(self.request.body, prefill, kind.prefill))


def continuable(request: ChatRequest) -> bool:
    """Whether a model can go on in the middle of this answer.

    A form is kept to from the first token that a server writes, so that a second part would be all of it once more;
    and an answer that the caller began itself would be begun twice.
    """
    body = request.body
    form = (body.get("response_format") or {}).get("type", "text")
    last = body["messages"][-1] if body["messages"] else {}
    return form == "text" and not any(body.get(name) for name in FORMS) and last.get("role") != "assistant"


def continued(body: Json, prefill: str, flags: Mapping[str, bool]) -> Json:
    """A body that asks for the rest of an answer which begins with `prefill`, and for as much less."""
    messages = [*body["messages"], {"role": "assistant", "content": prefill}]
    left = {
        name: max(1, body[name] - round(len(prefill) / CHARS_PER_TOKEN))
        for name in ("max_tokens", "max_completion_tokens")
        if isinstance(body.get(name), int)
    }
    return {**body, "messages": messages, **left, **flags}


def with_both(chunk: Chunk, first: Usage) -> Chunk:
    """A chunk whose usage counts both parts of an answer."""
    usage = chunk.body.get("usage")
    second = usage_of(usage)
    both = None if second is None else summed(first, second)
    if usage is None or both is None:
        return chunk
    counts = {"prompt_tokens": both.prompt, "completion_tokens": both.completion}
    body = {**chunk.body, "usage": {**usage, **counts, "total_tokens": both.prompt + both.completion}}
    return Chunk(orjson.dumps(body), body)
