"""Hugging Face's router, which passes on to other hosts: `org/name`, or `org/name:host` to choose one."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.failures import complaint
from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Deployment, Timeouts

NOT_FOUND = 404


class HuggingFace(OpenAICompatible):
    """OpenAI's API; what the host behind it says is passed on as it is."""

    kind = Kind(
        "huggingface",
        telemetry="huggingface",
        url="https://router.huggingface.co",
        credential="HF_TOKEN",
        needs_key=True,
        timeouts=Timeouts(connect=3, first_token=15, first_token_last=60, idle=30, total=600),
        shared=True,  # it also opens downloads of models
    )

    def error(self, deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """A model that no host serves any more is a 400 here."""
        gone = complaint(body).code in ("model_not_supported", "model_not_found")
        return super().error(deployment, NOT_FOUND if gone else status, headers, body)
