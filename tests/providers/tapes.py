"""An upstream's answers as they came over the wire, to be played again in memory or from a socket, whole or spoiled."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple
from urllib.parse import urlsplit

from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from gateway.errors import InvalidResponse, UpstreamError
from gateway.providers.port import HttpCall, Response, Transport
from gateway.providers.registry import provider_class
from gateway.providers.transport import PooledTransport
from gateway.types import ChatRequest

from .asking import ask, named
from .raw import Exchange
from .upstreams import Kind, Link, backend_of, deployment_of

NOWHERE = "http://127.0.0.1:9"
OF_THE_CONNECTION = frozenset({"content-length", "transfer-encoding", "connection", "date", "server"})


class Take(NamedTuple):
    """One answer on a tape."""

    method: str
    path: str
    status: int
    headers: Mapping[str, str]
    body: bytes

    def http(self, length: int | None = None, more: Mapping[str, str] = MappingProxyType({})) -> bytes:
        """The answer as bytes of HTTP; `length` is what it says of its body's, if that is not true."""
        kept = {name: value for name, value in self.headers.items() if name not in OF_THE_CONNECTION}
        size = len(self.body) if length is None else length
        rows = {**kept, **more, "content-length": str(size)}
        head = "".join(f"{name}: {value}\r\n" for name, value in rows.items())
        return f"HTTP/1.1 {self.status} Said\r\n{head}\r\n".encode("latin-1") + self.body


@dataclass(frozen=True, slots=True)
class Tape:
    """What an upstream said when one question was asked; the answer itself is in one of the takes."""

    takes: tuple[Take, ...]

    @property
    def carrier(self) -> Take:
        """The take with the answer: the stream, if there is one, else what came last."""
        streams = [take for take in self.takes if not take.headers["content-type"].startswith("application/json")]
        return (streams or self.takes)[-1]

    def at(self, method: str, path: str) -> Take | None:
        """What was last said there."""
        return next((take for take in reversed(self.takes) if (take.method, take.path) == (method, path)), None)

    def with_carrier(self, take: Take) -> "Tape":
        """The same with another answer."""
        return Tape(tuple(take if one is self.carrier else one for one in self.takes))

    def at_address(self, url: str) -> "Tape":
        """The same, where what it says of addresses points to another."""
        host = f"localhost:{urlsplit(url).port}".encode()
        return Tape(tuple(take._replace(body=take.body.replace(b"localhost:0", host)) for take in self.takes))


class Heard:
    """A response that is written to a tape when it is over."""

    def __init__(self, response: Response, call: HttpCall, takes: list[Take]) -> None:
        self.response = response
        self.call = call
        self.takes = takes
        self.status, self.headers = response.status, response.headers
        self.held: list[bytes] = []

    async def parts(self) -> AsyncIterator[bytes]:
        async for part in self.response.parts():
            self.held.append(part)
            yield part

    async def read(self, limit: int) -> bytes:
        body = await self.response.read(limit)
        self.held.append(body)
        return body

    async def end(self) -> None:
        await self.response.end()

    def close(self) -> None:
        self.response.close()
        port = str(urlsplit(self.call.url).port).encode()
        body = b"".join(self.held).replace(b"localhost:" + port, b"localhost:0")
        path = urlsplit(self.call.url).path
        self.takes.append(Take(self.call.method, path, self.status, dict(self.headers), body))


class Recorder:
    """A transport that remembers what came."""

    def __init__(self, inner: Transport) -> None:
        self.inner = inner
        self.takes: list[Take] = []

    async def send(self, call: HttpCall) -> Heard:
        return Heard(await self.inner.send(call), call, self.takes)

    async def close(self) -> None:
        await self.inner.close()


async def recorded(kind: Kind, llama_url: str, request: ChatRequest) -> Tape:
    """What the upstream of a kind says to a question."""
    speaker = named(kind.alike) if kind.alike else kind
    recorder = Recorder(PooledTransport(keepalive=3))
    async with Served(speaker.build(llama_url, Script())) as served:
        provider = provider_class(speaker.name)(backend_of(speaker, served.url), recorder)
        answer = await ask(Link(provider, deployment_of(speaker), Script()), request)
        await recorder.close()
    assert answer.error is None and answer.tally.complete
    return Tape(tuple(recorder.takes))


class Tapes:
    """The tapes of a session, each recorded when it is first wanted."""

    def __init__(self, llama_url: str) -> None:
        self.llama_url = llama_url
        self.kept: dict[tuple[str, str], Tape] = {}

    async def of(self, kind: Kind, request: ChatRequest) -> Tape:
        """What the upstream of a kind says to a question."""
        key = (kind.alike or kind.name, repr(request.body))
        if key not in self.kept:
            self.kept[key] = await recorded(kind, self.llama_url, request)
        return self.kept[key]


class Played:
    """A take as a response: in the parts that are given, and cut by an error if one is."""

    def __init__(self, take: Take, parts: list[bytes] | None, cut: UpstreamError | None) -> None:
        self.status, self.headers = take.status, take.headers
        self.given = [take.body] if parts is None else parts
        self.cut = cut
        self.closed = False

    async def parts(self) -> AsyncIterator[bytes]:
        for part in self.given:
            if part:
                yield part
        if self.cut is not None:
            raise self.cut

    async def read(self, limit: int) -> bytes:
        if self.cut is not None:
            raise self.cut
        if sum(map(len, self.given)) > limit:
            raise InvalidResponse(f"The upstream sent an answer of more than {limit} bytes.")
        return b"".join(self.given)

    async def end(self) -> None:
        assert not self.closed

    def close(self) -> None:
        self.closed = True


class Player:
    """A transport that plays a tape in memory; the answer may come in other parts, and may be cut."""

    def __init__(self, tape: Tape, parts: list[bytes] | None = None, cut: UpstreamError | None = None) -> None:
        self.tape = tape
        self.parts = parts
        self.cut = cut
        self.responses: list[Played] = []

    async def send(self, call: HttpCall) -> Played:
        take = self.tape.at(call.method, urlsplit(call.url).path)
        found = take or Take(call.method, call.url, 404, {"content-type": "application/json"}, b"{}")
        spoiled = found is self.tape.carrier
        self.responses.append(Played(found, self.parts if spoiled else None, self.cut if spoiled else None))
        return self.responses[-1]

    async def close(self) -> None:
        return


def playing(kind: Kind, tape: Tape, parts: list[bytes] | None = None, cut: UpstreamError | None = None) -> Link:
    """A provider whose upstream is a tape."""
    make = provider_class(kind.name)
    player = Player(tape, parts, cut)
    return Link(make(backend_of(kind, NOWHERE), player, **kind.settings()), deployment_of(kind), Script())


class Desk:
    """Plays a tape from a socket: the answer as whatever bytes it is given, everything else as it was."""

    def __init__(self, tape: Tape) -> None:
        self.tape = tape
        self.answers: list[list[bytes]] = []  # bytes of HTTP for the next ones, in the parts that they are sent in
        self.hangs_up = False  # after those

    def add(self, *parts: bytes) -> None:
        """The bytes of one more answer."""
        self.answers.append(list(parts))

    async def __call__(self, exchange: Exchange) -> None:
        method, path, _ = exchange.head.split(b"\r\n")[0].decode().split(" ")
        take = self.tape.at(method, urlsplit(path).path)
        if take is None:
            await exchange.send(Take("", "", 404, {"content-type": "application/json"}, b"{}").http())
        elif take is not self.tape.carrier or not self.answers:
            await exchange.send(take.http())
        else:
            for part in self.answers.pop(0):
                await exchange.send(part)
            if self.hangs_up:
                exchange.hang_up()


def spoiled(take: Take, body: bytes, **headers: str) -> Take:
    """A take with another body, and with other headers if they are given."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return take._replace(body=body, headers={**take.headers, **more})
