"""Which server has which keys: one for all, the master that the Sentinels name, or those of a Cluster."""

from binascii import crc_hqx
from bisect import bisect_left
from itertools import count

from gateway.errors import StoreAway
from gateway.stores.redis_url import Address, Place
from gateway.stores.redis_wire import Refused, Reply, connect

SLOTS = 16384
PROBE = "gateway:probe"  # the key that shows whether a server lets us write


class Layout:
    """Ranges of slots and their servers."""

    def __init__(self, ranges: list[tuple[int, int, Address]]) -> None:
        self.ranges = sorted(ranges)
        self.lasts = [last for _, last, _ in self.ranges]
        self.addresses = tuple(dict.fromkeys(address for _, _, address in self.ranges))
        self.stale = False  # whether it must be read again

    def owner(self, key: bytes | str) -> Address | None:
        """The server of a key; None when nobody has it."""
        if len(self.ranges) == 1:
            return self.ranges[0][2]
        slot = slot_of(key)
        index = bisect_left(self.lasts, slot)
        if index == len(self.lasts) or self.ranges[index][0] > slot:
            return None
        return self.ranges[index][2]

    def probe(self, address: Address) -> str:
        """A key of that server's own."""
        return next(key for key in (f"{PROBE}:{number}" for number in count()) if self.owner(key) == address)

    def named(self, refusal: str) -> Address | None:
        """The server in `MOVED 3999 127.0.0.1:6381`, or in the same with ASK."""
        host, _, port = refusal.split(" ")[-1].rpartition(":")
        return Address(host, int(port)) if host and port.isdigit() else None


def slot_of(key: bytes | str) -> int:
    """The slot of a key: of what is between its first braces, where there is something."""
    data = key.encode() if isinstance(key, str) else key
    begin = data.find(b"{")
    end = data.find(b"}", begin + 1)
    return crc_hqx(data[begin + 1 : end] if begin >= 0 and end > begin + 1 else data, 0) % SLOTS


async def find(place: Place, known: tuple[Address, ...]) -> Layout:
    """The layout as it is now; raises StoreAway."""
    if place.kind == "single":
        return Layout([(0, SLOTS - 1, place.addresses[0])])
    command = ("SENTINEL", "GET-MASTER-ADDR-BY-NAME", place.master) if place.kind == "sentinel" else CLUSTER_SLOTS
    reason = None
    for address in dict.fromkeys((*known, *place.addresses) if place.kind == "cluster" else place.addresses):
        try:
            return read(await asked(place, address, command), place, address)
        except StoreAway as exc:
            reason = reason or exc
    assert reason is not None
    raise reason


CLUSTER_SLOTS = ("CLUSTER", "SLOTS")


async def asked(place: Place, address: Address, command: tuple[str, ...]) -> Reply:
    """The answer of one server, on a connection of its own."""
    wire = await connect(address, place, 0, lambda wire, reason: None)
    try:
        return await wire.send(command)
    except Refused as exc:
        raise StoreAway(f"The shared store at {address} refuses: {exc}") from exc
    finally:
        wire.give_up("is not needed")


def read(reply: Reply, place: Place, asked: Address) -> Layout:
    """A layout from what a Sentinel or a server of a Cluster says; raises StoreAway."""
    try:
        if place.kind == "sentinel":
            return Layout([(0, SLOTS - 1, server(reply, asked))])
        assert isinstance(reply, list)
        return Layout(
            [(number(one[0]), number(one[1]), server(one[2], asked)) for one in reply if isinstance(one, list)]
        )
    except (AssertionError, IndexError, ValueError) as exc:
        raise StoreAway(f"{asked} does not know the servers of the shared store '{place.master}'.") from exc


def server(pair: Reply, asked: Address) -> Address:
    """An address; a server that leaves its own host out is where it was asked."""
    assert isinstance(pair, list)
    host, port = pair[0], pair[1]
    name = host.decode() if isinstance(host, bytes) else ""
    return Address(name or asked.host, int(port) if isinstance(port, bytes | int) else 0)


def number(value: Reply) -> int:
    """An integer of a reply."""
    assert isinstance(value, int)
    return value
