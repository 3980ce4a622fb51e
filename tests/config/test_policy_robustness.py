"""No bytes crash the reader, and what loads can be planned with."""

from datetime import date
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.catalogue import Catalogue
from gateway.config.loading import Loaded, read
from gateway.errors import GatewayError
from gateway.routing.planner import plan
from gateway.routing.stats import StatsBook
from gateway.types import ChatRequest

DEFAULT = Path(__file__).parents[2] / "policies" / "default.yaml"
CATALOGUE = Catalogue.load()
ENV = {"KEY": "sk-canary-0123456789", "N": "7", "EMPTY": ""}

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
)
WORDS = words(
    "vllm groq fireworks llama_cpp a.b:C http://a http://169.254.1.1 http://[ ${KEY} ${N} ${NO} ${NO:-8b} ${NO:?m} ${"
    " file:/nonexistent env.KEY auto llama-3.1-8b-instruct llama-3.3-70b-instruct gpu self_hosted hosted cost latency"
    " size smallest largest smallest_adequate fp8 q4_k_m 2s 800ms 8b 12:30 no on exact error fail splice tools"
)
SCALARS = st.one_of(WORDS, st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20))


def mappings(values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[Any, Any]]:
    return st.dictionaries(st.one_of(KEYS, st.text(max_size=8)), values, max_size=5)


TREES = st.recursive(SCALARS, lambda children: st.one_of(st.lists(children, max_size=4), mappings(children)))
NAMES = st.sampled_from(["llama-3.1-8b-instruct", "llama-3.3-70b-instruct", "llama-3.1-405b-instruct", "acme"])
TOKENS = st.integers(0, 50_000)
RANGES = fixed({}, min=TOKENS, max=TOKENS)
LOCATIONS = words("self_hosted hosted")
TERMS = words("cost latency size")
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
)
MATCHES = fixed(
    {},
    model=st.lists(st.one_of(NAMES, st.just("auto")), min_size=1, max_size=2),
    stream=st.booleans(),
    input_tokens=RANGES,
    output_tokens=RANGES,
    headers=st.dictionaries(words("x-a X-B"), words("1x *"), max_size=2),
)
ROUTES = fixed(
    {"name": words("a b c d e f g"), "models": st.lists(NAMES, min_size=1, max_size=3)},
    match=MATCHES,
    optimize=st.one_of(TERMS, st.dictionaries(TERMS, st.floats(0, 9), min_size=1)),
    size=words("smallest largest"),
    prefer=st.one_of(LOCATIONS, st.just(["b0", "hosted"])),
    require=fixed(
        {},
        location=LOCATIONS,
        regions=st.just(["eu"]),
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
    models=st.just({"acme": {"base": "llama-3.1-8b-instruct", "size": "8b"}}),
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
    loaded.policy.route(request)
    for route in (*loaded.policy.routes, *loaded.policy.model_routes.values()):
        route.mismatch(request)
        assert abs(sum(route.weights) - 1) < 1e-9
        try:
            plan(request, route, StatsBook(), 0.0, 0.5)
        except GatewayError as refusal:
            assert "canary" not in refusal.message


def test_a_half_written_policy_never_crashes() -> None:
    text = DEFAULT.read_bytes()
    for end in range(len(text)):
        check(text[:end])


def test_a_policy_with_a_byte_lost_never_crashes() -> None:
    text = DEFAULT.read_bytes()
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
