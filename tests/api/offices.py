"""An admin plane with a state directory, without a socket."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import date
from pathlib import Path
from typing import Any

import httpx

from gateway import app
from gateway.catalogue import Catalogue
from gateway.config.live import LivePolicy
from gateway.config.loading import read
from gateway.stores.state import StateFile

ADMIN_KEY = "admin-key-of-the-tests-0123456789abcdef"
SECRET = b"0123456789abcdef0123456789abcdef"
TEXT = """version: 1
backends:
  a: {provider: vllm, url: "http://127.0.0.1:9", models: {llama-3.1-8b-instruct: {id: x}}}
routes:
  - {name: chat, match: {model: [auto]}, models: [llama-3.1-8b-instruct]}
callers:
  written: {key: a-key-of-the-policy, team: research, limits: {usd_per_day: 2}, class: critical}
teams:
  research: {limits: {usd_per_month: 50}}
"""


class Office:
    """A gateway whose planes are asked directly."""

    def __init__(self, directory: Path, text: str = TEXT) -> None:
        loaded = read(text.encode(), "policy.yaml", {}, Catalogue.load(), date(2026, 11, 24))
        assert loaded.policy is not None, loaded.problems
        self.state = StateFile.open(directory)
        self.gateway = app.build(LivePolicy(loaded), ADMIN_KEY, kept=app.Kept(self.state, SECRET))
        assert self.gateway.books is not None
        self.books = self.gateway.books

    def ask(self, method: str, path: str, key: str | None = ADMIN_KEY, **more: Any) -> httpx.Response:
        """What the admin plane answers."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        return asyncio.run(asked(self.gateway.admin, method, f"http://localhost{path}", headers, more))

    def data(self, key: str, path: str = "/v1/models", peer: str = "127.0.0.1") -> httpx.Response:
        """What the data plane answers to whoever has that key."""
        headers = {"authorization": f"Bearer {key}"} if key else {}
        return asyncio.run(asked(self.gateway.data, "GET", f"http://localhost{path}", headers, {}, peer))


async def asked(
    plane: Callable[..., Awaitable[None]],
    method: str,
    url: str,
    headers: dict[str, str],
    more: dict[str, Any],
    peer: str = "127.0.0.1",
) -> httpx.Response:
    """One request to a plane."""
    transport = httpx.ASGITransport(plane, client=(peer, 1))
    async with httpx.AsyncClient(transport=transport) as client:
        return await client.request(method, url, headers=headers, **more)
