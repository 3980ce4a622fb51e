"""Mixed traffic: rounds in which everything happens once that a metric counts."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx

from gateway.demo.standins.faults import Cut, Refuse, Silent
from tests.deploy.fleet import KEYS, Fleet

WORKERS = 4
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}


class Traffic:
    """Asks a fleet's gateway."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.client = httpx.Client(base_url=fleet.gateway.data, timeout=30)
        self.rounds = 0

    def ask(self, model: str, caller: str = "search", patience: int = 30_000, **more: Any) -> None:
        """One request; whatever comes of it is what it was for."""
        body = {
            "model": model,
            "max_tokens": 12,
            "messages": [{"role": "user", "content": "What does a gateway do?"}],
            **more,
        }
        key = KEYS.get(caller, "unknown")
        headers = {"authorization": f"Bearer {key}", "traceparent": TRACE, "x-request-timeout-ms": str(patience)}
        with contextlib.suppress(httpx.RemoteProtocolError):  # an answer that broke off
            self.client.post("/v1/chat/completions", json=body, headers=headers)

    def leave(self) -> None:
        """A caller who does not wait for the end."""
        body = {"model": "shaky", "stream": True, "messages": [{"role": "user", "content": "Go on and on."}]}
        headers = {"authorization": f"Bearer {KEYS['support']}"}
        with self.client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as answer:
            next(answer.iter_bytes(), None)

    def round(self) -> None:
        """Everything once, some of it side by side."""
        self.rounds += 1
        scripts = self.fleet.scripts
        scripts["shaky"].add(Cut(after_bytes=700), Refuse(500), Silent(after_chunks=3, seconds=5))
        for _ in range(2):
            self.ask("shaky", stream=True)
        self.leave()
        with ThreadPoolExecutor(WORKERS) as pool:
            list(pool.map(lambda arguments: self.ask(**arguments), self.usual()))

    def without_store(self) -> None:
        """A round while the shared store is away."""
        self.fleet.redis.kill()
        self.round()
        self.fleet.redis.start()

    def usual(self) -> Iterator[dict[str, Any]]:
        """The arguments of a round's requests."""
        for stream in (True, False, True):
            for model in ("chat", "laptop", "small", "failover", "rush", "cached"):
                yield {"model": model, "caller": "support" if model == "small" else "search", "stream": stream}
        for model in ("compared", "careful"):  # too few tokens for an object
            yield {"model": model, "max_tokens": 3, "response_format": {"type": "json_object"}}
        yield {"model": "compared"}
        for _ in range(3):
            yield {"model": "narrow"}
            yield {"model": "narrow", "patience": 100}
            yield {"model": "tired"}
            yield {"model": "chat", "caller": "hasty"}
        yield {"model": "no-such-model"}
        yield {"model": "broken", "messages": [{"role": "user", "content": "Nobody is named."}] * 2}
        yield {"model": "chat", "caller": "stranger"}
        yield {"model": "laptop", "messages": [{"role": "user", "content": [IMAGE]}]}  # nobody here can see
