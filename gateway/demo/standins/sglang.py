"""A stand-in for SGLang's server: errors without a wrapper, but with one in a stream, and a sentence of its own."""

from gateway.demo.standins.hosted import Asked, Refusal
from gateway.demo.standins.llama import LlamaError, Piece
from gateway.demo.standins.plain import Plain, server
from gateway.demo.standins.wire import DONE, Json, Manner, event, is_done

MODELS = ("meta-llama/Llama-3.1-8B-Instruct",)
CONTEXT = 8192
TYPES = {400: "BadRequest", 404: "NotFoundError", 503: "ServiceUnavailable"}
USUAL = {503: "The request queue is full."}


def refuse(status: int, message: str | None) -> Json:
    """The error body of a status; a wrong key gets another one."""
    if status == 401:
        return {"error": "Unauthorized"}
    said = message or USUAL.get(status, "Internal server error")
    kind = TYPES.get(status, "InternalServerError")
    return {"object": "error", "message": said, "type": kind, "param": None, "code": status}


def interrupt(status: int, message: str | None) -> bytes:
    """A stream's failure: the same in a wrapper, and then the usual end all the same."""
    return event({"error": refuse(status, message)}) + DONE


class Sglang(Plain):
    """SGLang's voice."""

    manner = Manner(refuse, interrupt, is_done, frozenset({"usage"}))

    def unauthorized(self) -> Refusal:
        """What a wrong key gets."""
        return Refusal(401, refuse(401, None))

    def long(self, error: LlamaError) -> str:
        """How it says that a prompt does not fit."""
        return (
            f"The input ({error.prompt_tokens} tokens) is longer than the model's context length"
            f" ({error.context} tokens)."
        )

    def end(self, piece: Piece, asked: Asked) -> Json:
        """It says which token or text it stopped at."""
        return {"finish_reason": piece.finish, "matched_stop": 128009 if piece.finish == "stop" else None}

    def row(self, id: str) -> Json:
        """One row of the model list."""
        return {**super().row(id), "owned_by": "sglang", "root": id, "max_model_len": self.context}


app = server(Sglang, MODELS, CONTEXT)
