"""Which route a request takes, and who a key belongs to."""

import pytest

from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate, Lane
from gateway.routing.policy import Arm, Route, key_digest
from gateway.types import Caller, ChatRequest
from tests.routing.samples import MODEL, deployment, policy, request, route

GPU = deployment()
BOOK = StatsBook()


def streams(asked: ChatRequest, book: StatsBook) -> str | None:
    return None if asked.stream else "it does not stream"


def with_tools(asked: ChatRequest, book: StatsBook) -> str | None:
    return None if "tools" in asked.needs else "it has no tools"


def test_route_without_matchers_matches_everything() -> None:
    assert route(GPU).mismatch(request(), BOOK) is None


def test_first_matcher_that_objects_gives_the_reason() -> None:
    picky = route(GPU, matchers=(streams, with_tools))
    assert picky.mismatch(request(), BOOK) == "it does not stream"
    assert picky.mismatch(request(stream=True), BOOK) == "it has no tools"
    assert picky.mismatch(request(stream=True, needs=frozenset({"tools"})), BOOK) is None


def test_first_route_that_matches_wins() -> None:
    first = route(GPU, name="first", asked=("auto",), matchers=(streams,))
    second, third = route(GPU, name="second", asked=("auto",)), route(GPU, name="third", asked=("auto",))
    rules = policy(first, second, third)
    assert rules.route(request(model="auto", stream=True), BOOK) is first
    assert rules.route(request(model="auto"), BOOK) is second


def test_canonical_name_that_no_route_matches_uses_its_own_route() -> None:
    fallback, picky = route(GPU, name="defaults"), route(GPU, name="picky", matchers=(streams,))
    rules = policy(picky, model_routes={MODEL: fallback})
    assert rules.route(request(model=MODEL), BOOK) is fallback
    assert rules.route(request(model=MODEL, stream=True), BOOK) is picky


@pytest.mark.parametrize("spelling", ["meta-llama/Llama-3.3-70B-Instruct", "META-LLAMA/LLAMA-3.3-70B-INSTRUCT"])
def test_any_spelling_of_a_model_finds_its_route(spelling: str) -> None:
    fallback = route(GPU, name="defaults")
    rules = policy(model_routes={MODEL: fallback}, spellings={"meta-llama/llama-3.3-70b-instruct": MODEL})
    assert rules.route(request(model=spelling), BOOK) is fallback
    assert rules.canonical(spelling) == MODEL
    assert rules.label(spelling) == MODEL


def test_route_that_names_no_model_takes_models_nobody_named() -> None:
    anything: Route = route(GPU, name="anything")
    rules = policy(route(GPU, name="named", asked=("auto",)), any_model=(anything,))
    assert rules.route(request(model="gpt-9"), BOOK) is anything
    assert rules.route(request(model="auto"), BOOK) is not anything


def test_unknown_model_has_no_route_and_the_label_other() -> None:
    rules = policy(route(GPU, asked=("auto",)))
    assert rules.route(request(model="gpt-9"), BOOK) is None
    assert rules.canonical("gpt-9") is None
    assert (rules.label("gpt-9"), rules.label("auto")) == ("other", "auto")


def test_each_key_belongs_to_its_caller_and_others_to_nobody() -> None:
    search, chat = Caller("search"), Caller("chat")
    rules = policy(callers={key_digest("sk-search"): search, key_digest("sk-chat"): chat})
    assert rules.caller("sk-search") is search
    assert rules.caller("sk-chat") is chat
    for wrong in ("", "sk", "sk-searc", "sk-search ", "SK-SEARCH", "sk-sëarch"):
        assert rules.caller(wrong) is None


def test_keys_are_not_in_the_repr_of_a_policy() -> None:
    assert "sk-search" not in repr(policy(callers={key_digest("sk-search"): Caller("search")}))


def test_route_knows_for_what_it_or_one_of_its_arms_holds_candidates_back() -> None:
    arm = Arm("new", 0.1, Lane([Candidate(GPU), Candidate(GPU, 1, "refused")]))
    rules = route(candidates=(Candidate(GPU), Candidate(deployment("far"), 0, "overloaded")), arms=(arm,))
    assert rules.causes == {"overloaded", "refused"}
    assert route(GPU).causes == frozenset()


def test_matcher_sees_what_was_lately_seen() -> None:
    def calm(asked: ChatRequest, book: StatsBook) -> str | None:
        return "the backend is busy" if book.in_flight.get("gpu-a") else None

    rules, busy = policy(route(GPU, name="calm", asked=("auto",), matchers=(calm,))), StatsBook()
    busy.started(GPU)
    found = rules.route(request(model="auto"), BOOK)
    assert found is not None and found.name == "calm"
    assert rules.route(request(model="auto"), busy) is None
