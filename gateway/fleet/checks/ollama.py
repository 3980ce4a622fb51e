"""Ollama: the context its models have and were told to have, and what is in memory."""

import re
from collections.abc import Iterator

import orjson

from gateway.catalogue import Catalogue
from gateway.fleet.answers import listed, mapping, parsed, text, whole
from gateway.fleet.checks.finding import Finding, Heard, Subject
from gateway.fleet.checks.habits import Habits
from gateway.providers.openai_compatible import headers_of
from gateway.providers.port import HttpCall
from gateway.types import Deployment, Json

PS = "/api/ps"
SHOW = "/api/show"
MOST = 20  # models that are asked for one by one
NUM_CTX = re.compile(r"^\s*num_ctx\s+(\d{1,9})\s*$", re.MULTILINE)
NEARLY = 0.98  # of a model's size that is in the GPU's memory counts as all


def ask(subject: Subject) -> dict[str, HttpCall]:
    """GET /api/ps, and POST /api/show for each model."""
    headers, base = headers_of(subject.backend), subject.base.removesuffix("/api")
    shows = {
        f"{SHOW} {id}": HttpCall("POST", f"{base}{SHOW}", headers, orjson.dumps({"model": id}))
        for id in list(dict.fromkeys(one.id for one in subject.deployments))[:MOST]
    }
    return {PS: HttpCall("GET", f"{base}{PS}", headers), **shows}


def judge(subject: Subject, heard: Heard, catalogue: Catalogue) -> Iterator[Finding]:
    """Each deployment: what its model can hold, what its Modelfile says, whether it is loaded and how."""
    rows = listed(heard.answers, PS, "models")
    here = {name(model.id) for model in heard.models}
    for deployment in subject.deployments:
        shown = mapping(parsed(heard.answers, f"{SHOW} {deployment.id}"))
        yield from holding(deployment, shown)
        if rows is not None and name(deployment.id) in here:
            mine = (row for row in rows if name(text(row.get("name"))) == name(deployment.id))
            yield from loaded(deployment, next(mine, None))


def holding(deployment: Deployment, shown: Json) -> Iterator[Finding]:
    """What /api/show says of a model's context: the most it can hold, and `num_ctx` of its Modelfile."""
    if deployment.context is None:
        return
    facts = mapping(shown.get("model_info"))
    holds = next((whole(value) for key, value in facts.items() if key.endswith(".context_length")), None)
    if holds is not None and holds < deployment.context:
        what = f"The model holds {holds} tokens at most, and the policy counts on {deployment.context}."
        yield Finding("warning", "context", deployment.name, what, f"Write `context: {holds}`.")
    written = NUM_CTX.search(text(shown.get("parameters")))
    if written and int(written[1]) < deployment.context:
        what = (
            f"Its Modelfile sets `num_ctx` to {written[1]}, and the policy counts on {deployment.context}. The gateway "
            "asks for the window that a request needs; others who use this Ollama get their prompts cut without a word."
        )
        advice = f"Set `PARAMETER num_ctx {deployment.context}` in the Modelfile, or `context: {written[1]}` here."
        yield Finding("warning", "context", deployment.name, what, advice)


def loaded(deployment: Deployment, row: Json | None) -> Iterator[Finding]:
    """What /api/ps says of a model: not in memory, with a small window, or only partly on the GPU."""
    if row is None:
        what = "It is not in memory: the first request waits until it is loaded."
        yield Finding("info", "loaded", deployment.name, what, "Send it one request, or set OLLAMA_KEEP_ALIVE=-1.")
        return
    window = whole(row.get("context_length"))
    if window is not None and deployment.context is not None and window < deployment.context:
        what = f"It is in memory with a context of {window} tokens: a longer request makes Ollama load it again."
        advice = f"Start Ollama with OLLAMA_CONTEXT_LENGTH={deployment.context} if that is too slow."
        yield Finding("info", "context", deployment.name, what, advice)
    size, fast = row.get("size"), row.get("size_vram")
    if isinstance(size, int) and isinstance(fast, int) and 0 < fast < NEARLY * size:
        what = f"Only {100 * fast // size} % of it is in the GPU's memory, so it is slow."
        advice = "Take a smaller quantization or a smaller `context`, or unload other models."
        yield Finding("warning", "loaded", deployment.name, what, advice)


def name(id: str) -> str:
    """An id in full, as Ollama reads it: `llama3.3` is `llama3.3:latest`."""
    short = id.lower().removeprefix("registry.ollama.ai/").removeprefix("library/")
    return short if ":" in short.rpartition("/")[2] else f"{short}:latest"


OLLAMA = Habits(ask=ask, judge=judge, name=name)
