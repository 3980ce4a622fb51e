"""Who gets a slot, and who waits for how long."""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.engine.admission import SHARES
from gateway.engine.queue import BATCH_WAIT, Place, Queue, Queues, patience
from gateway.errors import Shed
from gateway.routing.book import StatsBook
from gateway.routing.concurrency import Allowance
from gateway.types import Backend, Class, Deployment
from tests.engine.virtual_time import VirtualLoop, now, run
from tests.routing.samples import deployment

CLASSES: tuple[Class, ...] = tuple(SHARES)
GPU = deployment("gpu-a")
OTHER = deployment("gpu-a", "llama-3.1-8b-instruct")  # of the same backend


@dataclass(eq=False)
class Asker:
    """One request for a slot, and what came of it."""

    class_: Class
    caller: str
    came: float
    deadline: float
    order: list["Asker"]  # those who had a slot
    behind: int  # how many of them there were before
    got: float | None = None
    error: Shed | None = None
    ended: float | None = None
    task: "asyncio.Task[None]" = field(init=False)

    async def ask(self, queue: Queue, wanted: Deployment) -> None:
        """Ask, and keep the slot."""
        try:
            await queue.slot(Place(wanted, self.class_, self.caller, self.deadline))
        except Shed as exc:
            self.error, self.ended = exc, now()
        else:
            self.got = now()
            self.order.append(self)


class Desk:
    """A backend's slots in virtual time, and everybody who asks for one."""

    def __init__(self, limit: int = 1, depth: int = 20, lasting: float = 1.0) -> None:
        self.book = StatsBook()
        self.backend = Backend("gpu-a", "vllm", "http://gpu-a", concurrency=limit, queue=depth)
        self.queue = Queue(self.backend, self.book, now, lasting=lasting)
        self.order: list[Asker] = []

    async def ask(
        self, class_: Class = "default", caller: str = "ann", patience: float = 100.0, wanted: Deployment = GPU
    ) -> Asker:
        """Somebody asks; what can happen at once has happened."""
        one = Asker(class_, caller, now(), now() + patience, self.order, len(self.order))
        one.task = asyncio.create_task(one.ask(self.queue, wanted))
        await settle()
        return one

    async def release(self, times: int = 1, wanted: Deployment = GPU) -> None:
        """Slots are given back, one after the other."""
        for _ in range(times):
            self.queue.give_back(wanted)
            await settle()

    def resize(self, limit: int) -> None:
        """A new policy has another limit."""
        self.queue.resize(replace(self.backend, concurrency=limit))

    @property
    def in_flight(self) -> int:
        """Slots in use."""
        return self.book.in_flight.get("gpu-a", 0)

    def served(self) -> list[str]:
        """The callers, in the order in which they had slots."""
        return [one.caller for one in self.order]


async def settle() -> None:
    """Let everybody do what they can do now."""
    for _ in range(5):
        await asyncio.sleep(0)


def in_time(scenario: Callable[[], Coroutine[object, object, None]]) -> Callable[[], None]:
    """A test in virtual time."""

    def test() -> None:
        run(scenario())

    test.__name__ = scenario.__name__
    return test


@in_time
async def test_free_slots_are_had_at_once() -> None:
    desk = Desk(limit=2)
    one, two, three = [await desk.ask() for _ in range(3)]
    assert (one.got, two.got, three.got) == (1000.0, 1000.0, None)
    assert (desk.in_flight, desk.queue.waiting) == (2, 1)


@in_time
async def test_slot_that_is_given_back_goes_to_who_has_waited_longest() -> None:
    desk = Desk()
    for caller in ("ann", "bob", "eve"):
        await desk.ask(caller=caller)
    await desk.release(3)
    assert desk.served() == ["ann", "bob", "eve"]
    assert desk.in_flight == desk.queue.waiting == 0


@in_time
async def test_more_important_class_goes_first() -> None:
    desk = Desk()
    await desk.ask(caller="first")
    for class_ in reversed(CLASSES):
        await desk.ask(class_, caller=class_)
    await desk.release(4)
    assert desk.served() == ["first", *CLASSES]


@in_time
async def test_callers_take_turns_however_much_one_of_them_asks() -> None:
    desk = Desk()
    for caller in ("first", "ann", "ann", "ann", "bob", "eve", "bob"):
        await desk.ask(caller=caller)
    await desk.release(6)
    assert desk.served() == ["first", "ann", "bob", "eve", "ann", "bob", "ann"]


@in_time
async def test_queue_that_is_full_refuses_at_once() -> None:
    desk = Desk(depth=2)
    for caller in ("ann", "bob", "eve"):
        await desk.ask(caller=caller)
    refused = await desk.ask(caller="zoe")
    assert refused.ended == now() == 1000.0
    assert refused.error is not None
    assert (refused.error.status, refused.error.code, refused.error.retry_after) == (503, "overloaded", 1.0)
    assert "'gpu-a' is busy, and so is the queue for it; ask again in 1 s." in refused.error.message


@pytest.mark.parametrize(("class_", "room"), [("critical", 20), ("default", 19), ("sheddable", 16), ("batch", 12)])
def test_each_class_has_its_share_of_the_queue(class_: Class, room: int) -> None:
    async def scenario() -> None:
        desk = Desk(depth=20)
        await desk.ask()
        found = [await desk.ask(class_, caller=f"{number}") for number in range(21)]
        assert [one.error is None for one in found] == [True] * room + [False] * (21 - room)

    run(scenario())


@in_time
async def test_more_important_request_takes_the_place_of_the_newest_of_the_least_important() -> None:
    desk = Desk(depth=4)
    await desk.ask()
    older, newer = await desk.ask("batch", caller="a"), await desk.ask("batch", caller="b")
    sheddable, default = await desk.ask("sheddable", caller="c"), await desk.ask("default", caller="d")
    critical = await desk.ask("critical", caller="e")
    assert newer.error is not None and "others need its queue more" in newer.error.message
    assert [one.error for one in (older, sheddable, default, critical)] == [None] * 4
    await desk.release(4)
    assert desk.served() == ["ann", "e", "d", "c", "a"]


@in_time
async def test_caller_who_fills_the_queue_makes_room_for_another_of_their_class() -> None:
    desk = Desk(depth=3)
    await desk.ask()
    greedy = [await desk.ask(caller="greedy") for _ in range(3)]
    modest = await desk.ask(caller="modest")
    again = await desk.ask(caller="modest")
    assert [one.error is None for one in greedy] == [True, True, False]
    assert (modest.error is None, again.error is None) == (True, False)


@in_time
async def test_wait_ends_at_the_deadline() -> None:
    desk = Desk()
    await desk.ask()
    late = await desk.ask(patience=2.0)
    await asyncio.sleep(10)
    assert late.ended == pytest.approx(1002.0)
    assert late.error is not None and "stayed so for as long as this request could wait" in late.error.message
    assert desk.queue.waiting == 0


@in_time
async def test_request_whose_deadline_has_passed_does_not_wait() -> None:
    desk = Desk()
    await desk.ask()
    late = await desk.ask(patience=0.0)
    assert late.error is not None and "no time to wait" in late.error.message


@in_time
async def test_deadline_is_nothing_to_a_request_that_has_its_slot() -> None:
    desk = Desk()
    await desk.ask()
    waiting = await desk.ask(patience=2.0)
    await desk.release()
    await asyncio.sleep(10)
    assert waiting.got == pytest.approx(1000.0) and waiting.error is None


def test_no_timer_is_left_when_the_wait_is_over() -> None:
    async def scenario() -> None:
        desk = Desk()
        await desk.ask()
        (await desk.ask()).task.cancel()
        await desk.ask()
        await desk.release()
        await asyncio.Event().wait()

    with closing(VirtualLoop()) as loop:
        with pytest.raises(RuntimeError, match="no timer is set"):
            loop.run_until_complete(scenario())
        assert loop.time() == 1000.0
        asyncio.gather(*asyncio.all_tasks(loop)).cancel()
        loop.run_until_complete(settle())


@in_time
async def test_newest_goes_first_when_the_wait_was_long_for_a_second() -> None:
    desk = Desk()
    await desk.ask()
    old = await desk.ask()
    await asyncio.sleep(1.6)
    new = await desk.ask()
    await desk.release()
    assert old.got is None and new.got is not None


@in_time
async def test_wait_that_is_long_for_a_moment_only_changes_no_order() -> None:
    desk = Desk()
    await desk.ask()
    old = await desk.ask()
    await asyncio.sleep(1.4)
    new = await desk.ask()
    await desk.release()
    assert old.got is not None and new.got is None


@in_time
async def test_oldest_goes_first_again_when_the_queue_has_been_worked_off() -> None:
    desk = Desk()
    for _ in range(3):
        await desk.ask()
    await asyncio.sleep(9)
    await desk.release(2)
    old = await desk.ask()
    await asyncio.sleep(0.7)
    new = await desk.ask()
    await desk.release()
    assert old.got is not None and new.got is None


@in_time
async def test_newest_goes_first_when_one_after_the_other_has_waited_for_long() -> None:
    desk = Desk()
    await desk.ask()
    for number in range(12):
        await desk.ask()
        await asyncio.sleep(0.3)
        if number >= 2:
            await desk.release()
    came = [one.came for one in desk.order]
    assert came[:4] == sorted(came[:4])
    assert came[-1] == pytest.approx(now() - 0.3)


@in_time
async def test_waiter_who_leaves_is_forgotten() -> None:
    desk = Desk()
    await desk.ask()
    gone = await desk.ask(caller="gone")
    stays = await desk.ask(caller="stays")
    gone.task.cancel()
    await settle()
    assert desk.queue.waiting == 1
    assert "gone" not in desk.queue.lines["default"].callers
    await desk.release()
    assert stays.got is not None


@in_time
async def test_waiter_who_leaves_in_the_moment_of_a_release_is_passed_over() -> None:
    desk = Desk()
    await desk.ask()
    gone, stays = await desk.ask(caller="gone"), await desk.ask(caller="stays")
    gone.task.cancel()
    desk.queue.give_back(GPU)
    await settle()
    assert (gone.got, stays.got) == (None, 1000.0)
    assert (desk.in_flight, desk.queue.waiting) == (1, 0)


@in_time
async def test_waiter_who_leaves_takes_no_turn_from_the_others_of_the_caller() -> None:
    desk = Desk()
    for caller in ("first", "eve"):
        await desk.ask(caller=caller)
    gone = await desk.ask(caller="bob")
    for caller in ("bob", "eve"):
        await desk.ask(caller=caller)
    await desk.release()
    gone.task.cancel()
    await desk.release(2)
    assert desk.served() == ["first", "eve", "bob", "eve"]


@in_time
async def test_waiter_who_leaves_just_after_having_a_slot_passes_it_on() -> None:
    desk = Desk()
    await desk.ask()
    gone, stays = await desk.ask(caller="gone"), await desk.ask(caller="stays")
    desk.queue.give_back(GPU)
    gone.task.cancel()
    await settle()
    assert (gone.got, stays.got) == (None, 1000.0)
    assert (desk.in_flight, desk.queue.waiting) == (1, 0)


@in_time
async def test_waiter_who_leaves_just_after_the_deadline_leaves_no_error_behind() -> None:
    desk = Desk()
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
    await desk.ask()
    gone = await desk.ask(patience=2.0)
    waiter = next(iter(desk.queue.lines["default"].all))
    desk.queue.expire(waiter)
    gone.task.cancel()
    await settle()
    del waiter
    assert gone.task.cancelled() and desk.queue.waiting == 0 and told == []


@in_time
async def test_larger_limit_is_handed_out_at_once_and_a_smaller_one_as_slots_come_back() -> None:
    desk = Desk(limit=1)
    for caller in ("a", "b", "c", "d"):
        await desk.ask(caller=caller)
    desk.resize(3)
    await settle()
    assert desk.served() == ["a", "b", "c"]
    desk.resize(1)
    await desk.release(2)
    assert desk.served() == ["a", "b", "c"]
    await desk.release()
    assert desk.served() == ["a", "b", "c", "d"]


@in_time
async def test_refusal_says_how_long_the_queue_may_take() -> None:
    desk = Desk(depth=10)
    for number in range(11):
        await desk.ask("critical", caller=f"{number}")
    for _ in range(30):
        await asyncio.sleep(2)
        await desk.release()
        await desk.ask("critical", caller=f"{now()}")
    error = (await desk.ask("critical", caller="late")).error
    assert error is not None and error.retry_after == pytest.approx(20.0, rel=0.05)


def test_slots_of_a_backend_are_those_of_all_that_it_serves() -> None:
    async def scenario() -> None:
        desk = Desk(limit=2)
        for wanted in (GPU, OTHER):
            assert (await desk.ask(wanted=wanted)).got is not None
        third = await desk.ask()
        assert third.got is None
        await desk.release(wanted=OTHER)
        assert third.got is not None
        assert desk.book.asked == {GPU.name: 2, OTHER.name: 0}

    run(scenario())


@in_time
async def test_deployment_that_bears_less_keeps_those_who_want_another_waiting_no_longer() -> None:
    desk = Desk(limit=3)
    desk.book.allowances[GPU.name] = Allowance(1.0)
    first, strained = await desk.ask(), await desk.ask()
    for _ in range(2):
        assert (await desk.ask(wanted=OTHER)).got is not None
    full = await desk.ask(wanted=OTHER)
    assert (first.got, strained.got, full.got) == (1000.0, None, None)
    await desk.release(wanted=OTHER)
    assert (strained.got, full.got) == (None, 1000.0)
    await desk.release()
    assert strained.got is not None


@in_time
async def test_backend_without_a_limit_has_no_queue_but_for_what_it_bears() -> None:
    desk = Desk()
    desk.queue.resize(replace(desk.backend, concurrency=None))
    assert all([(await desk.ask()).got is not None for _ in range(100)])
    desk.book.allowances[GPU.name] = Allowance(100.0)
    assert (await desk.ask()).got is None


@in_time
async def test_those_who_are_refused_are_counted_by_class() -> None:
    desk = Desk(depth=0)
    for class_ in ("critical", "batch", "batch"):
        await desk.ask(class_)
    assert (await desk.ask("batch")).error is not None
    assert desk.queue.shed == {"batch": 3}


def test_batch_waits_longer_than_whoever_somebody_sits_in_front_of() -> None:
    short, long = Backend("a", "vllm", "http://a"), Backend("b", "ollama", "http://b", queue_wait=60.0)
    assert [patience(short, class_) for class_ in CLASSES] == [2.0, 2.0, 2.0, BATCH_WAIT]
    assert {patience(long, class_) for class_ in CLASSES} == {60.0}


def several(**depths: int) -> tuple[Queues, dict[str, Backend], list[Place]]:
    """Queues of full backends of one slot each, and places in them."""
    book = StatsBook()
    backends = {
        name: Backend(name, "vllm", f"http://{name}", concurrency=1, queue=depth) for name, depth in depths.items()
    }
    for name in depths:
        book.take(deployment(name))
    places = [Place(deployment(name), "critical", "ann", now() + 2.0) for name in depths]
    return Queues(book, now), backends, places


@in_time
async def test_request_waits_at_the_first_queue_that_has_room() -> None:
    queues, backends, places = several(a=0, b=1, c=1)
    waiting = asyncio.create_task(queues.slot(places, backends))
    await settle()
    assert [queues.all[name].waiting for name in "abc"] == [0, 1, 0]
    queues.give_back(places[1].deployment)
    assert await waiting == 1
    assert queues.book.in_flight == {"a": 1, "b": 1, "c": 1}


@in_time
async def test_request_that_no_queue_has_room_for_is_refused_by_the_first() -> None:
    queues, backends, places = several(a=0, b=0)
    with pytest.raises(Shed, match="'a' is busy"):
        await queues.slot(places, backends)


@in_time
async def test_new_policy_changes_the_limits_for_those_who_wait_already() -> None:
    queues, backends, places = several(a=1)
    waiting = asyncio.create_task(queues.slot(places, backends))
    await settle()
    queues.keep({"b": backends["a"]})
    await settle()
    assert not waiting.done()
    queues.keep({"a": replace(backends["a"], concurrency=2)})
    assert await waiting == 0


class Waits(RuleBasedStateMachine):
    """Whatever happens: no slot too many, none idle while somebody waits, none lost, and everybody has their turn."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.limit = 2
        self.desk = Desk(self.limit, depth=8, lasting=1e9)
        self.desk.queue.clock = self.loop.time
        self.all: list[Asker] = []
        self.released = 0
        self.before = 0  # slots in use after the step before

    def holding(self) -> int:
        """Those who have a slot."""
        return len(self.desk.order) - self.released

    def waiting(self) -> list[Asker]:
        """Those who have neither a slot nor an answer, in order of arrival."""
        return [one for one in self.all if not one.task.done()]

    def do(self, *events: Callable[[], object]) -> None:
        """Let things happen in one moment, and look whether the right one was served first."""

        async def step() -> None:
            for event in events:
                event()
            await settle()

        had = len(self.desk.order)
        stood = self.waiting()
        self.loop.run_until_complete(step())
        stood = [one for one in stood if not one.task.cancelled()]
        for one in [one for one in self.desk.order[had:] if one in stood][:1]:
            assert one.class_ == min((other.class_ for other in stood), key=CLASSES.index)
            assert one is next(other for other in stood if (other.class_, other.caller) == (one.class_, one.caller))

    def give_back(self) -> None:
        """One slot comes back, if one is in use."""
        if self.holding() > 0:
            self.released += 1
            self.desk.queue.give_back(GPU)

    @rule(class_=st.sampled_from(CLASSES), caller=st.sampled_from("abc"), patience=st.sampled_from([0.3, 2.0, 30.0]))
    def ask(self, class_: Class, caller: str, patience: float) -> None:
        self.all.append(self.loop.run_until_complete(self.desk.ask(class_, caller, patience)))

    @rule()
    def release(self) -> None:
        self.do(self.give_back)

    @precondition(lambda self: self.waiting())
    @rule(data=st.data(), releases=st.sampled_from(["no", "before", "after"]))
    def leave(self, data: st.DataObject, releases: str) -> None:
        gone = data.draw(st.sampled_from(self.waiting()))
        events: list[Callable[[], object]] = [gone.task.cancel]
        if releases != "no":
            events.insert(0 if releases == "before" else 1, self.give_back)
        self.do(*events)
        assert gone.got is None

    @rule(limit=st.integers(1, 4))
    def resize(self, limit: int) -> None:
        self.limit = limit
        self.do(lambda: self.desk.resize(limit))

    @rule(seconds=st.sampled_from([0.2, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.do()

    @invariant()
    def no_slot_is_handed_out_twice_or_lost(self) -> None:
        assert self.desk.in_flight == self.holding() <= max(self.limit, self.before)
        self.before = self.holding()

    @invariant()
    def none_is_free_while_somebody_waits(self) -> None:
        assert not self.waiting() or self.holding() >= self.limit

    @invariant()
    def queue_holds_those_who_wait_and_no_ghosts(self) -> None:
        queue, waiting = self.desk.queue, self.waiting()
        assert queue.waiting == len(waiting) == sum(len(line.all) for line in queue.lines.values()) <= 8
        for class_, line in queue.lines.items():
            assert set(line.callers) == {one.caller for one in waiting if one.class_ == class_}

    @invariant()
    def nobody_waits_beyond_their_deadline(self) -> None:
        assert all(one.deadline > self.loop.time() for one in self.waiting())

    @invariant()
    def nobody_has_two_turns_while_another_of_the_class_waits_for_one(self) -> None:
        for one in self.waiting():
            since = [other.caller for other in self.desk.order[one.behind :] if other.class_ == one.class_]
            assert all(since.count(caller) <= since.count(one.caller) + 1 for caller in since)

    def teardown(self) -> None:
        self.do(*[one.task.cancel for one in self.waiting()])
        self.queue_holds_those_who_wait_and_no_ghosts()
        self.loop.close()


TestQueue = Waits.TestCase
