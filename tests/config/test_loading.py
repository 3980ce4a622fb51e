"""A policy file compiles to what the planner and the engine read."""

import hashlib
from dataclasses import FrozenInstanceError
from datetime import date
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, load, read
from gateway.providers.groq import Groq
from gateway.providers.ollama import Ollama
from gateway.providers.vllm import Vllm
from gateway.routing.book import StatsBook
from gateway.routing.policy import CachePolicy, Policy, Route, Weights
from gateway.types import Caller, ChatRequest, Price, ReadOn, Timeouts

TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
CA = Path(__file__)  # a file that is there; what it holds is read when a connection is made

TEXT = """\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    models:
      llama-3.3-70b-instruct: {id: meta-llama/Llama-3.3-70B-Instruct, precision: fp8, context: 32768}
      llama-3.1-8b-instruct: {}
      acme-8b: {id: acme/support}
    limits: {concurrency: 8}
    cost: {usd_per_hour: 4.20}
    region: eu
    headers: {X-Team: search}
    tls: {ca: CA_FILE}
  hosted:
    provider: fireworks
    api_key: fw-0123456789abcdef
    models:
      llama-3.3-70b-instruct: {}
      llama-3.1-405b-instruct: {price: {input: 3.5, output: 4, cached_input: 1}, max_output: 100}
  fast:
    provider: groq
    api_key: gsk-0123456789abcdef
    slots: 3
    timeouts: {first_token: 1s}
    models:
      llama-3.3-70b-instruct: {price: {input: 1, output: 1}}
models:
  acme-8b: {base: llama-3.1-8b-instruct, size: 8.5b, context: 16384}
routes:
  - name: private
    match: {headers: {X-Data-Class: confidential}}
    models: [llama-3.3-70b-instruct, acme-8b]
    require: {location: self_hosted, max_usd: 0.01, ttft: 2s}
  - name: ordered
    match: {model: [auto], stream: true}
    models: [llama-3.3-70b-instruct, llama-3.1-8b-instruct, llama-3.1-405b-instruct]
    prefer: [fast, self_hosted]
    size: smallest
    optimize: {cost: 3, latency: 1}
    retry: {attempts: 5}
    cache: {ttl: 1h}
  - name: large
    match: {model: [auto, llama-3.3-70b-instruct]}
    models: [llama-3.3-70b-instruct]
    timeouts: {first_token: 9s, idle: 3s}
    optimize: latency
defaults:
  timeouts: {idle: 7s}
  cache: {ttl: 5m, mode: exact}
callers:
  team: {key: a-key-of-sixteen-c, routes: [large, default]}
  all: {key: another-key-of-sixteen}
""".replace("CA_FILE", str(CA))


def loaded(text: str) -> Loaded:
    return read(text.encode(), "p.yaml", {}, CATALOGUE, TODAY)


def policy(text: str = TEXT) -> Policy:
    found = loaded(text)
    assert found.policy is not None, found.problems
    return found.policy


def route(name: str, text: str = TEXT) -> Route:
    return next(one for one in policy(text).routes if one.name == name)


def deployment(name: str, text: str = TEXT) -> object:
    return next(one for one in policy(text).deployments if one.name == name)


def test_only_the_retired_model_is_worth_a_word() -> None:
    assert [problem.code for problem in loaded(TEXT).problems] == ["LG045"]


def test_what_is_loaded_is_frozen_and_keeps_its_source() -> None:
    found = loaded(TEXT)
    assert found.source == TEXT.encode()
    with pytest.raises(FrozenInstanceError):
        found.policy = None  # type: ignore[misc]  # that it cannot be set is the point


def test_the_generation_is_of_the_bytes_of_the_file() -> None:
    assert policy().generation == hashlib.sha256(TEXT.encode()).hexdigest()[:12]
    assert policy(TEXT + "\n").generation != policy().generation


@pytest.mark.parametrize(
    ("written", "queue", "wait", "read_on"),
    [
        ("{provider: vllm}", 128, 2.0, None),
        ("{provider: vllm, limits: {concurrency: 8}}", 16, 2.0, None),
        ("{provider: vllm, slots: 4}", 8, 2.0, None),
        ("{provider: vllm, limits: {concurrency: 8, queue: 0, queue_wait: 500ms}}", 0, 0.5, None),
        ("{provider: ollama, limits: {concurrency: 2}}", 16, 30.0, None),
        ("{provider: vllm, on_disconnect: cancel}", 128, 2.0, None),
        ("{provider: vllm, on_disconnect: drain}", 128, 2.0, ReadOn(8, 60)),
        ("{provider: vllm, on_disconnect: {drain: {max: 2, seconds: 5}}}", 128, 2.0, ReadOn(2, 5)),
    ],
)
def test_a_backend_has_a_queue_and_is_left_as_written(
    written: str, queue: int, wait: float, read_on: ReadOn | None
) -> None:
    more = written.replace("{provider", "{url: 'http://a', models: {llama-3.1-8b-instruct: {}}, provider", 1)
    found = policy(f"version: 1\nbackends: {{own: {more}}}\n").backends["own"]
    assert (found.queue, found.queue_wait, found.read_on) == (queue, wait, read_on)


def test_a_file_that_cannot_be_opened_is_a_problem(tmp_path: Path) -> None:
    found = load(tmp_path / "none.yaml", {}, CATALOGUE, TODAY)
    assert found.policy is None
    assert [problem.code for problem in found.problems] == ["LG024"]
    assert "none.yaml" in found.problems[0].message


def test_a_backend_has_what_is_written_and_its_kinds_habits() -> None:
    gpu = policy().backends["gpu"]
    assert (gpu.kind, gpu.url, gpu.location, gpu.region) == ("vllm", "http://10.0.0.5:8000", "self_hosted", "eu")
    assert (gpu.concurrency, gpu.slots, gpu.usd_per_hour, gpu.ca) == (8, 8, 4.2, str(CA))
    assert gpu.headers == {"x-team": "search"}
    assert gpu.keepalive == Vllm.kind.keepalive
    assert policy().backends["fast"].slots == 3
    assert policy().backends["hosted"].url == "https://api.fireworks.ai"


def test_a_deployments_facts_come_from_the_file_first_and_the_catalogue_then() -> None:
    facts = {one.name: one for one in policy().deployments}
    own = facts["gpu/llama-3.3-70b-instruct"]
    assert (own.context, own.precision, own.size, own.price, own.concurrency) == (32768, "fp8", 70, None, 8)
    hosted = facts["hosted/llama-3.3-70b-instruct"]
    assert hosted.id == "accounts/fireworks/models/llama-v3p3-70b-instruct"
    assert (hosted.context, hosted.price) == (131072, Price(0.9, 0.9))
    dear = facts["hosted/llama-3.1-405b-instruct"]
    assert (dear.price, dear.max_output) == (Price(3.5, 4, 1), 100)
    assert facts["fast/llama-3.3-70b-instruct"].retires == date(2026, 8, 16)


def test_a_declared_model_takes_from_its_base_what_it_does_not_say() -> None:
    acme = {one.name: one for one in policy().deployments}["gpu/acme-8b"]
    assert (acme.id, acme.size, acme.context) == ("acme/support", 8.5, 16384)
    assert "tools" in acme.capabilities


def test_a_declared_model_corrects_the_catalogue() -> None:
    text = TEXT.replace(
        "  acme-8b: {base", "  llama-3.1-8b-instruct: {context: 1000, capabilities: []}\n  acme-8b: {base"
    )
    small = {one.name: one for one in policy(text).deployments}["gpu/llama-3.1-8b-instruct"]
    assert (small.context, small.capabilities, small.size) == (1000, Vllm.kind.offers, 8)


def test_a_kind_passes_on_only_what_it_can() -> None:
    for one in policy().deployments:
        kind = {"gpu": Vllm, "fast": Groq}.get(one.backend)
        if kind is not None and kind.kind.capabilities is not None:
            assert one.capabilities <= kind.kind.capabilities | kind.kind.offers


def test_what_a_server_can_do_with_any_model_is_added_to_what_the_model_can() -> None:
    for one in policy().deployments:
        kind = {"gpu": Vllm, "fast": Groq}.get(one.backend)
        if kind is not None:
            assert kind.kind.offers <= one.capabilities


def test_weights_add_up_to_one() -> None:
    assert route("ordered").weights == Weights(cost=0.75, latency=0.25, size=0.0)
    assert route("large").weights == Weights(0, 1, 0)
    assert route("private").weights == Weights()


def test_constraints_exclude_with_a_reason() -> None:
    private = route("private")
    assert {one.deployment.name for one in private.candidates} == {"gpu/llama-3.3-70b-instruct", "gpu/acme-8b"}
    assert {one.reason for one in private.excluded} == {"is hosted, the route requires self_hosted"}
    assert (private.max_usd, private.max_ttft) == (0.01, 2.0)


def test_prefer_sorts_before_size() -> None:
    tiers = {one.deployment.name: one.tier for one in route("ordered").candidates}
    assert tiers == {
        "fast/llama-3.3-70b-instruct": 0,
        "gpu/llama-3.1-8b-instruct": 1,
        "gpu/llama-3.3-70b-instruct": 2,
        "hosted/llama-3.3-70b-instruct": 3,
        "hosted/llama-3.1-405b-instruct": 4,
    }


def test_largest_sorts_the_other_way_and_an_unknown_size_last() -> None:
    text = TEXT.replace("size: smallest", "size: largest").replace("    prefer: [fast, self_hosted]\n", "")
    text = text.replace("llama-3.1-405b-instruct]", "llama-3.1-405b-instruct, mystery]")
    text = text.replace("      acme-8b: {id", "      mystery: {id: mystery}\n      acme-8b: {id")
    tiers = {one.deployment.model: one.tier for one in route("ordered", text).candidates}
    order = ["llama-3.1-405b-instruct", "llama-3.3-70b-instruct", "llama-3.1-8b-instruct", "mystery"]
    assert sorted(tiers, key=tiers.__getitem__) == order


def test_without_prefer_and_size_all_are_in_one_tier() -> None:
    assert {one.tier for one in route("large").candidates} == {0}


def limits_by_backend(found: Route) -> dict[str, Timeouts]:
    """The limits of attempts on a route."""
    return {one.deployment.backend: one.deployment.timeouts for one in found.candidates}


def test_a_backends_own_timeouts_beat_the_routes_which_beat_the_defaults() -> None:
    large = limits_by_backend(route("large"))
    kind = Vllm.kind.timeouts
    assert large["gpu"] == Timeouts(kind.connect, 9, kind.first_token_last, 3, kind.total)
    assert large["fast"].first_token == 1
    assert large["fast"].idle == 3
    assert limits_by_backend(route("private"))["gpu"] == Timeouts(
        kind.connect, kind.first_token, kind.first_token_last, 7, kind.total
    )


def test_a_backends_own_timeouts_stand_without_any_route() -> None:
    text = TEXT.replace("  timeouts: {idle: 7s}\n", "")
    kind = Vllm.kind.timeouts
    assert limits_by_backend(route("private", text))["gpu"] == kind
    fast = policy(text).backends["fast"].timeouts
    assert (fast.first_token, fast.first_token_last) == (1, Groq.kind.timeouts.first_token_last)


def test_a_written_first_token_never_shortens_the_last_candidates_time() -> None:
    long = limits_by_backend(route("large", TEXT.replace("first_token: 9s", "first_token: 10m")))["gpu"]
    assert (long.first_token, long.first_token_last) == (600, 600)
    short = limits_by_backend(route("large", TEXT.replace("first_token: 9s", "first_token: 5ms")))["gpu"]
    assert (short.first_token, short.first_token_last) == (0.005, Vllm.kind.timeouts.first_token_last)


def test_what_a_route_leaves_out_comes_from_the_defaults() -> None:
    assert route("ordered").cache == CachePolicy(3600)
    assert route("large").cache == CachePolicy(300)
    assert route("ordered").attempts == 5
    assert route("large").attempts == 3


def test_each_served_model_has_an_implicit_route() -> None:
    implicit = policy().model_routes
    assert set(implicit) == {"llama-3.3-70b-instruct", "llama-3.1-8b-instruct", "acme-8b", "llama-3.1-405b-instruct"}
    assert {one.name for one in implicit.values()} == {"default"}
    assert implicit["acme-8b"].models == ("acme-8b",)


def test_routes_are_found_by_the_model_asked_for_in_the_files_order() -> None:
    found = policy()
    assert [one.name for one in found.any_model] == ["private"]
    assert [one.name for one in found.by_model["auto"]] == ["private", "ordered", "large"]
    assert [one.name for one in found.by_model["llama-3.3-70b-instruct"]] == ["private", "large"]
    assert found.names == tuple(sorted({"auto", *found.model_routes}))


@pytest.mark.parametrize(
    "asked",
    [
        "llama-3.3-70b-instruct",
        "meta-llama/llama-3.3-70b-instruct",
        "meta-llama/Llama-3.3-70B-Instruct",
        "accounts/fireworks/models/llama-v3p3-70b-instruct",
    ],
)
def test_a_model_is_routed_the_same_however_it_is_spelt(asked: str) -> None:
    found = policy()
    assert found.canonical(asked) == "llama-3.3-70b-instruct"
    chosen = found.route(ChatRequest("1", asked, {}), StatsBook())
    assert chosen is not None
    assert chosen.name == "large"


def test_requests_reach_the_first_route_that_matches() -> None:
    found = policy()

    def name(**facts: object) -> str | None:
        request = ChatRequest("1", body={}, **facts)  # type: ignore[arg-type]  # facts are of any type
        chosen = found.route(request, StatsBook())
        return None if chosen is None else chosen.name

    assert name(model="auto", headers={"x-data-class": "confidential"}) == "private"
    assert name(model="auto", stream=True) == "ordered"
    assert name(model="auto") == "large"
    assert name(model="acme-8b") == "default"
    assert name(model="nobody") is None


def test_callers_are_found_by_key() -> None:
    found = policy()
    assert found.caller("a-key-of-sixteen-c") == Caller("team", frozenset({"large", "default"}))
    assert found.caller("another-key-of-sixteen") == Caller("all", None)
    assert found.caller("a-key-of-sixteen") is None


def test_a_retirement_is_told_from_sixty_days_before() -> None:
    days = {(2026, 6, 16): [], (2026, 6, 17): ["LG046"], (2026, 8, 15): ["LG046"], (2026, 8, 16): ["LG045"]}
    for day, codes in days.items():
        found = read(TEXT.encode(), "p.yaml", {}, CATALOGUE, date(*day))
        assert [problem.code for problem in found.problems] == codes


def test_a_retirement_says_what_its_host_names_instead_and_how_to_write_it() -> None:
    (problem,) = read(TEXT.encode(), "p.yaml", {}, CATALOGUE, date(2026, 8, 14)).problems
    assert "in 2 days: from 2026-08-16 on every request to it fails" in problem.message
    assert "`models: {llama-3.3-70b-instruct: {successor: gpt-oss-120b}}`" in problem.message


def test_a_route_whose_deployments_are_off_says_so() -> None:
    text = TEXT.replace("gsk-0123456789abcdef", "${K}").replace(
        "prefer: [fast, self_hosted]", "require: {regions: [x]}"
    )
    text = text.replace("    slots: 3\n", "    slots: 3\n    region: x\n")
    found = loaded(text)
    assert found.policy is not None
    assert "LG057" in [problem.code for problem in found.problems]
    off = next(one for one in found.policy.routes if one.name == "ordered")
    assert off.candidates == ()
    assert any("switched off" in one.reason for one in off.excluded)


def test_a_module_that_fails_when_it_is_imported_is_told_and_crashes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "failing_outsider.py").write_text("raise RuntimeError('not today')\n")
    monkeypatch.syspath_prepend(tmp_path)
    found = loaded(TEXT.replace("provider: vllm", "provider: 'failing_outsider:Class'"))
    assert found.policy is None
    assert "LG030" in [problem.code for problem in found.problems]


COLD = """\
version: 1
backends:
  den: {provider: ollama, url: "http://127.0.0.1:11434", models: {llama-3.1-8b-instruct: {id: llama3.1, context: 8192}}}
routes:
  - name: chat
    models: [llama-3.1-8b-instruct]
    timeouts: {first_token: 5s}
defaults: {timeouts: {first_token: 3s}}
"""


def limits(text: str) -> Timeouts:
    """The limits of an attempt at the backend `den` on the route `chat`."""
    return limits_by_backend(route("chat", text))["den"]


def test_neither_route_nor_defaults_cut_short_the_time_that_a_model_takes_to_load() -> None:
    kind = Ollama.kind
    den = limits(COLD)
    assert (den.first_token, den.first_token_last) == (kind.cold, kind.timeouts.first_token_last)
    assert limits(COLD.replace("first_token: 5s", "first_token: 10m")).first_token == 600


def test_a_backends_own_first_token_is_taken_as_it_is_written() -> None:
    text = COLD.replace("{provider: ollama,", "{provider: ollama, timeouts: {first_token: 7s},")
    assert limits(text).first_token == 7


def test_a_kind_without_a_cold_load_is_cut_as_short_as_it_is_written() -> None:
    found = route("large", TEXT.replace("first_token: 9s", "first_token: 1s"))
    assert limits_by_backend(found)["gpu"].first_token == 1
