"""The words of the Cache-Control request header."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.dialects.cache_control import cache_control
from gateway.types import CacheControl


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (None, CacheControl()),
        ("", CacheControl()),
        ("no-cache", CacheControl(no_cache=True)),
        ("No-Store", CacheControl(no_store=True)),
        ("no-cache, no-store", CacheControl(no_cache=True, no_store=True)),
        ("only-if-cached", CacheControl(only_if_cached=True)),
        ("max-age=60", CacheControl(max_age=60.0)),
        (' max-age = "60" , no-store', CacheControl(no_store=True, max_age=60.0)),
        ("max-age=0", CacheControl(max_age=0.0)),
        ("max-stale=60, unheard-of, public", CacheControl()),
    ],
)
def test_each_directive_is_read(header: str | None, found: CacheControl) -> None:
    assert cache_control(header) == found


@pytest.mark.parametrize("value", ["", "-1", "1.5", "1e9", "one", "²", "٣", "=5"])
def test_age_that_is_no_whole_number_is_no_age(value: str) -> None:
    assert cache_control(f"max-age={value}").max_age is None


def test_age_of_any_length_is_a_number() -> None:
    assert cache_control("max-age=" + "9" * 5000).max_age == float("inf")


@given(st.text() | st.lists(st.sampled_from(["no-cache", "max-age", "=", ",", '"', "9" * 400, " ", "²"])).map("".join))
def test_no_header_breaks_it(header: str) -> None:
    found = cache_control(header)
    assert found.max_age is None or found.max_age >= 0
