"""Logs: structlog, a JSON object a line or text for a terminal."""

import asyncio
import contextlib
import logging
import sys
from collections.abc import MutableMapping
from datetime import UTC, datetime
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


class Lines:
    """A text stream that gathers lines for a moment: a write to a file costs as much as planning a request."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
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
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
        text = "".join(self.held)
        self.held.clear()
        if text:
            with contextlib.suppress(OSError, ValueError):
                self.stream.write(text)
                self.stream.flush()


def configure(level: str, format: str, stream: TextIO | None = None) -> Lines:
    """Set up the process's logs and return where they go; `format` is `json` or `console`."""
    stream = stream or sys.stderr
    lines = Lines(stream)
    json = format == "json"
    renderer = structlog.processors.JSONRenderer(serializer=dump) if json else console(stream)
    structlog.configure(
        processors=[
            stamp,
            *([structlog.processors.format_exc_info] if json else []),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(lines),  # type: ignore[arg-type]  # it writes and flushes, no more
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, stream=stream, format="%(levelname)s %(name)s %(message)s")
    # A cut stream ends without a terminal chunk on purpose; uvicorn would call that an error each time.
    logging.getLogger("uvicorn.error").addFilter(unfinished_on_purpose)
    return lines


def stamp(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The level and the time, in one step of the chain."""
    event["level"] = method
    event["time"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


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
