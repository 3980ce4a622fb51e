"""The difference of two policies is one of meaning: in words, with privacy, and none for comments and layout."""

from datetime import date

import orjson
import pytest

from gateway.catalogue import Catalogue
from gateway.policytools.diff import Difference, difference, difference_json
from gateway.policytools.versions import Version, version

CATALOGUE = Catalogue.load()
TEXT = """\
version: 1
backends:
  gpu: {provider: vllm, url: http://10.0.0.5:8000, models: {llama-3.3-70b-instruct: {}}, limits: {concurrency: 64}}
  together: {provider: together, models: {llama-3.3-70b-instruct: {price: {input: 1, output: 2}}}}
routes:
  - name: private
    match: {headers: {x-data-class: confidential}}
    models: [llama-3.3-70b-instruct]
    require: {location: self_hosted}
  - name: anything
    match: {model: [auto]}
    models: [llama-3.3-70b-instruct]
    optimize: cost
defaults:
  timeouts: {total: 60s}
callers:
  search: {key: secret-0123456789abcdef}
"""


def of(text: str, name: str) -> Version:
    """A text as one of the two."""
    return version(text.encode(), name, {}, CATALOGUE, date(2026, 11, 24))


def compare(old: str, new: str) -> Difference:
    """The difference of two texts."""
    return difference(of(old, "old"), of(new, "new"))


def change(before: str, after: str) -> Difference:
    """What becomes of the text when a part of it is replaced."""
    assert before in TEXT
    return compare(TEXT, TEXT.replace(before, after))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("version: 1\n", "# a comment\nversion:  1   # another\n"),
        ("[auto]", "['auto']"),
        ("total: 60s", "total: 1m"),
        ("optimize: cost", "optimize: {cost: 1}"),
        ("    require: {location: self_hosted}\n", "    require: {location: self_hosted, max_usd: null}\n"),
        ("limits: {concurrency: 64}", "limits: {concurrency: '${MANY:-64}'}"),
    ],
)
def test_another_way_to_write_the_same_is_no_difference(before: str, after: str) -> None:
    assert not change(before, after)


@pytest.mark.parametrize(
    ("before", "after", "text"),
    [
        ("optimize: cost", "optimize: latency", "route 'anything': optimize.cost was"),
        ("[auto]", "[auto, gpt-4o]", "route 'anything': match.model was [auto], is [auto, gpt-4o]"),
        ("total: 60s", "total: 2m", "defaults: timeouts.total was 60s, is 2m"),
        ("concurrency: 64", "concurrency: 32", "backend 'gpu': limits.concurrency was 64, is 32"),
        (", limits: {concurrency: 64}", "", "backend 'gpu': limits.concurrency was 64, is nothing"),
        ("output: 2", "output: 3", "deployment 'together/llama-3.3-70b-instruct': price was 1 in, 2 out (USD "),
        ("callers:\n", "callers:\n  new: {key: other-0123456789abcdef}\n", "caller 'new' is new"),
        ("name: anything", "name: other", "route 'anything' is gone: asked as auto; models llama-3.3-70b-instruct"),
        ("name: anything", "name: other", "route 'other' is new, in place 2: asked as auto; models llama-3.3-70b-"),
        ("  gpu: {", "  cpu: {", "backend 'gpu' is gone"),
        ("  gpu: {", "  cpu: {", "deployment 'cpu/llama-3.3-70b-instruct' is new: self_hosted"),
        ("defaults:\n", "org: {region: eu}\ndefaults:\n", "org: region was nothing, is eu"),
        ("defaults:\n", "models: {own: {size: 8b}}\ndefaults:\n", "model 'own' is new"),
    ],
)  # fmt: skip
def test_a_difference_is_told_in_words(before: str, after: str, text: str) -> None:
    assert any(one.text.startswith(text) for one in change(before, after).changes), change(before, after).changes


def test_a_credential_is_never_shown() -> None:
    found = change("secret-0123456789abcdef", "other-0123456789abcdef")
    (one,) = found.changes
    assert one.text == "caller 'search': key changed (it may hold a credential, so it is not shown)"
    assert b"0123456789" not in orjson.dumps(difference_json(found))


def test_an_unset_credential_makes_no_difference_and_another_variable_does() -> None:
    written = TEXT.replace("provider: together", "provider: together, api_key: '${A_KEY}'")
    assert not compare(written, written)
    assert compare(written, written.replace("A_KEY", "B_KEY")).changes[0].field == "api_key"


def swapped() -> str:
    head, private, anything = TEXT.split("  - name: ")
    anything, rest = anything.split("defaults:")
    return f"{head}  - name: {anything}  - name: {private}defaults:{rest}"


def test_another_order_of_routes_is_told_and_so_is_what_it_means_for_privacy() -> None:
    found = compare(TEXT, swapped())
    assert [one.text for one in found.changes] == [
        "routes are tried in another order: private, anything -> anything, private"
    ]
    assert [(one.change, one.deployments) for one in found.privacy] == [
        ("overtaken", ("together/llama-3.3-70b-instruct",))
    ]


@pytest.mark.parametrize(
    ("before", "after", "changes"),
    [
        ("    require: {location: self_hosted}\n", "", {"lost", "unguarded"}),
        ("    optimize: cost\n", "    require: {location: self_hosted}\n", {"gained", "guarded"}),
        ("  together: {", "  groq: {provider: groq, models: {llama-3.3-70b-instruct: {}}}\n  together: {", {"wider"}),
        (", models: {llama-3.3-70b-instruct: {price", ", models: {llama-3.1-8b-instruct: {price", {"gained", "new"}),
        ("routes:\n", "routes:\n  - {name: b, models: [llama-3.3-70b-instruct]}\n", {"new", "overtaken"}),
        ("name: private", "name: confidential", {"gone"}),
    ],
)  # fmt: skip
def test_who_may_leave_the_house_is_told(before: str, after: str, changes: set[str]) -> None:
    assert {one.change for one in change(before, after).privacy} == changes


def test_fewer_ways_out_are_told_as_well() -> None:
    more = TEXT.replace(
        "  together: {", "  groq: {provider: groq, models: {llama-3.3-70b-instruct: {}}}\n  together: {"
    )
    found = compare(more, TEXT)
    assert {one.change for one in found.privacy} == {"narrower"}


def test_copies_count_as_leaving_the_house() -> None:
    own = TEXT.replace("{llama-3.3-70b-instruct: {}}", "{llama-3.3-70b-instruct: {}, llama-3.1-8b-instruct: {}}")
    own = own.replace(
        "    models: [llama-3.3-70b-instruct]\n    optimize", "    models: [llama-3.1-8b-instruct]\n    optimize"
    )
    copied = own.replace("    optimize: cost", "    shadow: {models: [llama-3.3-70b-instruct], share: 0.5}")
    (leak,) = compare(own, copied).privacy
    assert (leak.change, leak.deployments) == ("lost", ("together/llama-3.3-70b-instruct",))
