"""What only the provider of Hugging Face's router must get right: models by host, and what hosts say."""

import pytest

from gateway.demo.standins import huggingface
from gateway.demo.standins.faults import Refuse
from gateway.errors import ModelGone, QuotaExhausted

from .asking import asked, ends, error_of, question

pytestmark = pytest.mark.asyncio

MODEL = huggingface.MODELS[0]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_host_is_chosen_by_the_id_and_its_end_is_openais(llama_url: str, stream: bool) -> None:
    found, sent = await asked("huggingface", llama_url, question(stream, max_tokens=200), model=f"{MODEL}:together")
    assert sent["model"] == f"{MODEL}:together"
    assert ends(found) == ["stop"]


async def test_a_model_that_no_host_serves_is_gone_although_it_is_a_bad_request(llama_url: str) -> None:
    assert type(await error_of("huggingface", llama_url, question(), model="meta-llama/Nope")) is ModelGone


async def test_used_up_credits_are_no_ill_health(llama_url: str) -> None:
    error = await error_of("huggingface", llama_url, question(), Refuse(402))
    assert (type(error), error.verdict, error.again) == (QuotaExhausted, "neutral", False)
