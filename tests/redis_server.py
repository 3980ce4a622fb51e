"""A real Redis: `redis-server` as a process of its own on a free port, which tests may kill, freeze and fill."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
import redis

from gateway.stores.redis import RedisStore
from gateway.stores.redis_url import Patience, Place, place

CALM = Patience(connect=5, operation=5, longest=10, hold=0.2)
PROGRAM = shutil.which("redis-server")
START_SECONDS = 20


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RedisServer:
    """One `redis-server`, without persistence unless options say otherwise."""

    def __init__(self, *options: str, port: int | None = None, sentinel: bool = False) -> None:
        if PROGRAM is None:
            if os.environ.get("CI"):
                raise RuntimeError("redis-server is not here, and CI skips nothing.")
            pytest.skip("redis-server is not here")
        self.port = port or free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="redis-of-tests-")
        self.options = options
        self.sentinel = sentinel
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where a gateway finds it."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def place(self) -> Place:
        """The same, for a store that waits as long as a busy machine needs and never holds back for long."""
        return replace(place(self.url), patience=CALM)

    @property
    def client(self) -> redis.Redis:
        """A client of redis-py, for what a test does behind the gateway's back."""
        return redis.Redis(port=self.port, socket_timeout=5)

    def ask(self, *words: str | int | float) -> Any:
        """The answer to any command."""
        return self.client.execute_command(*words)  # type: ignore[no-untyped-call]

    def start(self) -> "RedisServer":
        """Start it, empty unless it persists, and wait until it answers."""
        assert PROGRAM is not None
        plain = () if self.sentinel else ("--save", "", "--appendonly", "no")
        config = Path(self.folder.name) / "redis.conf"
        if self.sentinel or not config.exists():
            config.touch()
        command = [PROGRAM, str(config), "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder.name]
        command += [*plain, *self.options] + (["--sentinel"] if self.sentinel else [])
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait()
        return self

    def wait(self) -> None:
        """Wait until it answers, be it that it wants a password."""
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                self.client.ping()
                return
            except redis.AuthenticationError:
                return
            except redis.RedisError:
                time.sleep(0.02)
        raise RuntimeError(f"redis-server did not start on port {self.port}.")

    def kill(self) -> None:
        """End it at once, as a crash would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """It keeps its connections and does nothing."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """It goes on."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def __enter__(self) -> "RedisServer":
        """A running server."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self.kill()
        self.folder.cleanup()


async def in_redis(server: RedisServer, scenario: Callable[[RedisStore], Awaitable[None]]) -> None:
    """Run a scenario with a store that is connected."""
    store = RedisStore(place(server.url))
    try:
        assert await store.open()
        await scenario(store)
    finally:
        await store.close()
