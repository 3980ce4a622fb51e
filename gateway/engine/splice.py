"""How a stream that broke after content was delivered goes on: what the caller has, and what of a new stream is new."""

from typing import NamedTuple

import orjson

from gateway.types import Chunk, Json, Usage

TEXTS = ("reasoning_content", "reasoning", "content", "refusal")  # fields of a delta, in the order they are read
CONTENT = ("content",)
UNCUT = ("logprobs", "token_ids", "message")  # fields of a choice that cannot be cut with its text


class Mismatch(Exception):
    """A new stream does not go on from what was delivered; nothing of its text was given."""


class Piece(NamedTuple):
    """A text, and the fields that have it: one, or both spellings of reasoning where an upstream sends the two."""

    names: tuple[str, ...]
    text: str


class Delivered:
    """What the caller has of a stream so far: fed with every canonical chunk that goes out."""

    def __init__(self, choices: int = 1) -> None:
        self.id: str | None = None  # of the stream's chunks
        self.role = False  # whether it was sent
        self.finished = False  # whether a finish reason was sent
        self.runs: list[tuple[tuple[str, ...], list[str]]] = []  # fields and their text, in the order of the stream
        self.said: list[str] = []  # the last of those texts while it is content, else empty
        self.obstacle = "several choices were asked for" if choices > 1 else ""

    def add(self, body: Json) -> None:
        """One more chunk; after an obstacle nothing of it matters."""
        if self.obstacle:
            return
        if self.id is None:
            self.id = body.get("id")
        choices = body["choices"]
        if len(choices) > 1 or (choices and choices[0].get("index")):
            self.obstacle = "several choices were delivered"
        for choice in choices:
            self.add_choice(choice)

    def add_choice(self, choice: Json) -> None:
        """The one choice's piece."""
        if choice.get("finish_reason") is not None:
            self.finished = True
        delta = delta_of(choice)
        if len(delta) == 1 and self.said and type(text := delta.get("content")) is str and not uncut(choice):
            self.said.append(text)  # nearly all chunks are such
            return
        self.obstacle = self.obstacle or uncuttable(choice)
        self.role = self.role or bool(delta.get("role"))
        for names, text in pieces(delta):
            if not self.runs or self.runs[-1][0] != names:
                self.runs.append((names, []))
            self.runs[-1][1].append(text)
        self.said = self.runs[-1][1] if self.runs and self.runs[-1][0] == CONTENT else []

    def why_not(self) -> str:
        """Why nothing may be added to this stream by another one; empty when it may."""
        return self.obstacle or ("its end was delivered" if self.finished else "")

    def text(self, name: str) -> str:
        """All that was delivered of a field."""
        return "".join([text for names, texts in self.runs if name in names for text in texts])

    def pieces(self) -> list[Piece]:
        """All that was delivered, in the order of the stream; neighbours are of different fields."""
        return [Piece(names, "".join(texts)) for names, texts in self.runs]

    def prefill(self) -> str | None:
        """What to give a model as the beginning of its answer; None when there is nothing that it could go on from.

        White space at the end is left out: chat templates and APIs strip or refuse it, and the model writes it again.
        """
        if any(names != CONTENT for names, _ in self.runs):
            return None  # thoughts cannot be put into a model's mouth
        return self.text("content").rstrip() or None


class Splice:
    """Goes on with a stream from a new one that starts from its beginning and has to repeat all that was delivered.

    Fed with the new stream's chunks, it gives what is new of them, as chunks of the first stream. Until the new stream
    has caught up, nothing is given, and each character that differs is a Mismatch; after that there is none.
    """

    def __init__(self, before: Delivered) -> None:
        self.id = before.id
        self.role = before.role
        self.ahead = before.pieces()[::-1]  # what the new stream has yet to repeat, the next piece last
        self.at = 0  # characters of the next piece that it has repeated

    @property
    def caught_up(self) -> bool:
        """Whether the new stream has repeated all that it has to."""
        return not self.ahead

    def feed(self, chunk: Chunk) -> Chunk | None:
        """What is new in a chunk, None for nothing; raises Mismatch."""
        if not self.ahead:
            return self.joined(chunk)
        choices = chunk.body["choices"]
        if not choices:
            return None
        choice = choices[0]
        if len(choices) > 1 or choice.get("index"):
            raise Mismatch("it has several choices")
        if obstacle := uncuttable(choice):
            raise Mismatch(obstacle)
        rest = self.rest(delta_of(choice))
        ended = choice.get("finish_reason") is not None
        if self.ahead and ended:
            raise Mismatch("it is shorter than what was delivered")
        if not rest and not ended:
            return None
        return packed({**chunk.body, "choices": [{**choice, "delta": rest}]}, self.id)

    def rest(self, delta: Json) -> Json:
        """A delta with its new text alone; raises Mismatch."""
        rest: Json = {} if self.role or "role" not in delta else {"role": delta["role"]}
        found = {}
        for names, text in pieces(delta):
            if new := text[self.repeated(names, text) :]:
                found.update(dict.fromkeys(names, new))
        return rest | found if found else {}

    def repeated(self, names: tuple[str, ...], text: str) -> int:
        """How many characters of a text were delivered before: all of them until everything is; raises Mismatch."""
        if not self.ahead:
            return 0
        expected = self.ahead[-1]
        if names != expected.names:
            raise Mismatch(f"it has {names[0]} where {expected.names[0]} was delivered")
        length = min(len(text), len(expected.text) - self.at)
        if not expected.text.startswith(text[:length], self.at):
            raise Mismatch("its text differs from what was delivered")
        self.at += length
        if self.at == len(expected.text):
            self.ahead.pop()
            self.at = 0
        if length < len(text) and self.ahead:
            raise Mismatch(f"it has more {names[0]} than was delivered")
        return length

    def joined(self, chunk: Chunk) -> Chunk | None:
        """A chunk after the joint, as one of the first stream; None for one that says the role again and no more."""
        body = chunk.body
        if self.role and len(body["choices"]) == 1 and "role" in delta_of(body["choices"][0]):
            choice = body["choices"][0]
            delta = {name: value for name, value in choice["delta"].items() if name != "role"}
            if not any(delta.values()) and choice.get("finish_reason") is None and not body.get("usage"):
                return None
            body = {**body, "choices": [{**choice, "delta": delta}]}
        return packed(body, self.id)


class Continuation(Splice):
    """Goes on with a stream from a new one that was asked to continue `before.prefill()`, and gives what follows it.

    Whether the target repeats the prefill is the target's to declare, never guessed from the text, for an answer may
    repeat itself: one that `echoes` has to repeat all that was delivered, as a splice does; any other has to begin with
    the white space that the prefill was stripped of, and all the rest of it is new.
    """

    def __init__(self, before: Delivered, echoes: bool = False) -> None:
        super().__init__(before)
        self.begun = False  # whether content was given
        if not echoes:
            text = before.text("content")
            blank = text[len(text.rstrip()) :]
            self.ahead = [Piece(CONTENT, blank)] if blank else []

    def feed(self, chunk: Chunk) -> Chunk | None:
        """What is new in a chunk, None for nothing; raises Mismatch, also where it thinks before it goes on."""
        if self.begun:
            return super().feed(chunk)
        for names in names_of(chunk):
            if names != CONTENT:
                raise Mismatch(f"it has {names[0]} where content was to go on")
        new = super().feed(chunk)
        self.begun = new is not None and bool(names_of(new))
        return new


def names_of(chunk: Chunk) -> list[tuple[str, ...]]:
    """The fields of a chunk that have text."""
    return [piece.names for choice in chunk.body["choices"] for piece in pieces(delta_of(choice))]


def delta_of(choice: Json) -> Json:
    """A choice's piece; an empty one when it has none."""
    delta = choice.get("delta")
    return delta if isinstance(delta, dict) else {}


def pieces(delta: Json) -> list[Piece]:
    """The texts of a delta."""
    found: list[Piece] = []
    for name in TEXTS:
        text = delta.get(name)
        if not text or not isinstance(text, str):
            continue
        if name == "reasoning" and found and found[0].text == text:
            found[0] = Piece(TEXTS[:2], text)
        else:
            found.append(Piece((name,), text))
    return found


def uncut(choice: Json) -> str:
    """The field of a choice, beside its delta, that cannot be cut; empty for none."""
    if choice.get("logprobs") or choice.get("token_ids") or choice.get("message"):
        return next(name for name in UNCUT if choice.get(name))
    return ""


def uncuttable(choice: Json) -> str:
    """What a choice has besides text, so that it cannot be compared or cut; empty when it has text alone."""
    if name := uncut(choice):
        return f"it has {name}"
    for name, value in delta_of(choice).items():
        if value and name != "role" and (name not in TEXTS or not isinstance(value, str)):
            return f"it has {name}"
    return ""


def packed(body: Json, id: str | None) -> Chunk:
    """A chunk of a body, with the id of the first stream where that had one."""
    body = body if id is None else {**body, "id": id}
    return Chunk(orjson.dumps(body), body)


def summed(first: Usage | None, second: Usage | None) -> Usage | None:
    """The usage of an answer in two parts, the second of which continued the first: what the caller is told.

    The prompt is the first part's: that the second was sent again, with the text so far, is the gateway's own cost and
    stays in that attempt's outcome. A part that is not known counts nothing.
    """
    if first is None or second is None:
        return first or second
    completion = first.completion + second.completion
    return Usage(first.prompt, completion, first.cached, first.estimated or second.estimated)
