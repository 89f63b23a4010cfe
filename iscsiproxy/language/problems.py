"""Problems of a file: where, what was expected, and the nearest right name.

All that can be found in one reading is found: a part that is wrong is left out, the others are still checked. What is
only wrong because another part was left out is not told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from difflib import get_close_matches
from types import TracebackType

from iscsiproxy.errors import FileError
from iscsiproxy.language.spec import Position

__all__ = ["Part", "Problems", "UnknownNameError", "nearest", "problem", "quoted"]

#: More problems than this are not told: the first ones are what a reader mends.
LIMIT = 50

#: Names of other places (the RFC's own prose, Wireshark) for what the language calls otherwise.
_ALIASES = {
    "initiatortasktag": "ITT",
    "targettransfertag": "TTT",
    "referencedtasktag": "RefTaskTag",
    "expecteddatatransferlength": "EDTL",
    "immediate": "I",
    "final": "F",
    "transit": "T",
    "continue": "C",
    "read": "R",
    "write": "W",
    "attributes": "ATTR",
    "scsi": "SCSI-Command",
    "scsirequest": "SCSI-Command",
    "asynchronousmessage": "Async",
    "readytotransfer": "R2T",
    "snackrequest": "SNACK",
    "datasegmentlength": "length",
    "dsl": "DataSegmentLength",
    "datalength": "length",
    "len": "length",
    "lba": "CDB.LBA",
    "blocks": "CDB.blocks",
    "cdb.opcode": "CDB.name",
    "reset": "rst",
    "wait": "delay",
    "hold": "delay",
    "once": "exactly",
    "eventually": "at_least",
    "before": "until",
}


class UnknownNameError(FileError):
    """A name that nothing binds; not told when the part that binds it may be one that could not be read."""

    def __init__(
        self, message: str, *, file: str = "", line: int = 0, column: int = 0, hint: str | None = None, name: str = ""
    ) -> None:
        super().__init__(message, file=file, line=line, column=column, hint=hint)
        self.name = name

    def elsewhere(self, message: str) -> UnknownNameError:
        """Give the same error with another message."""
        return UnknownNameError(
            message, file=self.file, line=self.line, column=self.column, hint=self.hint, name=self.name
        )


def quoted(names: Iterable[str]) -> str:
    """List names for a message: `a`, `b` or `c`."""
    marked = [f"`{name}`" for name in names]
    return " or ".join([", ".join(marked[:-1]), marked[-1]]) if len(marked) > 1 else "".join(marked)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9.]", "", name.lower())


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Give the hint that names the nearest right spelling, or None if nothing is near."""
    known = list(dict.fromkeys(names))
    plain = _plain(name)
    same = [other for other in known if _plain(other) == plain]
    alias = _ALIASES.get(plain)
    if same:
        near = same
    elif alias in known:
        near = [alias]
    else:
        by_plain: dict[str, str] = {}
        for other in known:
            by_plain.setdefault(_plain(other), other)
        near = [by_plain[match] for match in get_close_matches(plain, by_plain, n=1, cutoff=0.6)]
    return f"did you mean `{near[0]}`?" if near else None


def problem(message: str, where: Position, hint: str | None = None) -> FileError:
    """Make the error for one place of a file."""
    return FileError(message, file=where.file, line=where.line, column=where.column, hint=hint)


class Problems:
    """Collects the errors of one reading.

    `bindable` are the words of the file that may bind a name, None for any: what none of them says is bound nowhere,
    whatever could not be read.
    """

    def __init__(self, bindable: frozenset[str] | None = None) -> None:
        self._bindable = bindable
        self._found: dict[tuple[int, int, str], FileError] = {}
        self.left_out = False  #: something could not be read, so names may be missing

    def __repr__(self) -> str:
        return f"<Problems {len(self._found)}>"

    def __bool__(self) -> bool:
        return bool(self._found)

    @property
    def found(self) -> tuple[FileError, ...]:
        """The errors so far, in the order of the file."""
        errors = sorted(self._found.values(), key=lambda error: (error.line, error.column))
        known = [error for error in errors if not self._in_doubt(error)] if self.left_out else errors
        return tuple((known or errors)[:LIMIT])

    def _in_doubt(self, error: FileError) -> bool:
        """Tell whether an error may only follow from a part that could not be read."""
        return isinstance(error, UnknownNameError) and (self._bindable is None or error.name in self._bindable)

    def add(self, error: FileError) -> None:
        """Keep an error; the same one at the same place counts once."""
        self._found.setdefault((error.line, error.column, error.message), error)

    def explain(self, circumstance: str) -> None:
        """Say of all errors so far under which circumstance they came up."""
        for key, error in self._found.items():
            message = f"{error.message}, {circumstance}"
            if isinstance(error, UnknownNameError):
                self._found[key] = error.elsewhere(message)
            else:
                place = Position(error.file, error.line, error.column)
                self._found[key] = problem(message, place, error.hint)

    def part(self, *, binds: bool = False) -> Part:
        """Read one part inside a `with`: an error in it is kept, and the reading goes on behind it.

        `binds` tells that names may be bound in this part.
        """
        return Part(self, binds)

    def raise_if_any(self) -> None:
        """Raise the first error, with the others in its `others`."""
        found = self.found
        if found:
            first, *rest = found
            first.others = tuple(rest)
            raise first


class Part:
    """Keeps the FileError that ends its block."""

    def __init__(self, problems: Problems, binds: bool) -> None:
        self._problems = problems
        self._binds = binds

    def __repr__(self) -> str:
        return f"<Part of {self._problems}>"

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, FileError):
            return False
        self._problems.left_out |= self._binds
        self._problems.add(error)
        return True
