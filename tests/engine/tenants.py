"""Several callers and teams on routes that keep answers: `python -m tests.engine.tenants --operations 1000000`.

Each answer says for whom it was made; nobody may ever get one that was made for somebody else. `--timing` asks for what
another caller has had answered and for what nobody has, in turn, and says how well the time tells which is which.
"""

import argparse
import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

from gateway.routing.policy import CachePolicy, Policy, Semantic
from gateway.stores.cache import Purge
from gateway.types import Backend, CacheControl, Caller, ChatRequest, Chunk, Deployment, Json, Team
from tests.engine.fakes import Rig, ScriptedProvider, bodies, chunk, finish, text, whole, words
from tests.routing.samples import BODY, deployment, policy, request, route

CALLERS = tuple(
    Caller(name, team=None if team is None else Team(team))
    for name, team in (("red", "x"), ("blue", "x"), ("green", "y"), ("x", None), ("y", "red"))
)
SHARES = ("caller", "team", "all")
ROUTES = (*SHARES, "semantic", "several")
PROMPTS = tuple(f"{word} question {number}" for word in ("first", "other") for number in range(4))
CONTROLS = (*[CacheControl()] * 6, CacheControl(no_cache=True), CacheControl(no_store=True), CacheControl(max_age=5.0))
STEP = 20.0  # seconds that a wait takes, at most
TTL = 60.0
AT_ONCE = 6  # requests in a burst, at most
A, E = deployment("a"), deployment("e", "embedder")


Request = tuple[Caller, str, str, bool, CacheControl]  # who asks on which route, what, as a stream, and how


class Told(NamedTuple):
    """What one caller got: from whose answer, and what the cache said."""

    caller: Caller
    route: str
    made_for: str
    cache: str


class Telling(ScriptedProvider):
    """Says in its answer for whom it was made; makes vectors that are all alike."""

    async def answer(self, asked: ChatRequest, at: Deployment) -> AsyncIterator[list[Chunk]]:
        self.begun.append(0.0)
        await asyncio.sleep(0)
        said = asked.caller.name
        for body in [text(said), finish()] if asked.stream else [whole(said)]:
            yield [chunk(body)]
            await asyncio.sleep(0)
        self.closed += 1

    async def embed(self, words: str, deployment: Deployment) -> Sequence[float]:
        return [1.0, 0.5]


class World:
    """An engine, its callers, and a clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.draws = random.Random(0)
        backends = {name: Backend(name, "vllm", "http://127.0.0.1:1") for name in "ae"}
        self.rig = Rig(route(A, cache=CachePolicy(TTL)), {}, backends=backends)
        self.rig.providers = {name: Telling(backend) for name, backend in backends.items()}
        self.rig.cache.clock = lambda: self.now
        object.__setattr__(self.rig.tools, "clock", lambda: self.now)
        object.__setattr__(self.rig.tools, "chance", self.draws.random)
        self.policy = self.compiled()
        self.operations = 0

    def compiled(self) -> Policy:
        """The policy, made anew."""
        rules = {
            **{share: CachePolicy(TTL, share) for share in SHARES},
            "semantic": CachePolicy(TTL, semantic=Semantic(0.9, (E,))),
            "several": CachePolicy(TTL, answers=3),
        }
        routes = [route(A, name=name, asked=(name,), cache=rule) for name, rule in rules.items()]
        return policy(*routes, backends=self.rig.policy.backends)

    async def ask(
        self, caller: Caller, where: str, prompt: str, stream: bool = True, control: CacheControl = CONTROLS[0]
    ) -> Told:
        """One caller's request."""
        self.operations += 1
        body: Json = {**BODY, "model": where, "messages": [{"role": "user", "content": prompt}], "stream": stream}
        facts = {"caller": caller, "stream": stream, "cache": control, "arrived": self.now}
        answer = self.rig.engine.open(request(model=where, body=body, **facts), self.policy)
        return Told(caller, where, words(await bodies(answer)), answer.cache)

    async def burst(self, asked: Sequence[Request]) -> list[Told]:
        """Requests at the same time."""
        return list(await asyncio.gather(*[self.ask(*one) for one in asked]))

    async def purge(self, caller: Caller | None) -> None:
        """The answers of a caller go, or all."""
        self.operations += 1
        await self.rig.cache.purge(Purge(None if caller is None else caller.name))

    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.operations += 1
        self.now += seconds

    def reload(self) -> None:
        """The policy is read again."""
        self.operations += 1
        self.policy = self.compiled()


def strange(told: Told) -> bool:
    """Whether a caller got an answer that was made for somebody who shares none with them."""
    if told.made_for == told.caller.name or told.route == "all":
        return False
    others = {one.name: one for one in CALLERS}
    team = None if told.caller.team is None else told.caller.team.name
    theirs = others[told.made_for].team
    return told.route != "team" or team is None or theirs is None or theirs.name != team


async def driven(operations: int, seed: int) -> tuple[int, dict[str, int]]:
    """Strange answers among so many random operations, and how often the cache said what."""
    world, draws = World(), random.Random(seed)
    count, said = 0, dict.fromkeys(("hit", "miss", "bypass", "coalesced"), 0)
    while world.operations < operations:
        dice = draws.random()
        if dice < 0.01:
            await world.purge(draws.choice((None, *CALLERS)))
        elif dice < 0.05:
            world.wait(draws.random() * STEP)
        elif dice < 0.06:
            world.reload()
        else:
            for told in await world.burst(crowd(draws)):
                count += strange(told)
                said[told.cache] += 1
    return count, said


def crowd(draws: random.Random) -> list[Request]:
    """Requests that come at once: half of the time all callers ask the same."""
    count, same = draws.randint(1, AT_ONCE), draws.random() < 0.5
    where, prompt = draws.choice(ROUTES), draws.choice(PROMPTS)
    if same:
        return [(draws.choice(CALLERS), where, prompt, True, CONTROLS[0]) for _ in range(count)]
    return [
        (
            draws.choice(CALLERS),
            draws.choice(ROUTES),
            draws.choice(PROMPTS),
            draws.random() < 0.7,
            draws.choice(CONTROLS),
        )
        for _ in range(count)
    ]


async def timing(pairs: int) -> float:
    """How well the time of a look-up tells what another caller has had answered: 0.5 is not at all."""
    world, draws = World(), random.Random(1)
    asker, other = CALLERS[0], CALLERS[2]
    taken: dict[bool, list[int]] = {True: [], False: []}
    for index in range(pairs):
        await world.ask(other, "caller", f"known {index}", control=CacheControl())
        for known in draws.sample((True, False), 2):
            body = {
                **BODY,
                "model": "caller",
                "messages": [{"role": "user", "content": f"{'known' if known else 'fresh'} {index}"}],
            }
            answer = world.rig.engine.open(request(model="caller", body=body, stream=True, caller=asker), world.policy)
            begun = time.perf_counter_ns()
            await answer.look_up()
            taken[known].append(time.perf_counter_ns() - begun)
    return area(taken[True], taken[False])


def area(one: Sequence[int], other: Sequence[int]) -> float:
    """The share of pairs in which a value of the first is the larger (AUC of Mann and Whitney), at least one half."""
    ranked = sorted([(value, True) for value in one] + [(value, False) for value in other])
    places: dict[int, list[int]] = {}
    for place, (value, _) in enumerate(ranked, 1):
        places.setdefault(value, []).append(place)
    middle = {value: sum(found) / len(found) for value, found in places.items()}
    total = sum(middle[value] for value in one)
    found = (total - len(one) * (len(one) + 1) / 2) / (len(one) * len(other))
    return max(found, 1 - found)


def main() -> None:
    """Drive, measure and print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--operations", type=int, default=1_000_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--timing", type=int, default=0, metavar="PAIRS")
    chosen = options.parse_args()
    if chosen.timing:
        print(f"AUC of hit and miss across callers: {asyncio.run(timing(chosen.timing)):.3f}")
        return
    count, said = asyncio.run(driven(chosen.operations, chosen.seed))
    print(f"{count} answers of somebody else among {chosen.operations} operations; the cache said {said}")


if __name__ == "__main__":
    main()
