"""Together AI."""

from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Json, Timeouts


class Together(OpenAICompatible):
    """OpenAI's API, but an answer that ended by itself says `eos`."""

    kind = Kind(
        "together",
        telemetry="together_ai",
        url="https://api.together.ai",
        credential="TOGETHER_API_KEY",
        needs_key=True,
        timeouts=Timeouts(connect=3, first_token=12, first_token_last=60, idle=30, total=600),
    )

    def mend(self, body: Json) -> bool:
        """`eos` is OpenAI's `stop`."""
        ended = [choice for choice in body["choices"] if choice.get("finish_reason") == "eos"]
        for choice in ended:
            choice["finish_reason"] = "stop"
        return bool(ended)
