"""The line of each request, and what is never in one."""

import io
import json
from typing import Any

import pytest

from gateway import errors
from gateway.engine.record import Ending, recorded
from gateway.outcomes import Observer
from gateway.routing.policy import key_digest
from gateway.telemetry import logs
from gateway.telemetry.lines import RequestLines
from gateway.types import Backend, Caller
from tests.engine.fakes import GOOD, Rig, bodies
from tests.engine.virtual_time import now, run
from tests.routing.samples import route
from tests.telemetry.records import LOST, A, B, record, shadowed

CANARY = "sk-canary-8c1e"


def observer(stream: io.StringIO) -> Observer:
    logs.configure("info", "json", stream)
    return RequestLines()


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n")[:-1]]


def test_each_request_is_one_line_of_json() -> None:
    stream = io.StringIO()
    observer(stream).answered(record())
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("request.answered", "info")
    assert (line["id"], line["outcome"], line["status"], line["route"]) == ("req_1", "success", 200, "chat")
    assert (line["deployment"], line["caller"], line["attempts"]) == (A.name, "search", 1)
    assert (line["tokens"], line["cost_usd"], line["ttft"], line["seconds"]) == ([100, 21], 0.25, 1.0, 3.0)
    assert line["time"].endswith("Z")


def test_line_says_which_model_where_and_why() -> None:
    stream = io.StringIO()
    watching = observer(stream)
    watching.answered(record(reason="cheapest"))
    watching.answered(record(deployment=None))
    first, second = lines(stream)
    assert (first["model"], first["backend"], first["reason"]) == (A.model, A.backend, "cheapest")
    assert (second["model"], second["backend"], second["reason"]) == (None, None, None)


def test_of_requests_that_went_well_the_share_has_a_line_that_is_asked_for() -> None:
    ids = [f"req_{number:024x}" for number in range(2000)]
    written: dict[float, list[str]] = {}
    for share in (0.0, 0.25, 1.0):
        stream = io.StringIO()
        logs.configure("info", "json", stream)
        watching = RequestLines(share)
        for id in ids:
            watching.answered(record(id=id))
        written[share] = [line["id"] for line in lines(stream)]
    assert (written[0.0], written[1.0]) == ([], ids)
    assert 0.2 < len(written[0.25]) / len(ids) < 0.3


def test_same_requests_have_a_line_in_each_gateway_and_a_larger_share_has_those_of_a_smaller() -> None:
    chosen = [
        {id for number in range(500) if not RequestLines(share).left_out(record(id=(id := f"req_{number}")))}
        for share in (0.1, 0.1, 0.4)
    ]
    assert chosen[0] == chosen[1] < chosen[2]


@pytest.mark.parametrize(
    "facts", [{"outcome": "partial"}, {"outcome": "rejected", "error_type": "caller_unauthorized"}, {"duration": 10.1}]
)
def test_failures_and_slow_requests_have_a_line_in_any_case(facts: dict[str, Any]) -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    RequestLines(0.0).answered(record(**facts))
    assert len(lines(stream)) == 1


def test_mirrored_requests_and_failed_attempts_have_a_line_in_any_case() -> None:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    watching = RequestLines(0.0)
    watching.shadowed(shadowed())
    watching.attempted(LOST._replace(error_type="upstream_server_error"))
    assert [line["event"] for line in lines(stream)] == ["request.shadowed", "attempt.failed"]


def test_request_that_nobody_answered_has_a_line_too() -> None:
    stream = io.StringIO()
    observer(stream).answered(record(deployment=None, usage=None, ttft=None, error_type="caller_unauthorized"))
    (line,) = lines(stream)
    assert (line["deployment"], line["tokens"], line["ttft"]) == (None, None, None)
    assert line["error"] == "caller_unauthorized"


def test_each_mirrored_request_is_one_line() -> None:
    stream = io.StringIO()
    observer(stream).shadowed(shadowed())
    (line,) = lines(stream)
    assert (line["event"], line["level"]) == ("request.shadowed", "info")
    assert (line["id"], line["outcome"], line["route"], line["deployment"]) == ("req_1", "success", "chat", B.name)
    assert line["ratios"] == {"length": 2.0, "ttft": 0.5, "seconds": 2.0, "cost": 2.0}
    assert (line["finish"], line["flaws"], line["same_calls"]) == (["stop", "length"], [None, "invalid_json"], None)


def test_request_that_should_have_been_mirrored_has_a_line_that_says_why_not() -> None:
    stream = io.StringIO()
    nobody = {"deployment": None, "cost": None, "answer": None, "shadow": None, "ratios": ()}
    observer(stream).shadowed(shadowed(outcome="no_candidate", message="nobody can do tools", **nobody))
    (line,) = lines(stream)
    assert (line["outcome"], line["deployment"], line["message"]) == ("no_candidate", None, "nobody can do tools")
    assert (line["finish"], line["flaws"]) == ([None, None], [None, None])


def test_only_failures_of_upstreams_have_a_line_of_their_own() -> None:
    stream = io.StringIO()
    watching = observer(stream)
    for error_type in ("", "caller_gone", "upstream_server_error"):
        watching.attempted(LOST._replace(error_type=error_type, message="it broke"))
    (line,) = lines(stream)
    assert (line["event"], line["level"], line["error"]) == ("attempt.failed", "warning", "upstream_server_error")


def test_line_breaks_in_a_message_do_not_break_the_line() -> None:
    stream = io.StringIO()
    observer(stream).attempted(LOST._replace(message='a\nb\r\n{"event":"forged"}'))
    assert [line["event"] for line in lines(stream)] == ["attempt.failed"]


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_of_backends_and_callers_are_in_no_line(format: str) -> None:
    stream = io.StringIO()
    poured = logs.configure("debug", format, stream)
    backend = Backend("a", "vllm", "http://127.0.0.1:1", CANARY, {"x-key": CANARY})

    async def scenario() -> None:
        rig = Rig(
            route(A),
            {"a": [[errors.BadCredentials], [errors.ServerFault], GOOD]},
            before=(RequestLines(),),
            backends={"a": backend},
            callers={key_digest(CANARY): Caller("search")},
        )
        for _ in range(3):
            answer, error = rig.open(), None
            try:
                await bodies(answer)
            except errors.GatewayError as caught:
                error = caught
            rig.engine.tell(recorded(answer.request, 0.0, answer, Ending(200, now(), None, error)))

    run(scenario())
    poured.pour()
    assert stream.getvalue().count("\n") >= 4
    assert CANARY not in stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
def test_what_an_upstream_says_of_the_prompt_is_in_no_line(format: str) -> None:
    def quoting() -> errors.Rejected:
        return errors.Rejected(f"it said: {CANARY}", logged="it rejected the request (400).")

    stream = io.StringIO()
    poured = logs.configure("debug", format, stream)

    async def scenario() -> None:
        rig = Rig(route(A), {"a": [[quoting]]}, before=(RequestLines(),))
        answer = rig.open()
        with pytest.raises(errors.Rejected, match=CANARY) as caught:
            await bodies(answer)
        rig.engine.tell(recorded(answer.request, 0.0, answer, Ending(400, now(), None, caught.value)))

    run(scenario())
    poured.pour()
    assert "it rejected the request (400)." in stream.getvalue()
    assert CANARY not in stream.getvalue()
