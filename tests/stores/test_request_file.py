"""Pages of the request log, whatever is asked for."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.outcomes import Record
from gateway.stores.books import Books
from gateway.stores.request_file import Wanted, oldest_first, one, page
from tests.routing.samples import deployment
from tests.stores.books import asked, books, tell
from tests.stores.test_callers import INJECTIONS

START = 1_800_000_000.0
A, B = deployment("a", "small"), deployment("b", "large")
ROUTES, CALLERS, OUTCOMES = ("chat", "batch"), ("search", "anna"), ("success", "timeout")


def request(
    number: int, route: str = "chat", caller: str = "search", outcome: str = "success", b: bool = False
) -> Record:
    facts = {"route": route, "caller": caller, "outcome": outcome, "deployment": B if b else A}
    return asked(f"req_{number}", at=START + number, **facts)


def read(kept: Books, wanted: Wanted, before: str = "") -> list[Record]:
    return kept.state.read(lambda db: page(db, wanted, before, 10))


def ids(found: list[Record]) -> list[str]:
    return [record.id for record in found]


def test_pages_follow_one_another_to_the_end(tmp_path: Path) -> None:
    kept = books(tmp_path)
    tell(kept, *[request(number) for number in range(25)])
    kept.writer.flush()
    seen: list[str] = []
    for before in ("", "req_15", "req_5", "req_0"):
        seen += ids(read(kept, Wanted(), before))
    assert seen == [f"req_{number}" for number in range(24, -1, -1)]
    assert ids(list(kept.state.read(lambda db: list(oldest_first(db))))) == seen[::-1]


WORDS = st.tuples(
    st.sampled_from(("", *ROUTES, "no")),
    st.sampled_from(("", "small", "large")),
    st.sampled_from(("", "a", "b")),
    st.sampled_from(("", *CALLERS)),
    st.sampled_from(("", *OUTCOMES)),
    st.sampled_from((0.0, START + 5, START + 99)),
)


@given(
    st.lists(st.tuples(st.sampled_from(ROUTES), st.sampled_from(CALLERS), st.sampled_from(OUTCOMES), st.booleans())),
    WORDS,
    st.integers(1, 5),
)
def test_the_file_and_memory_take_the_same_requests(
    tmp_path_factory: pytest.TempPathFactory,
    told: list[tuple[str, str, str, bool]],
    words: tuple[object, ...],
    limit: int,
) -> None:
    kept, wanted = books(tmp_path_factory.mktemp("log")), Wanted(*words)  # type: ignore[arg-type]
    requests = [request(number, *facts) for number, facts in enumerate(told)]
    tell(kept, *requests)
    kept.writer.flush()
    found = kept.state.read(lambda db: page(db, wanted, "", limit))
    assert ids(found) == [one.id for one in reversed(requests) if wanted.takes(one)][:limit]
    assert all(wanted.takes(record) for record in found)


@pytest.mark.parametrize("text", INJECTIONS)
def test_any_text_of_whoever_asks_is_text_alone(tmp_path: Path, text: str) -> None:
    kept = books(tmp_path)
    tell(kept, request(1))
    kept.writer.flush()
    for wanted in (
        Wanted(route=text),
        Wanted(caller=text),
        Wanted(outcome=text),
        Wanted(model=text),
        Wanted(backend=text),
    ):
        assert read(kept, wanted) == []
    assert kept.state.read(lambda db: one(db, text)) is None
    assert ids(read(kept, Wanted(), text)) == ["req_1"]
