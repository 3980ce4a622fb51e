"""A policy in several files: `include` reads others, and their sections are put together as if they were one."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path as File

from gateway.config import secrets
from gateway.config.document import MAX_BYTES, parse
from gateway.config.merging import Part, merged
from gateway.config.problems import Path, Spot, clean
from gateway.config.report import Report
from gateway.config.variables import expand, refers

MAX_FILES = 32
CURE = "Correct its path, which is relative to the file that includes it."

Opener = Callable[[File, int], bytes]  # the content of a file, and no more bytes of it than that


class Unread(Exception):
    """An included file that is not read; `code` and the message say why."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Whole:
    """A policy put together; not `complete` when some of its files were not read."""

    data: object
    off: Mapping[str, str]
    files: tuple[File, ...]
    generation: str
    complete: bool
    texts: Mapping[File, bytes]  # of the files that could be read
    secrets: Mapping[File, bytes]  # files that hold a value of their own -> what was read of them


def opened(file: File, limit: int) -> bytes:
    """The content of a plain file; raises OSError or ValueError."""
    if file.exists() and not file.is_file():
        raise ValueError("it is no plain file")
    with file.open("rb") as stream:
        return stream.read(limit)


def whole(text: bytes, env: Mapping[str, str] | None, report: Report, opener: Opener = opened) -> Whole | None:
    """The policy that begins with a text; None when that cannot be read. A draft (no `env`) includes nothing."""
    reading = Reading(env, report, opener)
    reading.read(text, File(report.file), ())
    if not reading.parts or reading.parts[0].source:
        return None
    data = merged(reading.parts, report)
    off = {name: variable for part in reading.parts for name, variable in part.off.items()}
    made = generation(list(reading.texts.values()))
    return Whole(data, off, tuple(reading.files), made, reading.complete, reading.texts, reading.secrets)


def generation(texts: list[bytes]) -> str:
    """What tells one content of the files from another."""
    text = texts[0] if len(texts) == 1 else b"".join(hashlib.sha256(one).digest() for one in texts)
    return hashlib.sha256(text).hexdigest()[:12]


@dataclass(slots=True)
class Reading:
    """Reads files, each followed by those that it includes."""

    env: Mapping[str, str] | None
    report: Report
    opener: Opener
    parts: list[Part] = field(default_factory=list)
    texts: dict[File, bytes] = field(default_factory=dict)
    secrets: dict[File, bytes] = field(default_factory=dict)
    files: list[File] = field(default_factory=list)
    places: dict[File, str] = field(default_factory=dict)  # file -> where it is included
    left: int = MAX_BYTES
    complete: bool = True

    def read(self, text: bytes, file: File, chain: tuple[File, ...]) -> None:
        """One file and those below it; `chain` are those above."""
        self.texts[file] = text
        self.files.append(file)
        self.left -= len(text)
        source = len(self.report.sources) - 1
        document = parse(text, self.report)
        if document is None:
            self.complete = False
            return
        keys, values, data = document.keys, document.values, document.data
        self.report.places(keys, values, secrets.structural(self.report.lines, keys, values, document.passed))
        names = self.included(data, source)
        rest = {key: value for key, value in data.items() if key != "include"} if isinstance(data, dict) else data
        expansion = expand(rest, self.env, self.report)
        self.secrets |= expansion.files
        self.parts.append(Part(source, expansion.data, keys, values, expansion.off))
        chain = (*chain, real(file))
        for name, spot in names:
            self.follow(file.parent / name, spot, chain)

    def included(self, data: object, source: int) -> list[tuple[str, Spot]]:
        """The files that a file includes, and where it says so; a draft's are not read."""
        written = data.get("include") if isinstance(data, dict) else None
        names = [written] if isinstance(written, str) else written
        path: Path = ("include",)
        if not isinstance(data, dict) or "include" not in data:
            return []
        if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
            self.fail("LG012", self.report.spot(path), "`include` wants a list of files (`[more.yaml]`).")
            return []
        if self.env is None:
            message = "`include` is not read in a draft, so nothing is said of what the other files hold."
            self.fail("LG027", self.report.spot(path, key=True), message)
            return []
        spots = [self.report.spot((*path, index)) for index in range(len(names))]
        return [(name, Spot(source, spot.place)) for name, spot in zip(names, spots, strict=True)]

    def follow(self, file: File, spot: Spot, chain: tuple[File, ...]) -> None:
        """Read an included file, unless there is something wrong with that."""
        try:
            self.once(file, chain)
            text = self.content(file)
        except Unread as exc:
            self.fail(exc.code, spot, str(exc))
            return
        self.places[real(file)] = self.said(spot)
        self.report.begin(str(file))
        self.read(text, file, chain)

    def once(self, file: File, chain: tuple[File, ...]) -> None:
        """No file is read twice; raises Unread."""
        found = real(file)
        if found in chain:
            way = " -> ".join(clean(one.name) for one in (*chain[chain.index(found) :], found))
            raise Unread("LG028", f"The files include each other in a circle: {way}. Take one of them out.")
        if found in self.places:
            first = f"{clean(str(file), 200)} is included twice, first in {self.places[found]}"
            raise Unread("LG028", f"The file {first}. Remove one of them.")

    def content(self, file: File) -> bytes:
        """The content of an included file; raises Unread."""
        shown = clean(str(file), 200)
        if refers(str(file)):
            raise Unread("LG028", "A path in `include` takes no variables. Write it out.")
        if len(self.files) >= MAX_FILES:
            raise Unread("LG004", f"The policy has more than {MAX_FILES} files. Put some of them together.")
        try:
            text = self.opener(file, self.left + 1)
        except (OSError, ValueError) as exc:
            self.files.append(file)  # to be watched: it may come
            reason = clean(getattr(exc, "strerror", None) or str(exc))
            raise Unread("LG024", f"The included file {shown} cannot be read: {reason}. {CURE}") from exc
        if len(text) > self.left:
            message = f"With {shown}, the policy has more than {MAX_BYTES} bytes in all. Remove what is not needed."
            raise Unread("LG004", message)
        return text

    def said(self, spot: Spot) -> str:
        """A place in a sentence."""
        return f"line {spot.place.line} of {clean(self.report.sources[spot.source].file, 200)}"

    def fail(self, code: str, spot: Spot, message: str) -> None:
        """Something is not read."""
        self.complete = False
        self.report.add(code, spot, message)


def real(file: File) -> File:
    """The file itself, whatever path leads to it; raises nothing for one that is not there."""
    try:
        return file.resolve()
    except (OSError, RuntimeError, ValueError):
        return file
