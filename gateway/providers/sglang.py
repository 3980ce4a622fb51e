"""SGLang's OpenAI-compatible server."""

from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Timeouts


class Sglang(OpenAICompatible):
    """Takes everything OpenAI's API has and more, under any model name; closes idle connections after 5 s."""

    kind = Kind(
        "sglang",
        telemetry="sglang",
        location="self_hosted",
        timeouts=Timeouts(connect=2, first_token=12, first_token_last=120, idle=20, total=600),
        keepalive=3,
        prefill={"continue_final_message": True},
        health="/health",
    )
