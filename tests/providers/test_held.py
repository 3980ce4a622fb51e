"""An answer that is in memory already."""

import pytest

from gateway.errors import InvalidResponse
from gateway.providers.held import Held


@pytest.mark.asyncio
async def test_body_can_be_had_whole_or_in_parts_and_again_after_that() -> None:
    answer = Held(200, {"content-type": "text/plain"}, b"hello")
    assert [part async for part in answer.parts()] == [b"hello"]
    await answer.end()
    answer.close()
    assert await answer.read(5) == b"hello"


@pytest.mark.asyncio
async def test_body_longer_than_may_be_read_is_no_answer() -> None:
    with pytest.raises(InvalidResponse, match="more than 4 bytes"):
        await Held(200, {}, b"hello").read(4)
