"""Which route a request takes, and who a key belongs to."""

import pytest

from gateway.routing.policy import Route, key_digest
from gateway.types import Caller, ChatRequest
from tests.routing.samples import MODEL, deployment, policy, request, route

GPU = deployment()


def streams(asked: ChatRequest) -> str | None:
    return None if asked.stream else "it does not stream"


def with_tools(asked: ChatRequest) -> str | None:
    return None if "tools" in asked.needs else "it has no tools"


def test_route_without_matchers_matches_everything() -> None:
    assert route(GPU).mismatch(request()) is None


def test_first_matcher_that_objects_gives_the_reason() -> None:
    picky = route(GPU, matchers=(streams, with_tools))
    assert picky.mismatch(request()) == "it does not stream"
    assert picky.mismatch(request(stream=True)) == "it has no tools"
    assert picky.mismatch(request(stream=True, needs=frozenset({"tools"}))) is None


def test_first_route_that_matches_wins() -> None:
    first = route(GPU, name="first", asked=("auto",), matchers=(streams,))
    second, third = route(GPU, name="second", asked=("auto",)), route(GPU, name="third", asked=("auto",))
    rules = policy(first, second, third)
    assert rules.route(request(model="auto", stream=True)) is first
    assert rules.route(request(model="auto")) is second


def test_canonical_name_that_no_route_matches_uses_its_own_route() -> None:
    fallback, picky = route(GPU, name="defaults"), route(GPU, name="picky", matchers=(streams,))
    rules = policy(picky, model_routes={MODEL: fallback})
    assert rules.route(request(model=MODEL)) is fallback
    assert rules.route(request(model=MODEL, stream=True)) is picky


@pytest.mark.parametrize("spelling", ["meta-llama/Llama-3.3-70B-Instruct", "META-LLAMA/LLAMA-3.3-70B-INSTRUCT"])
def test_any_spelling_of_a_model_finds_its_route(spelling: str) -> None:
    fallback = route(GPU, name="defaults")
    rules = policy(model_routes={MODEL: fallback}, spellings={"meta-llama/llama-3.3-70b-instruct": MODEL})
    assert rules.route(request(model=spelling)) is fallback
    assert rules.canonical(spelling) == MODEL
    assert rules.label(spelling) == MODEL


def test_route_that_names_no_model_takes_models_nobody_named() -> None:
    anything: Route = route(GPU, name="anything")
    rules = policy(route(GPU, name="named", asked=("auto",)), any_model=(anything,))
    assert rules.route(request(model="gpt-9")) is anything
    assert rules.route(request(model="auto")) is not anything


def test_unknown_model_has_no_route_and_the_label_other() -> None:
    rules = policy(route(GPU, asked=("auto",)))
    assert rules.route(request(model="gpt-9")) is None
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
