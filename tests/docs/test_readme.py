"""The README is in step with the code: every verb, setting, metric, error code and header stands in it."""

import inspect
import re
from datetime import date
from pathlib import Path

import pytest
import yaml

from gateway import errors
from gateway.api import headers
from gateway.api.readings import readings
from gateway.catalogue import Catalogue
from gateway.cli.main import app
from gateway.config import settings
from gateway.config.live import LivePolicy
from gateway.config.loading import read
from gateway.config.schema import PolicyFile
from gateway.providers.registry import KINDS
from gateway.routing.book import StatsBook
from gateway.telemetry.metrics import Metrics

README = Path(__file__).parents[2].joinpath("README.md").read_text()
POLICY = next(block for block in re.findall(r"```yaml\n(.*?)```", README, re.DOTALL))

FULL = """version: 1
backends:
  g: {provider: groq, api_key: k0123456789abcdef, models: {llama-3.3-70b-instruct: {}}}
  v: {provider: vllm, url: "http://10.0.0.5:8000", models: {llama-3.3-70b-instruct: {}}}
routes:
  - {name: a, models: [llama-3.3-70b-instruct], burst: {when: {ttft: 2s}}}
"""  # every metric has something to tell


def stands(word: str) -> bool:
    """Whether a word stands in the README as code."""
    return re.search(rf"`[^`\n]*(?<![\w-]){re.escape(word)}(?![\w-])[^`\n]*`", README) is not None


def error_codes() -> set[str]:
    """The codes of all errors that can reach a caller."""
    classes = [kind for _, kind in inspect.getmembers(errors, inspect.isclass)]
    return {kind.code for kind in classes if issubclass(kind, errors.GatewayError)}


def metric_names() -> set[str]:
    """The names of all metrics, as a scrape shows them."""
    counted = {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in Metrics(lambda kind: kind).registry.collect()
    }
    catalogue = Catalogue.load()
    loaded = read(FULL.encode(), "test", {}, catalogue, date(2026, 1, 1))
    return counted | {reading.name for reading in readings(LivePolicy(loaded), StatsBook(), lambda: 0.0)}


@pytest.mark.parametrize("verb", sorted(name for name in app() if not name.startswith("-")))
def test_every_verb_is_described(verb: str) -> None:
    assert stands(f"llama-gateway {verb}")


@pytest.mark.parametrize("name", sorted(set(re.findall(r"GATEWAY_[A-Z_]+", inspect.getsource(settings)))))
def test_every_setting_is_described(name: str) -> None:
    assert stands(name)


@pytest.mark.parametrize("code", sorted(error_codes()))
def test_every_error_code_is_described(code: str) -> None:
    assert stands(code)


@pytest.mark.parametrize("name", sorted(metric_names()))
def test_every_metric_is_described(name: str) -> None:
    assert stands(name)


@pytest.mark.parametrize("name", sorted(set(re.findall(r'"(x-gateway-[a-z-]+)"', inspect.getsource(headers)))))
def test_every_response_header_is_described(name: str) -> None:
    assert stands(name)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_provider_kind_is_described(kind: str) -> None:
    assert stands(kind)


def policy_keys() -> set[str]:
    """Every key that a policy file may have."""
    schema = PolicyFile.model_json_schema()
    shapes = [schema, *schema["$defs"].values()]
    return {key for shape in shapes for key in shape.get("properties", {})}


@pytest.mark.parametrize("key", sorted(policy_keys()))
def test_every_policy_key_is_described(key: str) -> None:
    assert stands(key) or re.search(rf"^\s*(- )?{key}:", POLICY, re.MULTILINE)


def test_the_policy_of_the_readme_is_a_good_one() -> None:
    env = {"TOGETHER_API_KEY": "key-0123456789abcdef"}
    loaded = read(POLICY.encode(), "README.md", env, Catalogue.load(), date(2026, 1, 1))
    assert [problem.message for problem in loaded.problems if problem.severity == "error"] == []
    assert loaded.policy is not None
    assert {route["name"] for route in yaml.safe_load(POLICY)["routes"]} == {
        route.name for route in loaded.policy.routes
    }


def test_no_placeholder_is_left() -> None:
    assert re.findall(r"\b(?:[A-Z]+_(?:TABLE|HERE|PLACEHOLDER)|TODO|TBD|FIXME|XXX)\b|\{\{|lorem ipsum", README) == []
