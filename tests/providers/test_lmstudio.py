"""What only LM Studio's provider must get right: few forms of wishes, refusals inside of streams."""

import pytest

from gateway.demo.standins.faults import ErrorEvent, Refuse
from gateway.errors import ContextExceeded, ModelGone, Rejected, ServerFault

from .asking import LONG, asked, error_of, question

pytestmark = pytest.mark.asyncio


@pytest.mark.parametrize("stream", [False, True])
async def test_a_prompt_that_does_not_fit_may_fit_elsewhere(llama_url: str, stream: bool) -> None:
    assert type(await error_of("lmstudio", llama_url, question(stream, messages=LONG))) is ContextExceeded


async def test_mlx_says_it_otherwise(llama_url: str) -> None:
    fault = ErrorEvent(after_chunks=0, message="Context size has been exceeded.")
    assert type(await error_of("lmstudio", llama_url, question(stream=True), fault)) is ContextExceeded


async def test_any_other_event_of_failure_is_the_servers_fault(llama_url: str) -> None:
    assert type(await error_of("lmstudio", llama_url, question(stream=True), ErrorEvent())) is ServerFault


async def test_any_json_is_asked_for_as_a_schema(llama_url: str) -> None:
    _, sent = await asked("lmstudio", llama_url, question(response_format={"type": "json_object"}))
    assert sent["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(("code", "meaning"), [("model_not_found", ModelGone), ("other", Rejected)])
async def test_a_model_that_is_not_there_may_be_a_bad_request(
    llama_url: str, code: str, meaning: type[Exception]
) -> None:
    fault = Refuse(400, body={"error": {"message": "No.", "type": "invalid_request_error", "code": code}})
    assert type(await error_of("lmstudio", llama_url, question(), fault)) is meaning
