"""Hugging Face's router, which passes on to other hosts: `org/name`, or `org/name:host` to choose one."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.failures import complaint
from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Deployment, Json, Timeouts

NOT_FOUND = 404
ENDED = frozenset({"eos", "eos_token", "stop_sequence"})  # how hosts behind it say `stop`


class HuggingFace(OpenAICompatible):
    """OpenAI's API; what the host behind it says is passed on as it is."""

    kind = Kind(
        "huggingface",
        telemetry="huggingface",
        url="https://router.huggingface.co",
        credential="HF_TOKEN",
        needs_key=True,
        timeouts=Timeouts(connect=3, first_token=15, first_token_last=60, idle=30, total=600),
    )

    def mend(self, body: Json) -> bool:
        """An answer that ended by itself says so in OpenAI's word."""
        ended = [choice for choice in body["choices"] if choice.get("finish_reason") in ENDED]
        for choice in ended:
            choice["finish_reason"] = "stop"
        return bool(ended)

    def error(self, deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """A model that no host serves any more is a 400 here."""
        gone = complaint(body).code in ("model_not_supported", "model_not_found")
        return super().error(deployment, NOT_FOUND if gone else status, headers, body)
