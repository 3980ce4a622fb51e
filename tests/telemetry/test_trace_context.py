"""What a `traceparent` says, and the spans that follow from it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.telemetry.trace_context import Trace, begun, trace_of

HEADER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACES = st.builds(Trace, st.integers(1, 2**128 - 1), st.integers(1, 2**64 - 1), st.sampled_from([0, 1]))


@given(TRACES)
def test_header_says_what_it_was_made_of(trace: Trace) -> None:
    assert trace_of(trace.header) == trace


@given(st.text())
def test_no_text_is_too_strange_to_be_read(text: str) -> None:
    found = trace_of(text)
    assert found is None or trace_of(found.header) == found


@pytest.mark.parametrize(
    "header",
    [
        "",
        HEADER.upper(),
        HEADER[:-1],
        f"{HEADER}0",
        f"ff{HEADER[2:]}",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-4bf92f3577b34da6a3ce929d0e0e4736-{'0' * 16}-01",
        f"{HEADER}\n",
    ],
)
def test_header_that_says_nothing_valid_is_none(header: str) -> None:
    assert trace_of(header) is None


def test_later_version_is_read_as_far_as_it_is_known() -> None:
    assert trace_of(f"01{HEADER[2:]}-more") == trace_of(HEADER)


@given(TRACES, st.integers(1, 1000), st.integers(1, 1000))
def test_spans_below_one_differ_from_it_and_from_one_another(trace: Trace, one: int, other: int) -> None:
    assert trace.child(one).trace == trace.trace
    assert trace.child(one).span != trace.span
    assert (trace.child(one) == trace.child(other)) == (one == other)


def test_request_joins_its_callers_trace_and_keeps_what_that_decided() -> None:
    found = begun(HEADER[:-1] + "0", lambda trace: True, lambda bits: 7)
    assert (found.trace, found.span, found.sampled) == (0x4BF92F3577B34DA6A3CE929D0E0E4736, 7, False)


@pytest.mark.parametrize("kept", [True, False])
def test_new_trace_is_kept_as_the_sampler_says(kept: bool) -> None:
    assert begun("nonsense", lambda trace: kept, lambda bits: bits) == Trace(128, 64, int(kept))
