"""What two questions must share before their vectors are asked."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.alike import LONGEST, signature, split
from gateway.types import Preferences
from tests.routing.samples import BODY, request

SAME = [
    ("What is the capital of France?", "Which city is the capital of France?"),
    ("How do I boil 3 eggs?", "Please tell me how 3 eggs are boiled."),
    ("Why isn't the sky green?", "Why is the sky not green?"),
    ("It doesn\u2019t work", "It doesn't work"),
    ("how does one sort a list", "how to sort one list"),
]
OTHER = [
    ("Add 3 and 4", "Add 3 and 5"),
    ("Add 3 and 4", "Add 4 and 3"),
    ("Version 1.10 of it", "Version 1.1 of it"),
    ("Give me two examples", "Give me three examples"),
    ("What is the capital of France?", "What is the capital of Spain?"),
    ("Fly from Paris to London", "Fly from London to Paris"),
    ("London: how many people?", "Paris: how many people?"),
    ("Is it safe?", "Is it not safe?"),
    ("Is it safe?", "Isn't it safe?"),
    ("with sugar", "without sugar"),
    ("Ist das erlaubt?", "Ist das nicht erlaubt?"),
    ("Est-ce permis ?", "Ce n'est pas permis ?"),
    ("USA or EU", "EU or USA"),
    ("Berlin in 1945", "Berlin in 1989"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_other_words_for_the_same_have_one_signature(one: str, other: str) -> None:
    assert signature(one) == signature(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_another_number_name_or_negation_is_another_signature(one: str, other: str) -> None:
    assert signature(one) != signature(other)


@given(st.text(max_size=200), st.integers(0, 10**12), st.integers(0, 10**12))
def test_another_number_is_always_seen(text: str, one: int, other: int) -> None:
    assert (signature(f"{text} {one} x") == signature(f"{text} {other} x")) == (one == other)


def question(content: Any = "Hello", role: str = "user", **facts: Any) -> Any:
    fields = facts.pop("fields", {})
    body = {**BODY, "messages": [{"role": "system", "content": "Be brief."}, {"role": role, "content": content}]}
    return split(request(body={**body, **fields}, **facts))


def test_question_is_its_last_words_and_everything_else() -> None:
    found = question("Hello")
    assert found.text == "Hello"
    assert found.rest == question("Good day").rest
    assert found.rest["messages"][0] == {"role": "system", "content": "Be brief."}
    assert found.rest != question("Hello", fields={"temperature": 0}).rest


@pytest.mark.parametrize(
    "asked",
    [
        question([{"type": "text", "text": "Hello"}]),
        question(" "),
        question("x" * (LONGEST + 1)),
        question(None),
        question(role="assistant"),
        question(role="tool"),
        question(needs=frozenset({"tools"})),
        question(needs=frozenset({"json_schema"})),
        question(fields={"response_format": {"type": "text"}}),
        question(preferences=Preferences()),
    ],
)
def test_what_needs_an_answer_of_its_own_is_no_question(asked: Any) -> None:
    assert asked is None
