"""What tells one content of a file from another: its length and its digest, whatever its time and its inode say."""

from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from gateway.config.variables import file_content


class Print(NamedTuple):
    """The content of a file, in bytes and SHA-256."""

    size: int
    digest: bytes


Prints = Mapping[Path, Print | None]  # None: there is no such file, or it cannot be read


def print_of(content: bytes) -> Print:
    """The print of a content."""
    return Print(len(content), sha256(content).digest())


def prints(files: Iterable[Path], secrets: Iterable[Path]) -> Prints:
    """What policy files, and files that hold secrets, are now; reads them."""
    found: dict[Path, Print | None] = {file: print_of(file_content(file)) for file in secrets}
    for file in files:
        try:
            found[file] = print_of(file.read_bytes()) if file.is_file() else None
        except OSError:
            found[file] = None
    return found
