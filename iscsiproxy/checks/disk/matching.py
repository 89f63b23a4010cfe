"""What was found in sectors, held against what may be there: pure comparison of hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Match", "match", "words"]


class Match(NamedTuple):
    """Sectors from `first` up to, not including, `end`, counted from the first compared, that are all alike.

    `exact` are the contents, by their places, that are what was found; `open` those of which nothing is known. `seen`
    is False where nothing is known of what was found.
    """

    first: int
    end: int
    exact: tuple[int, ...]
    open: tuple[int, ...]
    seen: bool = True


def words(hashes: bytes) -> list[int]:
    """Give hashes as numbers, which compare faster; 0 for an unknown one."""
    return memoryview(hashes).cast("Q").tolist()


def match(found: bytes, contents: Sequence[bytes]) -> list[Match]:
    """Compare what was found with each content, all equally long."""
    rows = [words(content) for content in contents]
    matches: list[Match] = []
    start = 0
    last: tuple[tuple[int, ...], tuple[int, ...], bool] | None = None
    seen = words(found)
    for at, hash_ in enumerate(seen):
        if hash_:
            now = (
                tuple([place for place, row in enumerate(rows) if row[at] == hash_]),
                tuple([place for place, row in enumerate(rows) if not row[at]]),
                True,
            )
        else:
            now = ((), (), False)
        if now != last:
            if last is not None:
                matches.append(Match(start, at, *last))
            start, last = at, now
    if last is not None:
        matches.append(Match(start, len(seen), *last))
    return matches
