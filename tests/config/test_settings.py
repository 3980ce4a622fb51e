"""Settings come from the environment; a bad one is refused by name."""

from pathlib import Path

import pytest

from gateway.config.settings import Settings, SettingsError


def test_an_empty_environment_listens_on_loopback() -> None:
    settings = Settings.from_env({"HOME": "/home/a"})
    assert (settings.host, settings.port, settings.admin_host, settings.admin_port) == (
        "127.0.0.1", 4080, "127.0.0.1", 4081,
    )  # fmt: skip
    assert settings.state_dir == Path("/home/a/.local/state/llama-gateway")
    assert settings.policy is None
    assert settings.store_url == "memory://"
    assert settings.log_format is None


def test_every_variable_is_read() -> None:
    settings = Settings.from_env(
        {
            "GATEWAY_HOST": "0.0.0.0",
            "GATEWAY_PORT": "80",
            "GATEWAY_ADMIN_HOST": "::1",
            "GATEWAY_ADMIN_PORT": "0",
            "GATEWAY_POLICY": "/p.yaml",
            "GATEWAY_STATE_DIR": "/state",
            "GATEWAY_STORE_URL": "memory://",
            "GATEWAY_ADMIN_KEY": "admin",
            "GATEWAY_LOG_LEVEL": "DEBUG",
            "GATEWAY_LOG_FORMAT": "json",
            "GATEWAY_TLS_CERT": "/c.pem",
            "GATEWAY_TLS_KEY": "/k.pem",
        }
    )
    assert (settings.port, settings.admin_host, settings.admin_port) == (80, "::1", 0)
    assert (settings.policy, settings.state_dir) == (Path("/p.yaml"), Path("/state"))
    assert (settings.admin_key, settings.log_level, settings.log_format) == ("admin", "debug", "json")
    assert (settings.tls_cert, settings.tls_key) == (Path("/c.pem"), Path("/k.pem"))


def test_the_state_directory_follows_xdg() -> None:
    assert Settings.from_env({"XDG_STATE_HOME": "/x"}).state_dir == Path("/x/llama-gateway")
    assert Settings.from_env({"XDG_STATE_HOME": "x", "HOME": "/h"}).state_dir == Path("/h/.local/state/llama-gateway")


def test_an_empty_variable_counts_as_unset() -> None:
    assert Settings.from_env({"GATEWAY_PORT": "", "GATEWAY_ADMIN_KEY": ""}) == Settings.from_env({})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("GATEWAY_PORT", "http"),
        ("GATEWAY_PORT", "-1"),
        ("GATEWAY_PORT", "65536"),
        ("GATEWAY_PORT", "٣"),
        ("GATEWAY_ADMIN_PORT", "4081.0"),
        ("GATEWAY_LOG_LEVEL", "loud"),
        ("GATEWAY_LOG_FORMAT", "xml"),
        ("GATEWAY_STORE_URL", "redis://:secret@host/0"),
        ("GATEWAY_TLS_CERT", "/c.pem"),
        ("GATEWAY_TLS_KEY", "/k.pem"),
    ],
)
def test_a_variable_that_cannot_be_used_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name) as refusal:
        Settings.from_env({name: value})
    assert "secret" not in str(refusal.value)


def test_the_admin_key_is_not_in_the_repr() -> None:
    assert "canary" not in repr(Settings.from_env({"GATEWAY_ADMIN_KEY": "canary"}))
