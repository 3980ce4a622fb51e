"""`python -m tests.bench.semantic`: how often the semantic cache takes one question for another.

Pairs of questions that differ in a number, a name or a negation must never share an answer; pairs that say the same in
other words should. The vectors are real ones of llama.cpp, by default of the toy model, which knows next to nothing of
meaning: with it, all that keeps questions apart is that numbers, names and negations must be equal. `--url` and
`--model` measure a real embedding model at any server that speaks OpenAI's API.
"""

import argparse
import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from gateway.demo.fleet import DemoFleet, ServerSpec
from gateway.engine.alike import signature
from gateway.providers.openai_compatible import OpenAICompatible
from gateway.providers.transport import PooledTransport
from gateway.stores.cache_vectors import Question, Vector, Vectors, unit
from gateway.types import Backend, Deployment

THRESHOLD = 0.95
Pair = tuple[str, str]
NUMBERS = ("3", "4", "12", "1.5", "2024", "two", "seven")
NAMES = ("France", "Spain", "Berlin", "Ada Lovelace", "Python", "NASA")
ASKED_OF_NUMBERS = (
    "How do I cook rice for {} people?",
    "What happened in the year {}?",
    "Convert {} miles to kilometres.",
    "Give me {} ideas for a garden party.",
)
ASKED_OF_NAMES = (
    "What is {} best known for?",
    "Write a short poem about {}.",
    "tell me what people think of {}",
    "{}: what should I know?",
)
DENIED: tuple[Pair, ...] = (
    ("Is it safe to eat raw eggs?", "Is it not safe to eat raw eggs?"),
    ("Should I water a cactus every day?", "Shouldn't I water a cactus every day?"),
    ("Which birds can fly?", "Which birds cannot fly?"),
    ("A recipe with sugar", "A recipe without sugar"),
    ("What can I take on a plane?", "What can't I take on a plane?"),
    ("Countries that have a king", "Countries that have no king"),
    ("Why do cats like water?", "Why don't cats like water?"),
    ("Always use this method?", "Never use this method?"),
    ("Ist Milch gesund?", "Ist Milch nicht gesund?"),
    ("Puis-je fumer ici ?", "Ne puis-je pas fumer ici ?"),
)
PARAPHRASED: tuple[Pair, ...] = (
    ("What is the capital of France?", "Which city is the capital of France?"),
    ("How do I boil an egg?", "What is the way to boil an egg?"),
    ("Explain how a rainbow forms.", "Tell me how rainbows come about."),
    ("Give me a summary of the French Revolution.", "Summarize the French Revolution."),
    ("What is the boiling point of water?", "At what temperature does water boil?"),
    ("how to learn to swim as an adult", "ways for adults to learn swimming"),
    ("What causes the tides?", "Why are there tides?"),
    ("Who wrote Faust?", "Who is the author of Faust?"),
)


class Rates(NamedTuple):
    """Shares of the pairs that would share an answer: by their vectors alone, and with what must be equal."""

    pairs: int
    vectors: float
    both: float


def filled(forms: Iterable[str], words: Sequence[str]) -> list[Pair]:
    """Each form with each two of the words."""
    return [(form.format(one), form.format(other)) for form in forms for one, other in combinations(words, 2)]


def kinds() -> dict[str, Sequence[Pair]]:
    """Pairs by what they differ in."""
    lowered = [(one.lower(), other.lower()) for one, other in filled(ASKED_OF_NAMES, NAMES)]
    return {
        "number": filled(ASKED_OF_NUMBERS, NUMBERS),
        "name": filled(ASKED_OF_NAMES, NAMES),
        "negation": DENIED,
        "name in small letters": lowered,
        "nothing but the words": PARAPHRASED,
    }


@asynccontextmanager
async def toy() -> AsyncIterator[str]:
    """The address of a real llama.cpp that makes vectors by the toy model."""
    fleet = DemoFleet()
    with tempfile.TemporaryDirectory() as folder:
        try:
            (server,) = await fleet.start([ServerSpec("vectors", ("toy",), embeddings=True)], Path(folder))
            yield server.url
        finally:
            await fleet.stop()


async def vectors(url: str, model: str, texts: Iterable[str]) -> dict[str, Vector]:
    """The vector of each text."""
    transport = PooledTransport(50.0, None)
    maker = OpenAICompatible(Backend("vectors", "openai_compatible", url), transport)
    deployment = Deployment("vectors", "vectors", model, model, "openai_compatible", "self_hosted")
    try:
        found = {text: unit(await maker.embed(text, deployment)) for text in dict.fromkeys(texts)}
    finally:
        await transport.close()
    return {text: vector for text, vector in found.items() if vector is not None}


def shared(pair: Pair, known: dict[str, Vector], threshold: float, compared: bool) -> bool:
    """Whether the second question of a pair gets the answer to the first."""
    first, second = (signature(text) if compared else b"" for text in pair)
    store = Vectors()
    store.add(b"", known[pair[0]], Question(first, b"answer"))
    return bool(store.nearest(b"", known[pair[1]], second, threshold))


def rates(pairs: Sequence[Pair], known: dict[str, Vector], threshold: float) -> Rates:
    """How often a pair shares an answer."""
    alone, both = (sum(shared(pair, known, threshold, compared) for pair in pairs) for compared in (False, True))
    return Rates(len(pairs), alone / len(pairs), both / len(pairs))


async def measured(url: str | None, model: str, threshold: float) -> dict[str, Rates]:
    """The rates of every kind of pair."""
    found = kinds()
    texts = [text for pairs in found.values() for pair in pairs for text in pair]
    if url is None:
        async with toy() as served:
            known = await vectors(served, model, texts)
    else:
        known = await vectors(url, model, texts)
    return {name: rates(pairs, known, threshold) for name, pairs in found.items()}


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--url", help="of a server that makes vectors; llama.cpp with the toy model without it")
    options.add_argument("--model", default="toy")
    options.add_argument("--threshold", type=float, default=THRESHOLD)
    chosen = options.parse_args()
    print(f"{'pairs that differ in':24} {'pairs':>6} {'by vectors alone':>18} {'as the cache does':>18}")
    for name, found in asyncio.run(measured(chosen.url, chosen.model, chosen.threshold)).items():
        print(f"{name:24} {found.pairs:6} {found.vectors:18.1%} {found.both:18.1%}")


if __name__ == "__main__":
    main()
