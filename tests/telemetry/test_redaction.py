"""Known secrets are found in whatever way they are written, and nothing else is touched."""

import json
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.redaction import COVER, FEW, LEAST, Redaction, Tier, forms

SECRET = "sk-canary-8c1e"
ODD = "a\"b\\c/d'é&+8c1e"
WORDS = st.text(st.characters(codec="utf-8"), min_size=LEAST, max_size=60)


def knowing(*secrets: str) -> Redaction:
    """A redaction that knows them."""
    made = Redaction()
    made.learn(secrets)
    return made


def test_text_without_a_secret_is_returned_as_it_is() -> None:
    text = "nothing of that"
    assert knowing(SECRET).clean(text) is text
    assert Redaction().clean(text) is text


def test_each_place_of_each_secret_is_covered() -> None:
    text = f"{SECRET} and {ODD}, {SECRET}"
    assert knowing(SECRET, ODD).clean(text) == f"{COVER} and {COVER}, {COVER}"


def test_value_of_few_characters_is_no_secret() -> None:
    assert knowing("EMPTY", "", "1234567").clean("EMPTY 1234567") == "EMPTY 1234567"


def test_longer_secret_is_covered_as_a_whole_where_another_begins_like_it() -> None:
    assert knowing("abcdefgh", "abcdefgh-and-more").clean("abcdefgh-and-more abcdefgh") == f"{COVER} {COVER}"


def test_secret_that_was_learnt_earlier_stays_one() -> None:
    redaction = knowing(SECRET)
    redaction.learn([ODD])
    assert redaction.clean(f"{SECRET} {ODD}") == f"{COVER} {COVER}"


@pytest.mark.parametrize(
    "write",
    [
        str,
        json.dumps,
        lambda text: json.dumps(text, ensure_ascii=False),
        lambda text: json.dumps(json.dumps(text), ensure_ascii=False),
        lambda text: json.dumps(repr(text)),
        lambda text: json.dumps(text).replace("/", "\\/"),
        lambda text: json.dumps(text).replace("\\u00e9", "\\u00E9"),
        repr,
        lambda text: repr(text.encode()),
        lambda text: repr(str({"x": text}).encode()),
        lambda text: repr([text, "it's", 'a "quote"']),
        lambda text: json.dumps({"message": repr({"x": text})}, ensure_ascii=False),
        quote,
        lambda text: quote(text, safe=""),
        lambda text: f"<p>{text.replace('&', '&amp;').replace(chr(34), '&quot;').replace(chr(39), '&#x27;')}</p>",
    ],
)
def test_secret_is_found_however_it_is_quoted(write: Callable[[str], str]) -> None:
    found = knowing(ODD).clean(f"before {write(ODD)} after")
    assert COVER in found and "8c1e" not in found


@given(WORDS, st.text(max_size=200), st.text(max_size=200), st.integers(0, 40))
def test_no_secret_of_any_length_at_any_place_is_missed(secret: str, before: str, after: str, others: int) -> None:
    redaction = knowing(secret, *(f"{number:02d}-another-of-the-secrets"[: len(secret)] for number in range(others)))
    for form in forms(secret):
        assert redaction.clean(before + form + after) != before + form + after or form == COVER


@given(st.integers(1, 3), st.data())
def test_numbers_of_a_tier_meet_each_of_its_forms_wherever_it_begins(stride: int, data: st.DataObject) -> None:
    tier = Tier(stride)
    many = [f"{number:04d}" * 20 for number in range(FEW + 1)]
    sizes = st.integers(tier.least, 80)
    for form in many:
        tier.add(form[: data.draw(sizes)])
    form = data.draw(st.sampled_from(tier.forms))
    assert tier.meets("é" * data.draw(st.integers(0, 5)) + "x" * data.draw(st.integers(0, 40)) + form + "x")
    assert not tier.meets("x" * 200)


def test_many_secrets_are_all_found() -> None:
    secrets = [f"sk-{number:05d}-{'k' * (number % 50)}" for number in range(500)]
    redaction = knowing(*secrets)
    text = "\n".join(f"the key {secret} is wrong" for secret in secrets)
    assert redaction.clean(text) == "\n".join(["the key [redacted] is wrong"] * 500)
