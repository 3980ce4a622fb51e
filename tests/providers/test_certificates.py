"""An upstream whose certificate is not good gets nothing, and the error says what is wrong with it."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.errors import Unreachable
from gateway.providers.port import HttpCall
from gateway.providers.transport import PooledTransport

pytestmark = pytest.mark.asyncio

CONFIG = """[ca]
default_ca = here
[here]
database = {directory}/index.txt
new_certs_dir = {directory}
serial = {directory}/serial
default_md = sha256
policy = any
x509_extensions = names
[any]
commonName = supplied
[names]
subjectAltName = DNS:{host}
"""
PAST, RECENT, FUTURE = "20200101000000Z", "20210101000000Z", "20491231000000Z"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi"

Make = Callable[[str, str], Path]


@pytest.fixture
def certificate(tmp_path: Path) -> Make:
    """Makes a certificate for a host, that vouches for itself and is valid up to a time; its key is beside it."""
    if shutil.which("openssl") is None:
        pytest.skip("makes its certificates with openssl")

    def made(host: str, until: str) -> Path:
        key, asked, cert, config = (tmp_path / name for name in ("key.pem", "asked.pem", "cert.pem", "ca.cnf"))
        config.write_text(CONFIG.format(directory=tmp_path, host=host))
        (tmp_path / "index.txt").write_text("")
        (tmp_path / "serial").write_text("01")
        request = f"openssl req -newkey rsa:2048 -nodes -subj /CN={host} -keyout {key} -out {asked}"
        sign = f"openssl ca -batch -selfsign -config {config} -keyfile {key} -in {asked} -out {cert}"
        for command in (request, f"{sign} -startdate {PAST} -enddate {until}"):
            subprocess.run(command.split(), check=True, capture_output=True)
        return cert

    return made


async def asked(cert: Path, trusted: bool = True) -> tuple[int, int]:
    """The status from a server with that certificate, and how many requests it has seen."""
    seen = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal seen
        await reader.readuntil(b"\r\n\r\n")
        seen += 1
        writer.write(OK)
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, cert.with_name("key.pem"))
    ours = ssl.create_default_context(cafile=cert) if trusted else ssl.create_default_context()
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    async with server:
        url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
        transport = PooledTransport(keepalive=3, tls=ours)
        response = await transport.send(HttpCall("GET", url, {}))
        assert await response.read(10) == b"hi"
        response.close()
        await transport.close()
        return response.status, seen


async def test_good_certificate_is_good_enough(certificate: Make) -> None:
    assert await asked(certificate("localhost", FUTURE)) == (200, 1)


async def test_certificate_that_has_expired_is_refused_for_that(certificate: Make) -> None:
    with pytest.raises(Unreachable, match="certificate that is not good: certificate has expired"):
        await asked(certificate("localhost", RECENT))


async def test_certificate_of_another_host_is_refused_for_that(certificate: Make) -> None:
    with pytest.raises(Unreachable, match="certificate that is not good: Hostname mismatch"):
        await asked(certificate("other.test", FUTURE))


async def test_certificate_that_nobody_vouches_for_is_refused_for_that(certificate: Make) -> None:
    with pytest.raises(Unreachable, match="certificate that is not good: self-signed certificate"):
        await asked(certificate("localhost", FUTURE), trusted=False)
