"""The URL of a shared store: one Redis, one behind Sentinels, or a Cluster. Pure."""

import ssl
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["single", "sentinel", "cluster"]
PORTS: dict[Kind, int] = {"single": 6379, "cluster": 6379, "sentinel": 26379}
SCHEMES: dict[str, Kind] = {"redis": "single", "redis+cluster": "cluster", "redis+sentinel": "sentinel"}
EXAMPLES = (
    "redis://HOST:6379/0, rediss://HOST:6379/0, redis+sentinel://HOST,HOST/MASTER/0 or redis+cluster://HOST,HOST/"
)
FILES = ("ca", "cert", "key")


class StoreUrlError(ValueError):
    """A URL that leads to no store; the message is a sentence without the password."""


class Address(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        """As people write it."""
        return f"{self.host}:{self.port}"


class Patience(NamedTuple):
    """How long a server may take, in seconds."""

    connect: float = 0.2
    operation: float = 0.05  # without a sign of life
    longest: float = 0.2  # for an operation, whatever it does for others meanwhile
    hold: float = 5.0  # for which one that refuses us, or is lost again at once, is left alone


@dataclass(frozen=True, slots=True)
class Place:
    """Where the shared store is: the servers to begin with, and what they want to know."""

    kind: Kind
    addresses: tuple[Address, ...]
    master: str = ""  # as the Sentinels call it
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca: str | None = None  # files of PEM
    cert: str | None = None
    key: str | None = None
    context: ssl.SSLContext | None = field(default=None, repr=False, compare=False)  # made of those
    patience: Patience = Patience()


def place(url: str) -> Place:
    """The place that a URL names; raises StoreUrlError.

    `rediss` in front means TLS for each kind; `?ca=FILE&cert=FILE&key=FILE` say whom to trust and who we are.
    """
    scheme, separator, _ = url.partition("://")
    tls = scheme.startswith("rediss")
    kind = SCHEMES.get(scheme.replace("rediss", "redis", 1))
    if not separator or kind is None:
        raise StoreUrlError(
            f"begins with '{scheme[:20]}', which this version cannot use. Set it to memory:// or {EXAMPLES}"
        )
    try:
        parts = urlsplit(url)
    except ValueError as exc:
        raise StoreUrlError(f"is no URL. Write {EXAMPLES}") from exc
    login, _, hosts = parts.netloc.rpartition("@")
    username, _, password = login.partition(":")
    master, db = path_of(parts.path, kind)
    files = files_of(parts.query)
    return Place(
        kind,
        addresses_of(hosts, kind),
        master,
        db,
        unquote(username) or None,
        unquote(password) or None,
        tls,
        files.get("ca"),
        files.get("cert"),
        files.get("key"),
    )


def addresses_of(hosts: str, kind: Kind) -> tuple[Address, ...]:
    """Each of the hosts, with its port or the usual one."""
    found = tuple(address(text.strip(), PORTS[kind]) for text in hosts.split(","))
    if kind == "single" and len(found) > 1:
        raise StoreUrlError("names several hosts. Write redis+cluster:// or redis+sentinel:// for those.")
    return found


def address(text: str, port: int) -> Address:
    """`host`, `host:port` or `[v6]:port`."""
    host, _, given = text.rpartition(":") if text.rfind(":") > text.rfind("]") else (text, "", "")
    host = host.removeprefix("[").removesuffix("]")
    if not host:
        raise StoreUrlError(f"names no host. Write {EXAMPLES}")
    if given and (not given.isascii() or not given.isdigit() or not 0 < int(given[:6]) < 65536):
        raise StoreUrlError(
            "has a port that is no number from 1 to 65535. In a password write %2F for / and %40 for @."
        )
    return Address(host, int(given) if given else port)


def path_of(path: str, kind: Kind) -> tuple[str, int]:
    """The master's name and the number of the database."""
    parts = [unquote(part) for part in path.strip("/").split("/") if part]
    master = parts.pop(0) if kind == "sentinel" and parts else ""
    if kind == "sentinel" and not master:
        raise StoreUrlError("does not name the master. Write redis+sentinel://HOST,HOST/MASTER/0")
    number = parts.pop(0) if parts else "0"
    if parts or not number.isascii() or not number.isdigit() or len(number) > 5:
        raise StoreUrlError(f"has a path that is no number of a database. Write {EXAMPLES}")
    if kind == "cluster" and int(number):
        raise StoreUrlError("names a database, and a Cluster has none but 0. Leave it out.")
    return master, int(number)


def files_of(query: str) -> dict[str, str]:
    """The files of TLS."""
    given = parse_qs(query, keep_blank_values=True)
    unknown = [name for name in given if name not in FILES]
    if unknown:
        raise StoreUrlError(f"has an option that is not known. Known are {', '.join(FILES)}: files for TLS.")
    return {name: values[-1] for name, values in given.items()}
