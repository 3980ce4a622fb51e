"""Requests are counted while they run, and refused before their body is read when there are too many."""

import asyncio
from typing import Any

import pytest

from gateway.api.server import GONE
from gateway.engine.admission import Most
from gateway.routing.policy import key_digest
from gateway.types import Backend, Caller, Class, ReadOn
from tests.api.test_chat import KEY, Call
from tests.engine.fakes import GOOD, Rig, Script, whole
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, route

A = deployment("a")


def rig(most: int, script: Script = GOOD, class_: Class = "default", **facts: Any) -> Rig:
    """A gateway that takes on so many requests, of a caller of that class."""
    return Rig(
        route(A),
        {"a": [script]},
        most=Most(in_flight=most),
        callers={key_digest(KEY): Caller("ann", class_=class_)},
        **facts,
    )


def test_request_counts_from_its_head_to_its_end_and_no_longer() -> None:
    async def scenario() -> None:
        found, seen = rig(10), list[int]()
        await Call(found, between=lambda: seen.append(found.tools.admission.in_flight), stream=True).run()
        assert (seen, found.tools.admission.in_flight) == ([1], 0)

    run(scenario())


@pytest.mark.parametrize("headers", [{"authorization": "Bearer wrong"}, {"x-gateway-class": "urgent"}])
def test_request_that_is_refused_otherwise_does_not_count(headers: dict[str, str]) -> None:
    async def scenario() -> None:
        found = rig(10)
        await Call(found).run(**headers)
        assert found.tools.admission.in_flight == 0

    run(scenario())


def test_too_many_are_refused_before_their_body_is_read_and_asked_to_come_again() -> None:
    async def scenario() -> None:
        found, read = rig(0), list[str]()
        call = Call(found, between=lambda: read.append("read"))
        await call.run()
        headers = dict(call.sent[0]["headers"])
        assert (call.status, call.said["error"]["code"], headers[b"retry-after"], read) == (503, "overloaded", b"1", [])
        assert (call.record.outcome, call.record.error_type, call.record.caller) == ("shed", "policy_shed", "ann")
        assert found.tools.admission.in_flight == 0

    run(scenario())


@pytest.mark.parametrize(
    ("class_", "header", "status"),
    [
        ("default", None, 200),
        ("default", "batch", 503),
        ("batch", None, 503),
        ("batch", "critical", 503),
        ("critical", "Sheddable", 503),
        ("critical", None, 200),
        ("default", "urgent", 400),
    ],
)
def test_class_is_the_callers_own_or_a_less_important_one_that_is_asked_for(
    class_: Class, header: str | None, status: int
) -> None:
    async def scenario() -> None:
        found = rig(10, [whole("Hello")], class_)
        found.tools.admission.in_flight = 8
        call = Call(found)
        await call.run(**({} if header is None else {"x-gateway-class": header}))
        assert call.status == status

    run(scenario())


def test_record_of_a_caller_who_hung_up_waits_for_what_is_read_of_the_answer() -> None:
    async def scenario() -> None:
        backend = Backend("a", "vllm", "http://127.0.0.1:1", read_on=ReadOn())
        found = rig(10, [5.0, whole("Hello there, llama")], backends={"a": backend})
        task = asyncio.create_task(Call(found).run())
        await asyncio.sleep(1)
        task.cancel(GONE)
        await asyncio.wait([task])
        assert (found.watcher.records, found.tools.admission.in_flight) == ([], 0)
        await asyncio.sleep(10)
        (record,) = found.watcher.records
        assert (record.outcome, record.duration) == ("client_cancelled", 1.0)
        assert record.usage is not None and not record.usage.estimated and now() == 1011.0

    run(scenario())
