"""Requests that are mirrored: which, to whom, within which limits, and how their answers compare."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.engine.answer import Answer
from gateway.engine.record import Ending, recorded
from gateway.engine.shadow import MOST_CHARACTERS, Sampled, Seen, Shadows
from gateway.outcomes import Observer, Shadowed
from gateway.providers.kind import Kind
from gateway.routing.lane import Candidate, Lane
from gateway.routing.policy import CachePolicy, Route, Shadow
from gateway.types import Backend, Deployment, Json, Preferences, Price, Timeouts
from tests.engine.fakes import GOOD, Rig, Script, batches_of, chunk, delta, finish, role, text, used, whole, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import BODY, deployment, request, route

SCOUT = "llama-4-scout-17b-16e-instruct"
CAN = frozenset({"tools", "json_object"})
A = deployment("a", price=Price(1.0, 2.0), capabilities=CAN)
B = deployment("b", price=Price(1.0, 2.0), capabilities=CAN)
S = deployment("s", SCOUT, price=Price(2.0, 4.0), capabilities=CAN)
T = deployment("t", SCOUT, price=Price(20.0, 40.0), capabilities=CAN)
PROMPT = "the canary of a prompt"


def lane(*deployments: Deployment) -> Lane:
    return Lane([Candidate(one) for one in deployments])


def shadowed(*own: Deployment, to: tuple[Deployment, ...] = (S,), **facts: Any) -> Route:
    """A route whose every request is mirrored, unless told otherwise."""
    usual: dict[str, Any] = {"shadow": Shadow(lane(*to), facts.pop("share", 1.0), facts.pop("usd_per_hour", None))}
    return route(candidates=tuple(Candidate(one, tier) for tier, one in enumerate(own or (A,))), **(usual | facts))


class Stage:
    """A rig whose policy knows the shadows' backends too."""

    def __init__(
        self,
        rules: Route,
        scripts: dict[str, list[Script]] | None = None,
        before: tuple[Observer, ...] = (),
        most: int = 8,
    ) -> None:
        names = {one.deployment.backend for one in rules.candidates}
        assert rules.shadow is not None
        names |= set(rules.shadow.lane.backends)
        backends = {name: Backend(name, "vllm", "http://127.0.0.1:1") for name in names}
        self.rig = Rig(rules, scripts or {}, before, backends=backends)
        self.rules = rules
        self.shadows = Shadows(self.rig.tools, most)

    async def ask(self, read: int | None = None, **facts: Any) -> tuple[Answer, str]:
        """Ask as the HTTP edge does, reading so many batches only, and tell that it is over."""
        asked = request(**({"stream": True, "arrived": now()} | facts))
        answer = self.shadows.opened(asked, self.rig.policy, self.rules)
        found: list[Json] = []
        error: errors.GatewayError | None = None
        chunks = batches_of(answer)
        try:
            async for batch in chunks:
                found += [one.body for one in batch]
                if read is not None and (read := read - 1) == 0:
                    error = errors.CallerGone("The caller hung up before its answer was complete.")
                    break
        except errors.GatewayError as caught:
            error = caught
        await chunks.aclose()
        self.shadows.over(answer, recorded(asked, 0.0, answer, Ending(200, now(), now() if found else None, error)))
        return answer, words(found)

    async def settle(self) -> list[Shadowed]:
        """All that was told of mirrored requests, once none runs any more."""
        while self.shadows.running:
            await asyncio.wait(tuple(self.shadows.running))
        await asyncio.sleep(0)
        return self.rig.watcher.shadows

    async def one(self, **facts: Any) -> Shadowed:
        """What was told of the only mirrored request."""
        await self.ask(**facts)
        (told,) = await self.settle()
        return told


def test_answered_request_is_asked_of_the_shadow_too_and_only_then() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(A), {"a": [[3.0, *GOOD]]})
        begun = now()
        _, said = await stage.ask()
        assert said == "Hello world"
        assert (now() - begun, stage.rig.calls) == (3.0, {"a": 1})
        (told,) = await stage.settle()
        assert stage.rig.calls == {"a": 1, "s": 1}
        assert (told.id, told.route, told.outcome, told.deployment) == ("req_1", "chat", "success", S)

    run(scenario())


@pytest.mark.parametrize(("chance", "mirrored"), [(0.0, True), (0.2999, True), (0.3, False), (0.99, False)])
def test_share_of_the_requests_is_mirrored_by_chance(chance: float, mirrored: bool) -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(share=0.3))
        stage.rig.chance = chance
        answer, _ = await stage.ask()
        assert isinstance(answer, Sampled) is mirrored
        assert len(await stage.settle()) == mirrored

    run(scenario())


def test_shadow_that_is_silent_delays_nobody_and_ends_at_the_routes_limit() -> None:
    async def scenario() -> None:
        slow = replace(S, timeouts=Timeouts(first_token_last=40.0))
        stage = Stage(shadowed(to=(slow,)), {"s": [[10_000.0]]})
        begun = now()
        await stage.ask()
        assert now() == begun
        (told,) = await stage.settle()
        assert (told.outcome, told.error_type, now() - begun) == ("timeout", "upstream_first_token_timeout", 40.0)
        assert told.answer is told.shadow is None
        assert stage.rig.quiet()

    run(scenario())


@pytest.mark.parametrize(
    "failure",
    [errors.ServerFault, errors.RateLimited, errors.Unreachable, errors.Rejected, errors.BadCredentials],
)
def test_shadow_that_fails_is_not_asked_again_nor_is_another(failure: type[errors.UpstreamError]) -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(to=(S, T)), {"s": [[failure]]})
        _, said = await stage.ask()
        (told,) = await stage.settle()
        assert said == "Hello world"
        assert stage.rig.calls == {"a": 1, "s": 1}
        assert (told.deployment, told.error_type) == (S, failure.error_type)
        assert told.ratios == ()
        assert stage.rig.quiet()

    run(scenario())


def test_shadow_that_is_cut_is_told_with_its_cost_and_without_a_comparison() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"s": [[text("Hel"), used(1000, 1000), errors.Disconnected]]})
        told = await stage.one()
        assert told.outcome == "partial"
        assert told.cost == pytest.approx(0.006)
        assert told.answer is None

    run(scenario())


def test_defect_in_a_shadow_is_logged_and_leaves_no_slot() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"s": [[ZeroDivisionError]]})
        told = await stage.one()
        assert told.error_type == "gateway_internal"
        assert stage.rig.quiet()
        assert stage.shadows.running == set()

    run(scenario())


def test_request_that_failed_is_not_mirrored() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"a": [[errors.BadCredentials]]})
        await stage.ask()
        assert await stage.settle() == []

    run(scenario())


def test_answer_that_was_cut_is_not_mirrored() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"a": [[text("Hel"), errors.Disconnected]]})
        await stage.ask()
        assert await stage.settle() == []

    run(scenario())


def test_answer_that_two_deployments_gave_together_is_not_mirrored() -> None:
    async def scenario() -> None:
        scripts: dict[str, list[Script]] = {"a": [[text("Hello"), errors.Disconnected]]}
        stage = Stage(shadowed(A, B, mid_stream="splice"), scripts)
        await stage.ask(body={**BODY, "temperature": 0})
        assert await stage.settle() == []

    run(scenario())


def test_caller_who_left_is_not_mirrored() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed())
        await stage.ask(read=1)
        assert await stage.settle() == []
        assert stage.rig.quiet()

    run(scenario())


def test_cached_answer_is_not_mirrored() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(cache=CachePolicy(60.0)))
        for _ in range(3):
            _, said = await stage.ask()
            assert said == "Hello world"
        assert len(await stage.settle()) == 1
        assert stage.rig.calls == {"a": 1, "s": 1}

    run(scenario())


def test_answer_after_failover_is_compared_by_the_attempt_that_gave_it() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(A, B), {"a": [[5.0, errors.ServerFault]], "b": [[1.0, *GOOD]], "s": [[2.0, *GOOD]]})
        told = await stage.one()
        assert told.answer is not None
        assert (told.answer.deployment, told.answer.ttft) == (B, 1.0)
        assert dict(told.ratios)["ttft"] == 2.0

    run(scenario())


def test_best_deployment_of_the_shadow_lane_is_asked() -> None:
    async def scenario() -> None:
        assert (await Stage(shadowed(to=(T, S))).one()).deployment == S

    run(scenario())


@pytest.mark.parametrize(
    ("to", "facts", "why"),
    [
        (deployment("s", SCOUT), {"needs": frozenset({"tools"})}, "cannot do tools"),
        (deployment("s", SCOUT, context=50), {}, "holds 50"),
        (deployment("s", SCOUT, max_output=10), {"max_tokens": 100}, "gives 10 tokens"),
        (deployment("s", SCOUT, price=Price(9.0, 9.0)), {}, "the route allows $0.001"),
        (S, {"preferences": Preferences(only=frozenset({"a"}))}, "not among the providers"),
        (S, {"preferences": Preferences(ignore=frozenset({"s"}))}, "ignores"),
        (
            deployment("s", SCOUT, collects=True),
            {"preferences": Preferences(data_collection="deny")},
            "may keep what it is sent",
        ),
    ],
)
def test_nobody_is_asked_who_may_not_have_the_request(to: Deployment, facts: dict[str, Any], why: str) -> None:
    async def scenario() -> None:
        own = deployment("a", capabilities=CAN)
        stage = Stage(shadowed(own, to=(to,), max_usd=0.001))
        told = await stage.one(**facts)
        assert (told.outcome, told.deployment, stage.rig.calls) == ("no_candidate", None, {"a": 1})
        assert why in told.message

    run(scenario())


def test_wishes_for_the_answer_do_not_bind_one_that_nobody_gets() -> None:
    async def scenario() -> None:
        wishes = Preferences(
            sort="price",
            max_prompt_price=1.5,
            quantizations=frozenset({"unknown"}),
            models=(A.model,),
        )
        assert (await Stage(shadowed()).one(preferences=wishes)).outcome == "success"

    run(scenario())


def test_deadline_of_the_caller_does_not_bind_an_answer_that_nobody_waits_for() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"s": [[8.0, *GOOD]]})
        assert (await stage.one(deadline=now() + 5.0)).outcome == "success"

    run(scenario())


def test_more_than_so_many_at_once_are_dropped_and_told() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"s": [[5.0, *GOOD]]}, most=2)
        for number in range(5):
            await stage.ask(id=f"req_{number}")
        assert len(stage.shadows.running) == 2
        told = await stage.settle()
        assert [one.outcome for one in told] == ["dropped"] * 3 + ["success"] * 2
        assert stage.rig.calls == {"a": 5, "s": 2}
        await stage.ask()
        assert (await stage.settle())[-1].outcome == "success"

    run(scenario())


def test_budget_of_an_hour_ends_mirroring_until_there_is_some_again() -> None:
    async def scenario() -> None:
        costs: Script = [text("Hi"), finish(), used(0, 1000)]  # $0.004 at the shadow
        stage = Stage(shadowed(usd_per_hour=0.006), {"s": [costs]})
        for _ in range(4):
            await stage.ask()
            await stage.settle()
        told = await stage.settle()
        assert [one.outcome for one in told] == ["success", "success", "budget", "budget"]
        assert stage.rig.book.spent("shadow chat", now()) == pytest.approx(0.008)
        assert stage.rig.book.spent("chat", now()) == 0.0
        await asyncio.sleep(3700)
        await stage.ask()
        assert (await stage.settle())[-1].outcome == "success"

    run(scenario())


def test_shadow_without_a_known_price_uses_its_budget_up_by_a_dear_one() -> None:
    async def scenario() -> None:
        unknown = deployment("s", SCOUT, location="hosted")
        stage = Stage(shadowed(to=(unknown,), usd_per_hour=1.0))
        told = await stage.one()
        assert told.cost is None
        assert stage.rig.book.spent("shadow chat", now()) > 0.0

    run(scenario())


def test_shutdown_ends_all_that_run_and_frees_their_slots() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"s": [[text("Hel"), 1000.0]]})
        for _ in range(3):
            await stage.ask()
        await asyncio.sleep(1.0)
        begun = now()
        await stage.shadows.close()
        await asyncio.sleep(0)
        assert now() == begun
        assert stage.shadows.running == set()
        assert [one.outcome for one in stage.rig.watcher.shadows] == ["shutdown"] * 3
        assert stage.rig.quiet()
        await stage.shadows.close()

    run(scenario())


def test_shutdown_before_the_first_step_leaves_nothing() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed())
        await stage.ask()
        await stage.shadows.close()
        assert stage.rig.calls == {"a": 1}
        assert stage.rig.quiet()

    run(scenario())


def test_callers_attempts_and_habits_know_nothing_of_the_shadow() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"s": [[text("Hi"), finish(), used(7, 900)]]})
        answer, _ = await stage.ask()
        await stage.settle()
        assert [outcome.deployment for outcome in stage.rig.outcomes] == [A]
        assert [outcome.deployment for outcome in answer.outcomes] == [A]
        assert stage.rig.book.output == {"chat": 3.0, "shadow chat": 900.0}
        assert stage.rig.book.of(S).ttft is not None
        assert set(stage.rig.book.leading) <= {"chat"}

    run(scenario())


def test_answers_are_compared_by_length_times_and_cost() -> None:
    async def scenario() -> None:
        scripts: dict[str, list[Script]] = {
            "a": [[2.0, text("12345678"), 2.0, finish(), used(100, 10)]],
            "s": [[1.0, text("1234"), 1.0, finish("length"), used(100, 20)]],
        }
        told = await Stage(shadowed(), scripts).one()
        assert told.answer is not None
        assert told.shadow is not None
        assert (told.answer.characters, told.answer.tokens, told.answer.finish) == (8, 10, ("stop",))
        assert (told.shadow.characters, told.shadow.tokens, told.shadow.finish) == (4, 20, ("length",))
        assert (told.answer.ttft, told.answer.seconds) == (2.0, 4.0)
        assert (told.shadow.ttft, told.shadow.seconds) == (1.0, 2.0)
        cost = pytest.approx((100 * 2 + 20 * 4) / (100 * 1 + 10 * 2))
        assert dict(told.ratios) == {"length": 0.5, "ttft": 0.5, "seconds": 0.5, "cost": cost}
        assert told.same_calls is None

    run(scenario())


def test_answer_in_one_piece_has_no_time_to_the_first_token() -> None:
    async def scenario() -> None:
        scripts: dict[str, list[Script]] = {"a": [[2.0, whole("Hello")]], "s": [[3.0, whole("Hello!")]]}
        told = await Stage(shadowed(), scripts).one(stream=False)
        assert dict(told.ratios) == {"length": 1.2, "seconds": 1.5, "cost": 2.0}

    run(scenario())


def test_answer_that_is_held_until_it_is_whole_has_none_either() -> None:
    async def scenario() -> None:
        told = await Stage(shadowed(mid_stream="buffer"), {"a": [[1.0, *GOOD]], "s": [[1.0, *GOOD]]}).one()
        assert {quantity for quantity, _ in told.ratios} == {"length", "seconds", "cost"}

    run(scenario())


def test_answer_that_costs_nothing_has_no_ratio_of_costs() -> None:
    async def scenario() -> None:
        told = await Stage(shadowed(deployment("a"))).one()
        assert "cost" not in dict(told.ratios)
        assert told.cost is not None
        assert told.cost > 0.0

    run(scenario())


def test_json_that_was_asked_for_is_judged_on_both_sides() -> None:
    async def scenario() -> None:
        scripts: dict[str, list[Script]] = {
            "a": [[text('{"a": 1'), text("}"), finish()]],
            "s": [[text("Sure! {"), finish()]],
        }
        body = {**BODY, "response_format": {"type": "json_object"}}
        told = await Stage(shadowed(), scripts).one(body=body, needs=frozenset({"json_object"}))
        assert told.answer is not None
        assert told.shadow is not None
        assert (told.answer.flaw, told.shadow.flaw) == (None, "invalid_json")
        plain = await Stage(shadowed(), scripts).one()
        assert plain.shadow is not None
        assert plain.shadow.flaw is None

    run(scenario())


@pytest.mark.parametrize(
    ("answer", "shadow", "same"),
    [
        (("look_up",), ("look_up",), True),
        (("look_up", "send"), ("send", "look_up"), True),
        (("look_up",), ("send",), False),
        (("look_up",), ("look_up", "look_up"), False),
        (("look_up",), (), False),
        ((), (), None),
    ],
)
def test_tool_calls_are_compared_by_name(answer: tuple[str, ...], shadow: tuple[str, ...], same: bool | None) -> None:
    def calling(names: tuple[str, ...]) -> Script:
        calls = [
            delta(tool_calls=[{"index": place, "id": f"c{place}", "function": {"name": name, "arguments": "{}"}}])
            for place, name in enumerate(names)
        ]
        return [text("I shall."), *calls, finish("tool_calls" if names else "stop")]

    async def scenario() -> None:
        tools = [{"type": "function", "function": {"name": name}} for name in ("look_up", "send")]
        stage = Stage(shadowed(), {"a": [calling(answer)], "s": [calling(shadow)]})
        told = await stage.one(body={**BODY, "tools": tools}, needs=frozenset({"tools"}))
        assert told.same_calls is same
        assert told.shadow is not None
        assert told.shadow.flaw is None

    run(scenario())


def test_neither_prompt_nor_answer_nor_an_upstreams_own_words_are_kept() -> None:
    async def scenario() -> None:
        script: Script = [role(), text(PROMPT), finish(PROMPT), used()]
        stage = Stage(shadowed(), {"a": [script], "s": [script]})
        body = {**BODY, "messages": [{"role": "user", "content": PROMPT}], "user": PROMPT}
        told = await stage.one(body=body)
        assert told.shadow is not None
        assert told.shadow.finish == ("other",)
        assert PROMPT not in repr(told)

    run(scenario())


def test_of_an_answer_without_end_only_the_beginning_is_put_together() -> None:
    seen = Seen()
    for _ in range(3):
        seen.add([chunk(text("x" * (MOST_CHARACTERS // 2)))])
    assert not seen.whole
    assert seen.tally.characters == 3 * (MOST_CHARACTERS // 2)
    assert len("".join(seen.said[0].content)) <= MOST_CHARACTERS


class Broken:
    """An observer that fails at whatever it is told of a shadow."""

    def attempted(self, outcome: object) -> None:
        """Well."""

    def answered(self, record: object) -> None:
        """Well."""

    def shadowed(self, told: object) -> None:
        raise ZeroDivisionError("an observer's own defect")


def test_observer_that_fails_spoils_neither_the_shadow_nor_the_other_observers() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), before=(Broken(),))
        assert (await stage.one()).outcome == "success"
        assert stage.rig.quiet()

    run(scenario())


STEPS = st.lists(
    st.one_of(
        st.sampled_from([role(), text("Hello"), finish(), used()]),
        st.floats(0.0, 100.0),
        st.sampled_from([errors.ServerFault, errors.Disconnected, errors.RateLimited, ZeroDivisionError]),
    ),
    max_size=6,
)


@settings(max_examples=60)
@given(st.lists(STEPS, min_size=1, max_size=5), st.integers(1, 3), st.floats(0.0, 200.0))
def test_whatever_a_shadow_does_callers_get_their_answers_and_no_slot_is_lost(
    scripts: list[Script], most: int, until: float
) -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(to=(S, T)), {"s": scripts, "t": scripts}, most=most)
        for _ in scripts:
            _, said = await stage.ask()
            assert said == "Hello world"
            assert len(stage.shadows.running) <= most
        await asyncio.sleep(until)
        await stage.shadows.close()
        assert stage.rig.quiet()
        assert len(stage.rig.watcher.shadows) <= len(scripts)

    run(scenario())


def test_shadow_whose_streams_are_whole_before_they_show_anything_has_time_for_all_of_it() -> None:
    async def scenario() -> None:
        stage = Stage(shadowed(), {"s": [[100.0, *GOOD]]})
        stage.rig.providers["s"].kind = Kind("whole", telemetry="whole", whole=lambda request, deployment: True)
        assert (await stage.one()).outcome == "success"

    run(scenario())
