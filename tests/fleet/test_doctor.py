"""The doctor on whole policies and on this machine, with real llama.cpp and stand-ins for the others."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
import yaml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.catalogue import Catalogue
from gateway.config.loading import read
from gateway.demo.fleet import RunningServer
from gateway.demo.standins import fireworks, groq, ollama, together, vllm
from gateway.demo.standins.faults import Refuse, Slow, html_502
from gateway.demo.standins.hosted import KEY
from gateway.demo.standins.ollama_models import LocalModel
from gateway.demo.standins.script import Script
from gateway.demo.standins.serve import Served
from gateway.fleet.checks.finding import Finding
from gateway.fleet.doctor import Doctor, Patience, Report
from tests.fleet.pages import models, page, pages

pytestmark = pytest.mark.asyncio

TODAY = date(2026, 11, 24)
PATIENT = Patience(20, 20)  # a busy machine may be slow, and no test waits this long when all is well
LLAMA31 = "meta-llama/Llama-3.1-8B-Instruct"
NO_PARSER = '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'


async def report(
    catalogue: Catalogue, backends: dict[str, Any], env: dict[str, str] | None = None, patience: Patience = PATIENT
) -> Report:
    """What the doctor says of a policy with these backends."""
    text = yaml.safe_dump({"version": 1, "backends": backends}).encode()
    loaded = read(text, "mine.yaml", env or {}, catalogue, TODAY)
    return await Doctor(catalogue, TODAY, patience=patience).policy(loaded, env or {})


async def findings(
    catalogue: Catalogue, backends: dict[str, Any], env: dict[str, str] | None = None, patience: Patience = PATIENT
) -> list[Finding]:
    """The same without licences, of which each model has one."""
    found = (await report(catalogue, backends, env, patience)).findings
    return [one for one in found if one.check not in ("licence", "policy")]


def self_hosted(kind: str, url: str, model: str = "llama-3.1-8b-instruct", **facts: Any) -> dict[str, Any]:
    """A backend of one model."""
    return {"gpu": {"provider": kind, "url": url, "models": {model: facts}}}


async def test_a_vllm_as_the_policy_says_is_fine(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(vllm.app(llama.url)) as served:
        backends = self_hosted("vllm", served.url, id=LLAMA31, context=8192)
        assert await findings(catalogue, backends) == []


async def test_a_vllm_without_a_tool_parser_is_an_error_with_the_flags(
    llama: RunningServer, catalogue: Catalogue
) -> None:
    script = Script(Refuse(400, message=NO_PARSER))
    async with Served(vllm.app(llama.url, script=script)) as served:
        (found,) = await findings(catalogue, self_hosted("vllm", served.url, id=LLAMA31, context=8192))
    assert (found.severity, found.check, found.whom) == ("error", "tools", "gpu")
    assert "--enable-auto-tool-choice --tool-call-parser llama3_json" in found.advice
    (asked,) = script.generations
    assert asked.json["max_tokens"] == 1


async def test_only_servers_of_one_s_own_are_sent_a_request(llama: RunningServer, catalogue: Catalogue) -> None:
    script = Script()
    async with Served(vllm.app(llama.url, script=script)) as served:
        backends = self_hosted("vllm", served.url, id=LLAMA31, context=8192)
        backends["gpu"]["location"] = "hosted"
        await findings(catalogue, backends)
        backends["gpu"]["location"] = "self_hosted"
        backends["gpu"]["models"]["llama-3.1-8b-instruct"]["capabilities"] = []
        await findings(catalogue, backends)
    assert script.generations == []


async def test_a_vllm_with_a_shorter_context_than_the_policy_s(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(vllm.app(llama.url, context=4096)) as served:
        (found,) = await findings(catalogue, self_hosted("vllm", served.url, id=LLAMA31, context=32768))
    assert (found.severity, found.check) == ("warning", "context")
    assert "--max-model-len 32768" in found.advice


async def test_an_id_that_a_vllm_does_not_serve(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(vllm.app(llama.url)) as served:
        (found,) = await findings(catalogue, self_hosted("vllm", served.url, id="Llama-3.1-8B-Instruct"))
    assert (found.severity, found.check, found.whom) == ("error", "models", "gpu/llama-3.1-8b-instruct")
    assert f"`{LLAMA31}`" in found.advice


async def test_a_vllm_that_wants_a_key(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(vllm.app(llama.url, key="let-me-in-0123")) as served:
        backends = self_hosted("vllm", served.url, id=LLAMA31, context=8192)
        (found,) = await findings(catalogue, backends)
        assert "there is none (401)" in found.what
        backends["gpu"]["api_key"] = "let-me-in-0123"
        assert await findings(catalogue, backends) == []


async def test_a_busy_vllm_is_not_waited_for(llama: RunningServer, catalogue: Catalogue) -> None:
    script = Script(otherwise=Slow(), everywhere=True)
    async with Served(vllm.app(llama.url, script=script)) as served:
        backends = self_hosted("vllm", served.url, id=LLAMA31)
        (found,) = await findings(catalogue, backends, patience=Patience(20, 0.05))
    assert (found.severity, found.check) == ("warning", "models")


async def test_a_real_llama_cpp_as_the_policy_says_is_fine(llama: RunningServer, catalogue: Catalogue) -> None:
    backends = self_hosted("llama_cpp", llama.url, context=2048)
    backends["gpu"]["slots"] = 3
    assert await findings(catalogue, backends) == []


async def test_a_real_llama_cpp_with_fewer_slots_and_a_shorter_context(
    llama: RunningServer, catalogue: Catalogue
) -> None:
    context, slots = sorted(await findings(catalogue, self_hosted("llama_cpp", llama.url)), key=lambda one: one.check)
    assert (context.check, context.severity, context.whom) == ("context", "warning", "gpu/llama-3.1-8b-instruct")
    assert "It holds 2048 tokens" in context.what
    assert (slots.check, slots.severity) == ("slots", "warning")
    assert "works on 3 requests at once, and the policy counts on 4" in slots.what


async def test_a_real_llama_cpp_with_more_than_the_policy_uses(llama: RunningServer, catalogue: Catalogue) -> None:
    backends = self_hosted("llama_cpp", llama.url, context=1024)
    backends["gpu"]["slots"] = 2
    assert {(one.severity, one.check) for one in await findings(catalogue, backends)} == {
        ("info", "context"),
        ("info", "slots"),
    }


async def test_a_llama_cpp_whose_key_is_wrong_tells_so_by_its_props(catalogue: Catalogue) -> None:
    answers = {"/v1/models": models("m", owner="llamacpp"), "/props": page({"error": "Invalid API Key"}, 401)}
    async with pages(answers) as served:
        backends = self_hosted("llama_cpp", served.url)
        backends["gpu"]["api_key"] = "wrong-key-0123456789"
        (found,) = await findings(catalogue, backends)
    assert (found.severity, found.check) == ("error", "key")


SMALL = LocalModel("llama3.1:8b", 4_920_753_328, "8.0B", context=8192)


async def test_an_ollama_that_has_not_loaded_its_model_is_a_note(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(ollama.app(llama.url)) as served:
        (found,) = await findings(catalogue, self_hosted("ollama", served.url, id="llama3.1:8b", context=8192))
    assert (found.severity, found.check) == ("info", "loaded")


async def test_an_ollama_whose_model_holds_less_than_the_policy_says(
    llama: RunningServer, catalogue: Catalogue
) -> None:
    async with Served(ollama.app(llama.url, models=[SMALL])) as served:
        found = await findings(catalogue, self_hosted("ollama", served.url, id="llama3.1:8b", context=32768))
    assert [(one.severity, one.check) for one in found] == [("warning", "context"), ("info", "loaded")]
    assert "Write `context: 8192`" in found[0].advice


def an_ollama(shown: dict[str, Any], *running: dict[str, Any]) -> Served:
    """An Ollama with one model, which says what it is told to."""
    answers = {
        "/api/tags": {"models": [{"name": "llama3.1:8b"}]},
        "/api/show": shown,
        "/api/ps": {"models": [{"name": "llama3.1:8b", **row} for row in running]},
    }

    async def answer(request: Request) -> Response:
        return page(answers[request.url.path])

    return Served(Starlette(routes=[Route(path, answer, methods=["GET", "POST"]) for path in answers]))


async def test_a_small_num_ctx_of_a_modelfile_is_a_warning(catalogue: Catalogue) -> None:
    shown = {"parameters": 'num_ctx                        2048\nstop "<|eot_id|>"'}
    loaded = {"size": 100, "size_vram": 100, "context_length": 8192}
    async with an_ollama(shown, loaded) as served:
        (found,) = await findings(catalogue, self_hosted("ollama", served.url, id="llama3.1:8b", context=8192))
    assert (found.severity, found.check) == ("warning", "context")
    assert "`num_ctx` to 2048" in found.what


async def test_a_model_in_memory_with_a_small_window_or_half_on_the_cpu(catalogue: Catalogue) -> None:
    loaded = {"size": 100, "size_vram": 60, "context_length": 4096}
    async with an_ollama({}, loaded) as served:
        found = await findings(catalogue, self_hosted("ollama", served.url, id="llama3.1:8b", context=8192))
    assert [(one.severity, one.check) for one in found] == [("warning", "loaded"), ("info", "context")]
    assert "Only 60 %" in found[0].what
    assert "OLLAMA_CONTEXT_LENGTH=8192" in found[1].advice


async def test_an_ollama_that_is_spoken_to_as_openai_is_a_warning(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(ollama.app(llama.url)) as served:
        found = await findings(catalogue, self_hosted("openai_compatible", f"{served.url}/v1", id="llama3.1:8b"))
    assert [(one.severity, one.check) for one in found] == [("warning", "context")]
    assert "provider: ollama" in found[0].advice


HOSTED = [
    (together, "together", "TOGETHER_API_KEY"),
    (groq, "groq", "GROQ_API_KEY"),
    (fireworks, "fireworks", "FIREWORKS_API_KEY"),
]


@pytest.mark.parametrize(("standin", "kind", "variable"), HOSTED)
async def test_a_hosted_provider_that_refuses_the_key(
    llama: RunningServer, catalogue: Catalogue, standin: Any, kind: str, variable: str
) -> None:
    env = {variable: "wrong-key-0123456789"}
    async with Served(standin.app(llama.url)) as served:
        said = await report(catalogue, self_hosted(kind, served.url, id=standin.MODELS[0]), env)
    (found,) = [one for one in said.findings if one.check == "key"]
    assert (found.severity, found.whom) == ("error", "gpu")
    assert f"It refuses the key in {variable} (401)." == found.what
    assert "wrong-key" not in repr(said)


@pytest.mark.parametrize(("standin", "kind", "variable"), HOSTED)
async def test_a_hosted_provider_that_takes_the_key(
    llama: RunningServer, catalogue: Catalogue, standin: Any, kind: str, variable: str
) -> None:
    async with Served(standin.app(llama.url)) as served:
        backends = self_hosted(kind, served.url, "acme-8b", id=standin.MODELS[0])
        assert await findings(catalogue, backends, {variable: KEY}) == []


async def test_a_broken_provider_and_its_html_are_an_error_without_the_page(
    llama: RunningServer, catalogue: Catalogue
) -> None:
    script = Script(otherwise=html_502(), everywhere=True)
    async with Served(groq.app(llama.url, script=script)) as served:
        backends = self_hosted("groq", served.url, "acme-8b", id="x")
        (found,) = await findings(catalogue, backends, {"GROQ_API_KEY": KEY})
    assert "answers 502" in found.what
    assert "<html" not in repr(found)


async def test_a_retired_id_is_an_error_and_a_listed_one_a_warning(llama: RunningServer, catalogue: Catalogue) -> None:
    env = {"GROQ_API_KEY": KEY}
    async with Served(groq.app(llama.url, models=["llama-3.1-8b-instant"])) as served:
        backends = self_hosted("groq", served.url, id="llama-3.1-8b-instant")
        backends["gpu"]["models"]["llama-3.3-70b-instruct"] = {"id": "llama-3.3-70b-versatile"}
        found = [one for one in await findings(catalogue, backends, env) if one.check == "retirement"]
    assert [(one.severity, one.whom) for one in found] == [
        ("error", "gpu/llama-3.3-70b-instruct"),
        ("warning", "gpu/llama-3.1-8b-instruct"),
    ]


async def test_a_clock_that_is_off_is_told_by_the_answers(llama: RunningServer, catalogue: Catalogue) -> None:
    def fast() -> datetime:
        return datetime.now(UTC) + timedelta(hours=1)

    async with Served(together.app(llama.url)) as served:
        backends = self_hosted("together", served.url, "acme-8b", id=together.MODELS[0])
        text = yaml.safe_dump({"version": 1, "backends": backends}).encode()
        loaded = read(text, "mine.yaml", {"TOGETHER_API_KEY": KEY}, catalogue, TODAY)
        doctor = Doctor(catalogue, TODAY, fast, PATIENT)
        found = (await doctor.policy(loaded, {})).findings
    assert [(one.severity, one.whom) for one in found if one.check == "clock"] == [("warning", "this machine")]


async def test_a_policy_with_errors_is_told_and_nobody_is_asked(catalogue: Catalogue) -> None:
    said = await report(catalogue, {"gpu": {"provider": "vlm", "url": "http://127.0.0.1:1"}})
    assert said.looked == ()
    assert ("error", "policy", "did you mean 'vllm'?") in [
        (one.severity, one.check, one.advice) for one in said.findings
    ]


async def test_a_key_that_is_not_set_is_a_note(catalogue: Catalogue) -> None:
    backends = {"groq": {"provider": "groq", "models": {"llama-3.3-70b-instruct": {}}}}
    said = await report(catalogue, backends)
    assert any("GROQ_API_KEY is not set" in one.what for one in said.findings if one.severity == "info")
    assert said.looked == ()


async def test_the_worst_comes_first_and_everybody_is_listed(llama: RunningServer, catalogue: Catalogue) -> None:
    backends = self_hosted("llama_cpp", llama.url)
    backends["gone"] = {"provider": "vllm", "url": "http://127.0.0.1:1", "models": {"llama-3.3-70b-instruct": {}}}
    said = await report(catalogue, backends)
    severities = [one.severity for one in said.findings]
    assert severities == sorted(severities, key=["error", "warning", "info"].index)
    assert {(one.name, one.kind, one.where) for one in said.looked} == {
        ("gpu", "llama_cpp", llama.url),
        ("gone", "vllm", "http://127.0.0.1:1"),
    }


async def machine(catalogue: Catalogue, addresses: dict[str, str], env: dict[str, str] | None = None) -> Report:
    return await Doctor(catalogue, TODAY, patience=PATIENT).machine(env or {}, addresses)


async def test_a_machine_with_nothing_on_it_is_a_warning(catalogue: Catalogue) -> None:
    found = (await machine(catalogue, {})).findings
    assert [(one.severity, one.check) for one in found] == [("warning", "discovery"), ("info", "key")]
    assert "GROQ_API_KEY" in found[1].what


async def test_servers_of_this_machine_are_found_and_looked_at(llama: RunningServer, catalogue: Catalogue) -> None:
    script = Script(Refuse(400, message=NO_PARSER))
    async with Served(vllm.app(llama.url, script=script)) as served:
        said = await machine(catalogue, {"vllm": served.url, "llama-cpp": llama.url})
    assert [(one.name, one.models) for one in said.looked] == [("vllm", 1), ("llama-cpp", 1)]
    assert [(one.check, one.whom) for one in said.findings if one.severity != "info"] == [("tools", "vllm")]


async def test_an_account_is_looked_at_with_the_models_that_it_lists(
    llama: RunningServer, catalogue: Catalogue
) -> None:
    async with Served(groq.app(llama.url, models=["llama-3.3-70b-versatile", "whisper-large-v3"])) as served:
        said = await machine(catalogue, {"groq": served.url}, {"GROQ_API_KEY": KEY})
    assert [(one.name, one.kind, one.models) for one in said.looked] == [("groq", "groq", 1)]
    assert [(one.severity, one.check) for one in said.findings if one.check in ("retirement", "key")] == [
        ("warning", "retirement"),
        ("info", "key"),
    ]
    assert any(one.check == "licence" for one in said.findings)


async def test_an_account_with_a_wrong_key_is_an_error(llama: RunningServer, catalogue: Catalogue) -> None:
    async with Served(groq.app(llama.url)) as served:
        said = await machine(catalogue, {"groq": served.url}, {"GROQ_API_KEY": "wrong-key-0123456789"})
    assert said.findings[0].what == "It refuses the key in GROQ_API_KEY (401)."
    assert "wrong-key" not in repr(said)


async def test_a_key_with_a_stray_character_is_not_sent(catalogue: Catalogue) -> None:
    said = await machine(catalogue, {"groq": "http://127.0.0.1:1"}, {"GROQ_API_KEY": "gsk-0123456789\n"})
    assert (said.findings[0].severity, said.findings[0].check) == ("error", "key")
    assert "gsk-" not in repr(said)


async def test_a_secret_that_comes_back_is_not_shown(catalogue: Catalogue) -> None:
    secret = "sk-very-secret-0123456789"
    async with pages({"/v1/models": models(secret, "b")}) as served:
        backends = self_hosted("openai_compatible", served.url, "acme-8b", id=f"{secret}-x")
        backends["gpu"]["api_key"] = secret
        said = await report(catalogue, backends)
    assert any("***" in one.what or "***" in one.advice for one in said.findings)
    assert secret not in "".join(f"{one.what}{one.advice}" for one in said.findings if one.check == "models")
