"""Which values are secrets: of a policy, of the environment, and of the gateway's own settings."""

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote, urlsplit

from gateway.config.schema import PolicyFile
from gateway.config.settings import Settings
from gateway.providers.http import secrets_of
from gateway.routing.policy import Policy

VARIABLE = re.compile(r"API_?KEY|ACCESS_KEY|(?:^|_)TOKEN(?:_|$)|SECRET|PASSW")  # a name whose value is one
LISTS = re.compile(r"^OTEL_EXPORTER_OTLP_\w*HEADERS$")  # of credentials: `name=value,name=value`


def of_policy(policy: Policy, spec: PolicyFile | None) -> Iterator[str]:
    """What a policy holds; the keys of its callers are only in what its file says."""
    for backend in policy.backends.values():
        yield from secrets_of(backend)
        yield from of_address(backend.proxy or "")
    for caller in ((spec and spec.callers) or {}).values():
        yield caller.key


def of_environment(env: Mapping[str, str]) -> Iterator[str]:
    """The values of variables whose names say that they are secret, whoever reads them."""
    for name, value in env.items():
        if VARIABLE.search(name):
            yield value
        elif LISTS.search(name):
            yield from (unquote(pair.partition("=")[2].strip()) for pair in value.split(","))


def of_settings(settings: Settings) -> Iterator[str]:
    """What the gateway itself was given."""
    yield settings.admin_key or ""
    yield settings.secret or ""
    yield from of_address(settings.store_url)


def of_address(url: str) -> Iterator[str]:
    """The password in an address, as it is and as it is written there."""
    login = urlsplit(url).netloc.rpartition("@")[0]
    password = login.partition(":")[2]
    yield from (password, unquote(password))
