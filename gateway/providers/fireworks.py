"""Fireworks AI."""

from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Timeouts


class Fireworks(OpenAICompatible):
    """OpenAI's API under /inference."""

    kind = Kind(
        "fireworks",
        telemetry="fireworks_ai",
        url="https://api.fireworks.ai",
        credential="FIREWORKS_API_KEY",
        needs_key=True,
        timeouts=Timeouts(connect=3, first_token=12, first_token_last=60, idle=30, total=600),
    )
    prefix = "/inference/v1"
