"""The door of the data plane: who is asking, by whatever key, and how often an address may get it wrong."""

import time
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from gateway.api.reply import Scope
from gateway.errors import GatewayError, TooManyFailures, Unaccounted, Unauthorized
from gateway.routing.policy import Policy
from gateway.stores.keyring import Keyring, no_keyring
from gateway.types import Caller

FAILURES = 20  # wrong keys a minute from one address, before it is asked to stop
MINUTE = 60.0
ADDRESSES = 10_000  # that are remembered
NETWORK = 64  # bits of an IPv6 address that one customer has
WRONG_KEY = "The API key is missing or not known here; send it as 'Authorization: Bearer KEY'."
STOP = "Too many wrong API keys have come from this address; wait a minute, and send the right one."
UNWRITTEN = "The gateway cannot write down what is spent, so callers with a budget are refused until it can."


class Door:
    """Lets callers in. A right key is let in however many wrong ones came from the same address."""

    def __init__(
        self,
        keyring: Keyring | None = None,
        full: Callable[[], bool] = lambda: False,
        wall: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keyring = keyring or no_keyring()
        self.full = full  # whether spending cannot be written down any more
        self.wall = wall
        self.clock = clock
        self.failures: dict[str, tuple[float, int]] = {}  # address -> since when, how many

    def find(self, key: str, policy: Policy) -> Caller | None:
        """Whose key it is, now; None for nobody's. Raises Unaccounted and StoreAway."""
        caller = policy.caller(key) if policy.callers else None
        if caller is None and self.keyring.needed:
            caller = self.keyring.find(key, policy, self.wall())
        if caller is None or (caller.expires is not None and caller.expires <= self.wall()):
            return None
        if self.full() and budgeted(caller):
            raise Unaccounted(UNWRITTEN, retry_after=1.0)
        return caller

    def refusal(self, scope: Scope) -> GatewayError:
        """The error for a wrong key: in the same words for every reason, until it was wrong too often."""
        address, now = source(scope), self.clock()
        since, count = self.failures.get(address, (now, 0))
        if now - since >= MINUTE:
            since, count = now, 0
        elif count == 0 and len(self.failures) >= ADDRESSES:
            self.failures.clear()
        self.failures[address] = since, count + 1
        if count < FAILURES:
            return Unauthorized(WRONG_KEY)
        return TooManyFailures(STOP, retry_after=MINUTE - (now - since))


def source(scope: Scope) -> str:
    """The address of a peer, of IPv6 its network."""
    client = scope.get("client")
    if client is None:
        return ""
    try:
        address = ip_address(client[0])
    except ValueError:
        return str(client[0])[:64]
    if isinstance(address, IPv6Address):
        return f"{int(address) >> (128 - NETWORK):x}"
    return client[0] if isinstance(client[0], str) else ""


def budgeted(caller: Caller) -> bool:
    """Whether a caller or its team has a budget."""
    limits = [caller.limits] if caller.team is None else [caller.limits, caller.team.limits]
    return any(one.usd_per_day is not None or one.usd_per_month is not None for one in limits)
