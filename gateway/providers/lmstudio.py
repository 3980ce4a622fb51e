"""LM Studio's local server."""

from collections.abc import Mapping

from gateway.errors import UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.failures import CONTEXT, complaint, spoken
from gateway.providers.kind import Kind
from gateway.providers.llama_cpp import LlamaCpp
from gateway.providers.openai_compatible import StreamDecoder
from gateway.types import ChatRequest, Deployment, Json, Timeouts

BAD_REQUEST, NOT_FOUND = 400, 404
GONE = ("model_not_found", "model_not_loaded")
ANY_OBJECT: Json = {"type": "json_schema", "json_schema": {"name": "object", "schema": {"type": "object"}}}


class LmStudio(LlamaCpp):
    """llama.cpp or MLX underneath; loads a model when it is first asked for, closes idle connections after 5 s."""

    kind = Kind(
        "lmstudio",
        telemetry="lmstudio",
        location="self_hosted",
        timeouts=Timeouts(connect=2, first_token=30, first_token_last=300, idle=60, total=1800),
        keepalive=3,
        slots=4,
        capabilities=frozenset({"tools", "json_schema", "vision"}),
        offers=frozenset({"json_object", "tool_choice"}),
    )

    odd = ("tool_choice", "response_format")

    def reword(self, body: Json) -> None:
        """It knows no `json_object`, but a schema of any object; of tool choices it knows what llama.cpp knows."""
        super().reword(body)
        wanted = body.get("response_format")
        if isinstance(wanted, dict) and wanted.get("type") == "json_object":
            body["response_format"] = ANY_OBJECT

    def error(self, deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """A model that is not there may be a 400 here."""
        return super().error(deployment, NOT_FOUND if complaint(body).code in GONE else status, headers, body)

    def decoder(self, request: ChatRequest, deployment: Deployment) -> Decoder:
        """A decoder for one stream."""
        return LmStudioDecoder(self, deployment)


class LmStudioDecoder(StreamDecoder):
    """A stream that is refused starts under status 200 and says why in an event without a status."""

    def refusal(self, body: Json) -> UpstreamError:
        """A prompt that does not fit is no fault of the server."""
        message = spoken(body).message
        if CONTEXT.search(message):
            body = {"error": {"message": message, "code": BAD_REQUEST}}
        return super().refusal(body)
