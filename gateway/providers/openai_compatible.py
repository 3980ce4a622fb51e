"""Hosts that speak OpenAI's API; the base of every provider that does."""

from collections.abc import Sequence

import orjson

from gateway.errors import UpstreamError
from gateway.providers.decoder import Decoder
from gateway.providers.embedding import embedded
from gateway.providers.failures import stream_failure
from gateway.providers.finish import Endings
from gateway.providers.http import HttpProvider, not_promised
from gateway.providers.kind import Kind
from gateway.providers.port import HttpCall, ServedModel, Transport
from gateway.providers.sse import SseParser
from gateway.types import Backend, ChatRequest, Chunk, Deployment, Json

DONE = b"[DONE]"


class OpenAICompatible(HttpProvider):
    """POST {url}/v1/chat/completions, as OpenAI's API describes it."""

    kind = Kind("openai_compatible", telemetry="openai")
    prefix = "/v1"
    odd: tuple[str, ...] = ()  # fields of a request that the host words in its own way

    def __init__(self, backend: Backend, transport: Transport) -> None:
        super().__init__(backend, transport)
        base = backend.url.rstrip("/").removesuffix(self.prefix)
        self.chat_url = f"{base}{self.prefix}/chat/completions"
        self.embeddings_url = f"{base}{self.prefix}/embeddings"
        self.models_url = f"{base}{self.prefix}/models"
        self.headers = headers_of(backend)

    def call(self, request: ChatRequest, deployment: Deployment) -> HttpCall:
        """The chat request with the deployment's own id; usage is always asked for."""
        body = orjson.dumps(self.body(request, deployment))
        return HttpCall("POST", self.chat_url, self.headers, body, deployment.timeouts.connect)

    async def embed(self, text: str, deployment: Deployment) -> Sequence[float]:
        """The vector of a text."""
        body = orjson.dumps({"model": deployment.id, "input": text, "encoding_format": "float"})
        call = HttpCall("POST", self.embeddings_url, self.headers, body, deployment.timeouts.connect)
        return await embedded(self, call, deployment)

    def body(self, request: ChatRequest, deployment: Deployment) -> Json:
        """The body to send: unknown fields go along; hosts of Llama know `max_tokens` by its older name."""
        body = {**request.body, "model": deployment.id}
        if "max_completion_tokens" in body:
            body["max_tokens"] = body.pop("max_completion_tokens")
        if request.stream:
            body["stream_options"] = {**(body.get("stream_options") or {}), "include_usage": True}
        for name in self.odd:
            if name in body:
                self.reword(body)
                break
        return body

    def reword(self, body: Json) -> None:
        """Bring the fields that are `odd` into the host's words in place; called where there are any."""

    def mend(self, body: Json) -> bool:
        """Bring what is a host's own in an answer or chunk into canonical form in place; whether that changed it."""
        return False

    def completion(self, body: bytes, request: ChatRequest) -> Chunk:
        """The answer in one piece."""
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise not_promised(self.backend.name, "an answer that is not JSON") from exc
        if not isinstance(parsed, dict):
            raise not_promised(self.backend.name, "an answer that is not a JSON object")
        if error := parsed.get("error"):
            raise stream_failure(self.backend.name, "", error)
        if not choices_are_sound(parsed) or not parsed["choices"]:
            raise not_promised(self.backend.name, "an answer without choices")
        changed = self.mend(parsed) | Endings(self.backend.name).mend(parsed["choices"])
        return Chunk(orjson.dumps(parsed) if changed else body, parsed)

    def decoder(self, request: ChatRequest, deployment: Deployment) -> Decoder:
        """A decoder for one stream."""
        return StreamDecoder(self, deployment)

    def models_call(self) -> HttpCall:
        """GET {url}/v1/models."""
        return HttpCall("GET", self.models_url, self.headers, b"", self.backend.timeouts.connect)

    def models_listed(self, body: bytes) -> list[ServedModel]:
        """The ids, with vLLM's `max_model_len` where it is given."""
        try:
            parsed = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise not_promised(self.backend.name, "a list of models that is not JSON") from exc
        rows = parsed.get("data") if isinstance(parsed, dict) else parsed
        if not isinstance(rows, list):
            raise not_promised(self.backend.name, "a list of models of an unknown shape")
        return [
            ServedModel(row["id"], row.get("max_model_len") or row.get("context_length"))
            for row in rows
            if isinstance(row, dict) and isinstance(row.get("id"), str)
        ]


class StreamDecoder(Decoder):
    """OpenAI's event stream to chunks: bytes stay as they came unless the provider mends them."""

    def __init__(self, provider: OpenAICompatible, deployment: Deployment) -> None:
        super().__init__(provider.backend.name)
        self.mend = provider.mend
        self.model_id = deployment.id
        self.endings = Endings(self.backend)
        self.parser = SseParser()

    def split(self, part: bytes) -> list[bytes]:
        """The data of the events."""
        return self.parser.feed(part)

    def chunk(self, data: bytes) -> Chunk | None:
        """One event as a chunk; the first malformed one is skipped."""
        if data == DONE:
            self.done = True
            return None
        try:
            body = orjson.loads(data)
        except orjson.JSONDecodeError:
            body = None
        error = body.get("error") if isinstance(body, dict) else None
        if error:
            raise self.refusal(body)
        if not isinstance(body, dict) or not choices_are_sound(body):
            self.skip()
            return None
        if self.mend(body) | self.endings.mend(body["choices"]) or b"\n" in data:
            data = orjson.dumps(body)
        return Chunk(data, body)

    def refusal(self, body: Json) -> UpstreamError:
        """What an event with an `error` stands for."""
        return stream_failure(self.backend, self.model_id, body["error"])


def choices_are_sound(body: Json) -> bool:
    """Whether `choices` is a list of objects, as everything after this relies on."""
    choices = body.get("choices")
    if not isinstance(choices, list):
        return False
    for choice in choices:  # noqa: SIM110  # all() takes twice the time, and this is for every chunk
        if not isinstance(choice, dict):
            return False
    return True


def headers_of(backend: Backend) -> dict[str, str]:
    """The headers of every call to a backend: those of its YAML, over ours."""
    headers = {"content-type": "application/json", "accept-encoding": "identity", "user-agent": "llama-gateway"}
    if backend.api_key:
        headers["authorization"] = f"Bearer {backend.api_key}"
    return headers | {name.lower(): value for name, value in backend.headers.items()}
