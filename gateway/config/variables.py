"""Fills `${VAR}` and `file:/path` into scalars, after parsing and never in keys."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath

from gateway.config.nearest import suggestion
from gateway.config.problems import Path, clean, spell
from gateway.config.report import Report
from gateway.config.secrets import secret

REFERENCE = re.compile(r"\$\{([^{}]*)\}")
INSIDE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?:(:-|:\?)(.*))?", re.DOTALL)
FOREIGN = re.compile(r"(?:os\.environ/|env\.)([A-Za-z_][A-Za-z0-9_]*)")
MAX_FILE = 64 * 1024  # bytes
HIDE_FROM = 12  # characters of what the file itself says where a credential belongs


class Expanded(str):
    """Text that came from a variable or a file: where a number is wanted, it is read as one."""

    __slots__ = ()


class Unexpanded(str):
    """A scalar of a draft that refers to a variable or a file."""

    __slots__ = ()


class Unset(LookupError):
    """A variable that is not set."""


def refers(text: str) -> bool:
    """Whether a scalar as written stands for something outside the file."""
    return "${" in text or text.startswith("file:/")


@dataclass(frozen=True, slots=True)
class Expansion:
    """The data with its variables filled in, and the backends whose credential variable is unset."""

    data: object
    off: dict[str, str] = field(default_factory=dict)  # backend -> variable
    files: dict[FilePath, bytes] = field(default_factory=dict)  # that `file:` names -> what was read of them


def expand(data: object, env: Mapping[str, str] | None, report: Report) -> Expansion:
    """Fills in every scalar; without an environment the data are a draft and references stay as they are."""
    filler = Filler(env, report)
    return Expansion(filler.fill(data, ()), filler.off, filler.files)


class Filler:
    """Walks the data and fills in scalars."""

    def __init__(self, env: Mapping[str, str] | None, report: Report) -> None:
        self.env = env
        self.report = report
        self.off: dict[str, str] = {}
        self.files: dict[FilePath, bytes] = {}

    def fill(self, value: object, path: Path) -> object:
        """The value with everything in it filled in."""
        if isinstance(value, dict):
            return {name: self.fill(child, (*path, name)) for name, child in value.items()}
        if isinstance(value, list):
            return [self.fill(child, (*path, index)) for index, child in enumerate(value)]
        return self.scalar(value, path) if isinstance(value, str) else value

    def scalar(self, text: str, path: Path) -> str | None:
        """One scalar filled in; None when it cannot be."""
        if foreign := FOREIGN.fullmatch(text):
            ours = f"${{{foreign[1]}}}"
            message = f"`{clean(text)}` in {spell(path)} is another gateway's spelling. Write `{ours}`."
            self.report.add("LG023", path, message, suggestion(ours))
            return None
        if not refers(text):
            if secret(path) and len(text) >= HIDE_FROM:
                self.report.hide(text, "***")
            return text
        if self.env is None:
            return Unexpanded(text) if self.formed(text, path) else None
        return self.filled(text, path, self.env)

    def formed(self, text: str, path: Path) -> bool:
        """Whether each `${` begins a variable."""
        if "${" not in REFERENCE.sub(lambda found: "" if INSIDE.fullmatch(found[1]) else "${", text):
            return True
        shown = "" if secret(path) else f" `{clean(text)}`"
        message = f"The `${{` in {spell(path)}{shown} begins no variable."
        self.report.add("LG022", path, f"{message} Write ${{NAME}}, ${{NAME:-default}} or ${{NAME:?message}}.")
        return False

    def filled(self, text: str, path: Path, env: Mapping[str, str]) -> str | None:
        """The scalar with its variables, and the file it may name, read."""
        if not self.formed(text, path):
            return None
        try:
            value = REFERENCE.sub(lambda found: self.variable(found[1], path, env), text)
        except Unset:
            return None
        if text.startswith("file:") and value.startswith("file:/"):
            return self.file(value.removeprefix("file:"), path)
        self.report.hide(value, text if len(text) < 80 and not secret(path) else "***")
        return Expanded(value)

    def variable(self, inside: str, path: Path, env: Mapping[str, str]) -> str:
        """The value of one reference; raises Unset when there is none, after saying so."""
        found = INSIDE.fullmatch(inside)
        name, mark, rest = found.groups() if found else (inside, None, None)
        value = env.get(name, "")
        credential = len(path) == 3 and path[0] == "backends" and path[2] == "api_key"
        if value or (mark is None and name in env and not credential):
            return value
        if mark == ":-":
            return rest or ""
        self.unset(name, mark, rest, path, credential)
        raise Unset(name)

    def unset(self, name: str, mark: str | None, rest: str | None, path: Path, credential: bool) -> None:
        """Says that a variable is not set: a note for a backend's own key, else an error."""
        if mark == ":?":
            message = f"{name}, which {spell(path)} needs, is not set: {clean(rest or 'it is required')}."
            self.report.add("LG021", path, message)
        elif credential:
            self.off[str(path[1])] = name
        else:
            message = f"The variable {name}, used by {spell(path)}, is not set. Set it, or write ${{{name}:-default}}."
            self.report.add("LG020", path, message)

    def file(self, name: str, path: Path) -> str | None:
        """The text of a file, without the line break at its end."""
        try:
            file = FilePath(name)
            content = self.files[file] = file_content(file)
            value = content.decode("utf-8").strip()
        except ValueError:
            content, value = b"", ""
        if not value or len(content) > MAX_FILE:
            message = f"The file `{clean(name)}` of {spell(path)} cannot be read, is empty or is too large."
            self.report.add("LG024", path, f"{message} Check its name and who may read it.")
            return None
        self.report.hide(value, "***")
        return Expanded(value)


def file_content(file: FilePath) -> bytes:
    """The beginning of a plain file, a little more than may be used of it; empty when it cannot be read."""
    try:
        if not file.is_file():
            return b""
        with file.open("rb") as stream:
            return stream.read(MAX_FILE + 1)
    except OSError:
        return b""
