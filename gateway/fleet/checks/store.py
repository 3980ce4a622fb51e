"""Whether the store that several gateways share can be used, and forgets nothing by itself."""

from collections.abc import Mapping

from gateway.errors import StoreAway
from gateway.fleet.checks.finding import Finding
from gateway.stores.redis import RedisStore
from gateway.stores.redis_wire import Reply

OLDEST = (6, 2)  # versions of Redis; Valkey counts from 7.2
KEEPS = "noeviction"
WHOM = "the shared store"


async def look(store: RedisStore) -> list[Finding]:
    """What there is to say of a store; it is closed afterwards."""
    try:
        if not await store.open():
            return [away(store.reason)]
        return judge(facts(await store.command("INFO", "server")), await policy(store))
    except StoreAway as exc:
        return [away(exc.logged)]
    finally:
        await store.close()


async def policy(store: RedisStore) -> str | None:
    """What it does when its memory is full; None where it does not say, as hosted ones."""
    try:
        found = await store.command("CONFIG", "GET", "maxmemory-policy")
    except StoreAway:
        return None
    value = found[1] if isinstance(found, list) and len(found) == 2 else None
    return value.decode() if isinstance(value, bytes) else None


def facts(info: Reply) -> Mapping[str, str]:
    """The lines of INFO by name."""
    text = info.decode("utf-8", "replace") if isinstance(info, bytes) else ""
    pairs = [line.partition(":") for line in text.splitlines()]
    return {name: value for name, separator, value in pairs if separator}


def judge(info: Mapping[str, str], eviction: str | None) -> list[Finding]:
    """The findings on a store that answers."""
    found = []
    version = info.get("redis_version", "")
    if numbers(version) < OLDEST:
        what = f"It is Redis {version or 'of an unknown version'}."
        found.append(Finding("error", "store", WHOM, what, "Use Redis 6.2 or newer, or Valkey."))
    if eviction is None:
        what = "It does not say what it does when its memory is full."
        found.append(Finding("info", "store", WHOM, what, f"See to it that its maxmemory-policy is {KEEPS}."))
    elif eviction != KEEPS:
        what = f"When its memory is full it forgets keys of its own choice (maxmemory-policy {eviction})."
        advice = (
            f"Set maxmemory-policy to {KEEPS}: a forgotten budget is a fresh one, and a forgotten caller is refused."
        )
        found.append(Finding("error", "store", WHOM, what, advice))
    return found


def numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version."""
    parts = version.split(".")[:2]
    return tuple(int(part) for part in parts if part.isascii() and part.isdigit())


def away(reason: str) -> Finding:
    """The finding on a store that does not answer."""
    return Finding("error", "store", WHOM, reason, "Start it, or correct GATEWAY_STORE_URL.")
