"""Requests that a route would keep from leaving are not taken first by another without a word."""

from datetime import date

import pytest

from gateway.catalogue import Catalogue
from gateway.config.loading import read

CATALOGUE = Catalogue.load()
HEAD = """\
version: 1
backends:
  gpu:
    provider: vllm
    url: http://10.0.0.5:8000
    region: eu
    models: {own: {}, shared: {}}
  out:
    provider: openai_compatible
    url: http://10.0.0.6:8000
    location: hosted
    region: us
    api_key: ${OUT_KEY}
    models: {shared: {price: {input: 1, output: 1}}, far: {price: {input: 1, output: 1}}}
models:
  own: {size: 8b, licence: mine}
  shared: {size: 8b, licence: mine}
  far: {size: 8b, licence: theirs}
routes:
"""
PRIVATE = (
    "{name: private, match: {headers: {x-class: secret}}, models: [own, shared], require: {location: self_hosted}}"
)
OPEN = "{name: open, match: {model: [auto]}, models: [shared]}"


def holes(*routes: str, env: dict[str, str] | None = None, head: str = HEAD) -> list[str]:
    """What is said of holes in a policy of these routes."""
    text = head + "".join(f"  - {route}\n" for route in routes)
    loaded = read(text.encode(), "p.yaml", env or {}, CATALOGUE, date(2026, 11, 24))
    assert not [problem for problem in loaded.problems if problem.severity == "error"], loaded.problems
    return [problem.message for problem in loaded.problems if problem.code == "LG075"]


@pytest.mark.parametrize("env", [{}, {"OUT_KEY": "k"}], ids=["off", "on"])
def test_a_hole_is_told_with_who_takes_what_and_where_it_may_go_even_while_that_is_off(env: dict[str, str]) -> None:
    assert holes(OPEN, PRIVATE, env=env) == [
        "Requests meant for 'private' may leave: 'open' takes requests for auto first, and out/shared is hosted, "
        "the route requires self_hosted. Move 'private' above them."
    ]


def test_the_strict_route_above_is_no_hole() -> None:
    assert holes(PRIVATE, OPEN) == []


def test_routes_that_share_no_request_are_no_hole() -> None:
    assert holes(OPEN, PRIVATE.replace("headers:", "model: [b], headers:")) == []
    assert holes(OPEN.replace("model: [auto]", "headers: {X-Class: public}"), PRIVATE) == []


def test_spellings_of_one_model_are_one_name() -> None:
    names = "model: [llama-3.3-70b-instruct]"
    assert holes(OPEN.replace("model: [auto]", names), PRIVATE.replace("headers:", f"{names}, headers:"))


def test_a_route_that_stays_in_the_house_by_its_models_is_no_hole() -> None:
    assert holes(OPEN.replace("shared", "own"), PRIVATE) == []


def test_a_route_that_is_as_strict_is_no_hole() -> None:
    assert holes(OPEN.replace("[shared]", "[shared], require: {location: self_hosted}"), PRIVATE) == []
    assert holes(OPEN.replace("[shared]", "[shared], require: {regions: [eu]}"), PRIVATE) == []


@pytest.mark.parametrize(
    "rule",
    [
        "split: [{weight: 9}, {weight: 1, models: [far]}]",
        "fallback: {overloaded: [far]}",
        "shadow: {models: [far], share: 1%}",
    ],
)
def test_whom_a_rule_adds_makes_a_hole_too(rule: str) -> None:
    assert holes(OPEN.replace("[shared]", f"[own], {rule}"), PRIVATE)


@pytest.mark.parametrize("require", ["regions: [eu]", "data_collection: deny", "licence: mine"])
def test_other_constraints_of_privacy_make_holes_too(require: str) -> None:
    assert holes(OPEN.replace("shared", "far"), PRIVATE.replace("location: self_hosted", require))


def test_own_hardware_whose_region_is_not_written_is_at_home() -> None:
    open_, private = OPEN.replace("shared", "own"), PRIVATE.replace("location: self_hosted", "regions: [us]")
    private = private.replace("[own, shared]", "[far]")
    assert holes(open_, private, head=HEAD.replace("    region: eu\n", "")) == []
    assert holes(open_, private) != []


def test_what_is_no_constraint_of_privacy_makes_no_hole() -> None:
    assert holes(OPEN, PRIVATE.replace("location: self_hosted", "max_usd: 1, ttft: 2s")) == []


def test_of_many_holes_the_first_are_named() -> None:
    routes = [OPEN.replace("open", f"open{index}").replace("auto", f"m{index}") for index in range(5)]
    (said,) = holes(*routes, PRIVATE)
    assert said.count(" takes ") == 3
    assert "So do 2 more." in said
