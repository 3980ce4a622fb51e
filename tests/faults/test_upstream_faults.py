"""What upstreams do wrong, end to end: failed over or told clearly, never shown as whole."""

import asyncio
import json
from typing import Any

import pytest

from tests.faults.client import Reply
from tests.faults.conftest import Act
from tests.faults.policies import LARGE, Back, Cell, alone, pair
from tests.faults.proc import resident
from tests.faults.runner import Stage

WAITS = ("ratelimit-600", "ratelimits-date", "ratelimits-ms", "ratelimits-garbage", "ratelimits-negative")
QUOTAS = ("quota-429", "quota-402", "quota-412")
NONSENSE = ("html-500", "html-200", "mistyped", "truncated", "gzipped")
QUIET = ("mute", "silent", "beats")
BROKEN = ("reset", "reset-head", "event-0", *QUIET, "endless-2000000", "long-0")
LATER = ("close-5", "cut-5", "halfclose-5", "event-5", "nofinish", "malformed-5-2")
USAGES = ("usage-groq", "usage-beside", "usage-twice", "usage-choices", "usage-zero", "usage-negative", "usage-none")
GOOD = ("split-1", "split-7", "finishcut", "twofinish", "nodone", "malformed-20", "drip-10")
WINDOWS = {
    "vllm": "vllm",
    "sglang": "sglang",
    "openai": "openai_compatible",
    "together": "together",
    "llamacpp": "llama_cpp",
    "bedrock": "bedrock",
    "ollama": "ollama",
}
ALONE = (*NONSENSE, *LATER, *USAGES, *GOOD, "short-20", "stall-5", "beats-5", "ratelimit-600", "slow-60", "tools")
OTHERS = ("ollama", "bedrock")
KINDS = {"usage-groq": "groq"}  # where no other kind knows of it


def larger(dialect: str) -> Cell:
    """A backend with a small window, and one with a larger."""
    back = Back(f"window-{dialect}", kind=WINDOWS[dialect])
    return Cell(f"window-{dialect}", (back, Back("ok", "larger", LARGE, context=131_072)))


CELLS = [
    *(pair(name, name) for name in (*WAITS, *QUOTAS, *NONSENSE, *BROKEN)),
    *(alone(f"alone-{name}", name, KINDS.get(name, "vllm")) for name in ALONE),
    *(larger(dialect) for dialect in WINDOWS),
    *(alone(f"{kind}-{name}", name, kind) for kind in OTHERS for name in ("split-3", "ok", "event-5", "close-5")),
    *(pair(f"{kind}-status", "status-503", kind) for kind in OTHERS),
    alone("bedrock-badcrc", "badcrc-10", "bedrock"),
    pair("bedrock-throttled", "exceptional-throttlingException", "bedrock"),
    alone("bedrock-thrown", "exceptional-modelStreamErrorException-5", "bedrock"),
    pair("ollama-loading", "loading-40", "ollama"),
    *(pair(f"warm-{name}", f"warm-{name}") for name in QUIET),
    pair("mixed", "cut-20", fallback="other"),
    pair("filterfinish", "filterfinish"),
    pair("gone", "gone"),
    alone("bytes", "ok-6"),
    alone("stale", "stale"),
    alone("long", "ok-20000"),
]


def primary(stage: Stage, cell: str) -> int:
    """Attempts at a cell's primary so far."""
    found = stage.cells[cell]
    return len(stage.wall.at(found.id(found.role("primary"))))


async def faults_of(stage: Stage, backend: str) -> int:
    """Faults in a row that the gateway counts against a backend."""
    rows = (await stage.admin.get("/admin/backends")).json()
    return next(int(row["faults"]) for row in rows if row["backend"] == backend)


@pytest.mark.parametrize("name", WAITS)
def test_rate_limit_fails_over_at_once_whatever_wait_it_asks_for(act: Act[Any], name: str) -> None:
    async def part(stage: Stage) -> None:
        assert [reply.success for reply in await stage.both(name)] == [True, True]
        assert primary(stage, name) == 1  # it rests, also where it asked for nonsense

    act(part)


def test_rate_limit_of_the_only_backend_is_passed_on_with_its_wait(act: Act[Any]) -> None:
    async def part(stage: Stage) -> None:
        reply = await stage.ask("alone-ratelimit-600")
        assert (reply.status, reply.headers["retry-after"], reply.headers["x-should-retry"]) == (429, "600", "false")

    act(part)


@pytest.mark.parametrize("name", QUOTAS)
def test_account_without_money_is_asked_once_and_parked(act: Act[Any], name: str) -> None:
    async def part(stage: Stage) -> None:
        assert [reply.success for reply in await stage.both(name)] == [True, True]
        assert primary(stage, name) == 1

    act(part)


@pytest.mark.parametrize("name", [*NONSENSE, *BROKEN])
def test_failure_before_any_content_of_a_stream_is_answered_by_the_fallback(act: Act[Any], name: str) -> None:
    assert act(lambda stage: stage.ask(name)).success


@pytest.mark.parametrize("name", [name for name in (*NONSENSE, *BROKEN) if name not in QUIET])
def test_failure_of_a_whole_answer_is_answered_by_the_fallback(act: Act[Any], name: str) -> None:
    assert act(lambda stage: stage.ask(name, False)).success


@pytest.mark.parametrize("name", [f"warm-{name}" for name in QUIET])
def test_silence_before_a_whole_answer_is_failed_over_once_the_backend_is_known(act: Act[Any], name: str) -> None:
    async def part(stage: Stage) -> list[str]:
        replies = await stage.both(name)
        return [reply.headers["x-gateway-backend"] for reply in replies if reply.success]

    assert act(part) == [f"{name}-primary", f"{name}-fallback"]


@pytest.mark.parametrize("name", NONSENSE)
def test_nonsense_of_the_only_backend_becomes_our_own_error_and_is_not_forwarded(act: Act[Any], name: str) -> None:
    async def part(stage: Stage) -> None:
        for reply in await stage.both(f"alone-{name}"):
            assert reply.status == 502
            assert b"cloud" not in reply.raw and b"<html" not in reply.raw.lower()

    act(part)


@pytest.mark.parametrize("name", LATER)
def test_stream_that_breaks_after_content_ends_in_an_error_event(act: Act[Any], name: str) -> None:
    reply = act(lambda stage: stage.ask(f"alone-{name}"))
    assert reply.text.startswith("w0001 w0002 w0003 w0004 w0005 ")
    assert reply.clean and reply.end != "whole"


def test_stream_that_breaks_is_never_continued_in_the_words_of_another(act: Act[Any]) -> None:
    reply = act(lambda stage: stage.ask("mixed"))
    assert reply.clean and not reply.success
    assert "v" not in reply.text


@pytest.mark.parametrize("name", ["stall-5", "beats-5"])
def test_stream_that_stops_is_given_up_by_the_idle_limit_also_where_the_first_token_had_longer(
    act: Act[Any], name: str
) -> None:
    async def part(stage: Stage) -> tuple[Reply, Reply]:
        stopped, later = await asyncio.gather(stage.ask(f"alone-{name}"), stage.ask("alone-slow-60"))
        return stopped, later

    stopped, later = act(part)
    assert stopped.clean and later.success
    assert stopped.ended < later.ended  # which is thrice the idle limit


@pytest.mark.parametrize("name", ["close-5", "cut-5", "short-20"])
def test_answer_in_one_piece_that_breaks_is_an_error(act: Act[Any], name: str) -> None:
    reply = act(lambda stage: stage.ask(f"alone-{name}", False))
    assert reply.clean and reply.status == 502


@pytest.mark.parametrize("name", GOOD)
def test_stream_that_is_odd_but_finished_is_whole(act: Act[Any], name: str) -> None:
    assert act(lambda stage: stage.ask(f"alone-{name}")).success


@pytest.mark.parametrize("name", USAGES)
def test_usage_is_found_wherever_it_stands_and_estimated_where_it_is_not(act: Act[Any], name: str) -> None:
    async def part(stage: Stage) -> tuple[Reply, bool]:
        reply = await stage.ask(f"alone-{name}")
        await stage.rows()
        record = await stage.record(reply)
        if name == "usage-zero":
            assert (record["prompt_tokens"], record["completion_tokens"]) == (0, 0)
        return reply, record["attempts"][0]["estimated"]

    reply, estimated = act(part)
    assert reply.success
    assert estimated == (name in ("usage-negative", "usage-none"))


async def cut_everywhere(stage: Stage, stream: bool) -> tuple[list[int], list[int]]:
    """Cut a short answer at every byte; the offsets whose answer was taken for whole, and for broken."""
    await stage.ask("bytes", stream)
    size = stage.wall.attempts[-1].sent
    good: list[int] = []
    bad: list[int] = []

    async def at(offset: int) -> None:
        reply = await stage.ask("bytes", stream, x_fault=f"bytes-{offset}")
        (good if reply.success else bad).append(offset)

    for start in range(0, size + 1, 16):
        await asyncio.gather(*(at(offset) for offset in range(start, min(start + 16, size + 1))))
    return good, bad


@pytest.mark.parametrize("stream", [True, False])
def test_stream_cut_at_any_byte_is_whole_only_if_its_finish_reason_came(act: Act[Any], stream: bool) -> None:
    good, bad = act(lambda stage: cut_everywhere(stage, stream))
    assert good and bad
    assert max(bad) < min(good)


def test_reused_connection_that_is_reset_is_replaced_without_the_caller_noticing(act: Act[Any]) -> None:
    async def part(stage: Stage) -> tuple[int, int]:
        replies = [await stage.ask("stale", stream=index % 2 == 0) for index in range(100)]
        lost = [attempt for attempt in stage.wall.attempts if attempt.reused and attempt.model.startswith("stale")]
        return sum(reply.success for reply in replies), len(lost)

    succeeded, lost = act(part)
    assert succeeded == 100
    assert lost > 0


def test_tool_calls_in_parallel_come_out_as_they_went_in(act: Act[Any]) -> None:
    reply = act(lambda stage: stage.ask("alone-tools"))
    found: dict[int, str] = {}
    for body in reply.bodies:
        for choice in body["choices"]:
            for call in choice["delta"].get("tool_calls") or []:
                found[call["index"]] = found.get(call["index"], "") + call["function"]["arguments"]
    assert [json.loads(found[index])["city"] for index in range(3)] == ["Ålesund \U0001f30a"] * 3


@pytest.mark.parametrize("dialect", WINDOWS)
def test_prompt_that_is_too_long_goes_to_the_larger_window_and_blames_nobody(act: Act[Any], dialect: str) -> None:
    async def part(stage: Stage) -> None:
        name = f"window-{dialect}"
        assert [reply.success for reply in await stage.both(name)] == [True, True]
        assert primary(stage, name) == 2  # one for each request
        assert await faults_of(stage, f"{name}-primary") == 0

    act(part)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("name", ["split-3", "ok"])
def test_other_dialects_are_understood_in_any_pieces(act: Act[Any], kind: str, name: str) -> None:
    assert [reply.success for reply in act(lambda stage: stage.both(f"{kind}-{name}"))] == [True, True]


@pytest.mark.parametrize("cell", ["bedrock-event-5", "bedrock-close-5", "ollama-event-5", "ollama-close-5"])
def test_other_dialects_break_as_clearly(act: Act[Any], cell: str) -> None:
    streamed, whole = act(lambda stage: stage.both(cell))
    assert streamed.clean and streamed.text
    assert whole.clean


@pytest.mark.parametrize("cell", ["bedrock-badcrc", "bedrock-thrown"])
def test_damaged_or_thrown_events_of_bedrock_end_the_stream_in_an_error(act: Act[Any], cell: str) -> None:
    reply = act(lambda stage: stage.ask(cell))
    assert reply.clean and reply.text


@pytest.mark.parametrize("cell", ["bedrock-throttled", "bedrock-status", "ollama-status"])
def test_busy_hosts_of_other_dialects_are_failed_over(act: Act[Any], cell: str) -> None:
    assert act(lambda stage: stage.ask(cell)).success


def test_cold_load_is_waited_for_and_never_cut_short(act: Act[Any]) -> None:
    async def part(stage: Stage) -> None:
        assert (await stage.ask("ollama-loading")).success
        (attempt,) = stage.wall.at(stage.cells["ollama-loading"].id(stage.cells["ollama-loading"].role("primary")))
        assert attempt.gone is None and attempt.whole

    act(part)


def test_filter_that_ends_an_answer_is_told_and_not_routed_around(act: Act[Any]) -> None:
    for reply in act(lambda stage: stage.both("filterfinish")):
        assert (reply.finish, reply.headers["x-gateway-attempts"]) == ("content_filter", "1")


def test_model_that_is_gone_is_asked_once_and_is_no_ill_health(act: Act[Any]) -> None:
    async def part(stage: Stage) -> None:
        assert [reply.success for reply in await stage.both("gone")] == [True, True]
        assert primary(stage, "gone") == 1
        assert await faults_of(stage, "gone-primary") == 0

    act(part)


def test_long_stream_passes_through_without_being_held(act: Act[Any]) -> None:
    async def part(stage: Stage) -> int:
        before = resident(stage.gateway.process.pid)
        assert (await stage.ask("long")).success
        return resident(stage.gateway.process.pid) - before

    assert act(part) < 20 << 20
