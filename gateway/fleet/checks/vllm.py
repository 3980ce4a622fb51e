"""vLLM: started with a tool parser, or will every request with tools be refused?"""

from collections.abc import Iterator

import orjson

from gateway.catalogue import Catalogue
from gateway.fleet.checks.finding import Finding, Heard, Subject
from gateway.fleet.checks.habits import Habits
from gateway.providers.openai_compatible import headers_of
from gateway.providers.port import HttpCall
from gateway.types import Deployment, Json

TOOLS = "tools"
NO_PARSER = b"enable-auto-tool-choice"  # what its refusal names
# The parser that fits how a generation of Llama writes its tool calls.
PARSERS = {"3.1": "llama3_json", "3.2": "pythonic", "3.3": "llama3_json", "4": "llama4_pythonic"}
FUNCTION: Json = {"name": "noop", "parameters": {"type": "object", "properties": {}}}


def ask(subject: Subject) -> dict[str, HttpCall]:
    """One tiny request with a tool, to servers of one's own that are expected to take tools: it costs a token."""
    deployment = with_tools(subject)
    if deployment is None or subject.backend.location != "self_hosted":
        return {}
    body = {
        "model": deployment.id,
        "messages": [{"role": "user", "content": "Say yes."}],
        "tools": [{"type": "function", "function": FUNCTION}],
        "tool_choice": "auto",
        "max_tokens": 1,
    }
    url = f"{subject.base}/v1/chat/completions"
    return {TOOLS: HttpCall("POST", url, headers_of(subject.backend), orjson.dumps(body))}


def judge(subject: Subject, heard: Heard, catalogue: Catalogue) -> Iterator[Finding]:
    """The refusal of a server without a parser."""
    deployment, answer = with_tools(subject), heard.answers.get(TOOLS)
    if deployment is None or answer is None or answer.status != 400 or NO_PARSER not in answer.body:
        return
    model = catalogue.get(deployment.model)
    parser = PARSERS.get(model.generation if model else "")
    named = parser or "the parser of its model"
    what = "It runs without a tool parser, so it refuses every request with tools (400)."
    advice = f"Start vLLM with --enable-auto-tool-choice --tool-call-parser {named}"
    ending = ", and the chat template that goes with it." if parser else "."
    yield Finding("error", "tools", subject.name, what, f"{advice}{ending} Or take `tools` out of its `capabilities`.")


def with_tools(subject: Subject) -> Deployment | None:
    """The first deployment that is expected to take tools."""
    return next((one for one in subject.deployments if "tools" in one.capabilities), None)


VLLM = Habits(ask=ask, judge=judge, widen="start vLLM with --max-model-len {}")
