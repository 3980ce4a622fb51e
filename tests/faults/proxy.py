"""A TCP proxy with weather: delay, bandwidth, slices, resets, silence; what it does can be changed while it runs."""

import asyncio
import contextlib
import random
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.faults.wire import LINGER_NOT

PIECE = 1 << 16  # bytes of one read


@dataclass(slots=True)
class Weather:
    """What happens to the bytes that come from the upstream; seconds and bytes."""

    latency: float = 0.0
    jitter: float = 0.0  # added to the latency, from 0 to this
    rate: float = 0.0  # bytes a second; 0 is no limit
    slice: int = 0  # bytes of one write at most, and at random; 0 is no limit
    reset_after: int | None = None  # bytes of a connection
    swallow: bool = False  # nothing comes through, in either direction


class Proxy:
    """Listens, and forwards to a target that may be set later."""

    def __init__(self, weather: Weather | None = None, seed: int = 0, host: str = "127.0.0.1", port: int = 0) -> None:
        self.weather = weather or Weather()
        self.chance = random.Random(seed)
        self.target = ""
        self.host = host
        self.port = port  # 0: any
        self.count = 0  # of connections so far
        self.leaving = False
        self.server: asyncio.Server | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.host}:{self.port}"

    async def listen(self) -> "Proxy":
        """Take connections, at the same port as before."""
        self.server = await asyncio.start_server(self.connected, self.host, self.port, backlog=512)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def refuse(self) -> None:
        """Take no more connections; those that stand are cut."""
        if self.server is not None:
            self.server.close()
        for task in list(self.tasks):
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def leave(self) -> None:
        """Take no more connections, and close each at the end of its next stream, as a server that moves does."""
        assert self.server is not None
        self.server.close()
        self.leaving = True

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        task = asyncio.current_task()
        assert task is not None
        self.tasks.add(task)
        self.count += 1
        far_writer = None
        try:
            where = urlsplit(self.target)
            far, far_writer = await asyncio.open_connection(where.hostname, where.port)
            ways = [
                asyncio.ensure_future(self.forth(reader, far_writer)),
                asyncio.ensure_future(self.back(far, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self.tasks.discard(task)
            for end in (writer, far_writer):
                if end is not None:
                    end.close()

    async def forth(self, reader: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
        """From the gateway to the upstream."""
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(PIECE):
                if not self.weather.swallow:
                    far.write(data)
                    await far.drain()

    async def back(self, far: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """From the upstream to the gateway, through the weather."""
        passed = 0
        with contextlib.suppress(ConnectionError):
            while data := await far.read(PIECE):
                for piece in self.pieces(data):
                    if self.weather.reset_after is not None and passed + len(piece) > self.weather.reset_after:
                        reset(writer)
                        return
                    await self.wait(len(piece))
                    writer.write(piece)
                    passed += len(piece)
                    await writer.drain()
                if self.leaving and data.endswith(b"0\r\n\r\n"):
                    return

    def pieces(self, data: bytes) -> list[bytes]:
        """The data in the slices of this weather."""
        if self.weather.swallow:
            return []
        if not self.weather.slice:
            return [data]
        found = []
        while data:
            size = self.chance.randint(1, self.weather.slice)
            found.append(data[:size])
            data = data[size:]
        return found

    async def wait(self, size: int) -> None:
        """The time that so many bytes take."""
        weather = self.weather
        seconds = weather.latency + self.chance.random() * weather.jitter
        seconds += size / weather.rate if weather.rate else 0.0
        await asyncio.sleep(seconds)


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with a reset."""
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    writer.transport.abort()


class Deaf:
    """An address that takes no connection and refuses none: its backlog is full, so connecting to it hangs."""

    def __init__(self) -> None:
        self.door = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.waiting: list[socket.socket] = []
        for _ in range(4):
            waiter = socket.socket()
            waiter.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                waiter.connect(self.door.getsockname())
            self.waiting.append(waiter)

    @property
    def url(self) -> str:
        """The address."""
        return f"http://127.0.0.1:{self.door.getsockname()[1]}"

    def close(self) -> None:
        """Free the address."""
        for waiter in (*self.waiting, self.door):
            waiter.close()


def closed_url() -> str:
    """An address where nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        return f"http://127.0.0.1:{door.getsockname()[1]}"
