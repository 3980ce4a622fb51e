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


def test_requests_at_a_time_are_ten_thousand_unless_set() -> None:
    assert Settings.from_env({}).max_inflight == 10_000
    assert Settings.from_env({"GATEWAY_MAX_INFLIGHT": "500"}).max_inflight == 500


@pytest.mark.parametrize("value", ["0", "-1", "many", "1e4", "1000001", "1.5"])
def test_requests_at_a_time_are_a_whole_number_above_zero(value: str) -> None:
    with pytest.raises(SettingsError, match="GATEWAY_MAX_INFLIGHT"):
        Settings.from_env({"GATEWAY_MAX_INFLIGHT": value})


def test_share_of_the_log_is_read_and_refused_in_a_sentence() -> None:
    assert Settings.from_env({}).log_sample == 1
    assert Settings.from_env({"GATEWAY_LOG_SAMPLE": "0.05"}).log_sample == 0.05
    with pytest.raises(SettingsError) as refusal:
        Settings.from_env({"GATEWAY_LOG_SAMPLE": "2"})
    assert str(refusal.value) == "GATEWAY_LOG_SAMPLE is '2'. Set it to a share from 0 to 1."


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
        ("GATEWAY_DRAIN_SECONDS", "901"),
        ("GATEWAY_DRAIN_SECONDS", "soon"),
        ("GATEWAY_DRAIN_ACCEPT_SECONDS", "-1"),
        ("GATEWAY_DRAIN_ACCEPT_SECONDS", "61"),
        ("GATEWAY_HEALTH_CHECKS", "maybe"),
        ("GATEWAY_LOG_LEVEL", "loud"),
        ("GATEWAY_LOG_FORMAT", "xml"),
        ("GATEWAY_LOG_SAMPLE", "1.1"),
        ("GATEWAY_LOG_SAMPLE", "10%"),
        ("GATEWAY_LOG_SAMPLE", "-0.1"),
        ("GATEWAY_STORE_URL", "redis://:secret@host/zero"),
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


def test_how_the_gateway_ends_and_looks_after_servers_can_be_set() -> None:
    usual, own = Settings.from_env({}), {"GATEWAY_DRAIN_SECONDS": "0.5", "GATEWAY_DRAIN_ACCEPT_SECONDS": "0"}
    assert (usual.drain_accept_seconds, usual.drain_seconds, usual.health_checks) == (5.0, 120.0, True)
    settings = Settings.from_env({**own, "GATEWAY_HEALTH_CHECKS": "OFF"})
    assert (settings.drain_accept_seconds, settings.drain_seconds, settings.health_checks) == (0.0, 0.5, False)
