"""The policy of what was found loads as it is, says what it means, and holds no secret."""

from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalogue import Catalogue
from gateway.config.loading import read
from gateway.config.problems import Problem
from gateway.fleet.annotated import DemoBackend, demo_text, policy_text, word
from gateway.fleet.found import Discovery, Found, FoundModel
from gateway.fleet.naming import Listed, Naming
from gateway.routing.policy import Policy

TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
KEYS = {"GROQ_API_KEY": "gsk-secret-1", "FIREWORKS_API_KEY": "fw-secret-22", "TOGETHER_API_KEY": "tgp-secret-3"}


def named(catalogue: Catalogue, kind: str, *rows: Listed) -> tuple[FoundModel, ...]:
    return Naming(catalogue, kind, TODAY).pick(kind, rows).models


def everything(catalogue: Catalogue) -> Discovery:
    """One of each."""
    pulled = (
        Listed("llama3.1:8b", precision="Q4_K_M", context=32768),
        Listed("qwen3:8b", precision="Q4_K_M", context=32768, size=8.2, capabilities=("json_schema", "tools")),
        Listed("odd:1b", precision="Q9_X", size=0.0001),
    )
    own = Listed("no"), Listed("llama-3.3-70b: {id}"), Listed('say "hi" \\ # {}')
    return Discovery(
        (
            Found(
                "ollama", "ollama", "http://127.0.0.1:11434", "self_hosted", None, named(catalogue, "ollama", *pulled)
            ),
            Found("vllm", "vllm", "http://127.0.0.1:8000", "self_hosted", None, named(catalogue, "vllm", *own)),
            Found(
                "llama-cpp",
                "llama_cpp",
                "http://[::1]:8080",
                "self_hosted",
                None,
                named(catalogue, "llama_cpp", Listed("/models/Llama-3.2-1B-Instruct-Q8_0.gguf", context=2048)),
                slots=4,
            ),
            Found(
                "lmstudio",
                "openai_compatible",
                "http://127.0.0.1:1234",
                "self_hosted",
                None,
                named(catalogue, "openai_compatible", Listed("llama-3.2-1b-instruct")),
            ),
            Found(
                "groq",
                "groq",
                None,
                "hosted",
                "GROQ_API_KEY",
                named(catalogue, "groq", Listed("llama-3.3-70b-versatile"), Listed("acme/assistant")),
            ),
            Found(
                "fireworks",
                "fireworks",
                None,
                "hosted",
                "FIREWORKS_API_KEY",
                Naming(catalogue, "fireworks", TODAY).expected(),
            ),
            Found(
                "bedrock",
                "bedrock",
                None,
                "hosted",
                None,
                named(catalogue, "bedrock", Listed("us.meta.llama3-3-70b-instruct-v1:0")),
                region="us-east-1",
            ),
        )
    )


def loaded(text: str, catalogue: Catalogue, env: dict[str, str]) -> tuple[Policy, list[Problem]]:
    result = read(text.encode(), "found.yaml", env, catalogue, TODAY)
    assert [problem for problem in result.problems if problem.severity == "error"] == []
    assert result.policy is not None
    return result.policy, list(result.problems)


def test_a_policy_of_everything_loads_and_means_what_was_found(catalogue: Catalogue) -> None:
    discovery = everything(catalogue)
    policy, problems = loaded(policy_text(discovery, TODAY), catalogue, KEYS)
    assert set(policy.backends) == {found.name for found in discovery.found}
    served = {(one.backend, one.model, one.id) for one in policy.deployments}
    assert served == {(found.name, one.canonical, one.id) for found in discovery.found for one in found.models}
    assert {problem.code for problem in problems} <= {"LG044", "LG045", "LG046"}  # prices and retirements are facts


def test_it_routes_auto_over_all_models(catalogue: Catalogue) -> None:
    policy, _ = loaded(policy_text(everything(catalogue), TODAY), catalogue, KEYS)
    (route,) = policy.routes
    assert route.name == "auto"
    assert {candidate.deployment for candidate in route.candidates} == set(policy.deployments)
    assert (route.weights.cost, route.weights.latency) == (0.5, 0.5)


def test_own_servers_are_self_hosted_and_others_are_not(catalogue: Catalogue) -> None:
    discovery = everything(catalogue)
    policy, _ = loaded(policy_text(discovery, TODAY), catalogue, KEYS)
    assert {name: backend.location for name, backend in policy.backends.items()} == {
        found.name: found.location for found in discovery.found
    }


def test_precision_context_slots_and_size_are_those_of_the_server(catalogue: Catalogue) -> None:
    policy, _ = loaded(policy_text(everything(catalogue), TODAY), catalogue, KEYS)
    by_name = {one.name: one for one in policy.deployments}
    llama, qwen = by_name["ollama/llama-3.1-8b-instruct"], by_name["ollama/qwen3:8b"]
    assert (llama.precision, llama.context, llama.size) == ("q4_k_m", 32768, 8)
    assert (qwen.size, qwen.context) == (8.2, 32768)
    assert qwen.capabilities == {"json_object", "json_schema", "tools"}
    assert by_name["llama-cpp/llama-3.2-1b-instruct"].precision == "q8_0"
    assert policy.backends["llama-cpp"].slots == 4


def test_keys_are_named_and_never_written(catalogue: Catalogue) -> None:
    text = policy_text(everything(catalogue), TODAY)
    assert "api_key: ${GROQ_API_KEY}" in text
    assert "secret" not in text
    policy, _ = loaded(text, catalogue, KEYS)
    assert policy.backends["groq"].api_key == KEYS["GROQ_API_KEY"]


def test_without_the_keys_it_still_loads_with_those_backends_off(catalogue: Catalogue) -> None:
    policy, _ = loaded(policy_text(everything(catalogue), TODAY), catalogue, {})
    assert set(policy.backends) == {"ollama", "vllm", "llama-cpp", "lmstudio", "bedrock"}


ROWS = st.builds(
    Listed,
    st.one_of(
        st.text(max_size=40), st.sampled_from(["auto", "true", "1e3", "12:30", "- x", "~", "{a: 1}", "x #y", "${A}"])
    ),
    precision=st.none() | st.sampled_from(["Q4_K_M", "Q8", "F16", "weird"]),
    context=st.none() | st.integers(),
    size=st.none() | st.floats(),
    also=st.just(()),
    capabilities=st.sampled_from([(), ("json_schema", "tools")]),
)


@given(st.lists(ROWS, max_size=6), st.sampled_from(["ollama", "vllm", "openai_compatible"]))
@settings(max_examples=150)
def test_whatever_a_server_lists_the_policy_loads_and_says_the_same(rows: list[Listed], kind: str) -> None:
    models = named(CATALOGUE, kind, *rows)
    if not models:
        return
    found = Found("odd", kind, "http://127.0.0.1:9", "self_hosted", None, models)
    policy, _ = loaded(policy_text(Discovery((found,)), TODAY), CATALOGUE, {"A": "leaked"})
    assert {(one.model, one.id) for one in policy.deployments} == {(one.canonical, one.id) for one in models}


def test_a_retired_model_says_so(catalogue: Catalogue) -> None:
    text = policy_text(everything(catalogue), TODAY)
    assert any("llama-3.3-70b-versatile" in line and "retired (2026-08-16)" in line for line in text.splitlines())


def test_a_policy_needs_a_backend() -> None:
    with pytest.raises(ValueError, match="Nothing was found"):
        policy_text(Discovery(), TODAY)


DEMO = (
    DemoBackend("own-small", "http://127.0.0.1:1", "llama-3.1-8b-instruct", 2, 4096),
    DemoBackend("far", "http://127.0.0.1:2", "llama-3.3-70b-instruct", 8, 8192, 0.9, 0.9, "together"),
    DemoBackend("pets", "http://127.0.0.1:3", "llama-3.1-8b-instruct", 1, 8192, provider="ollama", id="llama3.1:8b"),
)


def test_the_demo_policy_loads_clean_and_says_that_it_is_a_toy(catalogue: Catalogue) -> None:
    text = demo_text(DEMO)
    policy, problems = loaded(text, catalogue, {})
    assert "TOY" in text.splitlines()[0]
    assert [problem for problem in problems if problem.severity == "warning" and problem.code != "LG045"] == []
    assert [(one.backend, one.slots, one.context) for one in policy.deployments] == [
        ("own-small", 2, 4096),
        ("far", 8, 8192),
        ("pets", 1, 8192),
    ]


def test_the_demo_fleet_never_sees_a_real_key(catalogue: Catalogue) -> None:
    policy, _ = loaded(demo_text(DEMO), catalogue, KEYS)
    assert {backend.api_key for backend in policy.backends.values()} == {"demo"}


def test_the_demo_fleet_has_hosted_prices_and_own_hardware(catalogue: Catalogue) -> None:
    policy, _ = loaded(demo_text(DEMO), catalogue, {})
    assert [one.location for one in policy.deployments] == ["self_hosted", "hosted", "self_hosted"]
    assert [one.price and one.price.input for one in policy.deployments] == [None, 0.9, None]


@pytest.mark.parametrize(
    ("text", "written"),
    [("llama-3.1-8b", "llama-3.1-8b"), ("No", '"No"'), ("a: b", '"a: b"'), ("http://a:1", "http://a:1")],
)
def test_a_word_is_quoted_where_yaml_would_misread_it(text: str, written: str) -> None:
    assert word(text) == written
