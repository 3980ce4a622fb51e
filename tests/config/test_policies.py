"""The policies that come with the gateway are worked examples: they load anywhere."""

from datetime import date
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import load
from gateway.routing.book import StatsBook
from gateway.routing.planner import plan
from gateway.types import ChatRequest

POLICIES = Path(__file__).parents[2] / "policies"
NAMES = ("default", "cost-first", "latency-first", "local-first", "private", "burst", "canary")
TODAY = date(2026, 11, 24)
CATALOGUE = Catalogue.load()
KEYS = {name: f"{name.lower()}-canary" for name in ("FIREWORKS_API_KEY", "TOGETHER_API_KEY", "SPOT_API_KEY")}


@pytest.mark.parametrize("name", NAMES)
def test_a_policy_loads_with_no_environment_at_all(name: str) -> None:
    loaded = load(POLICIES / f"{name}.yaml", {}, CATALOGUE, TODAY)
    assert loaded.policy is not None, loaded.problems
    assert {problem.code for problem in loaded.problems} == {"LG025"}
    assert loaded.policy.deployments
    assert all(one.location == "self_hosted" for one in loaded.policy.deployments)


@pytest.mark.parametrize("name", NAMES)
def test_with_keys_its_hosted_deployments_are_there_too(name: str) -> None:
    loaded = load(POLICIES / f"{name}.yaml", KEYS, CATALOGUE, TODAY)
    assert loaded.problems == ()
    assert loaded.policy is not None
    hosted = [one for one in loaded.policy.deployments if one.location == "hosted"]
    assert hosted
    assert all(one.price is not None and one.size is not None for one in hosted)
    assert loaded.policy.backends["fireworks"].api_key == KEYS["FIREWORKS_API_KEY"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("env", [{}, KEYS], ids=["no keys", "keys"])
def test_every_route_of_it_has_a_plan(name: str, env: dict[str, str]) -> None:
    policy = load(POLICIES / f"{name}.yaml", env, CATALOGUE, TODAY).policy
    assert policy is not None
    for route in (*policy.routes, *(one for one in policy.model_routes.values() if one.candidates)):
        request = ChatRequest("1", route.models[0], {}, prompt_tokens=100, max_tokens=100)
        assert plan(request, route, StatsBook(), 0.0, 0.5).choices


@pytest.mark.parametrize("name", NAMES)
def test_it_is_explained_by_its_own_comments(name: str) -> None:
    lines = (POLICIES / f"{name}.yaml").read_text().splitlines()
    assert lines[0].startswith("# ")
    assert sum(line.lstrip().startswith("#") for line in lines) >= 6


@pytest.mark.parametrize("tokens", [10, 30_000])
def test_private_requests_of_the_default_policy_never_leave_the_house(tokens: int) -> None:
    policy = load(POLICIES / "default.yaml", KEYS, CATALOGUE, TODAY).policy
    assert policy is not None
    for model in (*policy.names, *policy.spellings, "meta-llama/Llama-3.3-70B-Instruct"):
        headers = {"x-data-class": "confidential"}
        route = policy.route(ChatRequest("1", model, {}, headers=headers, prompt_tokens=tokens), StatsBook())
        assert route is not None
        assert {one.deployment.location for one in route.candidates} == {"self_hosted"}
