"""One chat request from its head to its record."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from gateway import errors
from gateway.api.chat import Exchange
from gateway.api.door import Door
from gateway.api.reply import Message
from gateway.api.server import GONE
from gateway.outcomes import Record
from gateway.routing.policy import key_digest
from gateway.types import Caller
from tests.engine.fakes import Rig, Script, whole
from tests.engine.virtual_time import run
from tests.routing.samples import MODEL, deployment, policy, route

A, B = (deployment(name, capabilities=frozenset({"n"})) for name in "ab")
KEY = "sk-caller-0123456789"
CALLERS = {key_digest(KEY): Caller("search")}
PROMPT = "the canary of a prompt"


class Call:
    """A request over a rig's engine, and what was sent back."""

    def __init__(self, rig: Rig, between: Callable[[], None] = lambda: None, **body: Any) -> None:
        self.rig = rig
        self.between = between  # happens when the head is read and the body is not
        self.body = orjson.dumps({"model": MODEL, "messages": [{"role": "user", "content": PROMPT}], **body})
        self.sent: list[Message] = []

    async def receive(self) -> Message:
        self.between()
        return {"type": "http.request", "body": self.body}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, **headers: str) -> None:
        """Ask, from this machine."""
        named = {"authorization": f"Bearer {KEY}", **headers}
        scope = {
            "type": "http",
            "client": ("127.0.0.1", 5),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
        await Exchange(self.rig.engine, self.send, Door()).run(scope, self.receive)

    @property
    def status(self) -> int:
        """The status that the caller saw."""
        found: int = self.sent[0]["status"]
        return found

    @property
    def said(self) -> Any:
        """The body that the caller saw."""
        return orjson.loads(b"".join(message.get("body", b"") for message in self.sent[1:]))

    @property
    def record(self) -> Record:
        """The only record."""
        (found,) = self.rig.watcher.records
        return found


def rig(*script: Any, **facts: Any) -> Rig:
    scripts: list[Script] = [list(script) or [whole("Hello")]]
    return Rig(route(A, attempts=1), {"a": scripts}, **{"callers": CALLERS, **facts})


def test_reload_between_head_and_body_changes_neither_key_check_nor_route() -> None:
    async def scenario() -> None:
        of = rig()
        before = of.policy

        def reloaded() -> None:
            of.policy = policy(route(B), generation="g2", callers={key_digest("another"): Caller("other")})

        call = Call(of, reloaded)
        await call.run()
        assert (call.status, of.calls) == (200, {"a": 1})
        assert (call.record.generation, call.record.caller) == (before.generation, "search")

    run(scenario())


@pytest.mark.parametrize("headers", [{"host": "evil.example"}, {"host": "localhost", "origin": "http://evil.example"}])
def test_page_of_another_origin_gets_nothing_from_a_gateway_without_callers(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        call = Call(rig(callers={}))
        await call.run(**headers)
        assert (call.status, call.rig.calls) == (401, {})

    run(scenario())


def test_origin_is_of_no_account_where_there_are_keys() -> None:
    async def scenario() -> None:
        call = Call(rig())
        await call.run(host="gateway.internal", origin="https://app.example")
        assert call.status == 200

    run(scenario())


def test_caller_who_hangs_up_is_sent_nothing_and_recorded_as_gone() -> None:
    async def scenario() -> None:
        call = Call(rig(50.0, whole("Hello")))
        task = asyncio.create_task(call.run())
        asyncio.get_running_loop().call_later(5, task.cancel, GONE)
        await asyncio.wait([task])
        assert call.sent == []
        assert (call.record.outcome, call.record.status) == ("client_cancelled", 499)
        assert call.rig.quiet()

    run(scenario())


def test_request_that_the_end_of_the_process_cuts_off_is_told_so_and_recorded() -> None:
    async def scenario() -> None:
        call = Call(rig(50.0, whole("Hello")))
        task = asyncio.create_task(call.run())
        asyncio.get_running_loop().call_later(5, task.cancel)
        await asyncio.wait([task])
        assert (call.status, call.said["error"]["code"]) == (503, errors.Draining.code)
        assert call.record.status == 503
        assert call.record.outcome != "client_cancelled"

    run(scenario())


def test_prompt_that_an_upstream_quotes_is_seen_by_the_caller_and_in_no_record() -> None:
    def quoting() -> errors.Rejected:
        return errors.Rejected(f"it said: {PROMPT}", logged="it rejected the request (400).")

    async def scenario() -> None:
        call = Call(rig(quoting))
        await call.run()
        assert call.status == 400
        assert PROMPT in call.said["error"]["message"]
        assert call.record.message == "it rejected the request (400)."
        assert PROMPT not in repr(call.record)

    run(scenario())


def test_half_of_two_choices_is_an_error_and_not_an_answer() -> None:
    async def scenario() -> None:
        call = Call(rig(), n=2)
        await call.run()
        assert (call.status, call.said["error"]["code"]) == (502, errors.StreamCut.code)

    run(scenario())
