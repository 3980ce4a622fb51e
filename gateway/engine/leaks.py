"""Tool calls that a Llama wrote as text, which its server should have parsed. Pure.

The forms: JSON objects with a name and `parameters` (or `arguments`), also several with `;` between; the same in
`<function=name>{...}</function>`; a list of calls as Python has them, or `name.call(...)` as for tools that Llama was
trained on. A tag may come before, others after.
"""

import ast
import math
import warnings
from bisect import bisect_left
from collections.abc import Generator, Iterable
from typing import Any, NamedTuple

import orjson

LIMIT = 32_768  # characters of a text that may be calls
DEPTH = 64  # brackets within brackets
NAME = 128  # characters of a tool's name
BLANK = frozenset(" \t\r\n")
OPEN, CLOSE, QUOTES = frozenset("([{"), frozenset(")]}"), frozenset("\"'")
FUNCTION, FUNCTION_END = "<function=", "</function>"
CALLED = ".call("
STARTS = sorted((FUNCTION, "<|python_tag|>", "<|python_start|>"))
ENDS = sorted(("<|eom_id|>", "<|eot_id|>", "<|python_end|>"))
KEYS = sorted(("name", "parameters", "arguments", "type"))

Steps = Generator[None, None, None]  # each stands on a character and asks for the next one
Word = Generator[None, None, str]


class Call(NamedTuple):
    """A call of a tool; the arguments are the text of a JSON object."""

    name: str
    arguments: str


class Span(NamedTuple):
    """Where a text has the arguments of a call up to their last bracket, and whether they are Python's."""

    name: str
    start: int
    end: int
    python: bool


class NotCalls(Exception):
    """The text is something else."""


class Reader:
    """Reads a text in any pieces, each character once, as long as it can be calls of the named tools."""

    def __init__(self, names: Iterable[str]) -> None:
        self.names = sorted(name for name in names if 0 < len(name) <= NAME)
        self.parts: list[str] = []
        self.place = -1  # of the character that is looked at
        self.char = ""
        self.named = False  # a tool was named
        self.spans: list[Span] = []  # of the calls that are whole
        self.possible = True
        self.steps = self.text()
        next(self.steps)

    def feed(self, piece: str) -> bool:
        """Whether the text can still be calls."""
        self.possible = self.possible and self.place + len(piece) < LIMIT
        if not self.possible:
            return False
        self.parts.append(piece)
        try:
            for char in piece:
                self.place, self.char = self.place + 1, char
                next(self.steps)
        except NotCalls:
            self.possible = False
        return self.possible

    def calls(self) -> list[Call]:
        """The calls that the text is, now that it has ended; none when it is anything else."""
        if not self.possible or not self.ended():
            return []
        text = "".join(self.parts)
        try:
            return [Call(span.name, arguments_of(text[span.start : span.end], span.python)) for span in self.spans]
        except NotCalls:
            return []

    def ended(self) -> bool:
        """Whether calls may end where the text does."""
        self.place, self.char, self.possible = self.place + 1, "", False
        try:
            next(self.steps)
        except StopIteration:
            return True
        except NotCalls:
            pass
        return False

    # The grammar: each of these begins on its first character and ends on the one after its last.

    def text(self) -> Steps:
        """All of it."""
        yield
        yield from self.blanks()
        ends = ENDS
        start = (yield from self.word(STARTS)) if self.char == "<" else ""
        if start == FUNCTION:
            yield from self.function()
            ends = sorted((FUNCTION, *ENDS))
        else:
            yield from self.blanks()
            yield from {"[": self.python, "{": self.objects}.get(self.char, self.called)()
        while True:
            yield from self.blanks()
            if not self.char:
                return
            if (yield from self.word(ends)) == FUNCTION:
                yield from self.function()

    def objects(self) -> Steps:
        """JSON objects with `;` between them."""
        yield from self.object()
        yield from self.blanks()
        while self.char == ";":
            yield
            yield from self.blanks()
            yield from self.object()
            yield from self.blanks()

    def object(self) -> Steps:
        """A JSON object of a name and arguments; it may say besides that it is a function."""
        name, start, end = "", 0, 0
        open = {"name", "arguments", "type"}
        yield from self.need("{")
        while True:
            yield from self.blanks()
            key = (yield from self.quoted(KEYS)).replace("parameters", "arguments")
            if key not in open:
                raise NotCalls
            open.remove(key)
            yield from self.blanks()
            yield from self.need(":")
            yield from self.blanks()
            if key == "name":
                name = yield from self.quoted(self.names)
                self.named = True
            elif key == "type":
                yield from self.quoted(["function"])
            else:
                start = self.place
                yield from self.value()
                end = self.place
            yield from self.blanks()
            if self.char == "}":
                break
            yield from self.need(",")
        if not name or not end:
            raise NotCalls
        yield
        self.spans.append(Span(name, start, end, python=False))

    def function(self) -> Steps:
        """What follows `<function=`."""
        name = yield from self.word(self.names)
        self.named = True
        yield from self.need(">")
        yield from self.blanks()
        start = self.place
        yield from self.value()
        end = self.place
        yield from self.blanks()
        yield from self.word([FUNCTION_END])
        self.spans.append(Span(name, start, end, python=False))

    def python(self) -> Steps:
        """A list of calls in Python."""
        yield from self.need("[")
        while True:
            yield from self.blanks()
            name = yield from self.word(self.names)
            self.named = True
            yield from self.need("(")
            start = self.place
            yield from self.balanced()
            self.spans.append(Span(name, start, self.place, python=True))
            yield from self.blanks()
            if self.char == "]":
                break
            yield from self.need(",")
        yield

    def called(self) -> Steps:
        """One call in Python, of a method of the tool."""
        name = yield from self.word(self.names)
        yield from self.word([CALLED])
        self.named = True
        start = self.place
        yield from self.balanced()
        self.spans.append(Span(name, start, self.place, python=True))

    def value(self) -> Steps:
        """A JSON object, or the text of one."""
        if self.char == '"':
            yield from self.string()
        else:
            yield from self.need("{")
            yield from self.balanced()

    def balanced(self) -> Steps:
        """Everything up to the bracket that closes the one before."""
        depth = 1
        while depth:
            if self.char in QUOTES:
                yield from self.string()
                continue
            depth += (self.char in OPEN) - (self.char in CLOSE)
            if depth > DEPTH:
                raise NotCalls
            yield

    def string(self) -> Steps:
        """A text in quotes."""
        quote = self.char
        yield
        while self.char != quote:
            if self.char == "\\":
                yield
            yield
        yield

    def quoted(self, words: list[str]) -> Word:
        """One of the words, in quotes."""
        yield from self.need('"')
        word = yield from self.word(words)
        yield from self.need('"')
        return word

    def word(self, words: list[str]) -> Word:
        """The longest of the sorted words that comes here."""
        said = ""
        while self.char and begins(said + self.char, words):
            said += self.char
            yield
        if said not in words:
            raise NotCalls
        return said

    def need(self, char: str) -> Steps:
        """That character."""
        if self.char != char:
            raise NotCalls
        yield

    def blanks(self) -> Steps:
        """White space, if there is any."""
        while self.char in BLANK:
            yield


def begins(start: str, words: list[str]) -> bool:
    """Whether one of the sorted words begins like that."""
    place = bisect_left(words, start)
    return place < len(words) and words[place].startswith(start)


def arguments_of(text: str, python: bool) -> str:
    """The JSON object that arguments are. Raises NotCalls."""
    try:
        if python:
            return orjson.dumps(keywords(text)).decode()
        value = orjson.loads(text)
        if isinstance(value, str):
            text, value = value, orjson.loads(value)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as exc:
        raise NotCalls from exc
    if not isinstance(value, dict):
        raise NotCalls
    return text


def keywords(text: str) -> dict[str, Any]:
    """Python's keyword arguments with their last bracket, which must be literals; nothing is run. Raises NotCalls."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Python, about a model's escapes
            call = ast.parse(f"f({text}", mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as exc:
        raise NotCalls from exc
    if not isinstance(call, ast.Call) or call.args:
        raise NotCalls
    found = {word.arg: literal(word.value) for word in call.keywords if word.arg is not None}
    if len(found) < len(call.keywords):
        raise NotCalls  # the same one twice, or `**`
    return found


def literal(node: ast.expr | None) -> Any:
    """The value of a literal that JSON has too. Raises NotCalls."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | int | float | None):
        return finite(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        value = node.operand.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            return finite(-value)
    if isinstance(node, ast.List | ast.Tuple):
        return [literal(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        keys = [literal(key) for key in node.keys]
        if all(isinstance(key, str) for key in keys):
            return dict(zip(keys, map(literal, node.values), strict=True))
    raise NotCalls


def finite(value: str | float | None) -> str | float | None:
    """The same, unless it is a number that JSON does not have. Raises NotCalls."""
    if isinstance(value, float) and not math.isfinite(value):
        raise NotCalls
    return value
