"""A host that speaks OpenAI's API: or is it an Ollama, which should be spoken to in its own?"""

from collections.abc import Iterator

from gateway.catalogue import Catalogue
from gateway.fleet.checks.finding import Finding, Heard, Subject
from gateway.fleet.checks.habits import Habits
from gateway.fleet.httpx_transport import PLAIN
from gateway.providers.port import HttpCall

ROOT = "/"


def ask(subject: Subject) -> dict[str, HttpCall]:
    """GET /, without the key."""
    return {ROOT: HttpCall("GET", f"{subject.base}/", PLAIN)}


def judge(subject: Subject, heard: Heard, catalogue: Catalogue) -> Iterator[Finding]:
    """A warning when Ollama answers."""
    answer = heard.answers.get(ROOT)
    if answer is not None and answer.status == 200 and answer.body.strip() == b"Ollama is running":
        what = "It is an Ollama. Its OpenAI API cannot set `num_ctx`, so long prompts are cut without a word."
        advice = "Write `provider: ollama` for it, and the url without /v1."
        yield Finding("warning", "context", subject.name, what, advice)


OPENAI_COMPATIBLE = Habits(ask=ask, judge=judge)
