"""Groq."""

from gateway.providers.failures import stream_failure
from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.types import Json, Timeouts


class Groq(OpenAICompatible):
    """OpenAI's API under /openai; a stream's usage may come inside `x_groq` only."""

    kind = Kind(
        "groq",
        telemetry="groq",
        url="https://api.groq.com",
        credential="GROQ_API_KEY",
        needs_key=True,
        timeouts=Timeouts(connect=3, first_token=5, first_token_last=30, idle=10, total=120),
        offers=frozenset({"json_object", "tool_choice"}),
    )
    prefix = "/openai/v1"

    def mend(self, body: Json) -> bool:
        """Usage at the top, where OpenAI has it; an error in `x_groq` ends the stream."""
        extra = body.get("x_groq")
        if not isinstance(extra, dict):
            return False
        if error := extra.get("error"):
            raise stream_failure(self.backend.name, "", error)
        usage = extra.pop("usage", None)  # it must be in one place only: a caller who did not ask gets none
        if not usage:
            return False
        body["usage"] = body.get("usage") or usage
        return True
