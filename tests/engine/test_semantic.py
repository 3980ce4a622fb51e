"""Answers to other questions that mean the same."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from gateway import errors
from gateway.engine.semantic import SECONDS
from gateway.routing.policy import CachePolicy, Route, Semantic
from gateway.stores.cache import Purge
from gateway.types import Backend, CacheControl, Caller, Deployment, Json
from tests.engine.fakes import Rig, Script, ScriptedProvider, bodies, finish, text, used, words
from tests.engine.virtual_time import run
from tests.routing.samples import BODY, MODEL, deployment, route

A, E = deployment("a", capabilities=frozenset({"tools"})), deployment("e", "embedder")
WORDS = ("capital", "france", "spain", "rain", "poem")


class EmbeddingProvider(ScriptedProvider):
    """A provider whose vectors say which words a text has."""

    wait = 0.0
    failing: type[Exception] | None = None
    asked = 0

    async def embed(self, words: str, deployment: Deployment) -> Sequence[float]:
        self.asked += 1
        await asyncio.sleep(self.wait)
        if self.failing is not None:
            raise self.failing("a scripted failure")
        return [float(word in words.lower()) for word in WORDS] + [0.1]


def semantic(threshold: float = 0.9, **facts: Any) -> Route:
    return route(A, cache=CachePolicy(60.0, semantic=Semantic(threshold, (E,)), **facts))


class Stage:
    """A rig with a server that makes vectors."""

    def __init__(self, rules: Route | None = None, *scripts: Script) -> None:
        backends = {name: Backend(name, "vllm", "http://127.0.0.1:1") for name in "ae"}
        self.rig = Rig(rules or semantic(), {"a": list(scripts)} if scripts else {}, backends=backends)
        self.embedder = EmbeddingProvider(backends["e"])
        self.rig.providers["e"] = self.embedder

    async def ask(self, said: str, system: str = "Be brief.", fields: Json | None = None, **facts: Any) -> Any:
        """The answer to a question."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": said}]
        answer = self.rig.open(body={**BODY, "messages": messages, **(fields or {})}, **facts)
        self.said = words(await bodies(answer))
        return answer


FRANCE, AGAIN, SPAIN = "What is the capital of France?", "Name the capital city of France", "The capital of Spain?"


def test_other_words_for_the_same_question_get_its_answer() -> None:
    async def scenario() -> None:
        stage = Stage(None, [text("Paris"), finish(), used()])
        assert (await stage.ask(FRANCE)).cache == "miss"
        hit = await stage.ask(AGAIN)
        assert (hit.cache, stage.said, stage.rig.calls) == ("hit", "Paris", {"a": 1})
        assert hit.alike == pytest.approx(1.0)

    run(scenario())


def test_same_words_need_no_vector() -> None:
    async def scenario() -> None:
        stage = Stage()
        await stage.ask(FRANCE)
        assert (await stage.ask(FRANCE)).alike is None
        assert stage.embedder.asked == 1

    run(scenario())


@pytest.mark.parametrize(
    ("threshold", "other"),
    [(0.9, "Write a poem about rain"), (0.0, SPAIN), (0.0, "What is not the capital of France?"), (1.0, SPAIN)],
)
def test_other_question_is_no_hit(threshold: float, other: str) -> None:
    async def scenario() -> None:
        stage = Stage(semantic(threshold))
        await stage.ask(FRANCE)
        assert (await stage.ask(other)).cache == "miss"

    run(scenario())


@pytest.mark.parametrize(
    "facts",
    [
        {"caller": Caller("other")},
        {"system": "Be long."},
        {"fields": {"temperature": 0.1}},
        {"fields": {"max_tokens": 5}},
        {"stream": False},
        {"needs": frozenset({"tools"})},
        {"cache": CacheControl(max_age=0.0)},
        {"cache": CacheControl(no_cache=True)},
    ],
)
def test_question_of_another_partition_is_no_hit(facts: Any) -> None:
    async def scenario() -> None:
        stage = Stage()
        await stage.ask(FRANCE)
        await asyncio.sleep(1)
        fields = {"fields": {"stream": facts["stream"]}} if "stream" in facts else {}
        assert (await stage.ask(AGAIN, **{**fields, **facts})).cache != "hit"

    run(scenario())


@pytest.mark.parametrize("trouble", [{"failing": errors.Unreachable}, {"wait": SECONDS + 0.1}])
def test_question_without_a_vector_is_a_new_one_and_waits_no_longer_than_it_may(trouble: Any) -> None:
    async def scenario() -> None:
        stage = Stage()
        vars(stage.embedder).update(trouble)
        began = asyncio.get_running_loop().time()
        assert (await stage.ask(FRANCE)).cache == "miss"
        assert asyncio.get_running_loop().time() - began == pytest.approx(min(stage.embedder.wait, SECONDS))
        assert stage.rig.tools.keeping.semantics.failing == {E.name}
        assert (await stage.ask(FRANCE)).cache == "hit"

    run(scenario())


def test_server_that_rests_is_not_asked_for_vectors() -> None:
    async def scenario() -> None:
        stage = Stage()
        stage.rig.book.drain(frozenset({"e"}), [E])
        await stage.ask(FRANCE)
        assert stage.embedder.asked == 0

    run(scenario())


def test_purged_answer_is_no_hit_for_other_words() -> None:
    async def scenario() -> None:
        stage = Stage()
        await stage.ask(FRANCE)
        await stage.rig.cache.purge(Purge(model=MODEL))
        assert (await stage.ask(AGAIN)).cache == "miss"

    run(scenario())


def test_answer_that_is_not_whole_is_not_found_by_its_meaning() -> None:
    async def scenario() -> None:
        stage = Stage(None, [text("Par"), finish("length")])
        await stage.ask(FRANCE)
        assert (await stage.ask(AGAIN)).cache == "miss"

    run(scenario())
