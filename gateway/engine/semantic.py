"""The semantic cache: answers to other questions that mean the same, where a route wants that."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from gateway.engine.alike import signature, split
from gateway.errors import UpstreamError
from gateway.providers.port import Embedder
from gateway.routing.policy import Semantic
from gateway.stores.cache_vectors import Question, Vector, Vectors, unit
from gateway.types import ChatRequest, Deployment, Json

SECONDS = 0.2  # that a vector may take; without one, the question is simply a new one
log = structlog.get_logger()


class Meant(NamedTuple):
    """A question as it is compared: with which others, what they must have in common, and its vector."""

    partition: bytes
    signature: bytes
    vector: Vector


class Semantics:
    """What is known of questions that were answered."""

    def __init__(self, vectors: Vectors | None = None) -> None:
        self.vectors = vectors or Vectors()
        self.failing: set[str] = set()  # names of deployments that lately made no vector

    async def meant(
        self,
        rules: Semantic,
        request: ChatRequest,
        name: Callable[[Json], bytes],
        embedder: Callable[[Deployment], Embedder | None],
    ) -> Meant | None:
        """A question as it is compared, by the first who can make a vector; None where there is nothing to compare.

        `name` gives the partition of a body without its last words, `embedder` who makes vectors, if they can now.
        """
        parts = split(request)
        if parts is None:
            return None
        for deployment in rules.embedders:
            maker = embedder(deployment)
            if maker is not None:
                vector = await self.vector(maker, parts.text, deployment)
                return None if vector is None else Meant(name(parts.rest), signature(parts.text), vector)
        return None

    async def vector(self, maker: Embedder, text: str, deployment: Deployment) -> Vector | None:
        """The vector of a text; None when it does not come in time."""
        try:
            async with asyncio.timeout(SECONDS):
                vector = unit(await maker.embed(text, deployment))
        except (TimeoutError, UpstreamError) as exc:
            reason = exc.logged if isinstance(exc, UpstreamError) else f"no vector within {SECONDS * 1000:.0f} ms"
            if deployment.name not in self.failing:
                self.failing.add(deployment.name)
                log.warning("embedding.failed", deployment=deployment.name, reason=reason)
            return None
        if deployment.name in self.failing:
            self.failing.discard(deployment.name)
            log.info("embedding.works", deployment=deployment.name)
        return vector

    def found(self, meant: Meant, threshold: float) -> Sequence[tuple[float, bytes]]:
        """How alike other questions are and the keys of their answers, the nearest first."""
        return self.vectors.nearest(meant.partition, meant.vector, meant.signature, threshold)

    def answered(self, meant: Meant, key: bytes) -> None:
        """The answer to a question is kept under that key."""
        self.vectors.add(meant.partition, meant.vector, Question(meant.signature, key))
