"""The connection to the shared store: what it says, and what it does when a real server is away in every way."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
import structlog

from gateway.errors import StoreAway
from gateway.stores.redis import RedisStore, Script, call, shared_store
from gateway.stores.redis_layout import slot_of
from gateway.stores.redis_url import Patience, StoreUrlError, place
from tests.faults.proxy import Proxy, Weather
from tests.redis_server import CALM, RedisServer, free_port
from tests.stores.redis_fleets import cluster, sentinels

pytestmark = pytest.mark.asyncio
COUNT = Script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
BRIEF = 0.3  # seconds that nothing may take while the store is away
SOON = Patience(hold=0.2)
BACK = 30  # seconds in which it must be there again


@asynccontextmanager
async def opened(url: str, patience: Patience = SOON) -> AsyncIterator[RedisStore]:
    """A store that does not hold back for long."""
    store = RedisStore(replace(place(url), patience=patience))
    yield store
    await store.close()


@pytest_asyncio.fixture
async def store(redis_server: RedisServer) -> AsyncIterator[RedisStore]:
    """The store on a Redis that is well."""
    async with opened(redis_server.url, CALM) as made:
        yield made


@pytest_asyncio.fixture
async def fragile(own_redis: RedisServer) -> AsyncIterator[RedisStore]:
    """The store on a Redis that may be broken."""
    async with opened(own_redis.url) as made:
        assert await made.open()
        yield made


async def refused(store: RedisStore, times: int = 10) -> str:
    """That questions fail, each without delay; why the last one did."""
    reason = ""
    for _ in range(times):
        with pytest.raises(StoreAway) as caught:
            async with asyncio.timeout(BRIEF):
                await store.command("SET", "key", 1)
        reason = caught.value.logged
    return reason


async def back(store: RedisStore) -> None:
    """Wait until the store is there again."""
    async with asyncio.timeout(BACK):
        while True:
            try:
                await store.command("SET", "key", 1)
            except StoreAway:
                await asyncio.sleep(0.02)
            else:
                if store.up:
                    return


async def test_answers_are_bytes_integers_none_and_lists(store: RedisStore) -> None:
    assert await store.command("SET", "key", "value") == b"OK"
    assert await store.command("GET", "key") == b"value"
    assert await store.command("GET", "nothing") is None
    assert await store.command("RPUSH", "list", "a", 1, 2.5, b"\x00\r\n") == 4
    assert await store.command("LRANGE", "list", 0, -1) == [b"a", b"1", b"2.5", b"\x00\r\n"]


async def test_a_script_is_sent_by_its_hash_also_after_the_server_forgot_it(store: RedisStore) -> None:
    assert await store.run(COUNT, ["count"], [2]) == 2
    await store.command("SCRIPT", "FLUSH")
    assert await store.run(COUNT, ["count"], [3]) == 5
    assert await store.batch([COUNT.call(["count"], [1]), call("GET", "count")]) == [6, b"6"]


async def test_a_batch_is_one_round_trip_and_says_when_a_part_failed(store: RedisStore) -> None:
    assert await store.batch([call("SET", f"key-{n}", n) for n in range(100)]) == [b"OK"] * 100
    assert await store.batch([]) == []
    with pytest.raises(StoreAway, match="send it again"):
        await store.batch([call("SET", "key", 1), call("INCR", "key"), call("LPUSH", "key", 1)])
    assert await store.command("GET", "key") == b"2"


async def test_many_questions_at_once_each_get_their_own_answer(store: RedisStore) -> None:
    asked = [store.run(Script("return ARGV[1]"), ["key"], [n]) for n in range(500)]
    assert await asyncio.gather(*asked) == [str(n).encode() for n in range(500)]


async def test_a_question_that_is_given_up_does_not_shift_the_answers(store: RedisStore) -> None:
    await store.command("SET", "key", 1)
    task = asyncio.create_task(store.command("GET", "key"))
    await asyncio.sleep(0)
    task.cancel()
    assert await store.command("ECHO", "after") == b"after"


async def test_an_error_of_a_script_is_told_in_the_log_once_and_the_store_stays(store: RedisStore) -> None:
    wrong = Script("return redis.call('INCR', 'a', 'b')")
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            with pytest.raises(StoreAway):
                await store.run(wrong, ["a"])
    assert [line["event"] for line in lines if line["log_level"] == "error"] == ["store.refused"]
    assert store.up


async def test_nobody_at_the_address_is_told_at_once_and_once() -> None:
    async with opened("redis://127.0.0.1:1/0") as store:
        with structlog.testing.capture_logs() as lines:
            await refused(store)
        assert [line["event"] for line in lines] == ["store.down"]
        assert store.up is False


async def test_a_killed_server_costs_nobody_time_and_is_found_again(
    fragile: RedisStore, own_redis: RedisServer
) -> None:
    own_redis.kill()
    with structlog.testing.capture_logs() as lines:
        await refused(fragile)
        own_redis.start()
        await back(fragile)
    assert [line["event"] for line in lines] == ["store.down", "store.up"]
    assert await fragile.run(COUNT, ["count"], [1]) == 1


async def test_a_frozen_server_is_given_up_after_five_failures_without_any_traffic(
    fragile: RedisStore, own_redis: RedisServer
) -> None:
    own_redis.freeze()
    with structlog.testing.capture_logs() as lines:
        assert "did not answer within 50 ms" in await refused(fragile, 1)
        async with asyncio.timeout(5):
            while fragile.up:
                await asyncio.sleep(0.01)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await refused(fragile, 100)
        spent = loop.time() - begun
        own_redis.thaw()
        await back(fragile)
    assert [line["event"] for line in lines] == ["store.down", "store.up"]
    assert spent < 2, "a hundred refusals while it is down wait for nobody"


async def test_a_slow_server_is_as_good_as_none(own_redis: RedisServer) -> None:
    proxy = Proxy(Weather())
    proxy.target = f"http://127.0.0.1:{own_redis.port}"
    await proxy.listen()
    async with opened(f"redis://127.0.0.1:{proxy.port}/0") as store:
        assert await store.open()
        proxy.weather.latency = 0.2
        await refused(store)
        assert store.up is False
        proxy.weather.latency = 0.0
        await back(store)
    await proxy.refuse()


async def test_a_full_server_is_away_until_there_is_room(fragile: RedisStore, own_redis: RedisServer) -> None:
    own_redis.client.config_set("maxmemory-policy", "noeviction")
    own_redis.client.config_set("maxmemory", 1)
    with structlog.testing.capture_logs() as lines:
        await refused(fragile)
        own_redis.client.config_set("maxmemory", 0)
        await back(fragile)
    assert [line["event"] for line in lines] == ["store.down", "store.up"]
    assert "OOM" in lines[0]["reason"]


async def test_a_server_that_may_only_be_read_is_away(fragile: RedisStore, own_redis: RedisServer) -> None:
    own_redis.client.replicaof("127.0.0.1", "1")
    with structlog.testing.capture_logs() as lines:
        with pytest.raises(StoreAway):
            await fragile.run(COUNT, ["count"], [1])
        await refused(fragile)
        own_redis.client.replicaof("NO", "ONE")
        await back(fragile)
    assert [line["event"] for line in lines] == ["store.down", "store.up"]
    assert "READONLY" in lines[0]["reason"]


async def test_a_wrong_password_is_told_without_showing_it() -> None:
    with RedisServer("--requirepass", "right-secret") as server:
        with structlog.testing.capture_logs() as lines:
            for login in ("", ":wrong-secret@"):
                async with opened(server.url.replace("//", f"//{login}")) as store:
                    await refused(store, 3)
            async with opened(server.url.replace("//", "//:right-secret@")) as store:
                await store.command("SET", "key", 1)
        told = str(lines)
        assert "NOAUTH" in told and "WRONGPASS" in told and "-secret" not in told


async def test_a_password_that_is_changed_while_we_run_is_no_hang(fragile: RedisStore, own_redis: RedisServer) -> None:
    client = own_redis.client
    client.config_set("requirepass", "new-password")
    client.client_kill_filter(_type="normal", skipme=True)
    await refused(fragile)
    client.config_set("requirepass", "")
    await back(fragile)


async def test_a_connection_that_the_server_closes_is_opened_again_unseen(
    fragile: RedisStore, own_redis: RedisServer
) -> None:
    fragile.met.clear()
    with structlog.testing.capture_logs() as lines:
        own_redis.client.client_kill_filter(_type="normal", skipme=True)
        await asyncio.sleep(0.05)
        assert await fragile.command("SET", "key", 1) == b"OK"
    assert lines == []


async def test_a_server_that_is_not_redis_is_away() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with opened(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0") as store:
        await refused(store, 3)
    server.close()


async def test_databases_are_apart(own_redis: RedisServer) -> None:
    async with opened(own_redis.url) as first, opened(own_redis.url.replace("/0", "/1")) as second:
        await first.command("SET", "key", 1)
        assert await second.command("GET", "key") is None


async def test_the_master_is_found_by_its_sentinels_and_again_after_a_failover() -> None:
    with sentinels() as (master, replica, watching):
        async with opened(f"redis+sentinel://127.0.0.1:1,127.0.0.1:{watching.port}/mymaster/0") as store:
            assert await store.run(COUNT, ["count"], [1]) == 1
            assert await store.command("WAIT", 1, 1000) == 1
            master.kill()
            await refused(store, 3)
            await back(store)
            assert await store.run(COUNT, ["count"], [1]) == 2
            assert replica.client.get("count") == b"2"


async def test_a_master_that_the_sentinels_do_not_know_is_told() -> None:
    with sentinels() as (_, _, watching):
        async with opened(f"redis+sentinel://127.0.0.1:{watching.port}/nobody/0") as store:
            with structlog.testing.capture_logs() as lines:
                await refused(store, 1)
            assert "nobody" in lines[0]["reason"]


async def test_a_cluster_is_asked_where_each_key_is_and_survives_a_failover() -> None:
    with cluster() as servers:
        async with opened(f"redis+cluster://127.0.0.1:{servers[1].port},127.0.0.1:1/") as store:
            keys = [f"{{{n}}}:count" for n in range(30)]
            assert await store.batch([COUNT.call([key], [1]) for key in keys]) == [1] * 30
            assert all(server.client.dbsize() > 0 for server in servers[:3])
            servers[0].kill()
            lost = next(key for key in keys if slot_of(key) < 5461)
            alive = next(key for key in keys if slot_of(key) >= 5461)
            with pytest.raises(StoreAway):
                await store.run(COUNT, [lost], [1])
            async with asyncio.timeout(BRIEF):
                with pytest.raises(StoreAway):
                    await store.run(COUNT, [lost], [1])
            async with asyncio.timeout(BACK):
                while True:
                    try:
                        counted = await store.run(COUNT, [lost], [1])
                        await store.run(COUNT, [alive], [1])
                        break
                    except StoreAway:
                        await asyncio.sleep(0.05)
            assert counted == 2
            assert servers[3].ask("ROLE")[0] == b"master"


async def test_a_slot_that_moved_is_followed() -> None:
    with cluster() as servers:
        async with opened(f"redis+cluster://127.0.0.1:{servers[0].port}/") as store:
            assert await store.run(COUNT, ["moving"], [1]) == 1
            slot = slot_of("moving")
            owner = next(one for one in servers[:3] if one.client.dbsize() and has(one, slot))
            other = next(one for one in servers[:3] if one is not owner)
            names = [one.ask("CLUSTER", "MYID").decode() for one in (owner, other)]
            other.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
            owner.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
            owner.ask("MIGRATE", "127.0.0.1", other.port, "moving", 0, 1000)
            assert await store.run(COUNT, ["moving"], [1]) == 2, "the owner says ASK"
            for one in (other, owner):
                one.ask("CLUSTER", "SETSLOT", slot, "NODE", names[1])
            assert await store.run(COUNT, ["moving"], [1]) == 3, "the owner says MOVED"
            assert await store.run(COUNT, ["moving"], [1]) == 4


def has(server: RedisServer, slot: int) -> bool:
    """Whether a server has keys of a slot."""
    return bool(server.ask("CLUSTER", "COUNTKEYSINSLOT", slot))


@pytest.mark.parametrize(
    ("key", "slot"),
    [("foo", 12182), ("{user1000}.following", 3443), ("user1000", 3443), ("foo{}{bar}", 8363), ("foo{{bar}}zap", 4015)],
)
async def test_slots_are_those_of_the_specification(key: str, slot: int) -> None:
    assert slot_of(key) == slot


async def test_tls_is_checked(tmp_path: Path) -> None:
    certify(tmp_path)
    files = ("--tls-cert-file", f"{tmp_path}/server.crt", "--tls-key-file", f"{tmp_path}/server.key")
    secure = free_port()
    trust = ("--tls-ca-cert-file", f"{tmp_path}/server.crt", "--tls-auth-clients", "no")
    with RedisServer("--tls-port", str(secure), *files, *trust):
        async with opened(f"rediss://localhost:{secure}/0?ca={tmp_path}/server.crt") as store:
            assert await store.command("SET", "key", 1) == b"OK"
        async with opened(f"rediss://localhost:{secure}/0") as store:
            with structlog.testing.capture_logs() as lines:
                assert not await store.open()
            assert "certificate" in lines[0]["reason"].lower()


async def test_files_of_tls_that_are_not_there_are_told_at_once() -> None:
    with pytest.raises(StoreUrlError, match="cannot be read"):
        shared_store("rediss://localhost/0?ca=/nowhere.pem")


def certify(directory: Path) -> None:
    """A certificate for localhost that signs itself."""
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2", "-nodes")
    files = ("-keyout", f"{directory}/server.key", "-out", f"{directory}/server.crt")
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)


async def test_memory_is_no_shared_store() -> None:
    assert shared_store("memory://") is None
