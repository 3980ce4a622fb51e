"""Runs one ASGI app on a free local port inside the current event loop, for as long as a context is open."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

STOP_SECONDS = 5.0
GRACE_SECONDS = 1.0  # for what still answers when the server ends
TICK_SECONDS = 1.0  # how often the Date header changes


class _Protocol(HttpToolsProtocol):
    """HTTP that lets the app close its connection, which ASGI alone has no word for."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {"standin.transport": {"transport": self.transport}}


class _Server(uvicorn.Server):
    """A server that says when it has started, leaves signals to its host, and starts and ends without waiting."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()
        self.leaving = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as exc:  # from inside a task it would end the whole event loop
            raise RuntimeError("The app failed to start.") from exc
        self.ready.set()

    async def main_loop(self) -> None:
        """Uvicorn's own looks ten times a second whether it should end."""
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.leaving.wait(), TICK_SECONDS)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Uvicorn's own gives connections a tenth of a second, and looks as often whether they are gone."""
        for server in self.servers:
            server.close()
        self.hang_up()
        await asyncio.sleep(0)  # what hangs up is told in the next round of the loop
        if tasks := list(self.server_state.tasks):
            _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
            for task in late:
                task.cancel()
        await self.lifespan.shutdown()

    def leave(self) -> None:
        """End."""
        self.should_exit = True
        self.leaving.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def hang_up(self) -> None:
        """Close every open connection; what still answers on them is told that its client left."""
        for connection in list(self.server_state.connections):
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()


class Served:
    """An ASGI app on 127.0.0.1 while the context is open; `url` is its address."""

    def __init__(self, app: ASGIApp, port: int = 0) -> None:
        self._app = app
        self._port = port
        self.url = ""

    async def __aenter__(self) -> Self:
        listener = socket.create_server(("127.0.0.1", self._port))
        # asyncio does this only to sockets that know their protocol; without it a second write waits for 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        config = uvicorn.Config(
            self._app,
            http=_Protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
        )
        self._server = _Server(config)
        self._task = asyncio.create_task(self._server.serve([listener]))
        try:
            await self._started()
        except BaseException:
            self._task.cancel()
            listener.close()
            raise
        return self

    async def _started(self) -> None:
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({ready, self._task}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if self._task.done():
            await self._task
            raise RuntimeError("The server ended before it had started.")

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.leave()
        await asyncio.wait({self._task}, timeout=STOP_SECONDS)
        if not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=STOP_SECONDS)
