"""A process with names of its own: its hosts file and its name server are the test's, in a mount namespace."""

import asyncio
import shutil
import struct
import subprocess
from pathlib import Path
from typing import cast

import pytest

SERVER = "127.0.0.77"
REFUSALS = {"nowhere": 3, "broken": 2}  # first word of a name -> the code of the answer: NXDOMAIN, SERVFAIL
INSIDE = 'mount --bind "$1" /etc/hosts && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"'


class Names(asyncio.DatagramProtocol):
    """A name server that knows nobody, and says so in different ways; it leaves `silent` names unanswered."""

    transport: asyncio.DatagramTransport

    def __init__(self, directory: Path) -> None:
        self.hosts = directory / "hosts"
        self.resolver = directory / "resolv.conf"
        self.hosts.write_text("127.0.0.1 localhost\n")
        self.resolver.write_text(f"nameserver {SERVER}\noptions timeout:1 attempts:1\n")
        self.asked: list[str] = []

    async def listen(self) -> "Names":
        """Take questions."""
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, (SERVER, 53))
        return self

    async def close(self) -> None:
        """Take no more."""
        self.transport.close()

    def before(self) -> tuple[str, ...]:
        """What to put before a command that shall see these names."""
        return ("unshare", "-m", "sh", "-c", INSIDE, "sh", str(self.hosts), str(self.resolver))

    def say(self, name: str, address: str) -> None:
        """A name has that address from now on."""
        self.hosts.write_text(f"127.0.0.1 localhost\n{address} {name}\n")  # in place: it is bound by its inode

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It listens."""
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A question."""
        end = data.index(b"\0", 12)
        name = data[13:end].decode("latin-1")
        self.asked.append(name)
        if code := REFUSALS.get(name.partition("\x04")[0]):
            head = data[:2] + struct.pack("!HHHHH", 0x8180 | code, 1, 0, 0, 0)
            self.transport.sendto(head + data[12 : end + 5], addr)


def need_names() -> None:
    """Skip where a process cannot have names of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-m", "true"], check=False).returncode:
        pytest.skip("needs a mount namespace, which root may make")
