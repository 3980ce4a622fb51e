"""POST /admin/cache/purge."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from gateway.api.admin_cache import cache_router
from gateway.errors import StoreAway
from gateway.stores.cache import Entry, Kept, MemoryCache, Purge


def client(cache: Any) -> TestClient:
    app = FastAPI()
    app.include_router(cache_router(cache))
    return TestClient(app)


def filled() -> MemoryCache:
    cache = MemoryCache()

    async def fill() -> None:
        for caller in ("a", "b"):
            for route in ("chat", "code"):
                await cache.put(f"{caller}{route}".encode(), Entry(b"{}", "by", caller, route, "llama"), 60.0)

    asyncio.run(fill())
    return cache


@pytest.mark.parametrize(
    ("body", "count"),
    [(None, 4), ({}, 4), ({"caller": "a"}, 2), ({"caller": "a", "route": "chat"}, 1), ({"model": "x"}, 0)],
)
def test_purge_says_how_many_answers_are_gone(body: Any, count: int) -> None:
    cache = filled()
    answer = client(cache).post("/admin/cache/purge", json=body)
    assert answer.json() == {"purged": count}
    assert len(cache.entries) == 4 - count


@pytest.mark.parametrize("body", [{"caler": "a"}, {"caller": 1}, {"caller": "x" * 201}, []])
def test_what_is_no_purge_purges_nothing(body: Any) -> None:
    cache = filled()
    assert client(cache).post("/admin/cache/purge", json=body).status_code == 422
    assert len(cache.entries) == 4


class Away:
    """A store that does not answer."""

    async def get(self, keys: Sequence[bytes]) -> Sequence[Kept | None]:
        return [None] * len(keys)

    async def put(self, key: bytes, entry: Entry, ttl: float) -> None:
        """It is not there."""

    async def purge(self, which: Purge) -> int:
        raise StoreAway("away")


def test_store_that_is_away_is_a_503_since_nothing_was_purged() -> None:
    assert client(Away()).post("/admin/cache/purge").status_code == 503
