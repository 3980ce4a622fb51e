"""A stand-in for Hugging Face's router: other hosts behind it, chosen by a suffix, whose words come through."""

from collections.abc import Sequence

from starlette.types import ASGIApp

from gateway.demo.standins.hosted import KEY, Asked, Desk, Refusal, hosted
from gateway.demo.standins.llama import Llama, Piece
from gateway.demo.standins.plain import Plain
from gateway.demo.standins.script import Script
from gateway.demo.standins.wire import DONE, Json, Manner, event, is_done

BASE = "/v1"
MODELS = ("meta-llama/Llama-3.1-8B-Instruct",)
HOSTS = ("novita", "together")  # the second ends an answer with `eos`
CONTEXT = 8192
USUAL = {
    401: "Invalid username or password.",
    402: "You have exceeded your monthly included credits for Inference Providers.",
}


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status: a string from the router, an object from the hosts behind it."""
    if status in USUAL:
        return {"error": USUAL[status]}
    return {"error": {"message": message or "Internal Server Error", "type": "server_error", "code": None}}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: an error event, and then the usual end all the same."""
    return event(refuse(status, message)) + DONE


def gone(model: str) -> Json:
    """The error body of a model that no host serves; its status is 400."""
    said = f"The requested model '{model}' is not supported by any provider you have enabled."
    return {
        "error": {"message": said, "type": "invalid_request_error", "param": "model", "code": "model_not_supported"}
    }


class HuggingFace(Plain):
    """The router's voice."""

    manner = Manner(refuse, interrupt, is_done, frozenset({"usage"}))

    def unknown_model(self, model: str) -> Refusal:
        """What a model that no host serves gets."""
        return Refusal(400, gone(model))

    def end(self, piece: Piece, asked: Asked) -> Json:
        """A host's own word."""
        eos = piece.finish == "stop" and asked.model.endswith(":together")
        return {"finish_reason": "eos" if eos else piece.finish}

    def models(self, ids: Sequence[str]) -> object:
        """Models under their own names, with the hosts of each."""
        hosts = [{"provider": name, "status": "live", "context_length": self.context} for name in HOSTS]
        plain = [id for id in ids if ":" not in id]
        return {"object": "list", "data": [{**self.row(id), "providers": hosts} for id in plain]}


def app(
    llama_url: str,
    *,
    key: str = KEY,
    models: Sequence[str] = MODELS,
    context: int = CONTEXT,
    script: Script | None = None,
) -> ASGIApp:
    """The router in front of the llama.cpp server at a URL."""
    llama = Llama(llama_url)
    voice = HuggingFace(models, context)
    ids = [*models, *(f"{model}:{host}" for model in models for host in HOSTS)]
    return hosted(llama, Desk(voice, llama, key, ids), voice.manner, BASE, script)
