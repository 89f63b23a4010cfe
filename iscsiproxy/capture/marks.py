"""Read the comments of our own captures back: what a fault did, as `comments` has put it in words.

What the words do not settle (a value with a comma and an arrow in it) is read as well as can be; that a rule was at
work is always known.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, cast

from iscsiproxy.session.events import Change

__all__ = ["CAPTURE", "Act", "Closing", "Delivery", "acts_of", "closing_of", "delivery_of", "garbage_of"]

#: Stands for the rule where a comment tells of a fault and not of its rule
CAPTURE = "capture"

_START = "iscsiproxy: "
_RULE = r"rule [^\s,:]*(?: [^\s,:]+)?"
_NAMED = re.compile(r"rule ([^\s,:]*)")
_HEAD = re.compile(rf"({_RULE}(?:, {_RULE})*)(?:: (.*))?", re.DOTALL)
_ACT = re.compile(r"rule ([^\s,:]*) ([^\s,:]+): (.*)", re.DOTALL)
_NOTE = re.compile(r"note of rule ([^\s,:]*): (.*)", re.DOTALL)
_GARBAGE = re.compile(r"no PDUs any more: (.*); what follows passes raw and is not captured", re.DOTALL)
_PIECE = re.compile(r"bytes (\d+) to (\d+) of (\d+)")
_CHANGE = re.compile(r"(\S+) (.*?) -> (.*?)(?:, (?=\S+ .*? -> )|$)", re.DOTALL)
_AUTHORED = "sent by the proxy"
_DECISIONS = ("failed", "held", "released", "shadowed")

_Decision = Literal["failed", "held", "released", "shadowed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """What a rule did with a PDU that came in: an act, a decision or (neither of them) a note."""

    rule: str
    text: str
    act: str = ""
    decision: _Decision | None = None
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What is known of a PDU that went out.

    `piece`: only its bytes from the first number up to the second went, of as many as the third.
    """

    rules: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    authored: bool = False
    piece: tuple[int, int, int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """What is known of the end of a connection."""

    timeout: bool = False
    fault: bool = False


def acts_of(comments: Iterable[str]) -> list[Act]:
    """Read the comments on a PDU that came in, in their order."""
    found = []
    for text in _ours(comments):
        if match := _ACT.fullmatch(text):
            rule, word, rest = match.groups()
            if word in _DECISIONS:
                found.append(Act(rule=rule, text=rest, decision=cast(_Decision, word)))
            else:
                found.append(Act(rule=rule, text=rest, act=word, changes=_changes(rest)))
        elif match := _NOTE.fullmatch(text):
            found.append(Act(rule=match[1], text=match[2]))
    return found


def delivery_of(comments: Iterable[str]) -> Delivery:
    """Read the comments on a PDU that went out."""
    rules: tuple[str, ...] = ()
    changes: tuple[Change, ...] = ()
    authored = False
    piece = None
    for text in _ours(comments):
        if match := _PIECE.fullmatch(text):
            start, stop, size = map(int, match.groups())
            piece = (start, stop, size)
            continue
        match = _HEAD.fullmatch(text)
        what = text if match is None else match[2] or ""
        if match is not None:
            rules += tuple(_NAMED.findall(match[1]))
        if what == _AUTHORED:
            authored = True
        else:
            changes += _changes(what)
            if match is None and not changes:
                rules += (CAPTURE,)
    return Delivery(rules=rules, changes=changes, authored=authored, piece=piece)


def closing_of(comments: Iterable[str]) -> Closing:
    """Read the comments on a packet that ends a connection."""
    texts = _ours(comments)
    return Closing(
        timeout=any(text.startswith("the connection timed out") for text in texts),
        fault="closed by a fault" in texts,
    )


def garbage_of(comments: Iterable[str]) -> str | None:
    """Give the reason why what follows is not captured, if a comment says that."""
    for text in _ours(comments):
        if match := _GARBAGE.fullmatch(text):
            return match[1]
    return None


def _ours(comments: Iterable[str]) -> list[str]:
    return [text.removeprefix(_START) for text in comments if text.startswith(_START)]


def _changes(text: str) -> tuple[Change, ...]:
    """Read `what old -> new, …`; nothing where the text is something else."""
    found = []
    at = 0
    while at < len(text):
        match = _CHANGE.match(text, at)
        if match is None:
            return ()
        found.append(Change(what=match[1], old=match[2], new=match[3]))
        at = match.end()
    return tuple(found)
