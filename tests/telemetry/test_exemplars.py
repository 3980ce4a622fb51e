"""The trace of a measurement."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.exemplars import exemplar

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize("parent", [f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-03", f"01-{TRACE}-{SPAN}-01-more"])
def test_sampled_trace_is_named(parent: str) -> None:
    assert exemplar(parent) == {"trace_id": TRACE}


@pytest.mark.parametrize(
    "parent",
    [
        "",
        f"00-{TRACE}-{SPAN}-00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}",
        "junk",
    ],
)
def test_nothing_is_named_where_nobody_keeps_the_trace_or_there_is_none(parent: str) -> None:
    assert exemplar(parent) is None


@given(st.text(max_size=80))
def test_callers_text_never_gets_in(text: str) -> None:
    found = exemplar(text)
    assert found is None or set(found["trace_id"]) <= set("0123456789abcdef")
