"""No bytes crash the reader, and what loads can be planned with."""

from dataclasses import replace
from datetime import date
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.errors import GatewayError
from gateway.outcomes import Outcome
from gateway.routing.book import StatsBook
from gateway.routing.planner import plan
from gateway.routing.policy import Policy, Route
from gateway.types import ChatRequest, Plan, Preferences

DEFAULT = Path(__file__).parents[2] / "policies" / "default.yaml"
CATALOGUE = Catalogue.load()
ENV = {"KEY": "sk-canary-0123456789", "N": "7", "EMPTY": ""}

FULL = b"""\
version: 1
include: p.yaml
backends:
  b0: {provider: vllm, url: "http://a", models: {llama-3.3-70b-instruct: {}, acme: {}}, data_collection: deny}
  b1: {provider: fireworks, api_key: "${KEY}", models: {llama-3.3-70b-instruct: {}, llama-3.1-405b-instruct: {}}}
models:
  acme: {size: 8b, successor: {model: llama-3.3-70b-instruct, steps: [1%, 0.5], every: 1h, max_slowdown: 1.5}}
org: {region: eu}
routes:
  - name: all
    match: {model: [auto], when: "request.stream", time: {days: [mon], hours: "22:00-06:00", zone: Europe/Berlin}}
    models: [acme, llama-3.3-70b-instruct]
    size: {smallest_adequate: {at_least: 8b}}
    escalate: [truncated]
    split: [{weight: 95}, {weight: 5, models: [llama-3.1-405b-instruct], name: trial}]
    sticky: caller
    fallback: {context: [llama-3.1-405b-instruct]}
    shadow: {models: [acme], share: 1%, max_usd_per_hour: 1}
    burst: {when: {ttft: 2s}, back_below: 1s}
    require: {data_collection: deny, ttft: 2s}
defaults: {optimize: failures, mid_stream: splice, on_no_candidate: "wait: 5s", repair_tool_calls: true}
"""

Strategy = st.SearchStrategy[Any]


def words(text: str) -> Strategy:
    """One of the words of a text."""
    return st.sampled_from(text.split())


def fixed(required: dict[str, Strategy], **optional: Strategy) -> Strategy:
    """A mapping with some keys, and perhaps others."""
    return st.fixed_dictionaries(required, optional=optional)


KEYS = words(
    "version backends models routes defaults callers name match model headers stream input_tokens output_tokens"
    " capabilities caller metadata optimize cost latency size require location regions min_precision ttft max_usd"
    " prefer timeouts connect first_token idle total retry attempts cache ttl mode mid_stream on_no_candidate provider"
    " url api_key limits concurrency usd_per_hour slots region proxy tls ca cert key id precision context max_output"
    " price input output base min max gpu llama-3.1-8b-instruct llama-3.3-70b-instruct when burst split <<"
    " at_least at_most smallest smallest_adequate escalate sticky fallback context refused overloaded successor steps"
    " every requests max_error_rate max_slowdown back_below max_usd_per_hour shadow share weight repair_tool_calls"
    " data_collection failures include wait language time days hours zone"
    " teams team rpm tpm usd_per_day usd_per_month class expires on_store_failure key"
)
WORDS = words(
    "vllm groq fireworks llama_cpp a.b:C http://a http://169.254.1.1 http://[ ${KEY} ${N} ${NO} ${NO:-8b} ${NO:?m} ${"
    " file:/nonexistent env.KEY auto llama-3.1-8b-instruct llama-3.3-70b-instruct gpu self_hosted hosted cost latency"
    " size smallest largest smallest_adequate fp8 q4_k_m 2s 800ms 8b 12:30 no on exact error fail splice tools"
    " 5% 101% 0.5 1e3 true caller conversation deny truncated invalid_json wait:5s p.yaml ./p.yaml / request.stream"
)
SCALARS = st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))


def mappings(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(st.one_of(KEYS, st.text(max_size=8)), values, max_size=5)


TREES = st.recursive(SCALARS, lambda children: st.one_of(st.lists(children, max_size=4), mappings(children)))
NAMES = st.sampled_from(["llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "llama-3.1-405b-instruct", "acme"])
TOKENS = st.integers(0, 50_000)
RANGES = fixed({}, min=TOKENS, max=TOKENS)
LOCATIONS = words("self_hosted hosted")
TERMS = words("cost latency size failures")
SHARES = st.sampled_from(["1%", "25%", "100%", 0.5])
DURATIONS = words("500ms 2s 1h")
MODELS = st.lists(NAMES, min_size=1, max_size=2)
SERVED = fixed(
    {},
    id=words("a b:c ${KEY}"),
    precision=words("fp8 bf16 Q4_K_M"),
    context=st.integers(1, 200_000),
    price=fixed({"input": st.floats(0, 100), "output": st.floats(0, 100)}),
    capabilities=st.lists(words("tools vision"), max_size=2),
)
BACKENDS = fixed(
    {"provider": words("vllm llama_cpp groq fireworks together openai_compatible")},
    url=words("http://a ${NO:-http://b}"),
    api_key=words("${KEY} ${NO} k"),
    models=st.dictionaries(NAMES, SERVED, max_size=3),
    location=LOCATIONS,
    region=words("eu us"),
    limits=fixed({"concurrency": st.integers(1, 9)}),
    timeouts=fixed({"first_token": words("1s 5m")}),
    data_collection=words("allow deny"),
)
BURSTS = fixed({"when": fixed({"ttft": DURATIONS})}, back_below=DURATIONS, max_usd_per_hour=st.floats(0.1, 9))
SHADOWS = fixed({"models": MODELS, "share": SHARES}, max_usd_per_hour=st.floats(0.1, 9))
FALLBACKS = fixed({}, context=MODELS, refused=MODELS, overloaded=MODELS)
ARMS = fixed({"weight": st.integers(0, 9)}, models=MODELS, name=words("trial x y"))
BOUNDS = fixed({}, at_least=words("1b 70b"), at_most=words("8b 500b"))
SIZES = st.one_of(words("smallest largest smallest_adequate"), BOUNDS, fixed({"smallest_adequate": BOUNDS}))
FLAWS = st.one_of(st.booleans(), st.lists(words("truncated invalid_json broken_tool_call"), max_size=2))
SUCCESSORS = st.one_of(
    NAMES,
    fixed({"model": NAMES, "steps": st.just(["1%", 0.5, "100%"])}, every=DURATIONS, requests=st.integers(1, 9)),
)
CHOICES = {
    "escalate": FLAWS,
    "sticky": words("request caller conversation"),
    "fallback": FALLBACKS,
    "burst": BURSTS,
    "shadow": SHADOWS,
    "mid_stream": words("error buffer splice continue"),
    "on_no_candidate": st.one_of(words("fail wait:2s"), fixed({"wait": DURATIONS})),
    "repair_tool_calls": st.booleans(),
}
MATCHES = fixed(
    {},
    model=st.lists(st.one_of(NAMES, st.just("auto")), min_size=1, max_size=2),
    stream=st.booleans(),
    input_tokens=RANGES,
    output_tokens=RANGES,
    headers=st.dictionaries(words("x-a X-B"), words("1x *"), max_size=2),
    when=st.sampled_from(["request.stream", "size(request.tools) == 0"]),
    time=fixed({}, days=st.just(["mon"]), hours=st.just("22:00-06:00"), zone=st.just("Europe/Berlin")),
)
ROUTES = fixed(
    {"name": words("a b c d e f g"), "models": st.lists(NAMES, min_size=1, max_size=3)},
    match=MATCHES,
    optimize=st.one_of(TERMS, st.dictionaries(TERMS, st.floats(0, 9), min_size=1)),
    size=SIZES,
    split=st.lists(ARMS, min_size=1, max_size=3),
    **CHOICES,
    prefer=st.one_of(LOCATIONS, st.just(["b0", "hosted"])),
    require=fixed(
        {},
        location=LOCATIONS,
        regions=st.just(["eu"]),
        data_collection=st.just("deny"),
        min_precision=words("fp8 q4_0"),
        ttft=st.just("2s"),
        max_usd=st.floats(1e-6, 1),
    ),
    timeouts=fixed({"idle": st.just("3s")}),
    retry=fixed({"attempts": st.integers(1, 10)}),
)
POLICIES = fixed(
    {"version": st.just(1), "backends": st.lists(BACKENDS, min_size=1, max_size=3)},
    routes=st.lists(ROUTES, max_size=4, unique_by=lambda route: str(route["name"])),
    models=fixed(
        {"acme": fixed({"base": st.just("llama-3.1-8b-instruct"), "size": st.just("8b")}, successor=SUCCESSORS)},
        **{"llama-3.3-70b-instruct": fixed({}, successor=SUCCESSORS)},
    ),
    defaults=fixed({}, **CHOICES),
).map(lambda file: file | {"backends": {f"b{index}": one for index, one in enumerate(file["backends"])}})
REQUESTS = st.builds(
    ChatRequest,
    id=st.just("1"),
    model=st.one_of(NAMES, st.just("auto")),
    body=st.just({}),
    stream=st.booleans(),
    prompt_tokens=TOKENS,
    max_tokens=st.one_of(st.none(), TOKENS),
    needs=st.sets(st.sampled_from(["tools", "vision"])).map(frozenset),
    headers=st.dictionaries(st.sampled_from(["x-a", "x-b"]), st.just("1x")),
)


def check(text: bytes, expand: bool = True) -> Loaded:
    """The policy read, with what must hold of any bytes."""
    loaded = read(text, "p.yaml", ENV, CATALOGUE, date(2026, 11, 24), expand)
    assert (loaded.policy is None) == any(problem.severity == "error" for problem in loaded.problems)
    for problem in loaded.problems:
        assert problem.line >= 1
        assert problem.column >= 1
        assert "canary" not in f"{problem.message}{problem.excerpt}{problem.hint}"
        assert f"{problem.message}{problem.hint}".isprintable()
    return loaded


def plans(loaded: Loaded, request: ChatRequest) -> None:
    """Every route of a policy plans the request, or refuses it with an error of ours."""
    if loaded.policy is None:
        return
    loaded.policy.route(request, StatsBook())
    for route in (*loaded.policy.routes, *loaded.policy.model_routes.values()):
        route.mismatch(request, StatsBook())
        assert abs(sum(route.weights) - 1) < 1e-9
        assert sum(arm.weight for arm in route.arms if arm.rollout is None) < 1 + 1e-9
        assert len({(one.deployment.name, one.when) for one in route.candidates}) == len(route.candidates)
        for chance in (0.0, 0.5):
            assert planned(request, route, chance) == planned(request, route, chance)


def planned(request: ChatRequest, route: Route, chance: float) -> Plan | str:
    """The plan, or the refusal."""
    try:
        return plan(request, route, StatsBook(), 0.0, chance, route.causes)
    except GatewayError as refusal:
        assert "canary" not in refusal.message
        return refusal.message


@pytest.mark.parametrize("text", [DEFAULT.read_bytes(), FULL], ids=["default", "full"])
def test_a_half_written_policy_never_crashes(text: bytes) -> None:
    for end in range(len(text)):
        check(text[:end])


@pytest.mark.parametrize("text", [DEFAULT.read_bytes(), FULL], ids=["default", "full"])
def test_a_policy_with_a_byte_lost_never_crashes(text: bytes) -> None:
    for lost in range(0, len(text), 3):
        check(text[:lost] + text[lost + 1 :])


@given(st.binary(max_size=200), st.booleans())
def test_arbitrary_bytes_never_crash(text: bytes, expand: bool) -> None:
    check(text, expand)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"%@`#,?<~ \n\t${}1", max_size=80), st.booleans())
def test_arbitrary_punctuation_never_crashes(text: str, expand: bool) -> None:
    check(text.encode(), expand)


@given(TREES, st.booleans())
def test_arbitrary_data_never_crash(tree: object, expand: bool) -> None:
    check(yaml.safe_dump(tree, allow_unicode=True).encode("utf-8", "replace"), expand)


@given(fixed({"version": st.just(1), "backends": mappings(mappings(TREES)), "routes": st.lists(mappings(TREES))}))
def test_data_that_looks_like_a_policy_never_crash(tree: object) -> None:
    check(yaml.safe_dump(tree).encode())


@settings(max_examples=300)
@given(POLICIES, REQUESTS, st.booleans())
def test_what_loads_can_be_planned_with(file: dict[str, Any], request: ChatRequest, expand: bool) -> None:
    plans(check(yaml.safe_dump(file).encode(), expand), request)


OUTCOMES = st.builds(
    lambda fault, ended: (fault, ended),
    st.sampled_from(["", "upstream_server_error", "upstream_model_gone", "upstream_rate_limited"]),
    st.floats(0.0, 1.0),
)
WISHES = st.one_of(
    st.none(),
    st.builds(
        Preferences,
        order=st.lists(words("b0 b1 groq"), max_size=2).map(tuple),
        sort=st.sampled_from([None, "price", "latency"]),
        models=st.lists(NAMES, max_size=2).map(tuple),
    ),
)


ALL = ["llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "llama-3.1-405b-instruct", "acme"]
SHUT = fixed(
    {"name": words("a b c"), "models": MODELS, "require": st.just({"location": "self_hosted"})},
    size=words("smallest largest smallest_adequate"),
    prefer=st.one_of(LOCATIONS, st.just(["b0", "hosted"])),
    split=MODELS.map(lambda models: [{"weight": 3}, {"weight": 2, "models": models}]),
    **{name: strategy for name, strategy in CHOICES.items() if name != "burst"},
)
HOUSE = {"provider": "openai_compatible", "url": "http://a", "models": {model: {"id": model} for model in ALL}}
HOUSES = fixed(
    {
        "version": st.just(1),
        "backends": st.just({"b0": HOUSE | {"location": "self_hosted"}, "b1": HOUSE | {"location": "hosted"}}),
        "routes": st.lists(SHUT, min_size=1, max_size=3, unique_by=lambda route: str(route["name"])),
        "models": st.dictionaries(NAMES, fixed({}, successor=SUCCESSORS), max_size=3),
    },
    defaults=fixed({}, **CHOICES),
)


def after(policy: Policy, faults: list[tuple[str, float]]) -> StatsBook:
    """What is seen of the fleet after some attempts."""
    book = StatsBook()
    for (error, ended), deployment in zip(faults, cycle(policy.deployments), strict=False):
        book.started(deployment)
        book.ended(
            Outcome(
                deployment,
                "upstream_error" if error else "success",
                "fault" if error else "ok",
                ended,
                ended,
                error_type=error,
                retry_after=5.0 if error == "upstream_rate_limited" else None,
            )
        )
    return book


@settings(max_examples=300)
@given(
    HOUSES,
    REQUESTS,
    WISHES,
    st.lists(OUTCOMES, max_size=12),
    st.floats(0.0, 0.999),
)
def test_what_requires_own_hardware_never_leaves_it(
    file: dict[str, Any],
    request: ChatRequest,
    wishes: Preferences | None,
    faults: list[tuple[str, float]],
    chance: float,
) -> None:
    policy = check(yaml.safe_dump(file).encode()).policy
    if policy is None:
        return
    book, asked = after(policy, faults), replace(request, preferences=wishes)
    for route in policy.routes:
        lanes = (route.lane, *(arm.lane for arm in route.arms), *((route.shadow.lane,) if route.shadow else ()))
        assert {one.location for lane in lanes for one in lane.deployments} <= {"self_hosted"}
        causes = [frozenset[str](), route.causes, *({cause} for cause in route.causes)]
        for called in causes:
            try:
                found = plan(asked, route, book, 1.0, chance, frozenset(called))
            except GatewayError:
                continue
            assert {choice.deployment.location for choice in found.choices} == {"self_hosted"}
