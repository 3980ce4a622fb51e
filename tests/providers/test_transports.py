"""Whatever a server does to a connection becomes one of our errors, on both transports; no connection is in doubt."""

import asyncio
import errno
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.errors import Disconnected, InvalidResponse, Unreachable
from gateway.providers.aiohttp_transport import AiohttpTransport
from gateway.providers.port import HttpCall, Transport
from gateway.providers.transport import MAX_AGE, PooledTransport, unreachable

from .raw import OK, Exchange, Handler, RawServer, closed_port_url

pytestmark = pytest.mark.asyncio

PATIENCE = 20  # seconds no test needs
LIMIT = 1000  # bytes
Make = Callable[..., Transport]


@pytest.fixture(params=[PooledTransport, AiohttpTransport], ids=["ours", "aiohttp"])
def make(request: pytest.FixtureRequest) -> Make:
    """The class of a transport."""
    made: Make = request.param
    return made


@asynccontextmanager
async def between(make: Make, handler: Handler) -> AsyncIterator[tuple[Transport, RawServer]]:
    transport = make(keepalive=30)
    async with asyncio.timeout(PATIENCE), RawServer(handler) as server:
        try:
            yield transport, server
        finally:
            await transport.close()


def post(url: str) -> HttpCall:
    return HttpCall("POST", f"{url}/v1/chat/completions", {"content-type": "application/json"}, b"{}")


async def ask(transport: Transport, server: RawServer) -> bytes:
    response = await transport.send(post(server.url))
    try:
        return await response.read(LIMIT)
    finally:
        response.close()


def saying(data: bytes, then_hang_up: bool = False) -> Handler:
    async def handler(exchange: Exchange) -> None:
        await exchange.send(data)
        if then_hang_up:
            exchange.hang_up()

    return handler


async def test_a_call_arrives_as_it_was_given_and_nothing_is_added_but_what_http_needs(make: Make) -> None:
    async with between(make, saying(OK)) as (transport, server):
        assert await ask(transport, server) == b"ok"
    (exchange,) = server.exchanges
    first, *headers = exchange.head.decode().strip().split("\r\n")
    names = {header.partition(":")[0].lower() for header in headers}
    assert first == "POST /v1/chat/completions HTTP/1.1"
    assert names - {"accept"} == {"host", "content-type", "content-length"}
    assert exchange.body == b"{}"


async def test_the_path_is_sent_as_it_is_written(make: Make) -> None:
    async with between(make, saying(OK)) as (transport, server):
        await transport.send(HttpCall("GET", f"{server.url}/v1/models/a%2Fb", {}))
    assert server.exchanges[0].head.startswith(b"GET /v1/models/a%2Fb HTTP/1.1\r\n")


async def test_a_port_where_nobody_listens_is_unreachable(make: Make) -> None:
    transport = make(keepalive=30)
    with pytest.raises(Unreachable):
        await transport.send(post(await closed_port_url()))
    await transport.close()


async def test_a_name_that_does_not_exist_is_unreachable(make: Make) -> None:
    transport = make(keepalive=30)
    with pytest.raises(Unreachable):
        await transport.send(post("http://no-such-host.invalid"))
    await transport.close()


async def test_a_connection_closed_without_an_answer_is_disconnected_and_not_asked_again(make: Make) -> None:
    async with between(make, saying(b"", then_hang_up=True)) as (transport, server):
        with pytest.raises(Disconnected):
            await ask(transport, server)
    assert len(server.exchanges) == 1


async def test_a_connection_closed_in_the_middle_of_the_head_is_disconnected(make: Make) -> None:
    async with between(make, saying(b"HTTP/1.1 200 OK\r\nContent-", then_hang_up=True)) as (transport, server):
        with pytest.raises(Disconnected):
            await ask(transport, server)


async def test_a_reused_connection_that_the_server_has_closed_is_replaced_unseen(make: Make) -> None:
    async def once_a_connection(exchange: Exchange) -> None:
        first = [each for each in server.exchanges if each.connection == exchange.connection] == [exchange]
        if first:
            await exchange.send(OK)
        else:
            exchange.hang_up()

    async with between(make, once_a_connection) as (transport, server):
        assert [await ask(transport, server) for _ in range(3)] == [b"ok"] * 3
    assert [exchange.connection for exchange in server.exchanges] == [1, 1, 2, 2, 3]


async def test_a_reused_connection_of_ours_that_breaks_off_after_the_first_bytes_is_not_asked_again() -> None:
    async def second_breaks_off(exchange: Exchange) -> None:
        if len(server.exchanges) == 1:
            await exchange.send(OK)
        else:
            await exchange.send(b"HTTP/1.1 200 OK\r\nContent-")
            exchange.hang_up()

    async with between(PooledTransport, second_breaks_off) as (transport, server):
        await ask(transport, server)
        with pytest.raises(Disconnected):
            await ask(transport, server)
    assert [exchange.connection for exchange in server.exchanges] == [1, 1]


async def test_a_connection_of_five_minutes_is_not_used_again() -> None:
    transport = PooledTransport(keepalive=3)
    async with asyncio.timeout(PATIENCE), RawServer(saying(OK)) as server:
        for age in (0.0, MAX_AGE + 1, 0.0):
            answer = await transport.send(post(server.url))
            answer.connection.born -= age
            await answer.read(LIMIT)
            answer.close()
        await transport.close()
    assert [exchange.connection for exchange in server.exchanges] == [1, 1, 2]


async def test_an_idle_connection_that_the_server_has_closed_is_not_used(make: Make) -> None:
    async with between(make, saying(OK, then_hang_up=True)) as (transport, server):
        assert await ask(transport, server) == b"ok"
        await server.ended.acquire()
        assert await ask(transport, server) == b"ok"
    assert [exchange.connection for exchange in server.exchanges] == [1, 2]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100\r\nhalf",
    ],
    ids=["by length", "between chunks", "in a chunk"],
)
async def test_a_body_that_breaks_off_is_disconnected_after_what_came(make: Make, answer: bytes) -> None:
    got = b""
    async with between(make, saying(answer, then_hang_up=True)) as (transport, server):
        response = await transport.send(post(server.url))
        with pytest.raises(Disconnected):
            async for part in response.parts():
                got += part
        response.close()
    assert got == b"half"


async def test_nonsense_between_chunks_is_an_error_of_ours(make: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n"
    async with between(make, saying(answer)) as (transport, server):
        with pytest.raises((Disconnected, InvalidResponse)):
            await ask(transport, server)


@pytest.mark.parametrize(
    "answer",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["ssh", "no status", "no length", "endless header", "tls"],
)
async def test_garbage_is_an_invalid_response(make: Make, answer: bytes) -> None:
    async with between(make, saying(answer, then_hang_up=True)) as (transport, server):
        with pytest.raises(InvalidResponse):
            await ask(transport, server)


async def test_a_redirect_is_given_back_and_not_followed(make: Make) -> None:
    answer = b"HTTP/1.1 307 Temporary Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"
    async with between(make, saying(answer)) as (transport, server):
        response = await transport.send(post(server.url))
        response.close()
    assert response.status == 307
    assert len(server.exchanges) == 1


@pytest.mark.parametrize("size", [LIMIT, LIMIT + 1])
async def test_an_answer_may_be_as_long_as_the_limit_and_no_longer(make: Make, size: int) -> None:
    async with between(make, saying(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)) as (
        transport,
        server,
    ):
        if size == LIMIT:
            assert await ask(transport, server) == b"x" * LIMIT
        else:
            with pytest.raises(InvalidResponse, match="more than 1000 bytes"):
                await ask(transport, server)


async def test_an_answer_read_to_its_end_gives_its_connection_back(make: Make) -> None:
    async with between(make, saying(OK)) as (transport, server):
        assert [await ask(transport, server) for _ in range(3)] == [b"ok"] * 3
    assert [exchange.connection for exchange in server.exchanges] == [1, 1, 1]


async def test_the_last_bytes_of_a_complete_stream_are_waited_for_so_that_its_connection_is_reused(make: Make) -> None:
    async def in_two_parts(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nDONE\r\n")
        await read.wait()
        await exchange.send(b"0\r\n\r\n")

    read = asyncio.Event()
    async with between(make, in_two_parts) as (transport, server):
        for _ in range(2):
            response = await transport.send(post(server.url))
            assert await anext(response.parts()) == b"DONE"
            read.set()
            await response.end()
            response.close()
    assert [exchange.connection for exchange in server.exchanges] == [1, 1]


async def test_closing_early_closes_the_connection(make: Make) -> None:
    async def endless(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nmore\r\n")

    async with between(make, endless) as (transport, server):
        response = await transport.send(post(server.url))
        assert await anext(response.parts()) == b"more"
        response.close()
        response.close()
        await server.ended.acquire()


async def test_cancelling_a_call_that_has_no_answer_yet_closes_the_connection(make: Make) -> None:
    arrived = asyncio.Event()

    async def silent(exchange: Exchange) -> None:
        arrived.set()

    async with between(make, silent) as (transport, server):
        asking = asyncio.create_task(ask(transport, server))
        await arrived.wait()
        asking.cancel()
        await server.ended.acquire()
    assert asking.cancelled()


async def test_cookies_are_not_kept(make: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\nSet-Cookie: session=secret\r\nContent-Length: 2\r\n\r\nok"
    async with between(make, saying(answer)) as (transport, server):
        await ask(transport, server)
        await ask(transport, server)
    assert b"cookie" not in server.exchanges[1].head.lower()


async def test_a_packed_body_is_given_as_it_came(make: Make) -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope"
    async with between(make, saying(answer)) as (transport, server):
        assert await ask(transport, server) == b"nope"


async def test_the_address_of_a_proxy_in_the_environment_is_not_used(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", await closed_port_url())
    async with between(make, saying(OK)) as (transport, server):
        assert await ask(transport, server) == b"ok"


async def test_closing_a_transport_that_was_never_used_is_fine(make: Make) -> None:
    await make(keepalive=1).close()


NEXT = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [OK, CHUNKED], ids=["by length", "chunked"])
@pytest.mark.parametrize("more", [NEXT, NEXT[:-2]], ids=["whole", "short body"])
async def test_a_second_answer_is_nobodys_and_spoils_the_connection(make: Make, answer: bytes, more: bytes) -> None:
    async with between(make, saying(answer + more)) as (transport, server):
        assert [await ask(transport, server) for _ in range(2)] == [b"ok"] * 2
    assert [exchange.connection for exchange in server.exchanges] == [1, 2]


@pytest.mark.parametrize("answer", [OK, CHUNKED], ids=["by length", "chunked"])
@pytest.mark.parametrize(
    "more", [NEXT[:30], b"HTTP/1.1 200", b"H", b"nonsense"], ids=["head", "version", "letter", "nonsense"]
)
async def test_whatever_comes_behind_an_answer_spoils_the_connection(answer: bytes, more: bytes) -> None:
    """Only ours: aiohttp's parser keeps the beginning of an answer to itself, and does not say that it does."""
    async with between(PooledTransport, saying(answer + more)) as (transport, server):
        response = await transport.send(post(server.url))
        assert (response.status, await response.read(LIMIT)) == (200, b"ok")
        response.close()
        assert await ask(transport, server) == b"ok"
    assert [exchange.connection for exchange in server.exchanges] == [1, 2]


async def test_headers_of_a_second_answer_are_not_those_of_the_first(make: Make) -> None:
    second = b"HTTP/1.1 429 No\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n"
    async with between(make, saying(OK + second)) as (transport, server):
        response = await transport.send(post(server.url))
        assert (response.status, response.headers.get("retry-after")) == (200, None)
        response.close()


@pytest.mark.parametrize(
    ("exc", "words"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "nothing listens there"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "host name that is not known"),
        (socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution"), "no name server tells"),
        (UnicodeError("label too long"), "host name that is not known"),
        (ssl.SSLError(1, "wrong version number"), "does not speak TLS"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "No route to host"),
        (OSError("no number"), "no reason given"),
    ],
)
async def test_a_connection_that_cannot_be_made_says_why(exc: OSError | UnicodeError, words: str) -> None:
    error = unreachable(exc)
    assert words in error.message
    assert (error.verdict, error.status, error.elsewhere) == ("fault", 502, True)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM])
async def test_a_limit_of_our_own_is_not_held_against_the_upstream(number: int) -> None:
    assert unreachable(OSError(number, "no more")).verdict == "neutral"
    assert Unreachable.verdict == "fault"


async def test_a_port_where_nobody_listens_is_told_in_words() -> None:
    with pytest.raises(Unreachable, match="nothing listens there"):
        await PooledTransport(keepalive=3).send(post(await closed_port_url()))


async def test_a_name_that_does_not_exist_is_told_in_words() -> None:
    with pytest.raises(Unreachable, match=r"host name that (is not known|no name server)"):  # where there is one
        await PooledTransport(keepalive=3).send(post("http://no-such-host.invalid"))


async def test_a_server_without_tls_is_told_in_words() -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.write(OK), "127.0.0.1", 0)
    async with server:
        with pytest.raises(Unreachable, match="does not speak TLS"):
            await PooledTransport(keepalive=3).send(post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))


@pytest.fixture
def self_signed(tmp_path: Path) -> ssl.SSLContext:
    """A server's context whose certificate nobody vouches for."""
    if shutil.which("openssl") is None:
        pytest.skip("makes its certificate with openssl")
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout {key} -out {cert}"
    subprocess.run(command.split(), check=True, capture_output=True)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(cert, key)
    return made


async def test_a_certificate_that_nobody_vouches_for_is_told_in_words(self_signed: ssl.SSLContext) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=self_signed)
    async with server:
        with pytest.raises(Unreachable, match="certificate that is not good: self-signed certificate"):
            await PooledTransport(keepalive=3).send(post(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
