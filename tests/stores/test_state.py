"""The state file: made, migrated, or refused; never overwritten, and never a reason to fall."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from gateway.stores.layout import APPLICATION, STEPS
from gateway.stores.state import NAME, StateAway, StateFile, StateRefused, pragma

ROOT = os.geteuid() == 0
NOBODY = 65534


def tables(state: StateFile) -> set[str]:
    """The names of a file's tables."""
    return state.read(
        lambda db: {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    )


def test_a_new_directory_gets_a_file_of_our_version_for_this_user_alone(tmp_path: Path) -> None:
    state = StateFile.open(tmp_path / "a" / "b")
    assert state.away == ""
    assert tables(state) >= {"meta", "callers", "attempts", "spend", "requests"}
    assert state.read(lambda db: (pragma(db, "application_id"), pragma(db, "user_version"))) == (
        APPLICATION,
        len(STEPS),
    )
    assert state.read(lambda db: db.execute("PRAGMA journal_mode").fetchone()[0]) == "wal"
    assert state.path.stat().st_mode & 0o077 == 0
    assert state.path.parent.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("version", range(len(STEPS)))
def test_a_file_of_an_older_version_is_migrated_and_keeps_what_it_has(tmp_path: Path, version: int) -> None:
    old = StateFile.open(tmp_path, STEPS[:version])
    if version:
        old.transact(lambda db: db.execute("INSERT INTO callers VALUES ('search', 3, '{}')"))
    state = StateFile.open(tmp_path)
    assert state.read(lambda db: pragma(db, "user_version")) == len(STEPS)
    kept = state.read(lambda db: db.execute("SELECT * FROM callers").fetchall())
    assert kept == ([("search", 3, "{}")] if version else [])
    again = StateFile.open(tmp_path)
    assert tables(again) == tables(state)


def test_a_migration_that_fails_changes_nothing(tmp_path: Path) -> None:
    StateFile.open(tmp_path, STEPS[:1]).transact(lambda db: db.execute("INSERT INTO callers VALUES ('a', 1, '{}')"))
    broken = StateFile.open(tmp_path, (STEPS[0], "CREATE TABLE more (a);\nCREATE TABLE callers (a);\n"))
    assert "already exists" in broken.away
    assert StateFile.open(tmp_path, STEPS[:1]).read(lambda db: db.execute("SELECT name FROM callers").fetchall()) == [
        ("a",)
    ]
    assert "more" not in tables(StateFile.open(tmp_path))


def content(path: Path) -> bytes:
    return path.read_bytes()


def test_a_file_of_a_newer_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    StateFile.open(tmp_path, (*STEPS, "CREATE TABLE tomorrow (a);\n"))
    before = content(tmp_path / NAME)
    with pytest.raises(StateRefused, match=r"version 4.*up to 3.*GATEWAY_STATE_DIR"):
        StateFile.open(tmp_path)
    assert content(tmp_path / NAME) == before


def test_the_database_of_another_program_is_refused_and_left_alone(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / NAME)) as db:
        db.execute("CREATE TABLE songs (name)")
    before = content(tmp_path / NAME)
    with pytest.raises(StateRefused, match=r"another program.*Move it away"):
        StateFile.open(tmp_path)
    assert content(tmp_path / NAME) == before


@pytest.mark.parametrize("text", [b"hello", b"\x00" * 5000, b"SQLite format 3\x00" + b"\xff" * 5000])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, text: bytes) -> None:
    (tmp_path / NAME).write_bytes(text)
    with pytest.raises(StateRefused, match="no SQLite database, or damaged"):
        StateFile.open(tmp_path)
    assert content(tmp_path / NAME) == text


def test_an_empty_file_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / NAME).touch()
    state = StateFile.open(tmp_path)
    assert state.away == "" and "callers" in tables(state)


def test_a_directory_that_cannot_be_made_is_away_and_no_crash(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("x")
    state = StateFile.open(blocked / "state")
    assert "Not a directory" in state.away
    with pytest.raises(StateAway, match="Not a directory"):
        state.transact(lambda db: db.execute("SELECT 1"))
    with pytest.raises(StateAway):
        state.read(lambda db: db.execute("SELECT 1"))
    assert blocked.read_text() == "x"


def test_what_was_away_is_made_as_soon_as_it_can_be(tmp_path: Path) -> None:
    place = tmp_path / "state"
    place.write_text("x")
    state = StateFile.open(place)
    assert state.away
    place.unlink()
    state.transact(lambda db: db.execute("INSERT INTO meta VALUES ('a', 1)"))
    assert state.away == ""
    assert state.read(lambda db: db.execute("SELECT value FROM meta").fetchone()) == (1,)


READ_ONLY = """
import os, sys
from pathlib import Path
from gateway.stores.state import StateFile, StateAway
os.setgid({nobody}); os.setuid({nobody})
state = StateFile.open(Path({directory!r}))
print("away" if state.away else "open")
print(state.read(lambda db: db.execute("SELECT value FROM meta").fetchone()[0]))
try:
    state.transact(lambda db: db.execute("INSERT INTO meta VALUES ('b', 2)"))
except StateAway as exc:
    print(exc)
"""


@pytest.mark.skipif(not ROOT, reason="becomes another user")
def test_a_directory_that_is_read_only_is_read_and_not_written(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    StateFile.open(directory).transact(lambda db: db.execute("INSERT INTO meta VALUES ('a', 'here')"))
    for path in (tmp_path, directory, *tmp_path.parents):
        if path.is_relative_to("/tmp"):
            path.chmod(0o755)
    (directory / NAME).chmod(0o644)
    script = READ_ONLY.format(nobody=NOBODY, directory=str(directory))
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    lines = ended.stdout.splitlines()
    assert lines[-2:-1] == ["here"] and "readonly" in lines[-1], ended.stdout + ended.stderr


def test_a_job_that_fails_writes_nothing(tmp_path: Path) -> None:
    state = StateFile.open(tmp_path)

    def job(db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO meta VALUES ('a', 1)")
        raise ValueError

    with pytest.raises(ValueError):
        state.transact(job)
    assert state.read(lambda db: db.execute("SELECT count(*) FROM meta").fetchone()) == (0,)


def test_a_full_disk_is_away_and_leaves_the_file_whole(tmp_path: Path) -> None:
    state = StateFile.open(tmp_path)

    def fill(db: sqlite3.Connection) -> None:
        db.execute("PRAGMA max_page_count = 1")  # SQLite's own full disk
        db.execute("INSERT INTO meta VALUES ('a', ?)", ("x" * 100_000,))

    with pytest.raises(StateAway, match="full"):
        state.transact(fill)
    assert state.read(lambda db: db.execute("SELECT count(*) FROM meta").fetchone()) == (0,)


def test_one_gateway_alone_has_a_directory_and_the_next_one_when_it_has_ended(tmp_path: Path) -> None:
    first, second = StateFile.open(tmp_path), StateFile.open(tmp_path)
    assert first.claim() and first.claim()
    assert not second.claim()
    first.release()
    assert second.claim()
    second.release()


def test_two_processes_write_one_file_without_losing_anything(tmp_path: Path) -> None:
    StateFile.open(tmp_path)
    script = (
        "import sys; from pathlib import Path; from gateway.stores.state import StateFile\n"
        "state = StateFile.open(Path(sys.argv[1]))\n"
        "for n in range(100):\n"
        "    state.transact(lambda db: db.execute('INSERT INTO meta VALUES (?, 1)', (f'{sys.argv[2]}-{n}',)))\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    writers = [subprocess.Popen([*command, name]) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert StateFile.open(tmp_path).read(lambda db: db.execute("SELECT count(*) FROM meta").fetchone()) == (200,)
