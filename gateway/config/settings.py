"""The gateway's own settings, from the environment; a change needs a restart."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from gateway.stores.redis_url import StoreUrlError, place

LOOPBACK = "127.0.0.1"
LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("json", "console")
SWITCH = ("on", "off")
COMPAT = ("litellm",)


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
    store_url: str = field(default="memory://", repr=False)  # may hold a password
    secret: str | None = field(default=None, repr=False)  # None: the one of the state directory
    request_log_days: float = 7.0  # that the request log is kept; 0: in memory alone
    admin_key: str | None = field(default=None, repr=False)
    log_level: str = "info"
    log_format: str | None = None  # None: text on a terminal, else JSON
    log_sample: float = 1.0  # share of the requests that went well and have a line
    metrics_compat: str | None = None  # whose names the metrics have besides their own
    tls_cert: Path | None = None
    tls_key: Path | None = None
    max_inflight: int = 10_000  # requests in the gateway at a time
    drain_accept_seconds: float = 5.0  # after SIGTERM, in which callers are still taken
    drain_seconds: float = 120.0  # after that, for the requests that run
    health_checks: bool = True  # whether self-hosted servers are asked if they are well, and how busy

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
            secret=env.get("GATEWAY_SECRET"),
            request_log_days=days(env, "GATEWAY_REQUEST_LOG_DAYS", 7, 3650),
            admin_key=env.get("GATEWAY_ADMIN_KEY") or None,
            log_level=word(env, "GATEWAY_LOG_LEVEL", LEVELS, "info"),
            log_format=word(env, "GATEWAY_LOG_FORMAT", FORMATS, "json") if env.get("GATEWAY_LOG_FORMAT") else None,
            log_sample=share(env, "GATEWAY_LOG_SAMPLE", 1),
            metrics_compat=compat(env),
            tls_cert=cert,
            tls_key=key,
            max_inflight=count(env, "GATEWAY_MAX_INFLIGHT", 10_000, 1_000_000),
            drain_accept_seconds=seconds(env, "GATEWAY_DRAIN_ACCEPT_SECONDS", 5, 60),
            drain_seconds=seconds(env, "GATEWAY_DRAIN_SECONDS", 120, 900),
            health_checks=word(env, "GATEWAY_HEALTH_CHECKS", SWITCH, "on") == "on",
        )


def port(env: Mapping[str, str], name: str, default: int) -> int:
    """A TCP port; 0 lets the system choose."""
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 5 or int(text) > 65535:
        raise SettingsError(f"{name} is '{text[:20]}', which is no port. Set it to a number from 0 to 65535.")
    return int(text)


def seconds(env: Mapping[str, str], name: str, default: float, most: int) -> float:
    """A number of seconds up to `most`, with decimals or without."""
    return amount(env, name, default, most, "a number of seconds")


def share(env: Mapping[str, str], name: str, default: float) -> float:
    """A share of a whole."""
    return amount(env, name, default, 1, "a share")


def days(env: Mapping[str, str], name: str, default: float, most: int) -> float:
    """A number of days up to `most`."""
    return amount(env, name, default, most, "a number of days")


def amount(env: Mapping[str, str], name: str, default: float, most: int, what: str) -> float:
    """A number up to `most`."""
    text = env.get(name) or str(default)
    whole, _, rest = text.partition(".")
    digits = text.isascii() and whole.isdigit() and (rest.isdigit() or not rest) and len(text) <= 10
    if not digits or float(text) > most:
        raise SettingsError(f"{name} is '{text[:20]}'. Set it to {what} from 0 to {most}.")
    return float(text)


def count(env: Mapping[str, str], name: str, default: int, most: int) -> int:
    """A whole number from 1 to `most`."""
    text = env.get(name) or str(default)
    if not text.isascii() or not text.isdigit() or len(text) > 10 or not 1 <= int(text) <= most:
        raise SettingsError(f"{name} is '{text[:20]}'. Set it to a whole number from 1 to {most}.")
    return int(text)


def word(env: Mapping[str, str], name: str, words: tuple[str, ...], default: str) -> str:
    """One of several words, in any case."""
    text = (env.get(name) or default).lower()
    if text not in words:
        raise SettingsError(f"{name} is '{text[:20]}'. Set it to one of {', '.join(words)}.")
    return text


def compat(env: Mapping[str, str]) -> str | None:
    """Another gateway whose names for metrics are served besides our own."""
    return word(env, "GATEWAY_METRICS_COMPAT", COMPAT, "") if env.get("GATEWAY_METRICS_COMPAT") else None


def state_dir(env: Mapping[str, str]) -> Path:
    """Where what outlives a process is kept: as set, else below the user's state directory."""
    if chosen := env.get("GATEWAY_STATE_DIR"):
        return Path(chosen)
    if (base := env.get("XDG_STATE_HOME")) and Path(base).is_absolute():
        return Path(base) / "llama-gateway"
    home = env.get("HOME")
    return (Path(home) if home else Path.home()) / ".local" / "state" / "llama-gateway"


def store_url(env: Mapping[str, str]) -> str:
    """Where shared state is: in this process alone, or in Redis."""
    url = env.get("GATEWAY_STORE_URL") or "memory://"
    if url != "memory://":
        try:
            place(url)
        except StoreUrlError as exc:
            raise SettingsError(f"GATEWAY_STORE_URL {exc}") from exc
    return url


def tls(env: Mapping[str, str]) -> tuple[Path | None, Path | None]:
    """Certificate and private key: both or neither."""
    cert, key = env.get("GATEWAY_TLS_CERT"), env.get("GATEWAY_TLS_KEY")
    if bool(cert) != bool(key):
        missing, given = ("GATEWAY_TLS_KEY", "GATEWAY_TLS_CERT") if cert else ("GATEWAY_TLS_CERT", "GATEWAY_TLS_KEY")
        raise SettingsError(f"{given} is set and {missing} is not. TLS needs both: set {missing} too.")
    return (Path(cert), Path(key)) if cert and key else (None, None)
