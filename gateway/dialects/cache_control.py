"""The `Cache-Control` request header, in RFC 9111's words."""

from gateway.types import CacheControl

PLAIN = CacheControl()


def cache_control(header: str | None) -> CacheControl:
    """What a caller asks of the cache; unknown directives are ignored, as the RFC has it."""
    if not header:
        return PLAIN
    words = dict(directive(word) for word in header.lower().split(","))
    age = words.get("max-age", "")
    return CacheControl(
        no_cache="no-cache" in words,
        no_store="no-store" in words,
        only_if_cached="only-if-cached" in words,
        max_age=float(age) if age.isascii() and age.isdigit() else None,
    )


def directive(word: str) -> tuple[str, str]:
    """One directive's name and value."""
    name, _, value = word.partition("=")
    return name.strip(), value.strip().strip('"')
