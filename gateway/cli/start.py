"""Starting a gateway from the command line: sockets, keys, logs, and the loop."""

import gc
import secrets
import sys
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

import uvloop

from gateway import app
from gateway.api.hosts import is_loopback
from gateway.api.server import PortTaken, bind
from gateway.config.live import LivePolicy
from gateway.config.settings import Settings
from gateway.telemetry.logs import configure

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


async def serve(settings: Settings, live: LivePolicy, opened: app.Doors, ready: Callable[[Started], None]) -> None:
    """Run the gateway until it is told to end."""
    admin_key = settings.admin_key or secrets.token_urlsafe(24)
    gateway = app.build(live, admin_key, frozenset({settings.admin_host}))
    scheme = "https" if settings.tls_cert else "http"
    started = Started(
        f"{scheme}://{address(opened.data.getsockname())}",
        f"http://{address(opened.admin.getsockname())}",
        None if settings.admin_key else admin_key,
    )
    await app.run(gateway, opened, lambda: ready(started))


def run(main: Callable[[], Coroutine[None, None, None]], settings: Settings) -> int:
    """Run the loop; the exit code."""
    calm_the_collector()
    lines = configure(settings.log_level, settings.log_format or ("console" if sys.stderr.isatty() else "json"))
    try:
        uvloop.run(main())
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


def check_open(settings: Settings, live: LivePolicy) -> None:
    """Raises CannotStart for a gateway that strangers could use: without keys it listens on this machine only."""
    if not live.current.callers and not is_loopback(settings.host):
        raise CannotStart(
            f"Listening on {settings.host} without any key would let everybody in. Add `callers:` to the policy, "
            "or set GATEWAY_HOST to 127.0.0.1."
        )


def address(name: tuple[str, int]) -> str:
    """Host and port as a URL has them."""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
