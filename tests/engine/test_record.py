"""What is said of a request when it is over."""

from typing import Any

import pytest

from gateway import errors
from gateway.engine.answer import Answer
from gateway.engine.record import Ending, recorded, rejected, sketch
from gateway.outcomes import Record
from gateway.routing.lane import Candidate
from gateway.routing.policy import CachePolicy
from gateway.types import Backend, Price, Usage
from tests.engine.fakes import GOOD, Rig, Script, batches_of, bodies, finish, text, used
from tests.engine.virtual_time import now, run
from tests.routing.samples import deployment, policy, request, route

A, B = deployment("a", price=Price(1.0, 2.0)), deployment("b", price=Price(10.0, 20.0))
TWO = route(candidates=(Candidate(A, 0), Candidate(B, 1)))
CANARY = "sk-canary-5f2d"


async def recording(rig: Rig, sent: bool = True, **facts: Any) -> tuple[Answer, Record]:
    """An answer that was read to its end, and its record; half a second passes until it is sent."""
    answer, error, first = rig.open(**facts), None, None
    try:
        async for _ in batches_of(answer):
            first = first or now() + 0.5
    except errors.GatewayError as caught:
        error = caught
    ending = Ending(error.status if error else 200, now(), first if sent else None, error)
    return answer, recorded(answer.request, 1_800_000_000.0, answer, ending)


def record(scripts: dict[str, list[Script]], rules: Any = TWO, **facts: Any) -> Record:
    async def scenario() -> Record:
        return (await recording(Rig(rules, scripts), **facts))[1]

    return run(scenario())


def test_success_is_recorded_with_everything_that_dashboards_show() -> None:
    found = record({"a": [[2.0, text("Hello"), 3.0, finish(), used(1000, 500)]]}, arrived=999.0)
    assert (found.outcome, found.status, found.error_type, found.message) == ("success", 200, "", "")
    assert (found.route, found.deployment, found.generation, found.operation) == ("chat", A, "g1", "chat")
    assert (found.duration, found.ttft) == (6.0, 3.0)
    assert (found.usage, found.saved) == (Usage(1000, 500), 0.0)
    assert found.cost == pytest.approx(0.002)
    assert dict(found.overhead) == {"request": pytest.approx(1.0), "response": pytest.approx(0.5)}
    assert len(found.attempts) == 1
    assert (found.at, found.stream, found.cache) == (1_800_000_000.0, True, "bypass")


def test_usage_is_the_winners_and_the_cost_is_that_of_all_attempts() -> None:
    async def scenario() -> Record:
        rig = Rig(TWO, {"a": [[errors.ServerFault]], "b": [[text("x"), finish(), used(1000, 500)]]})
        return (await recording(rig))[1]

    found = run(scenario())
    assert found.usage == Usage(1000, 500)
    assert found.cost == pytest.approx(0.02)
    assert found.reason.endswith(f"{A.name} failed (upstream_server_error)")
    assert [outcome.outcome for outcome in found.attempts] == ["upstream_error", "success"]


def test_cost_is_unknown_when_that_of_one_attempt_is() -> None:
    assert record({}, route(deployment("a", price=None, location="hosted"))).cost is None


@pytest.mark.parametrize(
    ("script", "outcome", "status", "error_type"),
    [
        ([errors.ServerFault], "upstream_error", 502, "upstream_server_error"),
        ([1000.0], "timeout", 504, "upstream_first_token_timeout"),
        ([text("Hel"), errors.Disconnected], "partial", 502, "upstream_disconnected"),
        ([text("Hel"), 1000.0], "partial", 504, "upstream_idle_timeout"),
        ([text("Hel")], "partial", 502, "upstream_stream_cut"),
    ],
)
def test_failure_is_recorded_by_its_name(script: Script, outcome: str, status: int, error_type: str) -> None:
    found = record({"a": [script]}, route(A, attempts=1))
    assert (found.outcome, found.status, found.error_type) == (outcome, status, error_type)


def test_answer_that_broke_before_anything_was_sent_is_not_partial() -> None:
    assert record({"a": [[text("Hel"), errors.Disconnected]]}, route(A), sent=False).outcome == "upstream_error"


def test_nobody_to_ask_is_shed() -> None:
    found = record({}, route(candidates=(Candidate(A, 0, "overloaded"),)))
    assert (found.outcome, found.status, found.error_type) == ("shed", 503, "policy_no_candidate")
    assert (found.deployment, found.attempts, found.overhead) == (None, (), ())


def test_caller_who_left_is_recorded_as_such() -> None:
    async def scenario() -> Record:
        rig = Rig(TWO, {})
        answer = rig.open()
        gone = Ending(499, now() + 1, None, errors.CallerGone("gone"))
        return recorded(answer.request, 0.0, answer, gone)

    found = run(scenario())
    assert (found.outcome, found.status, found.error_type) == ("client_cancelled", 499, "caller_gone")


def test_hit_costs_nothing_and_tells_what_it_has_saved() -> None:
    async def scenario() -> Record:
        rig = Rig(route(A, cache=CachePolicy(60.0)), {})
        await recording(rig)
        return (await recording(rig))[1]

    found = run(scenario())
    assert (found.cache, found.cost) == ("hit", 0.0)
    assert found.saved == pytest.approx(13e-6)
    assert (found.reason, found.deployment, found.usage) == ("answered from the cache", A, Usage(7, 3))


def test_asked_model_is_a_label_only_when_the_policy_knows_it() -> None:
    async def scenario(model: str) -> Record:
        rules = route(A)
        rig = Rig(rules, {}, any_model=(rules,))
        return (await recording(rig, model=model))[1]

    known, junk = run(scenario(A.model)), run(scenario("junk"))
    assert (known.asked, known.original) == (A.model, A.model)
    assert (junk.asked, junk.original) == ("junk", "other")


def test_request_that_never_became_one_has_a_record_too() -> None:
    error = errors.Unauthorized("The API key is missing.")
    found = rejected("req_1", 5.0, 10.0, "", Ending(401, 12.0, None, error))
    assert (found.outcome, found.status, found.duration) == ("rejected", 401, 2.0)
    assert (found.error_type, found.message) == ("caller_unauthorized", "The API key is missing.")


def test_unknown_model_is_recorded_with_the_request_and_without_an_answer() -> None:
    error = errors.ModelNotFound("The model 'x' is not served here.")
    found = recorded(request(model="x", arrived=10.0), 5.0, None, Ending(404, 11.0, None, error))
    assert (found.outcome, found.status, found.asked, found.original, found.route) == (
        "rejected",
        404,
        "x",
        "other",
        "",
    )


def test_secrets_of_the_backends_and_callers_are_in_no_record() -> None:
    async def scenario() -> Record:
        backend = Backend("a", "vllm", f"http://user:{CANARY}@127.0.0.1:1", CANARY, {"authorization": CANARY})
        rig = Rig(route(A), {"a": [[errors.ServerFault], GOOD]}, backends={"a": backend})
        answer = rig.open()
        await bodies(answer)
        return recorded(answer.request, 0.0, answer, Ending(200, now(), now()))

    found = run(scenario())
    assert len(found.attempts) == 2
    assert CANARY not in repr(found)


def test_what_an_upstream_says_of_the_prompt_is_in_no_record() -> None:
    def quoting() -> errors.Rejected:
        return errors.Rejected(f"it said: {CANARY}", logged="it rejected the request (400).")

    found = record({"a": [[quoting]]}, route(A))
    assert (found.status, found.message) == (400, "it rejected the request (400).")
    assert CANARY not in repr(found)


def test_what_is_kept_of_a_request_has_no_word_of_its_prompt_and_no_header_that_no_route_looks_at() -> None:
    asked = request(
        body={"messages": [{"content": CANARY}], "metadata": {"team": "search", "long": "x" * 1000, "number": 1}},
        headers={"x-class": "secret", "authorization": f"Bearer {CANARY}"},
        prompt_tokens=7,
        max_tokens=9,
        needs=frozenset({"tools"}),
        stream=True,
    )
    kept = sketch(asked, policy(headers=frozenset({"x-class"})))
    assert (kept.model, kept.prompt_tokens, kept.max_tokens, kept.stream) == (asked.model, 7, 9, True)
    assert kept.needs == frozenset({"tools"})
    assert (dict(kept.headers), dict(kept.metadata)) == ({"x-class": "secret"}, {"team": "search"})
    assert CANARY not in repr(kept)
