"""Several Redis servers: a master with a replica behind Sentinels, and a Cluster on one machine."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

import redis

from tests.redis_server import RedisServer, free_port

SECONDS = 30


def until(what: Callable[[], bool]) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            if what():
                return
        except redis.RedisError:
            pass
        time.sleep(0.05)
    raise AssertionError("It has not come true.")


@contextmanager
def sentinels() -> Iterator[tuple[RedisServer, RedisServer, RedisServer]]:
    """A master, its replica, and a Sentinel that makes the replica the master when that is gone for half a second."""
    with ExitStack() as stack:
        master = stack.enter_context(RedisServer())
        replica = stack.enter_context(RedisServer("--replicaof", "127.0.0.1", str(master.port)))
        watching = RedisServer(sentinel=True)
        lines = [
            f"sentinel monitor mymaster 127.0.0.1 {master.port} 1",
            "sentinel down-after-milliseconds mymaster 500",
            "sentinel failover-timeout mymaster 2000",
        ]
        (Path(watching.folder.name) / "redis.conf").write_text("\n".join(lines))
        stack.enter_context(watching)
        until(lambda: replicates(replica))
        until(lambda: len(cast("list[object]", watching.ask("SENTINEL", "REPLICAS", "mymaster"))) == 1)
        yield master, replica, watching


def replicates(server: RedisServer) -> bool:
    """Whether a replica has caught up."""
    facts = cast("dict[str, str]", server.client.info("replication"))
    return facts.get("master_link_status") == "up"


@contextmanager
def cluster() -> Iterator[list[RedisServer]]:
    """Three masters with a third of the slots each, and a replica of the first."""
    with ExitStack() as stack:
        options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "600")
        servers = [stack.enter_context(RedisServer(*options, "--cluster-port", str(free_port()))) for _ in range(4)]
        for server in servers[1:]:
            bus = server.options[-1]
            servers[0].ask("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        for index, server in enumerate(servers[:3]):
            last = 16383 if index == 2 else 5461 * (index + 1) - 1
            server.ask("CLUSTER", "ADDSLOTSRANGE", 5461 * index, last)
        name = servers[0].ask("CLUSTER", "MYID")
        until(lambda: servers[3].ask("CLUSTER", "REPLICATE", name) is not None)
        until(lambda: all(settled(server) for server in servers))
        until(lambda: replicates(servers[3]))
        yield servers


def settled(server: RedisServer) -> bool:
    """Whether a server of the Cluster knows it as whole, with the replica of the first range."""
    facts = cast("bytes", server.ask("CLUSTER", "INFO"))
    ranges = cast("list[list[object]]", server.ask("CLUSTER", "SLOTS"))
    return b"cluster_state:ok" in facts and len(min(ranges, key=lambda one: cast("int", one[0]))) == 4
