"""What only SGLang's provider must get right: errors in its own words."""

import pytest

from gateway.demo.standins.faults import ErrorEvent, Refuse
from gateway.errors import ContextExceeded, Overloaded

from .asking import LONG, error_of, question

pytestmark = pytest.mark.asyncio

TOO_LONG = "The input (9012 tokens) is longer than the model's context length (8192 tokens)."
FULL = "Requested token count exceeds the model's maximum context length of 8192 tokens. You requested 9000 tokens."


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_does_not_fit_may_fit_elsewhere(llama_url: str, stream: bool) -> None:
    assert type(await error_of("sglang", llama_url, question(stream, messages=LONG))) is ContextExceeded


@pytest.mark.parametrize("sentence", [TOO_LONG, FULL])
async def test_a_prompt_that_is_refused_inside_of_a_stream_is_the_same(llama_url: str, sentence: str) -> None:
    fault = ErrorEvent(after_chunks=0, status=400, message=sentence)
    assert type(await error_of("sglang", llama_url, question(stream=True), fault)) is ContextExceeded


@pytest.mark.parametrize("stream", [False, True])
async def test_a_full_queue_is_overload(llama_url: str, stream: bool) -> None:
    fault = ErrorEvent(after_chunks=0, status=503) if stream else Refuse(503)
    assert type(await error_of("sglang", llama_url, question(stream), fault)) is Overloaded
