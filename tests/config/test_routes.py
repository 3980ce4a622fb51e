"""What a route says compiles to who may answer, in which order, and who waits for what."""

from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.config.constraints import within
from gateway.config.loading import Loaded, read
from gateway.routing.book import StatsBook
from gateway.routing.lane import Candidate
from gateway.routing.planner import plan
from gateway.routing.policy import Burst, Hedge, Route, Weights
from gateway.routing.rollout import Rollout
from gateway.types import ChatRequest

TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
HEAD = """\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    models: {small: {}, medium: {}, large: {}}
  out:
    provider: openai_compatible
    url: http://10.0.0.6:8000
    location: hosted
    models:
      small: {price: {input: 1, output: 1}}
      medium: {price: {input: 1, output: 1}}
      huge: {price: {input: 9, output: 9}}
      odd: {price: {input: 9, output: 9}}
models:
  small: {size: 8b, context: 8000}
  medium: {size: 70b, context: 32000}
  large: {size: 405b, context: 128000}
  huge: {size: 2000b, context: 1000000}
  odd: {context: 1000000}
"""


def loaded(route: str, more: str = "") -> Loaded:
    """A policy with one route, `chat`."""
    lines = "".join(f"    {line}\n" for line in route.splitlines())
    text = f"{HEAD}{more}routes:\n  - name: chat\n{lines}"
    return read(text.encode(), "p.yaml", {}, CATALOGUE, TODAY)


def route(text: str, more: str = "") -> Route:
    """That route, compiled."""
    found = loaded(text, more)
    assert found.policy is not None, found.problems
    return found.policy.routes[0]


def shown(candidates: tuple[Candidate, ...]) -> list[tuple[str, int, str]]:
    """Candidates by tier."""
    return sorted(((one.deployment.name, one.tier, one.when) for one in candidates), key=lambda one: (one[1], one[0]))


def test_at_least_and_at_most_exclude_with_a_reason() -> None:
    found = route("models: [small, medium, large, odd]\nsize: {at_least: 70b, at_most: 100b}")
    assert [one.deployment.name for one in found.candidates] == ["gpu/medium", "out/medium"]
    assert {one.deployment.name: one.reason for one in found.excluded} == {
        "gpu/small": "has 8b, the route wants at least 70b",
        "out/small": "has 8b, the route wants at least 70b",
        "gpu/large": "has 405b, the route wants at most 100b",
        "out/odd": "has no known size, the route wants at least 70b",
    }


def test_bounds_alone_order_nothing() -> None:
    assert {one.tier for one in route("models: [medium, large]\nsize: {at_least: 8b}").candidates} == {0}


@pytest.mark.parametrize("size", ["smallest", "smallest_adequate", "{smallest_adequate: {}}"])
def test_smallest_first(size: str) -> None:
    found = route(f"models: [large, small, medium, odd]\nsize: {size}\nprefer: [gpu]")
    assert shown(found.candidates) == [
        ("gpu/small", 0, ""),
        ("gpu/medium", 1, ""),
        ("gpu/large", 2, ""),
        ("out/small", 3, ""),
        ("out/medium", 4, ""),
        ("out/odd", 5, ""),
    ]


def test_the_smallest_adequate_may_have_a_floor() -> None:
    found = route("models: [small, medium, large]\nsize: {smallest_adequate: {at_least: 70b}}")
    assert [name for name, _, _ in shown(found.candidates)] == ["gpu/medium", "out/medium", "gpu/large"]


def test_the_language_counts_for_the_smallest_adequate_alone() -> None:
    pytest.importorskip("lingua")
    assert route("models: [small]\nsize: smallest_adequate").detect is not None
    assert route("models: [small]\nsize: smallest").detect is None


@pytest.mark.parametrize(
    ("written", "flaws"),
    [
        ("true", {"truncated", "invalid_json", "broken_tool_call"}),
        ("false", set()),
        ("[invalid_json]", {"invalid_json"}),
        ("truncated", {"truncated"}),
    ],
)
def test_escalation_names_flaws(written: str, flaws: set[str]) -> None:
    assert route(f"models: [small, medium]\nescalate: {written}").escalate == flaws


def test_a_route_may_switch_off_what_defaults_escalate() -> None:
    defaults = "defaults: {escalate: true, repair_tool_calls: true}\n"
    assert route("models: [small, medium]", defaults).escalate
    found = route("models: [small, medium]\nescalate: false\nrepair_tool_calls: false", defaults)
    assert (found.escalate, found.repair) == (frozenset(), False)


@pytest.mark.parametrize(
    ("written", "hedge"),
    [
        ("hedge: {after: p95}", Hedge(None, 0.02)),
        ("hedge: {}", Hedge(None, 0.02)),
        ("hedge: {after: 800ms, budget: 5%}", Hedge(0.8, 0.05)),
        ("hedge: off", None),
        ("hedge: false", None),
        ("", None),
    ],
)
def test_a_hedge_is_off_unless_written(written: str, hedge: Hedge | None) -> None:
    assert route(f"models: [small, medium]\n{written}").hedge == hedge


def test_a_route_may_switch_off_the_hedge_of_defaults() -> None:
    defaults = "defaults: {hedge: {after: 1s}}\n"
    assert route("models: [small]", defaults).hedge == Hedge(1.0, 0.02)
    assert route("models: [small]\nhedge: off", defaults).hedge is None


def test_a_split_has_normalised_weights_and_the_route_behind_each_arm() -> None:
    found = route(
        "models: [small]\nsplit: [{weight: 15}, {weight: 5, models: [huge, medium], name: canary}]\nsize: smallest"
    )
    assert [(arm.name, arm.weight) for arm in found.arms] == [("canary", 0.25)]
    assert shown(found.arms[0].lane.candidates) == [
        ("gpu/medium", 0, ""),
        ("out/medium", 0, ""),
        ("out/huge", 1, ""),
        ("gpu/small", 2, ""),
        ("out/small", 2, ""),
    ]
    assert shown(found.candidates) == [("gpu/small", 0, ""), ("out/small", 0, "")]


def test_an_arm_without_a_name_has_that_of_its_first_model() -> None:
    assert [arm.name for arm in route("models: [small]\nsplit: [{weight: 1, models: [medium]}]").arms] == ["medium"]


def test_what_the_route_requires_holds_for_its_arms() -> None:
    text = (
        "models: [small]\nrequire: {location: self_hosted}\nsplit: [{weight: 9}, {weight: 1, models: [medium, huge]}]"
    )
    found = route(text)
    assert {one.deployment.location for one in found.arms[0].lane.candidates} == {"self_hosted"}
    assert {one.deployment.name for one in found.excluded} == {"out/small", "out/medium", "out/huge"}


def test_an_arm_of_no_weight_is_none() -> None:
    assert route("models: [small]\nsplit: [{weight: 1}, {weight: 0, models: [medium]}]").arms == ()


@pytest.mark.parametrize("word", ["request", "caller", "conversation"])
def test_what_keeps_its_arm(word: str) -> None:
    assert route(f"models: [small]\nsticky: {word}").sticky == word
    assert route("models: [small]", f"defaults: {{sticky: {word}}}\n").sticky == word


def test_fallbacks_wait_for_their_cause_behind_all_others() -> None:
    text = "models: [medium]\nsize: smallest\nprefer: [gpu]\nfallback: {context: [huge], overloaded: [small, huge]}"
    assert shown(route(text).candidates) == [
        ("gpu/medium", 0, ""),
        ("out/medium", 1, ""),
        ("gpu/small", 2, "overloaded"),
        ("out/small", 3, "overloaded"),
        ("out/huge", 4, "context"),
        ("out/huge", 4, "overloaded"),
    ]


def test_substitutes_of_a_model_stand_in_on_every_route_that_has_it() -> None:
    text = HEAD.replace("large: {size: 405b, context: 128000}", "large: {size: 405b, substitutes: [small, large]}")
    found = read(f"{text}routes:\n  - {{name: chat, models: [large]}}\n".encode(), "p.yaml", {}, CATALOGUE, TODAY)
    assert found.policy is not None, found.problems
    for one in (found.policy.routes[0], found.policy.model_routes["large"]):
        assert shown(one.candidates) == [
            ("gpu/large", 0, ""),
            ("gpu/small", 1, "overloaded"),
            ("out/small", 1, "overloaded"),
        ]


def test_substitutes_obey_what_the_route_requires() -> None:
    text = HEAD.replace("large: {size: 405b, context: 128000}", "large: {size: 405b, substitutes: [small]}")
    rules = "routes:\n  - {name: chat, models: [large], require: {location: self_hosted}}\n"
    found = read(f"{text}{rules}".encode(), "p.yaml", {}, CATALOGUE, TODAY)
    assert found.policy is not None, found.problems
    assert [one.deployment.name for one in found.policy.routes[0].candidates] == ["gpu/large", "gpu/small"]


def test_a_fallback_that_is_on_the_route_already_adds_nothing() -> None:
    assert {one.when for one in route("models: [medium]\nfallback: {overloaded: [medium]}").candidates} == {""}


def test_a_long_request_goes_to_the_fallback_and_the_plan_says_why() -> None:
    found = route("models: [small]\nfallback: {context: [huge]}")
    short = plan(ChatRequest("1", "small", {}, prompt_tokens=10), found, StatsBook(), 0.0, 0.5)
    long = plan(ChatRequest("1", "small", {}, prompt_tokens=100_000), found, StatsBook(), 0.0, 0.5)
    assert {choice.deployment.model for choice in short.choices} == {"small"}
    assert [choice.deployment.name for choice in long.choices] == ["out/huge"]
    assert "called from the reserve (context)" in long.reason


def test_a_fallback_of_defaults_is_there_for_models_by_their_own_names_too() -> None:
    policy = loaded("models: [small]", "defaults: {fallback: {refused: [huge]}}\n").policy
    assert policy is not None
    for one in (policy.routes[0], policy.model_routes["medium"]):
        assert {candidate.deployment.name for candidate in one.candidates if candidate.when} == {"out/huge"}


def test_a_successor_waits_until_its_model_is_gone() -> None:
    found = route("models: [medium, a]", "  a: {successor: small}\n")
    assert {(one.deployment.name, one.tier, one.when) for one in found.candidates} == {
        ("gpu/medium", 0, ""),
        ("out/medium", 0, ""),
        ("gpu/small", 0, "gone a"),
        ("out/small", 0, "gone a"),
    }


def chained(text: str) -> Route:
    """A route, when the successor of small is medium, and that of medium is huge."""
    head = HEAD.replace("{size: 8b,", "{successor: medium, size: 8b,").replace(
        "{size: 70b,", "{successor: huge, size: 70b,"
    )
    policy = read(f"{head}routes:\n  - name: chat\n    {text}\n".encode(), "p.yaml", {}, CATALOGUE, TODAY).policy
    assert policy is not None
    return policy.routes[0]


def test_a_chain_of_successors_is_followed_one_behind_the_other() -> None:
    assert set(shown(chained("models: [small]").candidates)) == {
        ("gpu/small", 0, ""),
        ("out/small", 0, ""),
        ("gpu/medium", 0, "gone small"),
        ("out/medium", 0, "gone small"),
        ("out/huge", 1, "gone small"),
    }


def test_a_chain_ends_where_a_successor_is_one_of_the_routes_own() -> None:
    found = chained("models: [small, medium]")
    assert {(one.deployment.name, one.when) for one in found.candidates if one.when} == {("out/huge", "gone medium")}


def test_a_model_that_nobody_serves_any_more_is_answered_by_its_successor_with_a_word() -> None:
    head = f"{HEAD}  old: {{successor: medium, size: 70b}}\n"
    text = f"{head}routes:\n  - name: chat\n    models: [old]\n"
    policy = read(text.encode(), "p.yaml", {}, CATALOGUE, TODAY).policy
    assert policy is not None
    found = plan(ChatRequest("1", "old", {}), policy.routes[0], StatsBook(), 0.0, 0.5)
    assert {choice.deployment.model for choice in found.choices} == {"medium"}
    assert "(gone old)" in found.reason


def test_a_successor_with_steps_takes_over_share_by_share() -> None:
    steps = "{successor: {model: huge, steps: [1%, 0.25, 100%], every: 30m, max_error_rate: 2%}, size: 70b,"
    text = f"{HEAD.replace('{size: 70b,', steps)}routes:\n  - name: chat\n    models: [medium]\n"
    policy = read(text.encode(), "p.yaml", {}, CATALOGUE, TODAY).policy
    assert policy is not None
    (arm,) = policy.routes[0].arms
    assert arm.name == "medium -> huge"
    assert arm.rollout == Rollout((0.01, 0.25, 1.0), 1800.0, 20, 0.02, 1.5)
    assert shown(arm.lane.candidates) == [("out/huge", 0, ""), ("gpu/medium", 1, ""), ("out/medium", 1, "")]
    assert policy.model_routes["medium"].arms == policy.routes[0].arms


def test_with_a_burst_rule_hosted_deployments_wait() -> None:
    found = route(
        "models: [medium]\nprefer: self_hosted\nburst: {when: {ttft: 2s}, back_below: 1s, max_usd_per_hour: 20}"
    )
    assert found.burst == Burst(2.0, 1.0, 20.0)
    assert shown(found.candidates) == [("gpu/medium", 0, ""), ("out/medium", 1, "burst")]


def test_a_burst_ends_at_half_of_what_begins_it() -> None:
    assert route("models: [medium]\nburst: {when: {ttft: 3s}}").burst == Burst(3.0, 1.5, None)


def test_a_burst_rule_of_defaults_is_for_routes_with_both() -> None:
    defaults = "defaults: {burst: {when: {ttft: 2s}}}\n"
    assert route("models: [medium]", defaults).burst is not None
    assert route("models: [huge]", defaults).burst is None
    assert route("models: [medium]\nprefer: hosted", defaults).burst is None
    assert {one.when for one in route("models: [huge]", defaults).candidates} == {""}


def test_an_arm_that_is_hosted_alone_waits_for_no_burst() -> None:
    found = route("models: [medium]\nburst: {when: {ttft: 2s}}\nsplit: [{weight: 9}, {weight: 1, models: [huge]}]")
    assert shown(found.arms[0].lane.candidates)[0] == ("out/huge", 0, "")


def test_a_shadow_is_a_lane_of_those_whom_the_route_allows() -> None:
    found = route(
        "models: [large]\nrequire: {location: self_hosted}\nshadow: {models: [small], share: 1%, max_usd_per_hour: 1}"
    )
    assert found.shadow is not None
    assert (found.shadow.share, found.shadow.usd_per_hour, found.shadow.lane.names) == (0.01, 1.0, ["gpu/small"])
    assert "out/small" not in {one.deployment.name for one in found.excluded}


def test_a_shadow_of_nobody_is_none() -> None:
    assert (
        route("models: [large]\nrequire: {location: self_hosted}\nshadow: {models: [huge], share: 1%}").shadow is None
    )


@pytest.mark.parametrize("word", ["error", "buffer", "splice", "continue"])
def test_what_happens_to_a_broken_stream(word: str) -> None:
    assert route(f"models: [small]\nmid_stream: {word}").mid_stream == word
    assert route("models: [small]", f"defaults: {{mid_stream: {word}}}\n").mid_stream == word


@pytest.mark.parametrize(
    ("written", "seconds"), [("fail", 0.0), ("{wait: 5s}", 5.0), ('"wait: 5s"', 5.0), ("wait:5s", 5.0)]
)
def test_how_long_to_wait_for_a_candidate(written: str, seconds: float) -> None:
    assert route(f"models: [small]\non_no_candidate: {written}").wait == seconds


def test_a_route_may_fail_at_once_where_defaults_wait() -> None:
    assert route("models: [small]\non_no_candidate: fail", "defaults: {on_no_candidate: {wait: 5s}}\n").wait == 0.0


def test_failures_are_a_weight_and_a_word() -> None:
    assert route("models: [small]\noptimize: failures").weights == Weights(0.0, 0.0, 0.0, 1.0)
    assert route("models: [small]\noptimize: {cost: 1, failures: 3}").weights == Weights(0.25, 0.0, 0.0, 0.75)


def test_hosted_backends_may_keep_what_they_are_sent_unless_they_are_said_not_to() -> None:
    policy = loaded("models: [small]").policy
    assert policy is not None
    assert {one.backend: one.collects for one in policy.deployments} == {"gpu": False, "out": True}
    text = HEAD.replace("location: hosted", "location: hosted\n    data_collection: deny")
    text = text.replace("http://10.0.0.5:8000", "http://10.0.0.5:8000\n    data_collection: allow")
    changed = read(text.encode(), "p.yaml", {}, CATALOGUE, TODAY).policy
    assert changed is not None
    assert {one.backend: one.collects for one in changed.deployments} == {"gpu": True, "out": False}


def test_a_route_may_deny_data_collection() -> None:
    found = route("models: [small]\nrequire: {data_collection: deny}")
    assert [one.deployment.name for one in found.candidates] == ["gpu/small"]
    assert found.excluded[0].reason == "may keep what it is sent, the route requires data_collection: deny"


def test_an_expression_decides_on_a_route() -> None:
    found = route('models: [small]\nmatch: {when: "request.stream"}')
    assert found.mismatch(ChatRequest("1", "small", {}, stream=True), StatsBook()) is None
    assert found.mismatch(ChatRequest("1", "small", {}), StatsBook()) == "not so: request.stream"


def test_timeouts_of_a_route_hold_for_reserves_too() -> None:
    found = route("models: [large]\nfallback: {context: [huge]}\ntimeouts: {idle: 3s}")
    limits = {one.deployment.backend: one.deployment.timeouts.idle for one in found.candidates}
    assert limits == {"gpu": 3.0, "out": 3.0}


@pytest.mark.parametrize(
    ("region", "inside"), [("eu", True), ("eu-west-1", True), ("europe", False), ("us-east-1", False), (None, False)]
)
def test_region_lies_in_another_by_its_parts(region: str | None, inside: bool) -> None:
    assert within(region, ["eu"]) is inside
