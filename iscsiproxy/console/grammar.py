"""A line of the console: a command and its arguments, or a rule of the fault language, which the proxy reads.

Some words are both: `drop 7` lets a held PDU go nowhere, `drop R2T nth 3` is a rule; `arm strict` arms a rule now,
`arm strict Async` is one that arms another. What such a line has is decided by whether it says a moment.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Final

from iscsiproxy.api.models import Vocabulary

__all__ = ["Word", "has_moment", "has_more_acts", "head_of", "nearest", "split"]

_WORD: Final = re.compile(r'"(?P<quoted>[^"]*)"(?!\S)|\S+')
_HEAD: Final = re.compile(r"[^\s;(]+")
#: Acts that begin with the PDU that they send
_SENDING: Final = frozenset({"inject", "probe"})
_TOKEN: Final = re.compile(r'"[^"]*"?|[()\[\]{};]|[^\s()\[\]{};"]+')


@dataclass(frozen=True, slots=True)
class Word:
    """A word of a line, and where it begins and ends, counted from 0."""

    text: str
    start: int
    end: int


def split(text: str, start: int = 0) -> Iterator[Word]:
    """Cut a line into words from `start` on; one with blanks stands in double quotes."""
    for match in _WORD.finditer(text, start):
        quoted = match["quoted"]
        yield Word(match[0] if quoted is None else quoted, *match.span())


def head_of(text: str) -> Word | None:
    """Give the first word of a line; None where there is nothing but blanks and a comment."""
    match = _HEAD.search(text)
    if match is None or match[0].startswith("#"):
        return None
    return Word(match[0], *match.span())


def has_moment(line: str, vocabulary: Vocabulary) -> bool:
    """Tell whether a line that begins with an act says when; else it is done now."""
    moments = {kind.name for kind in vocabulary.pdus} | set(vocabulary.events)
    act: list[str] = []
    for word in _outer(line):
        if word == ";":
            act = []
            continue
        act.append(word)
        if len(act) == 1 or (len(act) == 2 and act[0] in _SENDING):
            continue
        if word == "when" or _is_moment(word, moments):
            return True
    return False


def has_more_acts(line: str) -> bool:
    """Tell whether a line has several acts."""
    return ";" in _outer(line)


def _outer(line: str) -> Iterator[str]:
    """Give the tokens that stand in no brackets."""
    depth = 0
    for match in _TOKEN.finditer(line):
        word = match[0]
        if word in "([{":
            depth += 1
        elif word in ")]}":
            depth -= 1
        elif not depth:
            yield word


def _is_moment(word: str, moments: Collection[str]) -> bool:
    return word in moments or word.endswith("-PDU") or word.startswith("Opcode-")


def nearest(word: str, words: Iterable[str]) -> str | None:
    """Give the hint that names the nearest right word; None if none is near."""
    known = list(dict.fromkeys(words))
    begun = [one for one in known if len(word) > 1 and one.lower().startswith(word.lower())]
    near = begun[:1] or get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f"did you mean `{near[0]}`?" if near else None
