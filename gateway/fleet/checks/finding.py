"""What a check says, and of whom it speaks."""

from collections.abc import Mapping
from typing import NamedTuple

from gateway.config.problems import Severity
from gateway.fleet.httpx_transport import Answer
from gateway.providers.port import ServedModel
from gateway.types import Backend, Deployment


class Finding(NamedTuple):
    """Something to know of a backend, a deployment or this machine: a sentence, and another on what to do."""

    severity: Severity
    check: str  # what was looked at: `key`, `clock`, `dns`, `models`...
    whom: str
    what: str
    advice: str = ""


class Subject(NamedTuple):
    """A backend with the deployments that are expected of it; `key` says in words where its key is from."""

    backend: Backend
    deployments: tuple[Deployment, ...]
    credential: str | None = None  # the variable that its kind's own SDK reads
    key: str = "its `api_key`"
    account: bool = False  # nobody said yet which models are expected: those that it lists

    @property
    def name(self) -> str:
        """The backend's name."""
        return self.backend.name

    @property
    def base(self) -> str:
        """The address without the path of OpenAI's API."""
        return self.backend.url.rstrip("/").removesuffix("/v1")


class Heard(NamedTuple):
    """What a backend said: the models it lists, and its answers to the questions of its kind."""

    models: tuple[ServedModel, ...] = ()
    answers: Mapping[str, Answer] = {}
