"""What only OGX's provider must get right: errors that quote a server behind it, and those of Llama Stack."""

import pytest

from gateway.demo.standins.faults import Refuse
from gateway.errors import ContextExceeded, Rejected

from .asking import LONG, error_of, question

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_does_not_fit_may_fit_elsewhere(llama_url: str, stream: bool) -> None:
    assert type(await error_of("ogx", llama_url, question(stream, messages=LONG))) is ContextExceeded


async def test_llama_stacks_errors_are_understood(llama_url: str) -> None:
    fault = Refuse(400, body={"error": {"detail": {"errors": [{"loc": ["body", "n"], "msg": "must be 1"}]}}})
    error = await error_of("ogx", llama_url, question(), fault)
    assert type(error) is Rejected and "must be 1" in error.message
