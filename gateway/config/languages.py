"""Which language a request is written in, by an optional library that knows it from a few words."""

from collections.abc import Callable, Iterable

from gateway.routing.policy import Detect
from gateway.types import ChatRequest, Json

LOOKED_AT = 500  # characters
FEWEST = 12  # letters below which nothing is said
CERTAIN = 0.2  # by which the likeliest language must be ahead of the next
KNOWN = (
    "ar",
    "de",
    "en",
    "es",
    "fr",
    "hi",
    "id",
    "it",
    "ja",
    "ko",
    "nl",
    "pl",
    "pt",
    "ru",
    "th",
    "tl",
    "tr",
    "vi",
    "zh",
)
MISSING = "the language detector is not installed; install llama-gateway[language], or leave the language out"


def detector() -> Detect:
    """What tells the language of a request by its last user message; raises LookupError when it is not installed."""
    detect = library()

    def language(request: ChatRequest) -> str | None:
        text = last_said(request.body)[:LOOKED_AT]
        return detect(text) if sum(map(str.isalpha, text)) >= FEWEST else None

    return language


def library() -> Callable[[str], str | None]:
    """The library's own answer for a text: an ISO 639-1 code."""
    try:
        # Imported here: it is a large library that few policies need.
        from lingua import IsoCode639_1, LanguageDetectorBuilder
    except ImportError as exc:
        raise LookupError(MISSING) from exc
    codes = [getattr(IsoCode639_1, code.upper()) for code in KNOWN]
    builder = LanguageDetectorBuilder.from_iso_codes_639_1(*codes)
    built = builder.with_low_accuracy_mode().with_minimum_relative_distance(CERTAIN).build()

    def detect(text: str) -> str | None:
        found = built.detect_language_of(text)
        return None if found is None else str(found.iso_code_639_1.name).lower()

    return detect


def last_said(body: Json) -> str:
    """The text of the last user message."""
    messages = body.get("messages")
    for message in reversed(messages if isinstance(messages, list) else []):
        if isinstance(message, dict) and message.get("role") == "user":
            return text_of(message.get("content"))
    return ""


def text_of(content: object) -> str:
    """The text in a message's content."""
    if isinstance(content, str):
        return content
    parts: Iterable[object] = content if isinstance(content, list) else ()
    texts = [part.get("text") for part in parts if isinstance(part, dict)]
    return " ".join(text for text in texts if isinstance(text, str))
