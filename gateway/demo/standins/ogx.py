"""A stand-in for OGX, once Llama Stack: errors with a message and little else, ids that begin with a provider."""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from gateway.demo.standins.hosted import as_json
from gateway.demo.standins.llama import LlamaError
from gateway.demo.standins.plain import Plain, server
from gateway.demo.standins.wire import Json, Manner, event, is_done

MODELS = ("vllm/meta-llama/Llama-3.1-8B-Instruct",)
CONTEXT = 8192
VERSION = "1.2.0"
USUAL = {401: "Authentication required.", 404: "Model not found.", 500: "Internal server error: An unexpected error."}


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status."""
    return {"error": {"message": message or USUAL.get(status, "Request failed.")}}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure, after which nothing follows."""
    return event(refuse(status, message))


class Ogx(Plain):
    """OGX's voice."""

    manner = Manner(refuse, interrupt, is_done, frozenset({"usage"}))

    def unknown(self, model: str) -> str:
        """How it says that it does not have a model."""
        return f"Model '{model}' not found. Use 'client.models.list()' to list available Models."

    def long(self, error: LlamaError) -> str:
        """What the vLLM behind it says."""
        said = f"This model's maximum context length is {error.context} tokens."
        return f"Error code: 400 - {{'error': {{'message': \"{said}\", 'type': 'BadRequestError', 'code': 400}}}}"

    def row(self, id: str) -> Json:
        """One row of the model list."""
        facts = {"model_type": "llm", "provider_id": "vllm", "provider_resource_id": id.partition("/")[2]}
        return {**super().row(id), "owned_by": "ogx", "custom_metadata": facts}

    def routes(self) -> Sequence[BaseRoute]:
        """Its version."""
        return [Route("/v1/version", version)]


async def version(request: Request) -> Response:
    """The version number."""
    return as_json({"version": VERSION})


app = server(Ogx, MODELS, CONTEXT)
