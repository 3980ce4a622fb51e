"""AWS Bedrock: Converse and ConverseStream, since it has no OpenAI-compatible address for Llama."""

import os
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

import botocore  # type: ignore[import-untyped]  # noqa: F401  # cheap; says at once that the extra is not installed
import orjson

from gateway.errors import Unreachable, UpstreamError
from gateway.providers.bedrock_answer import EventDecoder, completion, replayed
from gateway.providers.bedrock_errors import refusal
from gateway.providers.bedrock_request import converse_body, is_llama, may_call, profile_id
from gateway.providers.decoder import Decoder
from gateway.providers.http import HttpProvider, loaded, not_promised
from gateway.providers.kind import Kind
from gateway.providers.openai_compatible import headers_of
from gateway.providers.port import HttpCall, ServedModel, Transport
from gateway.types import Backend, ChatRequest, Chunk, Deployment, Json, Timeouts

if TYPE_CHECKING:
    from gateway.providers.bedrock_access import SigningTransport, Wallet

RUNTIME, CONTROL = "bedrock-runtime", "bedrock"  # the services that answer, and that list models
TOKEN = "AWS_BEARER_TOKEN_BEDROCK"  # noqa: S105  # the name of a variable
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
REGION_OF_URL = re.compile(r"//[\w.-]*\bbedrock-runtime(?:-fips)?\.([a-z0-9-]+)\.")


def replays(request: ChatRequest, deployment: Deployment) -> bool:
    """Where Llama may call tools, Bedrock has no stream, and a whole answer is replayed as one."""
    return request.stream and is_llama(deployment.id) and may_call(request.body)


class Bedrock(HttpProvider):
    """POST {url}/model/{id}/converse and converse-stream, signed with AWS's chain of credentials or a bearer key."""

    kind = Kind(
        "bedrock",
        telemetry="aws.bedrock",
        needs_url=False,  # it follows from the region
        timeouts=Timeouts(connect=3, first_token=15, first_token_last=60, idle=30, total=900),
        keepalive=50,
        capabilities=frozenset({"tools", "vision"}),
        offers=frozenset(),
        whole=replays,
        signs=(TOKEN, "AWS_ACCESS_KEY_ID", "AWS_PROFILE"),
        regions=REGIONS,
        region="us-east-1",
        region_form=r"[a-z]{2,4}(-[a-z]+)+-\d+",
    )

    def __init__(
        self,
        backend: Backend,
        transport: Transport,
        clock: Callable[[], float] = time.time,
        wallet: "Wallet | None" = None,
    ) -> None:
        key = backend.api_key or (os.environ.get(TOKEN) if wallet is None else None)
        self.clock = clock
        self.region = region_of(backend)
        self.url = backend.url.rstrip("/") or (self.region and f"https://{RUNTIME}.{self.region}.amazonaws.com")
        self.signer = None if key else signing(backend, transport, self.region, clock, wallet)
        super().__init__(replace(backend, api_key=key), self.signer or transport)
        self.headers = headers_of(self.backend)

    def call(self, request: ChatRequest, deployment: Deployment) -> HttpCall:
        """The chat request in Converse's words; the model is part of the address."""
        id = quote(profile_id(deployment.id, self.region), safe="")
        url = f"{self.address()}/model/{id}/converse{'-stream' if request.stream else ''}"
        body = orjson.dumps(converse_body(request, deployment))
        return HttpCall("POST", url, self.headers, body, deployment.timeouts.connect)

    async def answer(self, request: ChatRequest, deployment: Deployment) -> AsyncIterator[list[Chunk]]:
        """The answer in canonical chunks as they arrive, or one chunk when the request does not stream."""
        replay = replays(request, deployment)
        # Converse does not say who answers, so it is the model that is asked.
        asked = replace(request, model=deployment.id, stream=request.stream and not replay)
        batches = cast("Any", super().answer(asked, deployment))  # an async generator, which can be closed
        async with aclosing(batches):
            async for batch in batches:
                yield replayed(batch[0].body) if replay else batch

    def completion(self, body: bytes, request: ChatRequest) -> Chunk:
        """The answer in one piece."""
        return completion(self.backend.name, body, self.head(request, "chat.completion"))

    def decoder(self, request: ChatRequest, deployment: Deployment) -> Decoder:
        """A decoder for one stream."""
        head = self.head(request, "chat.completion.chunk")
        return EventDecoder(self.backend.name, deployment.id, head, self.redacted)

    def error(self, deployment: Deployment, status: int, headers: Mapping[str, str], body: bytes) -> UpstreamError:
        """The error that an answer other than 200 stands for."""
        return refusal(self.backend.name, deployment.id, status, headers, self.redacted(body))

    def redacted(self, body: bytes) -> bytes:
        """An error's body without our own credentials, those that were found by the chain included."""
        for secret in self.signer.secrets if self.signer else ():
            body = body.replace(secret.encode(), b"[redacted]")
        return super().redacted(body)

    def models_call(self) -> HttpCall:
        """GET /foundation-models, at the service beside the one that answers."""
        url = f"{self.address().replace(f'//{RUNTIME}.', f'//{CONTROL}.')}/foundation-models?byProvider=meta"
        return HttpCall("GET", url, self.headers, b"", self.backend.timeouts.connect)

    def models_listed(self, body: bytes) -> list[ServedModel]:
        """The ids that can be asked on demand, by themselves or through a profile of the region's geography."""
        rows = (loaded(body) or {}).get("modelSummaries")
        if not isinstance(rows, list):
            raise not_promised(self.backend.name, "a list of models of an unknown shape")
        found = [row for row in rows if isinstance(row, dict) and isinstance(row.get("modelId"), str)]
        return [ServedModel(id) for row in found if (id := self.servable(row))]

    def servable(self, row: Json) -> str | None:
        """The id to ask a listed model by; None when it has to be bought first."""
        types = row.get("inferenceTypesSupported") or []
        if "ON_DEMAND" in types:
            return str(row["modelId"])
        return profile_id(row["modelId"], self.region) if "INFERENCE_PROFILE" in types else None

    def head(self, request: ChatRequest, kind: str) -> Json:
        """What an answer begins with; Converse has neither id nor time."""
        return {
            "id": f"chatcmpl-{request.id}",
            "object": kind,
            "created": int(self.clock()),
            "model": request.model,
        }

    def address(self) -> str:
        """Where the service is; raises Unreachable when nobody has said in which region."""
        if not self.url:
            name = self.backend.name
            raise Unreachable(f"Backend '{name}' has no region; write `region: us-east-1` or the like in the policy.")
        return self.url


def region_of(backend: Backend) -> str | None:
    """A backend's region: of the policy, of its address, or of the environment."""
    found = REGION_OF_URL.search(backend.url)
    written = backend.region or (found[1] if found else None)
    return written or next((os.environ[name] for name in REGIONS if os.environ.get(name)), None)


def signing(
    backend: Backend, transport: Transport, region: str | None, clock: Callable[[], float], wallet: "Wallet | None"
) -> "SigningTransport":
    """The transport that signs for a backend."""
    # Imported here: it is a tenth of a second that only those need who sign.
    from gateway.providers.bedrock_access import Chain, SigningTransport

    return SigningTransport(transport, wallet or Chain(backend.name), region or "us-east-1", clock)
