"""What an answer says of the cache, and that a kept stream goes out whole."""

import asyncio
from typing import Any

import pytest

from gateway.routing.policy import CachePolicy
from gateway.types import Price
from tests.api.test_chat import CALLERS, Call
from tests.engine.fakes import Rig, Script, finish, text, used, whole
from tests.engine.virtual_time import run
from tests.routing.samples import deployment, route

A = deployment("a", price=Price(1.0, 2.0))
KEPT = CachePolicy(60.0)
STREAM: Script = [text("Hello"), finish(), used()]


def rig(*script: Any, cache: CachePolicy | None = KEPT) -> Rig:
    return Rig(route(A, cache=cache), {"a": [list(script) or [whole("Hello")]]}, callers=CALLERS)


async def headers(of: Rig, control: str = "", **body: Any) -> dict[str, str]:
    call = Call(of, **body)
    await call.run(**({"cache-control": control} if control else {}))
    return {name.decode(): value.decode() for name, value in call.sent[0]["headers"]}


def test_miss_is_stored_and_hit_has_an_age_and_time_left() -> None:
    async def scenario() -> None:
        of = rig()
        first = await headers(of)
        await asyncio.sleep(12.7)
        second = await headers(of)
        assert (first["cache-status"], "age" in first) == ("llama-gateway; fwd=miss; stored", False)
        assert (second["cache-status"], second["age"]) == ("llama-gateway; hit; ttl=48", "12")
        assert (second["x-gateway-cache"], second["x-gateway-cost-usd"]) == ("hit", "0")

    run(scenario())


@pytest.mark.parametrize(
    ("control", "said"),
    [
        ("no-cache", "llama-gateway; fwd=request"),
        ("no-store, no-cache", "llama-gateway; fwd=bypass"),
        ("no-store", "llama-gateway; fwd=miss"),
        ("max-stale=60, min-fresh=5", "llama-gateway; fwd=miss; stored"),
    ],
)
def test_what_a_caller_forbids_is_told(control: str, said: str) -> None:
    assert run(headers(rig(), control))["cache-status"].startswith(said)


def test_route_without_a_cache_says_nothing_of_one() -> None:
    found = run(headers(rig(cache=None)))
    assert ("cache-status" in found, found["x-gateway-cache"]) == (False, "bypass")


def test_who_joins_is_collapsed() -> None:
    async def scenario() -> None:
        of = rig(1.0, whole("Hello"))
        found = await asyncio.gather(headers(of), headers(of))
        assert found[1]["cache-status"] == "llama-gateway; fwd=miss; collapsed"
        assert (found[1]["x-gateway-cache"], found[1]["x-gateway-cost-usd"]) == ("coalesced", "0")

    run(scenario())


@pytest.mark.parametrize("usage", [True, False])
def test_kept_stream_is_the_same_stream(usage: bool) -> None:
    async def scenario() -> None:
        of = rig(*STREAM)
        body: Any = {"stream": True, "stream_options": {"include_usage": usage}}
        sent = []
        for _ in range(2):
            call = Call(of, **body)
            await call.run()
            sent.append(b"".join(message.get("body", b"") for message in call.sent[1:]))
        assert sent[1].endswith(b"data: [DONE]\n\n")
        assert (b'"usage"' in sent[1]) == usage
        assert sent[1] == (sent[0].replace(b'"cost":0.000013', b'"cost":0.0') if usage else sent[0])

    run(scenario())
