"""Tool calls that came as text are put right where the route says so, and told where it does not."""

from typing import Any

import structlog

from tests.engine.fakes import Rig, bodies, finish, role, text, whole, words
from tests.engine.virtual_time import run
from tests.routing.samples import deployment, route

A = deployment("a", capabilities=frozenset({"tools"}))
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
ASKED: dict[str, Any] = {"body": {"messages": [], "tools": [TOOL]}, "needs": frozenset({"tools"})}
LEAK = '<|python_tag|>{"name": "weather", "parameters": {"city": "Paris"}}'
STREAM = [role(), *[text(LEAK[at : at + 5]) for at in range(0, len(LEAK), 5)], finish()]


def test_route_that_repairs_gives_calls_and_no_text() -> None:
    async def scenario() -> None:
        rig = Rig(route(A, repair=True), {"a": [STREAM]})
        found = await bodies(rig.open(**ASKED))
        calls = [call for body in found for choice in body["choices"] for call in choice["delta"].get("tool_calls", ())]
        assert [call["function"]["name"] for call in calls] == ["weather"]
        assert words(found) == ""
        assert found[-1]["choices"][0]["finish_reason"] == "tool_calls"

    run(scenario())


def test_answer_in_one_piece_is_repaired_too() -> None:
    async def scenario() -> None:
        rig = Rig(route(A, repair=True), {"a": [[whole(LEAK)]]})
        (body,) = await bodies(rig.open(stream=False, **ASKED))
        assert body["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"city": "Paris"}'

    run(scenario())


def test_route_that_does_not_repair_gives_the_text_and_says_what_to_do() -> None:
    async def scenario() -> None:
        rig = Rig(route(A), {"a": [STREAM]})
        with structlog.testing.capture_logs() as logs:
            assert words(await bodies(rig.open(**ASKED))) == LEAK
        (line,) = [line for line in logs if line["event"] == "tool_calls.leaked"]
        assert "--tool-call-parser" in line["hint"]

    run(scenario())


def test_plain_words_are_no_leak() -> None:
    async def scenario() -> None:
        rig = Rig(route(A), {})
        with structlog.testing.capture_logs() as logs:
            await bodies(rig.open(**ASKED))
        assert not logs

    run(scenario())


def test_delta_that_is_no_object_is_looked_at_for_leaks_without_harm() -> None:
    async def scenario() -> None:
        odd = {"choices": [{"index": 0, "delta": "Hello", "finish_reason": None}]}
        rig = Rig(route(A), {"a": [[odd, text("Hello"), finish()]]})
        found = await bodies(rig.open(**ASKED))
        assert words(found[1:]) == "Hello"

    run(scenario())
