"""Text Generation Inference, Hugging Face's server."""

import re
from collections.abc import Mapping

import orjson

from gateway.errors import UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.failures import complaint, spoken
from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import OpenAICompatible, StreamDecoder
from gateway.types import ChatRequest, Deployment, Json, Timeouts

TOO_LARGE, UNPROCESSABLE, FAILED = 413, 422, 500
TOO_LONG = re.compile(r"`inputs` (tokens \+|must have less than)")
FORMS = ("json_object", "json_schema")
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
        offers=frozenset({"json_object", "tool_choice"}),  # it passes over `n`
        health="/health",
    )

    odd = ("response_format",)

    def reword(self, body: Json) -> None:
        """A schema is called `value` here, and it stands also where any object will do."""
        wanted = body.get("response_format")
        if isinstance(wanted, dict) and wanted.get("type") in FORMS:
            form = wanted.get("json_schema")
            schema = form.get("schema") if isinstance(form, dict) else None
            body["response_format"] = {"type": "json_object", "value": schema or {"type": "object"}}

    def mend(self, body: Json) -> bool:
        """A tool's arguments as text, not as an object."""
        changed = False
        for choice in body["choices"]:
            piece = choice.get("delta") or choice.get("message")
            if not isinstance(piece, dict) or not piece.get("tool_calls"):
                continue
            for function in functions(piece["tool_calls"]):
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

    def refusal(self, body: Json) -> UpstreamError:
        """An error with the status that it would have had."""
        if message := spoken(body).message:
            body = {"error": {"message": message, "code": fitting(status_of(body), message)}}
        return super().refusal(body)


def functions(calls: object) -> list[Json]:
    """The functions that are called."""
    found = [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    return [function for function in found if isinstance(function, dict)]


def status_of(event: Json) -> int:
    """The status that an error event stands for: by its type, or as newer versions write it."""
    error = event.get("error")
    said = error.get("http_status_code") if isinstance(error, dict) else STATUSES.get(str(event.get("error_type")))
    return said if isinstance(said, int) else FAILED


def fitting(status: int, message: str) -> int:
    """The status, but that of a body too large for a prompt that does not fit."""
    return TOO_LARGE if status == UNPROCESSABLE and TOO_LONG.search(message) else status
