"""What the doctor says of the shared store, a real Redis."""

import asyncio
import json
from collections.abc import Iterator

import pytest

from gateway.fleet.checks.finding import Finding
from gateway.fleet.checks.store import judge, look
from gateway.stores.redis import RedisStore
from gateway.stores.redis_url import place
from tests.process import run
from tests.redis_server import RedisServer


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    """A Redis."""
    with RedisServer() as made:
        yield made


def looked(server: RedisServer) -> list[Finding]:
    """What there is to say of a server."""

    async def scenario() -> list[Finding]:
        return await look(RedisStore(server.place))

    return asyncio.run(scenario())


def test_nothing_is_said_of_a_server_that_is_well(server: RedisServer) -> None:
    assert looked(server) == []


def test_a_server_that_forgets_keys_is_an_error(server: RedisServer) -> None:
    server.client.config_set("maxmemory-policy", "allkeys-lru")
    (found,) = looked(server)
    server.client.config_set("maxmemory-policy", "noeviction")
    assert found.severity == "error" and "allkeys-lru" in found.what and "noeviction" in found.advice


def test_a_server_that_may_not_be_asked_is_a_note(server: RedisServer) -> None:
    server.client.acl_setuser("hosted", enabled=True, passwords=["+pass"], keys=["*"], commands=["+@all", "-config"])

    async def scenario() -> list[Finding]:
        return await look(RedisStore(place(server.url.replace("//", "//hosted:pass@"))))

    (found,) = asyncio.run(scenario())
    assert found.severity == "info"


def test_nobody_at_the_address_is_an_error() -> None:
    async def scenario() -> list[Finding]:
        return await look(RedisStore(place("redis://127.0.0.1:1")))

    (found,) = asyncio.run(scenario())
    assert found.severity == "error" and "127.0.0.1:1" in found.what


def test_an_old_server_is_an_error() -> None:
    (found,) = judge({"redis_version": "5.0.14"}, "noeviction")
    assert found.severity == "error" and "5.0.14" in found.what
    assert judge({"redis_version": "7.0.15"}, "noeviction") == []


def test_the_verb_says_it_in_its_report_and_nowhere_else(server: RedisServer) -> None:
    server.client.config_set("maxmemory-policy", "volatile-lru")
    done = run("doctor", "--format", "json", env={"GATEWAY_STORE_URL": server.url, "GATEWAY_SECRET": "s" * 40})
    server.client.config_set("maxmemory-policy", "noeviction")
    found = json.loads(done.stdout)["findings"]
    assert [one["check"] for one in found][:1] == ["store"]
    assert done.returncode == 2 and "store.up" not in done.stdout + done.stderr
