"""How logs are written."""

import asyncio
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from gateway.telemetry import logs
from gateway.telemetry.logs import HELD_SECONDS, Lines
from gateway.telemetry.redaction import Redaction
from gateway.types import Backend
from tests.engine.virtual_time import run

CANARY = "sk-canary-8c1e"


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]


def test_each_event_is_one_line_of_json_with_level_and_time() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    structlog.get_logger().warning("policy.refused", file="a.yaml", lines=[1, 2])
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["file"], line["lines"]) == (
        "policy.refused",
        "warning",
        "a.yaml",
        [1, 2],
    )
    assert line["time"].endswith("Z")


def test_text_for_a_terminal_has_the_same_facts() -> None:
    stream = io.StringIO()
    logs.configure("info", "console", stream)
    structlog.get_logger().warning("policy.refused", file="a.yaml")
    assert "policy.refused" in stream.getvalue() and "file=a.yaml" in stream.getvalue()
    assert "\x1b[" not in stream.getvalue()


@pytest.mark.parametrize("level", sorted(logs.LEVELS))
def test_level_leaves_out_what_is_below_it(level: str) -> None:
    stream = io.StringIO()
    logs.configure(level, "json", stream)
    for name in logs.LEVELS:
        getattr(structlog.get_logger(), name)("said", as_level=name)
    allowed = [name for name, value in logs.LEVELS.items() if value >= logs.LEVELS[level]]
    assert [line["as_level"] for line in lines(stream)] == allowed


def test_exception_is_in_its_line_of_json() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    try:
        raise ZeroDivisionError("by nothing")
    except ZeroDivisionError:
        structlog.get_logger().exception("request.failed", request="req_1")
    (line,) = lines(stream)
    assert "ZeroDivisionError: by nothing" in line["exception"]


def test_cut_streams_are_no_error_of_uvicorns() -> None:
    logs.configure("info", "json", io.StringIO())
    cut, other = (
        logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, message, (), None)
        for message in ("ASGI callable returned without completing response.", "Exception in ASGI application")
    )
    assert not logging.getLogger("uvicorn.error").filter(cut)
    assert logging.getLogger("uvicorn.error").filter(other)


def test_lines_are_gathered_for_a_moment_and_written_in_order() -> None:
    async def scenario() -> list[str]:
        stream, seen = io.StringIO(), []
        held = Lines(stream)
        for text in ("a\n", "b\n"):
            held.write(text)
        seen.append(stream.getvalue())
        await asyncio.sleep(HELD_SECONDS * 1.1)
        seen.append(stream.getvalue())
        held.write("c\n")
        held.pour()
        return [*seen, stream.getvalue()]

    assert run(scenario()) == ["", "a\nb\n", "a\nb\nc\n"]


def test_lines_outside_an_event_loop_are_written_at_once() -> None:
    stream = io.StringIO()
    Lines(stream).write("a\n")
    assert stream.getvalue() == "a\n"


def test_lines_written_after_the_loop_has_ended_are_not_held_for_ever() -> None:
    stream = io.StringIO()
    held = Lines(stream)

    async def scenario() -> None:
        held.write("a\n")

    run(scenario())
    held.write("b\n")
    assert stream.getvalue() == "a\nb\n"


def test_lines_of_threads_are_not_lost_while_others_are_held() -> None:
    async def scenario() -> str:
        stream = io.StringIO()
        held = Lines(stream)
        held.write("a\n")
        await asyncio.to_thread(held.write, "b\n")
        held.write("c\n")
        held.pour()
        return stream.getvalue()

    assert asyncio.run(scenario()) == "a\nb\nc\n"


def test_what_is_held_is_cleaned_when_it_is_written_so_that_a_secret_may_become_known_after_its_line() -> None:
    async def scenario() -> str:
        stream, known = io.StringIO(), Redaction()
        held = Lines(stream, known.clean)
        held.write(f"uses {CANARY}\n")
        known.learn([CANARY])
        held.pour()
        return stream.getvalue()

    assert run(scenario()) == "uses [redacted]\n"


@pytest.mark.parametrize("format", ["json", "console"])
def test_known_secret_is_in_no_line_and_in_no_traceback_and_lines_of_json_stay_such(format: str) -> None:
    stream, known, odd = io.StringIO(), Redaction(), 'canary"\\é8c1e'
    known.learn([CANARY, odd])
    logs.configure("debug", format, stream, known.clean)
    try:
        raise ValueError(f"refused {CANARY} and {odd!r}")
    except ValueError:
        structlog.get_logger().exception("request.failed", headers={"authorization": f"Bearer {CANARY}"}, other=odd)
    assert "8c1e" not in stream.getvalue() and stream.getvalue().count("[redacted]") >= 4
    if format == "json":
        (line,) = lines(stream)
        assert line["headers"] == {"authorization": "Bearer [redacted]"}


def test_logs_of_libraries_are_written_to_the_same_lines() -> None:
    stream, known = io.StringIO(), Redaction()
    known.learn([CANARY])
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "no %s", (CANARY,), None)
    logs.handler(Lines(stream, known.clean)).handle(record)
    assert stream.getvalue() == "ERROR uvicorn.error no [redacted]\n"


@pytest.fixture
def hooks() -> Iterator[None]:
    """What the process does with tracebacks that nobody caught is as before afterwards."""
    before = sys.excepthook, threading.excepthook
    yield
    sys.excepthook, threading.excepthook = before


def test_tracebacks_that_nobody_caught_are_written_to_the_same_lines(hooks: None) -> None:
    stream, known = io.StringIO(), Redaction()
    known.learn([CANARY])
    logs.catch_the_rest(Lines(stream, known.clean))
    error = ValueError(CANARY)
    sys.excepthook(ValueError, error, None)
    threading.excepthook(threading.ExceptHookArgs((ValueError, error, None, None)))
    assert stream.getvalue() == "ValueError: [redacted]\n" * 2


class Full(io.StringIO):
    """A file on a disk without space."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_disk_without_space_neither_fails_a_request_nor_fills_the_memory() -> None:
    held = Lines(Full())

    async def scenario() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        for _ in range(100):
            held.write("x" * 1000)
            await asyncio.sleep(HELD_SECONDS * 2)

    run(scenario())
    assert sum(map(len, held.held)) <= 10_000


@pytest.mark.parametrize("format", ["json", "console"])
def test_backend_that_is_logged_as_a_whole_shows_neither_key_nor_headers(format: str) -> None:
    stream = io.StringIO()
    logs.configure("debug", format, stream)
    backend = Backend("gpu-a", "vllm", "http://127.0.0.1:1", CANARY, {"x-key": CANARY})
    structlog.get_logger().info("backend.added", backend=backend, among={"all": [backend]})
    assert "gpu-a" in stream.getvalue()
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_local_variables_of_a_failed_request_are_in_no_line(format: str) -> None:
    stream = io.StringIO()
    logs.configure("debug", format, stream)

    def serve(headers: dict[str, str], raw: bytes) -> None:
        raise ZeroDivisionError

    try:
        serve({"authorization": "Bearer " + CANARY}, CANARY.encode())
    except ZeroDivisionError:
        structlog.get_logger().exception("request.failed", request="req_1")
    assert "ZeroDivisionError" in stream.getvalue()
    assert CANARY not in stream.getvalue()
