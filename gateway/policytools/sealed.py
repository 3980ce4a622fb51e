"""Stand-ins for a policy's credentials: what it does can be asked without them, and on any machine."""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path as File

from gateway.config.document import Document, Span, parse
from gateway.config.includes import Opener, opened
from gateway.config.problems import Path
from gateway.config.report import Report
from gateway.config.secrets import secret
from gateway.config.variables import INSIDE, REFERENCE
from gateway.providers.registry import KINDS, provider_class

STAND_IN = "stand-in-0123456789-"


def sealed(text: bytes, env: Mapping[str, str]) -> tuple[bytes, dict[str, str]]:
    """The policy and its variables, with a stand-in for each credential that `env` does not mention.

    Files that hold credentials are not opened: the text names a stand-in in their place. A text that cannot be read
    comes back as it is.
    """
    report = Report("")
    document = parse(text, report)
    if document is None:
        return text, dict(env)
    found = {**kinds_credentials(document.data), **named_credentials(document.data)}
    return without_files(text, document, report), {**found, **env}


def opener(env: dict[str, str]) -> Opener:
    """Opens included files sealed in the same way; what they need is added to `env`, which is read after them."""

    def open_sealed(file: File, limit: int) -> bytes:
        content, filled = sealed(opened(file, limit), env)
        env.update(filled)
        return content

    return open_sealed


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every text in the data, with its path."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, child in value.items():
            yield from leaves(child, (*path, name))
    elif isinstance(value, list):
        for index, child in enumerate(value):
            yield from leaves(child, (*path, index))


def named_credentials(data: object) -> dict[str, str]:
    """A stand-in for each variable that stands for a credential and has no default."""
    found = {}
    for path, value in leaves(data):
        for reference in REFERENCE.finditer(value) if secret(path) else ():
            parts = INSIDE.fullmatch(reference[1])
            if parts is not None and parts[2] != ":-":
                found[parts[1]] = f"{STAND_IN}{parts[1]}"
    return found


def kinds_credentials(data: object) -> dict[str, str]:
    """The same for the variables that provider kinds read where a backend writes no key."""
    backends = data.get("backends") if isinstance(data, dict) else None
    found = {}
    for backend in backends.values() if isinstance(backends, dict) else ():
        kind = backend.get("provider") if isinstance(backend, dict) else None
        if isinstance(kind, str) and kind in KINDS:
            variable = getattr(provider_class(kind), "kind").credential  # noqa: B009 - no part of the protocol
            if variable is not None:
                found[variable] = f"{STAND_IN}{variable}"
    return found


def without_files(text: bytes, document: Document, report: Report) -> bytes:
    """The text with a stand-in for each credential that is in a file of its own: the same for the same file."""
    lines = list(report.lines)
    spans = {
        document.values[path]: value
        for path, value in leaves(document.data)
        if secret(path) and value.startswith("file:/")
    }
    for span, value in sorted(spans.items(), reverse=True):
        if one_line(span):
            line = lines[span.start.line - 1]
            stand_in = f'"{STAND_IN}{sha256(value.encode()).hexdigest()[:12]}"'
            lines[span.start.line - 1] = f"{line[: span.start.column - 1]}{stand_in}{line[span.end.column - 1 :]}"
    return "\n".join(lines).encode() if spans else text


def one_line(span: Span) -> bool:
    """Whether a value begins and ends in the same line."""
    return span.start.line == span.end.line
