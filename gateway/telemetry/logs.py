"""Logs: structlog, a JSON object a line or text for a terminal."""

import asyncio
import contextlib
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable, MutableMapping
from datetime import UTC, datetime
from functools import lru_cache
from types import TracebackType
from typing import Any, TextIO

import orjson
import structlog

LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
HELD_SECONDS = 0.1
Clean = Callable[[str], str]  # a text without secrets


def as_it_is(text: str) -> str:
    """The text: nothing is secret."""
    return text


class Lines:
    """A text stream that gathers lines for a moment: a write to a file costs as much as planning a request."""

    def __init__(self, stream: TextIO, clean: Clean = as_it_is) -> None:
        self.stream = stream
        self.clean = clean
        self.held: list[str] = []
        self.timer: asyncio.TimerHandle | None = None

    def write(self, text: str) -> None:
        """Hold a text; outside an event loop it is written at once."""
        self.held.append(text)
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.pour()
            return
        if self.timer is None:
            self.timer = loop.call_later(HELD_SECONDS, self.pour)

    def flush(self) -> None:
        """Nothing: the timer flushes."""

    def pour(self) -> None:
        """Write what is held; what cannot be written, on a full disk say, is lost rather than piled up."""
        # A thread may get here, too: the timer is forgotten rather than cancelled, and nothing is between two lists.
        self.timer = None
        held, self.held = self.held, []
        if held:
            with contextlib.suppress(OSError, ValueError):
                self.stream.write(self.clean("".join(held)))
                self.stream.flush()


def configure(level: str, format: str, stream: TextIO | None = None, clean: Clean = as_it_is) -> Lines:
    """Set up the process's logs and return where they go, cleaned; `format` is `json` or `console`."""
    stream = stream or sys.stderr
    lines = Lines(stream, clean)
    json = format == "json"
    structlog.configure(
        processors=[as_json] if json else [stamp, console(stream)],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(lines),  # type: ignore[arg-type]  # it writes and flushes, no more
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[handler(lines)])
    # A cut stream ends without a terminal chunk on purpose; uvicorn would call that an error each time.
    logging.getLogger("uvicorn.error").addFilter(unfinished_on_purpose)
    return lines


def handler(lines: Lines) -> logging.Handler:
    """Where the libraries' own logs go: to the same lines."""
    made = logging.StreamHandler(lines)
    made.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
    return made


def catch_the_rest(lines: Lines) -> None:
    """Have tracebacks that nobody caught, of the process and of threads, written to the same lines."""

    def write(kind: type[BaseException], exc: BaseException | None, trace: TracebackType | None) -> None:
        lines.write("".join(traceback.format_exception(kind, exc, trace)))

    sys.excepthook = write
    threading.excepthook = lambda args: write(args.exc_type, args.exc_value, args.exc_traceback)


def as_json(logger: object, method: str, event: MutableMapping[str, Any]) -> str:
    """The event as a line of JSON: one step, since every request has a line, and each step of a chain costs a call."""
    if "exc_info" in event:
        event = structlog.processors.format_exc_info(logger, method, event)
    return dump(stamp(logger, method, event))


def stamp(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The level and the time."""
    now = time.time()
    second = int(now)
    event["level"] = method
    event["time"] = f"{spelled(second)}.{int((now - second) * 1000):03d}Z"
    return event


@lru_cache(maxsize=2)
def spelled(second: int) -> str:
    """A second of Unix time in ISO 8601, UTC; thousands of lines have the same."""
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def console(stream: TextIO) -> structlog.dev.ConsoleRenderer:
    """The renderer for a terminal."""
    # A plain traceback: a rich one would show local variables, keys and prompts among them.
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), pad_event_to=0, sort_keys=False, exception_formatter=structlog.dev.plain_traceback
    )


def unfinished_on_purpose(record: logging.LogRecord) -> bool:
    """Whether a line of uvicorn's is worth printing."""
    return "without completing response" not in str(record.msg)


def dump(event: object, **_: object) -> str:
    """One event as JSON; objects by their repr, which leaves secrets out."""
    return orjson.dumps(event, default=repr, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()
