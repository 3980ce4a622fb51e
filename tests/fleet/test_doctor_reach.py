"""The way to a backend, over real sockets: names, connections, certificates."""

import asyncio
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.catalogue import Catalogue
from gateway.fleet.checks.finding import Finding, Subject
from gateway.fleet.doctor import Doctor, Patience
from gateway.fleet.doctor_asks import place_of
from gateway.types import Backend

pytestmark = pytest.mark.asyncio

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
PATIENT = Patience(20, 20)  # a busy machine may be slow, and no test waits this long when all is well
HASTY = Patience(0.05, 0.05)
LIST = b'{"data": [{"id": "m"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
CONFIG = """\
[ca]
default_ca = own
[own]
database = {folder}/index
serial = {folder}/serial
new_certs_dir = {folder}
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
[v3]
basicConstraints = critical,CA:true
subjectAltName = {names}
"""


def certificate(folder: Path, names: str, start: str = "20200101000000Z", end: str = "20490101000000Z") -> Path:
    """A certificate that is signed by itself, with its key in one file."""
    if shutil.which("openssl") is None and not os.environ.get("CI"):
        pytest.skip("there is no openssl command")
    config, request, made = folder / "config", folder / "request", folder / "made"
    config.write_text(CONFIG.format(folder=folder, names=names))
    (folder / "index").write_text("")
    (folder / "serial").write_text("01\n")
    common = ["-config", str(config), "-batch"]
    new = ["req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", str(folder / "key"), "-subj", "/CN=test"]
    sign = ["ca", "-selfsign", "-keyfile", str(folder / "key"), "-in", str(request), "-out", str(made), "-notext"]
    for command in (
        ["openssl", *new, *common, "-out", str(request)],
        ["openssl", *sign, *common, "-extensions", "v3", "-startdate", start, "-enddate", end],
    ):
        subprocess.run(command, check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_bytes((folder / "key").read_bytes() + made.read_bytes())
    return both


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 and localhost."""
    return certificate(tmp_path_factory.mktemp("good"), "IP:127.0.0.1,DNS:localhost")


@asynccontextmanager
async def secure(file: Path) -> AsyncIterator[str]:
    """A server with a certificate, which lists one model."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER % (len(LIST), LIST))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context) as server:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"


@asynccontextmanager
async def plain(said: bytes | None) -> AsyncIterator[str]:
    """The host and port of a server that says something and hangs up, or never says anything."""
    over = asyncio.Event()

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if said is None:
            await over.wait()
        else:
            await reader.read(1)
            writer.write(said)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        over.set()


def nowhere() -> str:
    """A host and port where nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


async def look(
    catalogue: Catalogue,
    url: str,
    ca: Path | None = None,
    proxy: str | None = None,
    now: datetime = NOW,
    patience: Patience = PATIENT,
) -> list[Finding]:
    """What the doctor says of a backend."""
    backend = Backend("gpu", "openai_compatible", url, ca=str(ca) if ca else None, proxy=proxy)
    doctor = Doctor(catalogue, now.date(), lambda: now, patience)
    return list((await doctor.report([Subject(backend, ())], [])).findings)


async def test_a_name_that_is_none_fails_at_dns(catalogue: Catalogue) -> None:
    (found,) = await look(catalogue, "https://no-such-host.invalid/v1")
    assert (found.severity, found.check, found.whom) == ("error", "dns", "gpu")
    assert "no-such-host.invalid" in found.what


async def test_a_name_that_cannot_be_one_fails_at_dns(catalogue: Catalogue) -> None:
    (found,) = await look(catalogue, f"http://{'a' * 70}.example")
    assert found.check == "dns"


async def test_a_port_where_nobody_listens_fails_at_tcp(catalogue: Catalogue) -> None:
    where = nowhere()
    (found,) = await look(catalogue, f"http://{where}")
    assert (found.check, found.what) == ("tcp", f"Nothing listens on {where}.")


async def test_a_proxy_that_is_not_there_is_named_as_such(catalogue: Catalogue) -> None:
    (found,) = await look(catalogue, "https://api.example", proxy=f"http://{nowhere()}")
    assert found.check == "tcp"
    assert "(its proxy)" in found.what


async def test_a_good_certificate_is_nothing_to_speak_of(catalogue: Catalogue, good: Path) -> None:
    async with secure(good) as url:
        assert await look(catalogue, url, ca=good) == []


async def test_a_certificate_that_ends_soon_is_a_warning(catalogue: Catalogue, good: Path) -> None:
    eve = datetime(2049, 1, 1, tzinfo=UTC) - timedelta(days=5)
    async with secure(good) as url:
        (found,) = await look(catalogue, url, ca=good, now=eve)
    assert (found.severity, found.check) == ("warning", "tls")
    assert "expires on 2049-01-01, in 5 days" in found.what


async def test_a_certificate_that_signs_itself_is_refused_in_plain_words(catalogue: Catalogue, good: Path) -> None:
    async with secure(good) as url:
        (found,) = await look(catalogue, url)
    assert (found.severity, found.check) == ("error", "tls")
    assert "is signed by itself" in found.what
    assert "`tls: {ca: FILE}`" in found.advice


async def test_an_expired_certificate_is_told(catalogue: Catalogue, tmp_path: Path) -> None:
    old = certificate(tmp_path, "IP:127.0.0.1", end="20200201000000Z")
    async with secure(old) as url:
        (found,) = await look(catalogue, url, ca=old)
    assert "has expired" in found.what


async def test_a_certificate_for_another_host_is_told(catalogue: Catalogue, tmp_path: Path) -> None:
    other = certificate(tmp_path, "DNS:other.example")
    async with secure(other) as url:
        (found,) = await look(catalogue, url, ca=other)
    assert "is for another host" in found.what


async def test_an_authority_file_that_is_none_is_told(catalogue: Catalogue, tmp_path: Path) -> None:
    (found,) = await look(catalogue, f"https://{nowhere()}", ca=tmp_path / "missing.pem")
    assert (found.check, "No such file" in found.what) == ("files", True)


async def test_plain_http_in_place_of_tls_is_told(catalogue: Catalogue) -> None:
    async with plain(b"HTTP/1.1 400 Bad Request\r\n\r\n") as where:
        (found,) = await look(catalogue, f"https://{where}")
    assert (found.check, found.what) == ("tls", f"{where} does not speak TLS.")


async def test_a_server_that_is_silent_after_connecting_fails_at_tls(catalogue: Catalogue) -> None:
    async with plain(None) as where:
        (found,) = await look(catalogue, f"https://{where}", patience=HASTY)
    assert (found.check, "says nothing of TLS" in found.what) == ("tls", True)


async def test_what_speaks_no_http_is_told(catalogue: Catalogue) -> None:
    async with plain(b"SSH-2.0-OpenSSH_9.2\r\n") as where:
        (found,) = await look(catalogue, f"http://{where}")
    assert "no HTTP answer" in found.what


async def test_a_server_that_lists_nothing_in_time_is_a_warning(catalogue: Catalogue) -> None:
    async with plain(None) as where:
        (found,) = await look(catalogue, f"http://{where}", patience=HASTY._replace(connect=20))
    assert (found.severity, "did not list its models" in found.what) == ("warning", True)


@pytest.mark.parametrize(
    ("url", "proxy", "expected"),
    [
        ("https://a.example/v1", None, ("a.example", 443, True, False)),
        ("http://[::1]:8000", None, ("::1", 8000, False, False)),
        ("https://a.example", "http://p.example:3128", ("p.example", 3128, False, True)),
        ("", None, None),
    ],
)
async def test_the_place_to_connect_to(
    url: str, proxy: str | None, expected: tuple[str, int, bool, bool] | None
) -> None:
    assert place_of(url, proxy) == expected
