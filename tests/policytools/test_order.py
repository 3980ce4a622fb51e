"""Keys come into the schema's order within their mapping; names of the file's own stay as they stand."""

import pytest
from ruamel.yaml import YAML

from gateway.config.schema import BackendSpec, PolicyFile, RouteSpec
from gateway.policytools.order import model_of, ordered, ranked


def order(text: str) -> str:
    return ordered(text, YAML().compose(text), PolicyFile)


def test_names_are_not_keys() -> None:
    text = "backends:\n  url: {provider: vllm}\n  provider: {provider: vllm}\n"
    assert order(text) == text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("routes: []\nversion: 1\n", "version: 1\nroutes: []\n"),
        ("routes:\n- models: [a]\n  name: b\n", "routes:\n- name: b\n  models: [a]\n"),
        ("routes:\n- models: [a]\n  # c\n  name: b\n", "routes:\n  # c\n- name: b\n  models: [a]\n"),
        ("defaults: {retry: {}, optimize: cost}\n", "defaults: {optimize: cost, retry: {}}\n"),
        ("routes: []\n\n# v\nversion: 1\n# end\n", "# v\nversion: 1\n# end\n\nroutes: []\n"),
        (
            "defaults:\n  retry: {}\n  # o\n  optimize: cost\n# end\n",
            "defaults:\n  # o\n  optimize: cost\n  retry: {}\n# end\n",
        ),
    ],
)
def test_entries_move_with_the_comments_above_them(before: str, after: str) -> None:
    assert order(before) == after
    assert order(after) == after


def test_flow_with_comments_inside_or_aliases_is_left_alone() -> None:
    for text in (
        "defaults: {retry: {}, # c\n  optimize: cost}\n",
        "version: &a cost\ndefaults: {retry: {}, optimize: *a}\n",
    ):
        assert order(text).endswith(text[text.index("defaults") :])


def test_a_route_begins_with_its_name_and_unknown_keys_come_last() -> None:
    keys = ["optimize", "colour", "models", "name", "<<"]
    assert [keys[place] for place in ranked(keys, RouteSpec)] == ["<<", "name", "models", "optimize", "colour"]


def test_the_model_of_a_mapping_is_that_which_knows_its_keys() -> None:
    assert model_of(RouteSpec | BackendSpec | None, ["url"]) is BackendSpec
    assert model_of(str, ["url"]) is None
