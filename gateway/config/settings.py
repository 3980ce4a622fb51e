"""The gateway's own settings, from the environment; a change needs a restart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

LOOPBACK = "127.0.0.1"
LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("json", "console")


class SettingsError(Exception):
    """A variable of the environment that cannot be used; the message is a sentence that names it."""


@dataclass(frozen=True, slots=True)
class Settings:
    """Where to listen, what to read, where to keep things, how to log."""

    host: str = LOOPBACK
    port: int = 4080
    admin_host: str = LOOPBACK
    admin_port: int = 4081
    policy: Path | None = None
    state_dir: Path = Path("~/.local/state/llama-gateway")
    store_url: str = "memory://"
    admin_key: str | None = field(default=None, repr=False)
    log_level: str = "info"
    log_format: str | None = None  # None: text on a terminal, else JSON
    tls_cert: Path | None = None
    tls_key: Path | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """The settings of an environment; an empty variable counts as unset. Raises SettingsError."""
        policy = env.get("GATEWAY_POLICY")
        cert, key = tls(env)
        return cls(
            host=env.get("GATEWAY_HOST") or LOOPBACK,
            port=port(env, "GATEWAY_PORT", 4080),
            admin_host=env.get("GATEWAY_ADMIN_HOST") or LOOPBACK,
            admin_port=port(env, "GATEWAY_ADMIN_PORT", 4081),
            policy=Path(policy) if policy else None,
            state_dir=state_dir(env),
            store_url=store_url(env),
            admin_key=env.get("GATEWAY_ADMIN_KEY") or None,
            log_level=word(env, "GATEWAY_LOG_LEVEL", LEVELS, "info"),
            log_format=word(env, "GATEWAY_LOG_FORMAT", FORMATS, "json") if env.get("GATEWAY_LOG_FORMAT") else None,
            tls_cert=cert,
            tls_key=key,
        )


def port(env: Mapping[str, str], name: str, default: int) -> int:
    """A TCP port; 0 lets the system choose."""
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65535:
        raise SettingsError(f"{name} is '{text[:20]}', which is no port. Set it to a number from 0 to 65535.")
    return int(text)


def word(env: Mapping[str, str], name: str, words: tuple[str, ...], default: str) -> str:
    """One of several words, in any case."""
    text = (env.get(name) or default).lower()
    if text not in words:
        raise SettingsError(f"{name} is '{text[:20]}'. Set it to one of {', '.join(words)}.")
    return text


def state_dir(env: Mapping[str, str]) -> Path:
    """Where what outlives a process is kept: as set, else below the user's state directory."""
    if chosen := env.get("GATEWAY_STATE_DIR"):
        return Path(chosen)
    if (base := env.get("XDG_STATE_HOME")) and Path(base).is_absolute():
        return Path(base) / "llama-gateway"
    home = env.get("HOME")
    return (Path(home) if home else Path.home()) / ".local" / "state" / "llama-gateway"


def store_url(env: Mapping[str, str]) -> str:
    """Where shared state is; this version has the memory of its own process only."""
    url = env.get("GATEWAY_STORE_URL") or "memory://"
    if url != "memory://":
        scheme = url.partition("://")[0][:20]
        message = f"GATEWAY_STORE_URL begins with '{scheme}', which this version cannot use."
        raise SettingsError(f"{message} Set it to memory:// or leave it out.")
    return url


def tls(env: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """Certificate and private key: both or neither."""
    cert, key = env.get("GATEWAY_TLS_CERT"), env.get("GATEWAY_TLS_KEY")
    if bool(cert) != bool(key):
        missing, given = ("GATEWAY_TLS_KEY", "GATEWAY_TLS_CERT") if cert else ("GATEWAY_TLS_CERT", "GATEWAY_TLS_KEY")
        raise SettingsError(f"{given} is set and {missing} is not. TLS needs both: set {missing} too.")
    return (Path(cert), Path(key)) if cert and key else (None, None)
