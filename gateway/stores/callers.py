"""Callers with keys that are made at run time: their terms, the digests of their keys, and where they are kept."""

import asyncio
import hmac
import secrets
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import orjson

from gateway.stores.state import StateFile, pragma
from gateway.types import NOTHING, Caller, Class, Fallback, Json, Limits, Team

PREFIX = "lg-"  # of a key, so that people and scanners know what they have found
BYTES = 32  # of chance in a key
LONGEST = 512  # characters of a key that is looked up
CHANGES = "callers"  # the counter of changes
CALLER_KEYS = "caller-keys"  # the purpose of their pepper
MARK = "pepper"  # what tells a pepper from another, in the file


class Key(NamedTuple):
    """What is kept of a key: its digest, when it was made, and from when it is not known any more; Unix time."""

    digest: bytes
    made: float
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class StoredCaller:
    """A caller and its keys: one, or during a rotation two. `version` counts its changes; 0 is a new one."""

    name: str
    keys: tuple[Key, ...] = field(default=(), repr=False)
    routes: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    limits: Limits = Limits()
    team: str | None = None
    class_: Class = "default"
    metadata: Mapping[str, str] = field(default_factory=lambda: NOTHING)
    expires: float | None = None
    on_store_failure: Fallback = "closed"
    made: float = 0.0
    version: int = 0

    def caller(self, teams: Mapping[str, Team]) -> Caller:
        """The caller as requests see it; of a team that the policy does not have, only the name is known."""
        team = None if self.team is None else teams.get(self.team, Team(self.team))
        return Caller(
            name=self.name,
            routes=None if self.routes is None else frozenset(self.routes),
            models=None if self.models is None else frozenset(self.models),
            limits=self.limits,
            team=team,
            class_=self.class_,
            metadata=self.metadata,
            expires=self.expires,
            on_store_failure=self.on_store_failure,
        )

    def rotated(self, digest: bytes, now: float, grace: float) -> "StoredCaller":
        """The caller with another key; those it has are good for `grace` seconds more."""
        until = now + grace
        ending = [key._replace(expires=min(until, key.expires or until)) for key in self.keys]
        kept = [key for key in ending if key.expires is not None and key.expires > now]
        return replace(self, keys=(*kept, Key(digest, now)))


class CallerStore(Protocol):
    """Keeps callers; all of it raises StateAway or StoreAway."""

    async def changes(self) -> int:
        """A number that is another after every change."""
        ...

    async def all(self) -> list[StoredCaller]:
        """Every caller, by name."""
        ...

    async def put(self, caller: StoredCaller) -> bool:
        """Keep a caller; False when it was changed (or made, or removed) since it was read."""
        ...

    async def remove(self, name: str) -> bool:
        """Forget a caller; False when there is none of that name."""
        ...


class FileCallers:
    """Callers in the state file, asked in a thread."""

    def __init__(self, state: StateFile) -> None:
        self.state = state

    async def changes(self) -> int:
        """A number that is another after every change."""
        return 0 if self.state.empty else await asyncio.to_thread(self.state.read, changes)

    async def all(self) -> list[StoredCaller]:
        """Every caller, by name."""
        return [] if self.state.empty else await asyncio.to_thread(self.state.read, everyone)

    async def put(self, caller: StoredCaller) -> bool:
        """Keep a caller; False when it was changed since it was read."""
        return await asyncio.to_thread(self.state.transact, lambda db: put(db, caller))

    async def remove(self, name: str) -> bool:
        """Forget a caller; False when there is none of that name."""
        return await asyncio.to_thread(self.state.transact, lambda db: remove(db, name))


def changes(db: sqlite3.Connection) -> int:
    """How often callers were changed."""
    if not pragma(db, "user_version"):  # it could not be written so far
        return 0
    row = db.execute("SELECT value FROM meta WHERE key = ?", (CHANGES,)).fetchone()
    return 0 if row is None else int(row[0])


def everyone(db: sqlite3.Connection) -> list[StoredCaller]:
    """Every caller, by name."""
    if not pragma(db, "user_version"):
        return []
    rows = db.execute("SELECT name, version, terms FROM callers ORDER BY name")
    return [unpacked(name, version, terms) for name, version, terms in rows]


def put(db: sqlite3.Connection, caller: StoredCaller) -> bool:
    """Keep a caller if it is as it was read."""
    if caller.version:
        statement = "UPDATE callers SET version = version + 1, terms = ? WHERE name = ? AND version = ?"
        done = db.execute(statement, (packed(caller), caller.name, caller.version)).rowcount
    else:
        statement = "INSERT INTO callers (terms, name, version) VALUES (?, ?, 1) ON CONFLICT DO NOTHING"
        done = db.execute(statement, (packed(caller), caller.name)).rowcount
    return bool(done) and count(db)


def remove(db: sqlite3.Connection, name: str) -> bool:
    """Forget a caller."""
    return bool(db.execute("DELETE FROM callers WHERE name = ?", (name,)).rowcount) and count(db)


def count(db: sqlite3.Connection) -> bool:
    """Note that there was a change."""
    statement = "INSERT INTO meta VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET value = value + 1"
    db.execute(statement, (CHANGES,))
    return True


def packed(caller: StoredCaller) -> str:
    """A caller's terms and keys as JSON."""
    terms: Json = {
        "keys": [[key.digest.hex(), key.made, key.expires] for key in caller.keys],
        "routes": caller.routes,
        "models": caller.models,
        "limits": caller.limits._asdict(),
        "team": caller.team,
        "class_": caller.class_,
        "metadata": dict(caller.metadata),
        "expires": caller.expires,
        "on_store_failure": caller.on_store_failure,
        "made": caller.made,
    }
    return orjson.dumps(terms).decode()


def unpacked(name: str, version: int, text: str | bytes) -> StoredCaller:
    """A caller from its JSON."""
    terms: Json = orjson.loads(text)
    keys = tuple(Key(bytes.fromhex(digest), made, expires) for digest, made, expires in terms.pop("keys"))
    lists = {each: None if terms[each] is None else tuple(terms[each]) for each in ("routes", "models")}
    return StoredCaller(name, keys, version=version, **{**terms, **lists, "limits": Limits(**terms["limits"])})


def new_key() -> str:
    """A key that nobody guesses."""
    return f"{PREFIX}{secrets.token_urlsafe(BYTES)}"


def digest_of(pepper: bytes, key: str) -> bytes:
    """What is kept of a key: without the pepper, it tells not even whether a guess is right."""
    return hmac.digest(pepper, key.encode("utf-8", "replace"), "sha256")


def fits(db: sqlite3.Connection, pepper: bytes) -> bool:
    """Whether a pepper is the one that the keys of a file were made with; in one without keys it is from now on."""
    mark = digest_of(pepper, MARK).hex()
    row = db.execute("SELECT value FROM meta WHERE key = ?", (MARK,)).fetchone()
    if row is not None and row[0] != mark and everyone(db):
        return False
    if row is None or row[0] != mark:
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (MARK, mark))
    return True
