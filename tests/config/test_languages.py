"""The language of a request is that of its last user message, and nothing is said of a few letters."""

from typing import Any

import pytest

from gateway.config.languages import detector, last_said
from tests.routing.samples import request

detect = detector()


def said(*contents: Any) -> Any:
    return request(body={"messages": [{"role": "user", "content": content} for content in contents]})


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What will the weather be like in Rome tomorrow?", "en"),
        ("Wie wird das Wetter morgen in Rom und in Mailand?", "de"),
        ("Je voudrais savoir quel temps il fera demain dans notre ville.", "fr"),
        ("¿Qué tiempo hará mañana en la ciudad de Roma?", "es"),
        ("कल रोम में मौसम कैसा रहेगा, कृपया बताइए?", "hi"),
        ("ok", None),
        ("12345 67890 12345 67890", None),
        ("", None),
    ],
)
def test_language_of_a_message(text: str, language: str | None) -> None:
    assert detect(said(text)) == language


def test_last_user_message_counts() -> None:
    assert detect(said("What will the weather be like?", "Wie wird das Wetter morgen in Rom sein?")) == "de"


@pytest.mark.parametrize("body", [{}, {"messages": None}, {"messages": ["x", 1]}, {"messages": [{"role": "user"}]}])
def test_body_without_text_has_no_language(body: Any) -> None:
    assert last_said(body) == ""
    assert detect(request(body=body)) is None


def test_text_parts_are_read_together() -> None:
    parts = [
        {"type": "text", "text": "Wie wird das Wetter"},
        {"type": "image_url"},
        {"type": "text", "text": "in Rom?"},
    ]
    assert last_said(said(parts).body) == "Wie wird das Wetter in Rom?"
