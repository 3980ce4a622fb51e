"""Text Generation Inference, Hugging Face's server."""

import re
from collections.abc import Mapping

import orjson

from gateway.errors import UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.failures import complaint
from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible, StreamDecoder
from gateway.types import ChatRequest, Chunk, Deployment, Json, Timeouts

TOO_LARGE, UNPROCESSABLE = 413, 422
TOO_LONG = re.compile(r"`inputs` (tokens \+|must have less than)")
ENDED = frozenset({"eos_token", "stop_sequence"})
STATUSES = {
    "validation": UNPROCESSABLE,
    "template_error": UNPROCESSABLE,
    "tool_error": UNPROCESSABLE,
    "overloaded": 429,
}


class Tgi(OpenAICompatible):
    """One model, under any name (its users write `tgi`); errors are `{error, error_type}`."""

    kind = Kind(
        "tgi",
        telemetry="tgi",
        location="self_hosted",
        timeouts=Timeouts(connect=2, first_token=12, first_token_last=120, idle=20, total=600),
    )

    def mend(self, body: Json) -> bool:
        """OpenAI's word for an answer that ended by itself, and a tool's arguments as text, not as an object."""
        changed = False
        for choice in body["choices"]:
            if choice.get("finish_reason") in ENDED:
                choice["finish_reason"], changed = "stop", True
            for function in functions(choice):
                if isinstance(function.get("arguments"), dict):
                    function["arguments"], changed = orjson.dumps(function["arguments"]).decode(), True
        return changed

    def error(self, deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """A prompt that does not fit is a 422 like any other mistake."""
        return super().error(deployment, fitting(status, complaint(body).message), headers, body)

    def decoder(self, request: ChatRequest, deployment: Deployment) -> Decoder:
        """A decoder for one stream."""
        return TgiDecoder(self, deployment)


class TgiDecoder(StreamDecoder):
    """A failure in a stream is an event in the same words as under a status of its own."""

    def chunk(self, data: bytes) -> Chunk | None:
        """One event as a chunk, its error with the status that it would have had."""
        if b'"error"' in data and (message := complaint(data).message):
            data = orjson.dumps({"error": {"message": message, "code": fitting(status_of(data), message)}})
        return super().chunk(data)


def functions(choice: Json) -> list[Json]:
    """The functions that a choice calls."""
    piece = choice.get("message") or choice.get("delta")
    calls = piece.get("tool_calls") if isinstance(piece, dict) else None
    found = [call.get("function") for call in calls or [] if isinstance(call, dict)] if isinstance(calls, list) else []
    return [function for function in found if isinstance(function, dict)]


def status_of(data: bytes) -> int:
    """The status that an error event stands for: by its type, or as newer versions write it."""
    event = orjson.loads(data)  # which was JSON, for it had a message
    error = event.get("error")
    said = error.get("http_status_code") if isinstance(error, dict) else STATUSES.get(str(event.get("error_type")))
    return said if isinstance(said, int) else 500


def fitting(status: int, message: str) -> int:
    """The status, but that of a body too large for a prompt that does not fit."""
    return TOO_LARGE if status == UNPROCESSABLE and TOO_LONG.search(message) else status
