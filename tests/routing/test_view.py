"""What each candidate would cost one request, and how long it would take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.book import StatsBook
from gateway.routing.forecast import Latency, prior
from gateway.routing.policy import Route
from gateway.routing.stats import Stats
from gateway.types import ChatRequest, Forecast, Price
from tests.routing.samples import MODEL, deployment, request, route, view

NOW = 1000.0
GPU = deployment("gpu-a", slots=4)
MEASURED = Stats(ttft=0.3, per_token=0.019, seen=NOW - 1)
TOKENS = request(max_tokens=100)


def book(**stats: Stats) -> StatsBook:
    known = StatsBook()
    known.deployments.put({deployment(backend.replace("_", "-")).name: seen for backend, seen in stats.items()})
    return known


def outlook(asked: ChatRequest, rules: Route, known: StatsBook | None = None) -> Forecast:
    return view(asked, rules, known).forecast(0)


def test_best_is_the_fastest_measured_deployment_of_each_model() -> None:
    slow, fast = deployment("gpu-b"), deployment("gpu-c")
    small = deployment("gpu-d", "llama-3.1-8b-instruct", size=8.0)
    unseen = deployment("gpu-e", "llama-3.2-1b-instruct", size=1.0)
    known = book(gpu_b=Stats(ttft=2.0), gpu_c=Stats(ttft=0.2, per_token=0.03))
    known.deployments[small.name] = Stats(ttft=0.1)
    best = view(request(), route(GPU, slow, fast, small, unseen), known).best()
    assert best == {MODEL: (0.2, 0.03), small.model: (0.1, prior(small).per_token)}


def test_unseen_candidate_is_as_fast_as_the_best_of_its_model_and_a_lonely_one_as_its_size_says() -> None:
    other = deployment("gpu-b", "llama-3.1-8b-instruct", size=8.0)
    seen = view(TOKENS, route(GPU, deployment("gpu-c"), other), book(gpu_c=MEASURED))
    assert seen.ttfts[:2] == [0.3, 0.3]
    assert seen.seconds[2] == pytest.approx(prior(other).ttft + 100 * prior(other).per_token)


def test_measurement_of_a_minute_ago_is_half_the_best_of_its_model() -> None:
    known = book(gpu_a=Stats(ttft=3.0, per_token=0.2, seen=NOW - 60), gpu_b=Stats(ttft=0.1, per_token=0.01, seen=NOW))
    assert view(request(), route(GPU, deployment("gpu-b")), known).ttfts == [pytest.approx(1.55), 0.1]


def test_busy_backend_answers_later_and_a_queue_later_still() -> None:
    seconds = []
    for flying in range(12):
        known = book(gpu_a=MEASURED)
        known.in_flight["gpu-a"] = flying
        seconds.append(outlook(TOKENS, route(GPU), known).ttft)
    assert seconds[0] == 0.3
    assert seconds[2] == pytest.approx(0.45)
    assert seconds == sorted(set(seconds))
    whole_answer = 0.3 + 0.019 * 100
    assert seconds[4] == pytest.approx(0.6 + whole_answer / 4)
    assert seconds[8] == pytest.approx(0.9 + whole_answer * 5 / 4)


def test_output_is_the_habit_of_the_route_but_no_more_than_was_asked() -> None:
    known = StatsBook()
    known.output["chat"] = 300.0
    for asked, output in ((None, 300), (50, 50), (5000, 300)):
        assert outlook(request(max_tokens=asked), route(GPU), known).output_tokens == output


def test_last_token_comes_after_all_the_others_and_one_in_twenty_later_still() -> None:
    found = outlook(TOKENS, route(GPU), book(gpu_a=MEASURED._replace(tail=3.0)))
    assert found.seconds == pytest.approx(0.3 + 100 * 0.019)
    assert found.late == pytest.approx(3.0 * found.seconds)


@pytest.mark.parametrize("model", [MODEL, "llama-3.1-8b-instruct"])
def test_prompt_is_corrected_by_what_the_model_has_counted(model: str) -> None:
    known = StatsBook()
    known.correction[MODEL] = 1.5
    assert view(request(prompt_tokens=100), route(GPU, deployment("gpu-b", model)), known).prompts == [
        150,
        150 if model == MODEL else 100,
    ]


@pytest.mark.parametrize(("prompt", "ttft"), [(0, 1.0), (1000, 2.0), (5000, 6.0)])
def test_longer_prompt_takes_longer(prompt: int, ttft: float) -> None:
    known = book(gpu_a=Stats(ttft=2.0, per_token=0.1, seen=NOW, slope=0.001, offset=1.0))
    assert outlook(request(prompt_tokens=prompt), route(GPU), known).ttft == pytest.approx(ttft)


def test_price_counts_input_and_output() -> None:
    priced = deployment(price=Price(1.0, 3.0), location="hosted")
    asked = request(prompt_tokens=1_000_000, max_tokens=500_000)
    known = StatsBook()
    known.output["chat"] = 1e9
    assert outlook(asked, route(priced), known).usd == pytest.approx(2.5)


def test_share_of_prompts_that_caches_lately_held_is_paid_at_their_price() -> None:
    known, asked = StatsBook(), request(prompt_tokens=1_000_000, max_tokens=1)
    known.cached["chat"] = 0.8
    cheap, dear = deployment("a", price=Price(1.0, 0.0, 0.1)), deployment("b", price=Price(1.0, 0.0))
    seen = view(asked, route(cheap, dear), known)
    assert seen.usd == pytest.approx([0.2 * 1.0 + 0.8 * 0.1, 1.0])
    known.cached["another route"] = known.cached.pop("chat")
    assert view(asked, route(cheap, dear), known).usd == pytest.approx([1.0, 1.0])


@given(st.integers(0, 10**6), st.integers(1, 10**5), st.floats(0.0, 1.0))
def test_price_with_a_cached_share_is_what_the_price_itself_says(prompt: int, output: int, share: float) -> None:
    price, known = Price(1.5, 4.0, 0.2), StatsBook()
    known.cached["chat"], known.output["chat"] = share, 1e9
    found = outlook(request(prompt_tokens=prompt, max_tokens=output), route(deployment(price=price)), known)
    assert found.usd == pytest.approx(price.of(prompt, output, prompt * share), abs=1e-12)


def test_language_is_asked_once_and_only_where_a_route_cares() -> None:
    asked: list[ChatRequest] = []

    def detect(question: ChatRequest) -> str | None:
        asked.append(question)
        return "th"

    rules = route(*[deployment(name) for name in "abc"], detect=detect)
    seen = view(request(), rules)
    assert [seen.case(index).language for index in range(3)] == ["th"] * 3
    assert len(asked) == 1
    assert view(request(), route(GPU)).language is None


def test_view_of_nobody_is_empty() -> None:
    seen = view(request(), route())
    assert (seen.usd, seen.ttfts, seen.seconds, seen.best()) == ([], [], [], {})


def test_candidate_believed_by_the_best_of_its_model_keeps_its_own_place() -> None:
    """Fresh and stale candidates mixed: each value stands where its candidate stands."""
    names = ["a", "b", "c", "d"]
    known = book(a=MEASURED, c=Stats(ttft=9.0, per_token=1.0, seen=NOW))
    seen = view(TOKENS, route(*map(deployment, names)), known)
    assert [Latency(ttft, (total - ttft) / 100) for ttft, total in zip(seen.ttfts, seen.seconds, strict=True)] == [
        pytest.approx(expected) for expected in [(0.3, 0.019), (0.3, 0.019), (9.0, 1.0), (0.3, 0.019)]
    ]
