"""When two questions may have the same answer: what of them must be equal, whatever their vectors say. Pure."""

import re
from hashlib import sha256
from typing import NamedTuple

from gateway.types import ChatRequest, Json

LONGEST = 8000  # characters of a question: longer ones are texts to work on, which no vector tells apart
WORD = re.compile("\\d+(?:[.,:/-]\\d+)*|[^\\W\\d_]+(?:['\u2019][^\\W\\d_]+)*")
COUNTING = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen
nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million billion half first second third
fourth fifth last once twice double
"""
DENYING = """
no not never none nor neither nobody nothing nowhere without cannot except unless hardly
nicht kein keine keinen keinem keiner keines nie niemals ohne weder ne pas jamais sans aucun aucune rien
ni nunca sin ningún ninguna ninguno nada tampoco non mai senza nessuno nessuna niente né não sem nenhum nenhuma
"""
BEGINNING = """
a an the this that these those i we you he she it they my our your is are was were be do does did can could will would
shall should may might must have has had what who whom whose which when where why how if in on at of for to from with by
as about and or but so please tell explain describe give show list name write make find compare summarize summarise
translate say let there here
"""
NUMBERS, NEGATIONS = frozenset(COUNTING.split()), frozenset(DENYING.split())
STARTERS = frozenset(BEGINNING.split())  # words that begin a sentence with a capital letter and name nobody
SHORTENED = ("n't", "n\u2019t")


class Split(NamedTuple):
    """A request in two: its last words, and everything else."""

    text: str
    rest: Json


def split(request: ChatRequest) -> Split | None:
    """A request in two; None for one whose answer must be its own: tools, JSON, images, and what is no short text."""
    body, messages = request.body, request.body["messages"]
    last = messages[-1]
    text = last.get("content")
    if request.needs or request.preferences is not None or body.get("response_format") or last.get("role") != "user":
        return None
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        return None
    return Split(text, {**body, "messages": [*messages[:-1], {**last, "content": ""}]})


def signature(text: str) -> bytes:
    """What two questions with the same answer have in common: numbers, negations and names, in their order."""
    told = [mark for match in WORD.finditer(text) if (mark := marked(match[0])) is not None]
    return sha256("\0".join(told).encode()).digest()[:16]


def marked(word: str) -> str | None:
    """A word as it counts; None where it does not."""
    lower = word.lower()
    if word[0].isdigit() or lower in NUMBERS:
        return lower
    if lower in NEGATIONS or lower.endswith(SHORTENED):
        return "not"
    if word[0].isupper() and lower not in STARTERS:
        return lower
    return None
