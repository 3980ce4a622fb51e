"""What never changes of a set of candidates."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.routing.lane import Candidate, Lane
from gateway.types import Price
from tests.routing.samples import deployment

PRICES = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=6)


@given(PRICES, st.integers(0, 10_000), st.integers(0, 10_000))
def test_dearest_prices_are_enough_to_tell_what_any_request_may_cost(
    prices: list[tuple[int, int]], prompt: int, completion: int
) -> None:
    priced = [deployment(f"b{index}", price=Price(*price)) for index, price in enumerate(prices)]
    lane = Lane([Candidate(one) for one in priced])
    every = [
        prompt * read + completion * written for read, written in zip(lane.input_usd, lane.output_usd, strict=True)
    ]
    assert max((prompt * read + completion * written for read, written in lane.dear), default=0.0) == max(
        every, default=0.0
    )
