"""The state file: SQLite in the state directory, with callers, ledger and request log.

    state = StateFile.open(directory)      raises StateRefused for a file that must not be touched
    state.transact(job), state.read(job)   a job gets a connection; raises StateAway

A file of an older version is migrated; one of a newer version, of another program, or damaged, is refused.
"""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from gateway.stores.layout import APPLICATION, STEPS

try:
    import fcntl
except ImportError:  # not on Windows: there nobody is told of a second gateway
    fcntl = None  # type: ignore[assignment]

NAME = "gateway.db"
LOCK = "gateway.lock"
WAIT_SECONDS = 5.0  # for another process that writes
PAGES = 16 << 20  # bytes of the log that may stay on disk after a checkpoint
Result = TypeVar("Result")
Job = Callable[[sqlite3.Connection], Result]


class StateRefused(Exception):
    """The state directory holds what must not be touched; the message says what to do."""


class StateAway(Exception):
    """The state file cannot be read or written now; the message says why."""


class StateFile:
    """A file that is there and of our version, or one that could not be opened yet: then `away` says why."""

    def __init__(self, path: Path, away: str = "", steps: tuple[str, ...] = STEPS) -> None:
        self.path = path
        self.away = away
        self.steps = steps
        self.lock: int | None = None  # the file that shows others that we are here

    @classmethod
    def open(cls, directory: Path, steps: tuple[str, ...] = STEPS) -> "StateFile":
        """The state of a directory, made or migrated where needed; raises StateRefused.

        A directory that cannot be written, or a full disk, is no reason not to serve: then it is away.
        """
        state = cls(directory / NAME, steps=steps)
        try:
            state.prepare()
        except StateAway as exc:
            state.away = str(exc)
        return state

    def prepare(self) -> None:
        """Make or migrate the file; raises StateRefused, and StateAway while it cannot be written."""
        with translated(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not self.path.exists() or self.path.stat().st_size == 0:
                os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))
            with closing(self.connect()) as db:
                self.migrate(db)
        self.away = ""

    def migrate(self, db: sqlite3.Connection) -> None:
        """Go through the steps that a file lacks, all of them or none; raises StateRefused."""
        version = self.version(db)
        if version == len(self.steps):
            return
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("BEGIN EXCLUSIVE")
        try:
            for step in self.steps[self.version(db) :]:  # another process may have been faster
                for statement in statements(step):
                    db.execute(statement)
            db.execute(f"PRAGMA application_id = {APPLICATION:d}")
            db.execute(f"PRAGMA user_version = {len(self.steps):d}")
            db.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                db.execute("ROLLBACK")
            raise

    def version(self, db: sqlite3.Connection) -> int:
        """How many steps a file has gone through; raises StateRefused for one that is not ours or of tomorrow."""
        application, version = (pragma(db, name) for name in ("application_id", "user_version"))
        tables = db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if application != APPLICATION and (application or version or tables):
            raise StateRefused(
                f"{self.path} is the database of another program. Move it away, or set GATEWAY_STATE_DIR to another "
                "directory."
            )
        if version > len(self.steps):
            raise StateRefused(
                f"{self.path} is of version {version}, and this gateway knows versions up to {len(self.steps)}. "
                "Use the newer gateway, or set GATEWAY_STATE_DIR to another directory."
            )
        return int(version)

    def connect(self, writes: bool = True) -> sqlite3.Connection:
        """A connection of the caller's own thread; whoever only reads may do so where nothing can be written."""
        if not writes and not os.access(self.path.parent, os.W_OK):
            return readable(self.path)
        db = sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        for pragma in ("synchronous = NORMAL", f"journal_size_limit = {PAGES}", "trusted_schema = OFF"):
            db.execute(f"PRAGMA {pragma}")
        return db

    def transact(self, job: Job[Result]) -> Result:
        """What a job returns that writes: all of it or nothing. Raises StateAway."""
        if self.away:
            self.prepare()
        with translated(self.path), closing(self.connect()) as db:
            return committed(db, job)

    def read(self, job: Job[Result]) -> Result:
        """What a job returns that reads; raises StateAway."""
        with translated(self.path), closing(self.connect(writes=False)) as db:
            return job(db)

    @property
    def empty(self) -> bool:
        """Whether nothing was ever written."""
        try:
            return self.path.stat().st_size == 0
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False

    def claim(self) -> bool:
        """Whether no other gateway uses the directory; once true, it is ours until this process ends."""
        if self.lock is not None or fcntl is None:
            return True
        try:
            handle = os.open(self.path.with_name(LOCK), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError:
            return True  # nothing can be written here, by nobody
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return False
        self.lock = handle
        return True

    def release(self) -> None:
        """Let another gateway have the directory."""
        if self.lock is not None:
            os.close(self.lock)
            self.lock = None


def committed(db: sqlite3.Connection, job: Job[Result]) -> Result:
    """What a job returns, once it is written; nothing is when it fails."""
    db.execute("BEGIN IMMEDIATE")
    try:
        result = job(db)
        db.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    return result


def readable(path: Path) -> sqlite3.Connection:
    """A connection to a file in a directory that nobody can write to: as it is, without its log where need be."""
    address = f"{path.resolve().as_uri()}?mode=ro"
    db = sqlite3.connect(address, timeout=WAIT_SECONDS, isolation_level=None, uri=True, check_same_thread=False)
    try:
        db.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.OperationalError:
        db.close()
        address += "&immutable=1"
        db = sqlite3.connect(address, timeout=WAIT_SECONDS, isolation_level=None, uri=True, check_same_thread=False)
    return db


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """What SQLite and the system say, in our errors."""
    try:
        yield
    except sqlite3.OperationalError as exc:
        raise StateAway(f"{path}: {exc}") from exc
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.DataError):
        raise  # ours
    except sqlite3.DatabaseError as exc:
        raise StateRefused(
            f"{path} is no SQLite database, or damaged ({exc}). Move it away to begin anew, or restore it from a copy."
        ) from exc
    except OSError as exc:
        raise StateAway(f"{exc.filename or path}: {exc.strerror}") from exc


def pragma(db: sqlite3.Connection, name: str) -> int:
    """A number in the head of a file."""
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def statements(script: str) -> Iterator[str]:
    """The statements of a script; a trigger is one."""
    held = ""
    for line in script.splitlines():
        held += f"{line}\n"
        if sqlite3.complete_statement(held):
            yield held
            held = ""
