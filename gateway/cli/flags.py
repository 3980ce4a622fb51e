"""Flags that stand for settings of the environment."""

from dataclasses import replace
from pathlib import Path

from gateway.config.settings import Settings


def with_flags(
    settings: Settings,
    policy: Path | None,
    host: str | None,
    port: int | None,
    admin_host: str | None,
    admin_port: int | None,
) -> Settings:
    """The environment's settings, with what the command line says instead."""
    return replace(
        settings,
        policy=policy or settings.policy,
        host=host or settings.host,
        port=settings.port if port is None else port,
        admin_host=admin_host or settings.admin_host,
        admin_port=settings.admin_port if admin_port is None else admin_port,
    )
