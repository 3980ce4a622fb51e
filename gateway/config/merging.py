"""Puts the files of a policy together, as if they were one, and keeps in mind whose each entry is."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from gateway.config.problems import Path, Place, Spot, clean
from gateway.config.report import Extent, Report

NAMED = ("backends", "models", "callers", "teams")  # sections whose names may be spread over files


class Part(NamedTuple):
    """One file of a policy, read by itself: its variables are filled in, and `include` is taken out."""

    source: int
    data: object
    keys: Mapping[Path, Extent]
    values: Mapping[Path, Extent]
    off: Mapping[str, str]  # backend -> its credential variable, which is unset


def merged(parts: list[Part], report: Report) -> object:
    """The data of all files as if they were one; the report learns where everything is."""
    if len(parts) == 1 and len(report.sources) == 1:
        return parts[0].data
    merging = Merging(report)
    for part in parts:
        merging.take(part)
    report.merged(merging.keys, merging.values, merging.origins, merging.offsets)
    return merging.data if isinstance(parts[0].data, dict) else parts[0].data


class Merging:
    """Puts the sections of files together."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.data: dict[str, object] = {}
        self.keys: dict[Path, Extent] = {}
        self.values: dict[Path, Extent] = {}
        self.origins: dict[Path, int] = {}
        self.offsets: dict[int, int] = {}

    def take(self, part: Part) -> None:
        """One more file."""
        if not isinstance(part.data, dict):
            if part.source:
                message = "An included file is a mapping of `backends`, `models`, `routes`, `callers` or `teams`."
                self.report.add("LG012", spot(part, ()), message)
            return
        if not part.source and () in part.values:
            self.values[()] = part.values[()]
        moves: dict[Path, Path] = {}  # where the sections and entries of this file go
        for key, value in part.data.items():
            moves.update(self.section(part, key, value))
        for theirs, ours in ((part.keys, self.keys), (part.values, self.values)):
            for path, extent in theirs.items():
                place = moved(path, moves)
                if place is not None:
                    ours.setdefault(place, extent)

    def section(self, part: Part, key: str, value: object) -> dict[Path, Path]:
        """Where a section of a file goes; nowhere when there is something wrong with it."""
        path: Path = (key,)
        if key == "version" and part.source:
            self.version(part, value)
            return {}
        known = self.data.get(key)
        if key not in self.data:
            return self.first(part, key, value)
        if key in NAMED and isinstance(known, dict) and isinstance(value, dict):
            return self.entries(part, key, known, value)
        if key == "routes" and isinstance(known, list) and isinstance(value, list):
            return self.items(part, known, value)
        if key in (*NAMED, "routes"):
            wanted = "a list (`[a, b]`)" if key == "routes" else "a mapping (`name: value`)"
            self.report.add("LG012", spot(part, path), f"`{key}` wants {wanted} in every file that has it.")
        else:
            self.twice(part, path, "the policy")
        return {}

    def version(self, part: Part, value: object) -> None:
        """Every file is of one version, that of the first."""
        if value != 1:
            message = "The version of an included file wants 1, or to be left out."
            self.report.add("LG014", spot(part, ("version",)), message)

    def first(self, part: Part, key: str, value: object) -> dict[Path, Path]:
        """A section that no file had before; it is copied, since others may be put into it."""
        self.origins[key,] = part.source
        self.data[key] = value
        if key in NAMED and isinstance(value, dict):
            self.data[key] = dict(value)
            self.origins.update({(key, name): part.source for name in value})
        elif key == "routes" and isinstance(value, list):
            self.data[key] = [*value]
            self.origins.update({(key, index): part.source for index in range(len(value))})
        return {(key,): (key,)}

    def entries(self, part: Part, key: str, known: dict[str, object], value: Mapping[str, object]) -> dict[Path, Path]:
        """The named entries of a section go beside those of other files."""
        moves: dict[Path, Path] = {}
        for name, entry in value.items():
            path: Path = (key, name)
            if name in known:
                self.twice(part, path, key)
                continue
            known[name] = entry
            self.origins[path] = part.source
            moves[path] = path
        return moves

    def items(self, part: Part, known: list[object], value: Iterable[object]) -> dict[Path, Path]:
        """Routes go behind those of other files."""
        offset = self.offsets[part.source] = len(known)
        known += value
        moves: dict[Path, Path] = {("routes", index - offset): ("routes", index) for index in range(offset, len(known))}
        self.origins.update(dict.fromkeys(moves.values(), part.source))
        return moves

    def twice(self, part: Part, path: Path, where: str) -> None:
        """Something that another file already says."""
        first = self.keys[path].start.line
        file = self.report.sources[self.origins[path]].file
        message = f"`{clean(str(path[-1]))}` is twice in {where}, first in line {first} of {clean(file, 200)}."
        self.report.add("LG006", spot(part, path, key=True), f"{message} Remove one of them.")


def spot(part: Part, path: Path, key: bool = False) -> Spot:
    """Where something is in a file by itself."""
    extent = (part.keys.get(path) if key else None) or part.values.get(path) or part.values.get(())
    return Spot(part.source, Place(1, 1) if extent is None else extent.start)


def moved(path: Path, moves: Mapping[Path, Path]) -> Path | None:
    """Where a path of a file is in the policy; None when it has no place there."""
    for length in (2, 1):
        if len(path) >= length and path[:length] in moves:
            return moves[path[:length]] + path[length:]
    return None
