"""Starting a gateway from the command line: sockets, keys, logs, and the loop."""

import gc
import os
import secrets
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import uvloop

from gateway import app
from gateway.api.hosts import is_loopback
from gateway.api.leaving import Drain
from gateway.api.server import PortTaken, bind
from gateway.config import credentials
from gateway.config.live import LivePolicy
from gateway.config.settings import Settings
from gateway.stores.callers import CALLER_KEYS, fits
from gateway.stores.redis import MEMORY
from gateway.stores.retention import Bounds
from gateway.stores.secret import SecretRefused, derived, secret_of
from gateway.stores.state import StateAway, StateFile, StateRefused
from gateway.telemetry.logs import catch_the_rest, configure
from gateway.telemetry.redaction import Redaction

FAILED = 2
GC_THRESHOLDS = (20_000, 50, 200)  # new objects before a young collection, and how many before an older one


@dataclass(frozen=True, slots=True)
class Started:
    """Where a running gateway is reached."""

    data: str
    admin: str
    admin_key: str | None  # when it was made for this run, so that it must be told


class CannotStart(Exception):
    """The gateway cannot start; the message says why and what to do."""


def doors(settings: Settings) -> app.Doors:
    """The bound sockets of both planes; raises CannotStart."""
    cert = str(settings.tls_cert) if settings.tls_cert else None
    key = str(settings.tls_key) if settings.tls_key else None
    try:
        data = bind(settings.host, settings.port, "--port", "GATEWAY_PORT")
        admin = bind(settings.admin_host, settings.admin_port, "--admin-port", "GATEWAY_ADMIN_PORT")
    except PortTaken as exc:
        raise CannotStart(str(exc)) from exc
    return app.Doors(data, admin, cert, key)


async def serve(
    settings: Settings, live: LivePolicy, opened: app.Doors, ready: Callable[[Started], None], hidden: Redaction
) -> None:
    """Run the gateway until it is told to end; its secrets, also those of later policies, are added to the hidden."""
    admin_key = settings.admin_key or secrets.token_urlsafe(24)
    lasting = kept(settings)
    hidden.learn((admin_key, lasting.secret.decode("utf-8", "surrogateescape")))
    hidden.learn(credentials.of_policy(live.current, live.loaded.spec))
    live.listeners.append(lambda policy: hidden.learn(credentials.of_policy(policy, live.loaded.spec)))
    gateway = app.build(
        live,
        admin_key,
        frozenset({settings.admin_host}),
        kept=lasting,
        options=options_of(settings),
    )
    await gateway.keyring.tried()
    check_open(settings, live, gateway.keyring.needed)
    scheme = "https" if settings.tls_cert else "http"
    started = Started(
        f"{scheme}://{address(opened.data.getsockname())}",
        f"http://{address(opened.admin.getsockname())}",
        None if settings.admin_key else admin_key,
    )
    drain = Drain(settings.drain_accept_seconds, settings.drain_seconds)
    await app.run(gateway, opened, lambda: ready(started), drain)


def options_of(settings: Settings) -> app.Options:
    """What of the settings the gateway itself is made with."""
    return app.Options(
        settings.metrics_compat,
        settings.store_url,
        os.environ,
        settings.max_inflight,
        settings.log_sample,
        settings.health_checks,
    )


def run(main: Callable[[Redaction], Coroutine[None, None, None]], settings: Settings) -> int:
    """Run the loop; the exit code. `main` is given what is hidden from the log, and adds to it."""
    calm_the_collector()
    hidden, format = Redaction(), settings.log_format or ("console" if sys.stderr.isatty() else "json")
    hidden.learn(credentials.of_environment(os.environ))
    hidden.learn(credentials.of_settings(settings))
    lines = configure(settings.log_level, format, clean=hidden.clean)
    catch_the_rest(lines)
    try:
        uvloop.run(main(hidden))
    except CannotStart as exc:
        print(exc, file=sys.stderr)
        return FAILED
    finally:
        lines.pour()
    return 0


def calm_the_collector() -> None:
    """Look for garbage cycles seldom: a request makes hardly any, and what was imported is none."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def kept(settings: Settings) -> app.Kept:
    """What outlives the process; raises CannotStart for what must not be touched or cannot be trusted."""
    try:
        state = StateFile.open(settings.state_dir)
        secret = secret_of(settings.secret, settings.state_dir, settings.store_url != MEMORY)
        check_pepper(state, secret)
    except (StateRefused, SecretRefused) as exc:
        raise CannotStart(str(exc)) from exc
    days = settings.request_log_days
    return app.Kept(state, secret, Bounds(days, ledger_days=max(days, Bounds().ledger_days)))


def check_pepper(state: StateFile, secret: bytes) -> None:
    """Raises StateRefused where the keys of a file were made with another secret, so that none of them would work."""
    try:
        good = state.empty or state.transact(lambda db: fits(db, derived(secret, CALLER_KEYS)))
    except StateAway:
        return
    if not good:
        raise StateRefused(
            f"The keys in {state.path} were made with another secret than this one, so that none of them would work. "
            "Set GATEWAY_SECRET to the one of then, or move the file away and make new keys."
        )


def check_open(settings: Settings, live: LivePolicy, needed: bool) -> None:
    """Raises CannotStart for a gateway that strangers could use: without keys it listens on this machine only."""
    if not live.current.callers and not needed and not is_loopback(settings.host):
        raise CannotStart(
            f"Listening on {settings.host} without any key would let everybody in. Add `callers:` to the policy, make "
            "a key with `llama-gateway keys create NAME`, or set GATEWAY_HOST to 127.0.0.1."
        )


def address(name: tuple[str, int]) -> str:
    """Host and port as a URL has them."""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
