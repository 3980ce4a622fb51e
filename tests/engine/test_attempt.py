"""One try at one deployment makes exactly one outcome, however it ends."""

import asyncio
from typing import Any

import pytest

from gateway import errors
from gateway.engine.attempt import HELD_CHUNKS, Attempt, patience_of
from gateway.outcomes import Outcome
from gateway.types import ChatRequest, Choice, Deployment, Forecast, Json, Price, Timeouts, Usage
from tests.engine.fakes import GOOD, Script, ScriptedProvider, finish, role, text, used, whole, words
from tests.engine.virtual_time import now, run
from tests.routing.samples import BODY, deployment, policy, request, route

GPU = deployment("gpu-a", price=Price(1.0, 2.0, cached_input=0.5))


class Try:
    """An attempt at a script, and what it has reported."""

    def __init__(
        self,
        script: Script,
        target: Deployment = GPU,
        asked: ChatRequest | None = None,
        patience: float = 12.0,
        limits: Timeouts | None = None,
    ) -> None:
        self.provider = ScriptedProvider(policy(route(target)).backends[target.backend])
        self.provider.scripts = [script]
        self.outcomes: list[Outcome] = []
        asked = asked or request(stream=True)
        limits = limits or target.timeouts
        self.attempt = Attempt(asked, target, self.provider, limits, patience, now, self.outcomes.append)
        self.batches: list[list[Json]] = []

    async def read(self) -> None:
        """Read the answer to its end."""
        async with self.attempt:
            while (batch := await self.attempt.batch()) is not None:
                self.batches.append([chunk.body for chunk in batch])

    @property
    def bodies(self) -> list[Json]:
        return [body for batch in self.batches for body in batch]

    @property
    def outcome(self) -> Outcome:
        """The only outcome."""
        (found,) = self.outcomes
        assert self.provider.closed == len(self.provider.begun)
        return found


def tried(script: Script, error: type[BaseException] | None = None, **facts: Any) -> Try:
    """An attempt that was read to its end."""

    async def scenario() -> Try:
        one = Try(script, **facts)
        if error is None:
            await one.read()
        else:
            with pytest.raises(error):
                await one.read()
        return one

    return run(scenario())


def test_success_says_when_how_much_and_at_what_price() -> None:
    done = tried([1.0, role(), 1.0, text("Hello"), 2.0, finish(), used(1_000_000, 500_000)]).outcome
    assert (done.outcome, done.verdict, done.error_type, done.message) == ("success", "ok", "", "")
    assert (done.started, done.first, done.ended) == (1000.0, 1002.0, 1004.0)
    assert done.usage == Usage(1_000_000, 500_000)
    assert done.cost == pytest.approx(2.0)
    assert (done.streamed, done.answered) == (True, "as-upstream-calls-it")


def test_nothing_is_given_before_the_first_content_and_then_all_of_it() -> None:
    one = tried([role(), role(), text("Hello"), text(" world"), finish()])
    assert [len(batch) for batch in one.batches] == [3, 1, 1]
    assert words(one.bodies) == "Hello world"


def test_all_that_arrives_at_once_is_given_at_once() -> None:
    one = tried([[role(), text("Hello")], [text(" world"), finish(), used()]])
    assert [len(batch) for batch in one.batches] == [2, 3]


def test_stream_without_a_finish_is_cut_and_counts_against_the_deployment() -> None:
    one = tried([role(), text("Hello")], errors.StreamCut)
    assert words(one.bodies) == "Hello"
    assert (one.outcome.outcome, one.outcome.verdict) == ("partial", "fault")
    assert one.outcome.error_type == "upstream_stream_cut"
    assert one.outcome.usage == Usage(100, 1, estimated=True)


def test_stream_of_nothing_at_all_is_cut_before_it_began() -> None:
    scripts: list[Script] = [[], [role()], [{"choices": []}]]
    for script in scripts:
        done = tried(script, errors.StreamCut).outcome
        assert (done.outcome, done.first, done.usage, done.cost) == ("upstream_error", None, None, None)


def test_one_of_two_choices_without_a_finish_is_a_cut() -> None:
    both, asked = [text("a", 0), text("b", 1)], request(stream=True, body=BODY | {"n": 2})
    for script in ([text("a", 0), finish(index=0)], [*both, finish(index=0)], [*both, finish(index=1)]):
        tried(script, errors.StreamCut, asked=asked)
    assert tried([*both, finish(index=0), finish(index=1)], asked=asked).outcome.outcome == "success"


@pytest.mark.parametrize("cut", [errors.Disconnected, errors.InvalidResponse, 1000.0])
def test_cut_after_the_finish_costs_only_the_usage(cut: Any) -> None:
    done = tried([text("Hello you"), finish(), cut, used()]).outcome
    assert (done.outcome, done.verdict, done.error_type) == ("success", "ok", "")
    assert done.usage == Usage(100, 2, estimated=True)


@pytest.mark.parametrize("cut", [errors.Disconnected, errors.ServerFault, errors.InvalidResponse])
def test_error_in_the_middle_is_told_and_the_answer_is_partial(cut: type[errors.UpstreamError]) -> None:
    one = tried([text("Hello"), cut], cut)
    assert (one.outcome.outcome, one.outcome.error_type) == ("partial", cut.error_type)
    assert one.outcome.message == f"a scripted {cut.__name__}"


def test_rate_limit_is_told_with_its_wait_and_is_nobodys_fault() -> None:
    done = tried([lambda: errors.RateLimited("slow down", retry_after=7.0)], errors.RateLimited).outcome
    assert (done.outcome, done.verdict, done.retry_after) == ("upstream_error", "neutral", 7.0)


def test_first_content_must_come_before_patience_ends() -> None:
    tight, wide = tried([20.0, *GOOD], errors.FirstTokenTimeout), tried([20.0, *GOOD], patience=60.0)
    assert tight.outcome.outcome == "timeout"
    assert tight.outcome.ended == pytest.approx(1012.0)
    assert wide.outcome.outcome == "success"


def test_total_limit_of_the_deployment_ends_the_attempt() -> None:
    limits = Timeouts(total=50.0)
    script = [step for _ in range(20) for step in (text("a"), 5.0)]
    assert tried(script, errors.TotalTimeout, limits=limits).outcome.ended == pytest.approx(1050.0)


def test_deadline_of_the_request_ends_the_attempt_and_is_not_the_deployments_fault() -> None:
    done = tried([30.0], errors.TotalTimeout, asked=request(stream=True, deadline=1003.0)).outcome
    assert (done.outcome, done.verdict) == ("timeout", "neutral")
    assert done.ended == pytest.approx(1003.0)


def test_usage_that_is_missing_is_estimated_and_flagged() -> None:
    done = tried([text("x" * 40), finish()]).outcome
    assert done.usage == Usage(100, 10, estimated=True)
    assert done.cost == pytest.approx((100 * 1.0 + 10 * 2.0) / 1e6)


def test_usage_of_zero_is_believed() -> None:
    done = tried([text("Hello"), finish(), used(0, 0)]).outcome
    assert (done.usage, done.cost) == (Usage(0, 0), 0.0)


@pytest.mark.parametrize(("location", "cost"), [("self_hosted", 0.0), ("hosted", None)])
def test_unknown_price_is_free_on_own_hardware_and_unknown_elsewhere(location: str, cost: float | None) -> None:
    assert tried(GOOD, target=deployment(location=location)).outcome.cost == cost


def test_usage_has_its_cost_only_when_the_caller_asked_for_usage() -> None:
    asked = tried(GOOD, asked=request(stream=True, include_usage=True)).bodies[-1]
    assert asked["usage"] == {"prompt_tokens": 7, "completion_tokens": 3, "cost": pytest.approx(13e-6)}
    assert "cost" not in tried(GOOD).bodies[-1]["usage"]


@pytest.mark.parametrize("junk", [5, [1], "many", {"prompt_tokens": -1}])
def test_usage_of_a_wrong_shape_breaks_nothing(junk: object) -> None:
    script: Script = [text("Hello"), used(), finish() | {"usage": junk}]
    assert tried(script, asked=request(stream=True, include_usage=True)).outcome.usage == Usage(7, 3)


def test_answer_in_one_piece_is_given_whole() -> None:
    one = tried([whole("Hello")], asked=request(stream=False))
    assert words(one.bodies) == "Hello"
    assert (one.outcome.outcome, one.outcome.streamed) == ("success", False)


def test_caller_who_leaves_is_one_neutral_outcome() -> None:
    async def scenario() -> Try:
        one = Try([text("Hello"), 100.0, finish()])
        task = asyncio.create_task(one.read())
        asyncio.get_running_loop().call_later(5, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        return one

    done = run(scenario()).outcome
    assert (done.outcome, done.verdict, done.error_type) == ("client_cancelled", "neutral", "caller_gone")
    assert done.ended == pytest.approx(1005.0)


def test_caller_who_leaves_after_the_finish_has_had_a_whole_answer() -> None:
    async def scenario() -> Try:
        one = Try([text("Hello"), finish(), 100.0, used()], limits=Timeouts(idle=200.0))
        task = asyncio.create_task(one.read())
        asyncio.get_running_loop().call_later(5, task.cancel)
        await asyncio.wait([task])
        return one

    assert run(scenario()).outcome.outcome == "success"


def test_outcome_is_reported_although_closing_the_provider_is_interrupted() -> None:
    class Slow(ScriptedProvider):
        async def answer(self, request: ChatRequest, deployment: Deployment) -> Any:
            self.begun.append(now())
            try:
                await asyncio.sleep(50)
                yield []
            finally:
                self.closed += 1
                await asyncio.sleep(50)

    async def scenario() -> list[Outcome]:
        outcomes: list[Outcome] = []
        provider = Slow(policy(route(GPU)).backends["gpu-a"])
        attempt = Attempt(request(), GPU, provider, Timeouts(), 99.0, now, outcomes.append)

        async def read() -> None:
            async with attempt:
                while await attempt.batch() is not None:
                    pass

        task = asyncio.create_task(read())
        loop = asyncio.get_running_loop()
        loop.call_later(5, task.cancel)
        loop.call_later(6, task.cancel)
        await asyncio.wait([task])
        assert task.cancelled()
        return outcomes

    assert [outcome.outcome for outcome in run(scenario())] == ["client_cancelled"]


def test_defect_of_ours_is_not_told_as_a_caller_who_left() -> None:
    done = tried([text("Hello"), ZeroDivisionError], ZeroDivisionError).outcome
    assert done.error_type == "gateway_internal"
    assert done.outcome != "client_cancelled"


FORECAST = Forecast(100, 50, 0.0, ttft=0.5, seconds=3.0)  # 0.05 s a token


@pytest.mark.parametrize(
    ("stream", "last", "measured", "max_tokens", "seconds"),
    [
        (True, False, True, 1000, 12.0),
        (True, True, True, 1000, 60.0),
        (False, True, True, 1000, 600.0),
        (False, True, False, None, 600.0),
        (False, False, False, 1000, 12.0 + 3 * 0.05 * 1000),
        (False, False, False, None, 12.0 + 3 * 0.05 * 50),
        (False, False, True, 1000, 12.0 + 3 * 0.05 * 1000),
        (False, False, True, None, 12.0 + 3 * 0.05 * 4 * 50),
    ],
)
def test_patience_is_for_the_first_token_of_a_stream_and_for_all_tokens_of_an_answer_in_one_piece(
    stream: bool, last: bool, measured: bool, max_tokens: int | None, seconds: float
) -> None:
    choice = Choice(GPU, 1.0, FORECAST, 0)
    asked = request(stream=stream, max_tokens=max_tokens)
    assert patience_of(asked, choice, Timeouts(), last, measured) == pytest.approx(seconds)


def test_rejection_that_quotes_the_prompt_is_told_to_nobody_but_the_caller() -> None:
    def quoting() -> errors.Rejected:
        return errors.Rejected("it said: my secret prompt", logged="it rejected the request (400).")

    done = tried([quoting], errors.Rejected).outcome
    assert done.message == "it rejected the request (400)."


def test_chunks_without_content_are_not_held_for_ever() -> None:
    done = tried([role() for _ in range(HELD_CHUNKS + 1)], errors.InvalidResponse).outcome
    assert (done.outcome, done.first, done.error_type) == ("upstream_error", None, "upstream_invalid_response")
