"""Together AI."""

from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Timeouts


class Together(OpenAICompatible):
    """OpenAI's API; an answer that ended by itself may say `eos`."""

    kind = Kind(
        "together",
        telemetry="together_ai",
        url="https://api.together.ai",
        credential="TOGETHER_API_KEY",
        needs_key=True,
        timeouts=Timeouts(connect=3, first_token=12, first_token_last=60, idle=30, total=600),
    )
