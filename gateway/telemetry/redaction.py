"""Known secrets are taken out of whatever is logged, by their values and not by the names of fields."""

import json
import re
from collections.abc import Iterable
from html import escape
from urllib.parse import quote

LEAST = 8  # characters; a shorter value is in too many words to be hidden
COVER = "[redacted]"
FEW = 16  # forms up to which it is quicker to look for each
WINDOW = 8  # bytes that are compared as one number
PLAIN = re.compile(r"[\w.~-]+", re.ASCII)  # is written in the same way everywhere
HEX = re.compile(r"\\u[0-9a-f]{4}")


class Redaction:
    """Knows secrets; what was ever known as one stays so, since an old one may be valid for a while."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.tiers = tuple(Tier(stride) for stride in range(4))

    def learn(self, values: Iterable[str]) -> None:
        """These are secrets, too."""
        new = {value for value in values if len(value) >= LEAST} - self.known
        self.known |= new
        for form in set().union(*map(forms, new)):
            self.tier_of(form).add(form)

    def tier_of(self, form: str) -> "Tier":
        """The sparsest of the tiers that cannot miss a form."""
        size = len(encoded(form))
        return next(tier for tier in reversed(self.tiers) if size >= tier.least)

    def clean(self, text: str) -> str:
        """The text without any secret. Nearly always there is none, which is found out in a microsecond a line."""
        if not any(tier.meets(text) for tier in self.tiers):
            return text
        found = [form for tier in self.tiers for form in tier.forms if form in text]
        for form in sorted(found, key=len, reverse=True):  # one may begin with another
            text = text.replace(form, COVER)
        return text


class Tier:
    """Forms of about the same length, and a quick look for any of them.

    Every so many bytes of a text eight are taken as a number: whatever is long enough holds such eight as a whole,
    wherever it begins. So one look at each number of the text tells of all the forms at once that none is there.
    """

    def __init__(self, stride: int) -> None:
        self.stride = stride  # in numbers; 0: the forms are too short for that
        self.least = WINDOW * (stride + 1) - 1 if stride else 0  # bytes of a form
        self.forms: list[str] = []
        self.numbers: set[int] = set()

    def add(self, form: str) -> None:
        """Look for this one, too."""
        data = encoded(form)
        self.forms.append(form)
        for start in range(WINDOW * self.stride):
            self.numbers.update(memoryview(data[start : start + WINDOW]).cast("Q"))

    def meets(self, text: str) -> bool:
        """Whether any of them may be there; False is certain."""
        if len(self.forms) <= FEW or not self.stride:
            return any(form in text for form in self.forms)
        data = encoded(text)
        whole = memoryview(data)[: len(data) // WINDOW * WINDOW].cast("Q")
        return not self.numbers.isdisjoint(whole[:: self.stride])


def encoded(text: str) -> bytes:
    """A text as bytes, also where it is none that could be written."""
    return text.encode("utf-8", "surrogatepass")


def forms(secret: str) -> set[str]:
    """The ways in which a secret may be written: as it is, and quoted once or twice, as in a dump of a dump."""
    if PLAIN.fullmatch(secret):
        return {secret}
    once = {secret} | quoted(secret)
    return once.union(*map(quoted, once))


def quoted(text: str) -> set[str]:
    """A text as it stands inside JSON of several habits, Python's representations, addresses and HTML."""
    kept, line = (json.dumps(text, ensure_ascii=ascii)[1:-1] for ascii in (False, True))
    loud = HEX.sub(lambda found: "\\u" + found[0][2:].upper(), line)
    plain, data = text.replace("\\", "\\\\"), repr(encoded(text) + b"'\"")[2:-4].replace("\\'", "'")
    return {
        *(kept, line, loud),
        *(way.replace("/", "\\/") for way in (kept, line, loud)),
        *(way.replace("'", end) for way in (plain, data) for end in ("'", "\\'")),
        quote(text, errors="surrogatepass"),
        quote(text, safe="", errors="surrogatepass"),
        escape(text),
    }
