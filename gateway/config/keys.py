"""Keys that are made at run time: created, rotated and revoked, by the command line and the admin plane alike."""

import time
from collections.abc import Callable
from typing import NamedTuple

from pydantic import Field

from gateway.config.callers import allowance
from gateway.config.scalars import Name
from gateway.config.schema import TermsSpec
from gateway.routing.policy import Policy
from gateway.stores.callers import CallerStore, Key, StoredCaller, digest_of, new_key

MOST = 10_000  # callers, all of which are held in memory
HOUR = 3600.0


class NewCallerSpec(TermsSpec):
    """Somebody who gets a key."""

    name: Name = Field(description="In metrics, headers and logs.", examples=["team-search"])


class KeyRefused(Exception):
    """It cannot be done; the message says why and what to do. `status` is the one of HTTP for it."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


class Made(NamedTuple):
    """A new key, which is shown once, and until when the one before it is good (Unix time)."""

    caller: StoredCaller
    key: str
    old_until: float | None = None


class Keys:
    """Changes what a store keeps; raises KeyRefused, and what the store raises."""

    def __init__(self, store: CallerStore, pepper: bytes, wall: Callable[[], float] = time.time) -> None:
        self.store = store
        self.pepper = pepper
        self.wall = wall

    async def create(self, spec: NewCallerSpec, policy: Policy | None) -> Made:
        """A caller with a key; the policy, where it is known, says what its terms may name."""
        if policy is not None:
            check(spec, policy)
        if len(await self.store.all()) >= MOST:
            raise KeyRefused(f"There are {MOST} callers already. Revoke those that are not needed.")
        key, now = new_key(), self.wall()
        if spec.expires is not None and spec.expires.timestamp() <= now:
            raise KeyRefused("`expires` is in the past, so the key would never be good. Give a later time.", 422)
        caller = stored(spec, Key(digest_of(self.pepper, key), now), now)
        if not await self.store.put(caller):
            raise KeyRefused(f"There is a caller '{spec.name}' already. Rotate its key, or take another name.")
        return Made(caller, key)

    async def rotate(self, name: str, grace: float) -> Made:
        """Another key for a caller; those it has are good for `grace` seconds more."""
        caller = await self.caller(name)
        key, now = new_key(), self.wall()
        changed = caller.rotated(digest_of(self.pepper, key), now, grace)
        if not await self.store.put(changed):
            raise KeyRefused(f"The caller '{name}' was changed by somebody else at the same time. Try again.")
        return Made(changed, key, now + grace)

    async def revoke(self, name: str) -> None:
        """No key of a caller is known any more."""
        if not await self.store.remove(name):
            raise unknown(name)

    async def caller(self, name: str) -> StoredCaller:
        """A caller by name."""
        found = next((one for one in await self.store.all() if one.name == name), None)
        if found is None:
            raise unknown(name)
        return found


def unknown(name: str) -> KeyRefused:
    """The error for a name that no stored caller has."""
    message = f"There is no caller '{name[:64]}' whose key was made here. Those of the policy are changed in its file."
    return KeyRefused(message, 404)


def check(spec: NewCallerSpec, policy: Policy) -> None:
    """Raises KeyRefused for terms that name what the policy does not have."""
    if any(caller.name == spec.name for caller in policy.callers.values()):
        raise KeyRefused(f"The policy has a caller '{spec.name}'. Change it there, or take another name.")
    routes = {"default", *(route.name for route in policy.routes)}
    if strange := [route for route in spec.routes or () if route not in routes]:
        raise KeyRefused(f"The policy has no route '{strange[0]}'. Correct the name.", 422)
    if strange := [model for model in spec.models or () if model not in policy.models]:
        raise KeyRefused(f"The policy serves no model '{strange[0]}'. Write a canonical name.", 422)
    if spec.team is not None and spec.team not in policy.teams:
        raise KeyRefused(f"The policy has no team '{spec.team}'. Add it to `teams`, or correct the name.", 422)


def stored(spec: NewCallerSpec, key: Key, now: float) -> StoredCaller:
    """A caller as it is kept."""
    return StoredCaller(
        name=spec.name,
        keys=(key,),
        routes=None if spec.routes is None else tuple(spec.routes),
        models=None if spec.models is None else tuple(spec.models),
        limits=allowance(spec.limits),
        team=spec.team,
        class_=spec.class_,
        metadata=dict(spec.metadata),
        expires=None if spec.expires is None else spec.expires.timestamp(),
        on_store_failure=spec.on_store_failure,
        made=now,
    )
