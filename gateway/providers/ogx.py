"""OGX, which was Llama Stack."""

from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Timeouts


class Ogx(OpenAICompatible):
    """OpenAI's API in front of other servers, whose cold starts it waits for; closes idle connections after 5 s.

    A Llama Stack that still has its OpenAI API under /v1/openai/v1 is an `openai_compatible` with that in its url.
    """

    kind = Kind(
        "ogx",
        telemetry="ogx",
        location="self_hosted",
        timeouts=Timeouts(connect=2, first_token=30, first_token_last=120, idle=30, total=600),
        keepalive=3,
    )
