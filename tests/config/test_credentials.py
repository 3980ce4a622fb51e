"""Which values count as secrets."""

import json
from datetime import date

from gateway.catalogue import Catalogue
from gateway.config import credentials
from gateway.config.loading import read
from gateway.config.settings import Settings

KEY, HEADER, CALLER = "sk-canary-8c1e-0001", "Bearer canary-8c1e-0002", "canary-8c1e-caller-0003"


def test_keys_headers_and_proxies_of_backends_and_keys_of_callers_are_secret() -> None:
    backend = {
        "provider": "vllm",
        "url": "http://127.0.0.1:9",
        "api_key": "${KEY}",
        "headers": {"x-access": HEADER, "x-tier": "1"},
        "proxy": "http://user:canary%40proxy@127.0.0.1:8",
        "models": {"llama-3.1-8b-instruct": {"id": "x"}},
    }
    text = {"version": 1, "backends": {"a": backend}, "callers": {"team": {"key": CALLER}}}
    loaded = read(json.dumps(text).encode(), "p.yaml", {"KEY": KEY}, Catalogue.load(), date(2026, 11, 24))
    assert loaded.policy is not None
    found = set(credentials.of_policy(loaded.policy, loaded.spec))
    assert found >= {KEY, HEADER, HEADER.removeprefix("Bearer "), CALLER, "canary%40proxy", "canary@proxy"}
    assert "1" not in found


def test_policy_without_callers_or_without_its_file_has_the_secrets_of_its_backends() -> None:
    backend = {"provider": "vllm", "url": "http://127.0.0.1:9", "models": {"llama-3.1-8b-instruct": {"id": "x"}}}
    text = {"version": 1, "backends": {"a": {**backend, "api_key": KEY}}}
    loaded = read(json.dumps(text).encode(), "p.yaml", {}, Catalogue.load(), date(2026, 11, 24))
    assert loaded.policy is not None
    assert KEY in set(credentials.of_policy(loaded.policy, loaded.spec))
    assert KEY in set(credentials.of_policy(loaded.policy, None))


def test_variables_that_name_a_secret_hold_one() -> None:
    env = {
        "GROQ_API_KEY": "a1",
        "REPLICATE_API_TOKEN": "a2",
        "AWS_SECRET_ACCESS_KEY": "a3",
        "AWS_SESSION_TOKEN": "a4",
        "AWS_BEARER_TOKEN_BEDROCK": "a5",
        "OTEL_EXPORTER_OTLP_HEADERS": "api-key=a6,x-other=a%207",
        "GATEWAY_TLS_KEY": "/etc/key.pem",
        "TOKENIZERS_PARALLELISM": "false",
        "HOME": "/root",
    }
    assert set(credentials.of_environment(env)) == {"a1", "a2", "a3", "a4", "a5", "a6", "a 7"}


def test_settings_have_the_admin_key_the_secret_and_the_password_of_the_store() -> None:
    settings = Settings(admin_key="adm", secret="pepper", store_url="rediss://:pass%2Fword@host:6379/0")
    assert set(credentials.of_settings(settings)) == {"adm", "pepper", "pass%2Fword", "pass/word"}
    assert not any(credentials.of_settings(Settings()))
