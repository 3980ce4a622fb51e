"""`llama-gateway serve`: one policy file."""

import os
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from gateway.catalogue import Catalogue
from gateway.cli.flags import with_flags
from gateway.cli.start import FAILED, CannotStart, Started, doors, run
from gateway.cli.start import serve as serve_live
from gateway.config.live import LivePolicy
from gateway.config.reader import Reader
from gateway.config.settings import Settings, SettingsError
from gateway.policytools.check import render


def serve(
    *,
    policy: Annotated[Path | None, Parameter(help="The policy file; else GATEWAY_POLICY.")] = None,
    host: Annotated[str | None, Parameter(help="Where callers connect; else GATEWAY_HOST.")] = None,
    port: Annotated[int | None, Parameter(help="Else GATEWAY_PORT, 4080.")] = None,
    admin_host: Annotated[str | None, Parameter(help="Else GATEWAY_ADMIN_HOST.")] = None,
    admin_port: Annotated[int | None, Parameter(help="Else GATEWAY_ADMIN_PORT, 4081.")] = None,
    workers: Annotated[int, Parameter(help="Processes; this version has one.")] = 1,
) -> int:
    """The verb `serve`; its exit code."""
    try:
        settings = with_flags(Settings.from_env(os.environ), policy, host, port, admin_host, admin_port)
        live = live_policy(settings, workers)
        opened = doors(settings)
    except (SettingsError, CannotStart) as exc:
        print(exc, file=sys.stderr)
        return FAILED
    return run(lambda hidden: serve_live(settings, live, opened, tell, hidden), settings)


def live_policy(settings: Settings, workers: int) -> LivePolicy:
    """The policy of the settings' file; raises CannotStart with every problem it has."""
    path = settings.policy
    if workers != 1:
        raise CannotStart("This version runs in one process; start several gateways on ports of their own instead.")
    if path is None:
        raise CannotStart("No policy: give --policy FILE, set GATEWAY_POLICY, or try `llama-gateway up`.")
    reader = Reader(path, os.environ, Catalogue.load())
    loaded = reader.read()
    if loaded.problems:
        print(render(loaded.problems, "text", sys.stderr.isatty()), file=sys.stderr, end="")
    if loaded.policy is None:
        raise CannotStart(f"{path} has errors; nothing was started.")
    return LivePolicy(loaded, reader)


def tell(started: Started) -> None:
    """Say where the gateway is."""
    print(f"Llama Gateway serves on {started.data}, its admin plane on {started.admin}", file=sys.stderr)
    if started.admin_key:
        print(f"Admin key of this run (set GATEWAY_ADMIN_KEY to keep one): {started.admin_key}", file=sys.stderr)
