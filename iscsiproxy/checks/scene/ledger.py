"""Who has said what of which key in one negotiation: offers, answers, declarations (RFC 7143 6.2).

A login is one negotiation, a Text exchange in full feature phase another. Of a negotiated key the end that names it
first makes the offer, the other's word is the answer. A declared key each end says of itself. `Reject`, `Irrelevant`
and `NotUnderstood` are said of what the other end has said before.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from iscsiproxy.checks.scene.answers import NOT_OFFERED, REPEATABLE, wants_answer
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.session.params import KEYS, Key, Kind, settle
from iscsiproxy.wire.opcodes import End

__all__ = ["Ledger", "Role", "Said"]

#: How many sayings one negotiation may have: peers that go beyond it are not followed
_MOST = 4096


class Role(Enum):
    """What a saying is in its negotiation."""

    OFFER = "an offer"
    ANSWER = "the answer to an offer"
    DECLARATION = "a declaration"
    REFUSAL = "a word that refuses a declaration of the other end"
    REPEAT = "a key that the same end has said before"
    LOOSE = "a word that can only answer, of what the other end has not said"


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """One pair of a text. `known` is None for a key that no standard has; `to` is what it answers, refuses or repeats.

    `note` is the PDU in which it was complete, `stage` the CSG of that, None in full feature phase.
    """

    by: End
    key: str
    value: str
    role: Role
    note: Note
    known: Key | None
    stage: int | None = None
    to: Said | None = None

    def __str__(self) -> str:
        return f"{self.key}={self.value}"


class Ledger:
    """The sayings of one negotiation."""

    __slots__ = ("_first", "_overdue", "_refusals", "_replies", "full", "latest")

    def __init__(self) -> None:
        self._first: dict[tuple[End, str], Said] = {}
        self._replies: dict[str, Said] = {}
        self._refusals: set[tuple[End, str]] = set()
        self._overdue: set[str] = set()
        self.full = False  #: more was said than is kept
        self.latest: dict[End, tuple[Said, ...]] = dict.fromkeys(End, ())  #: the last text of each end

    def __repr__(self) -> str:
        return f"<Ledger {len(self._first)} keys, {len(self._replies)} answered>"

    def said(self, by: End, key: str) -> Said | None:
        """Give what an end has said of a key first; not what refuses a declaration."""
        return self._first.get((by, key))

    def value(self, by: End, key: str) -> str | None:
        """Give the value of that."""
        said = self.said(by, key)
        return None if said is None else said.value

    def offer(self, key: str) -> Said | None:
        """Give the offer of a negotiated key."""
        return next(
            (said for end in End if (said := self.said(end, key)) is not None and said.role is Role.OFFER), None
        )

    def answer(self, key: str) -> Said | None:
        """Give the answer to the offer of a key."""
        return self._replies.get(key)

    def unanswered(self, by: End) -> list[Said]:
        """List the offers of an end that were not answered and have to be, in order; unknown keys among them."""
        return [
            said
            for (end, key), said in self._first.items()
            if end is by
            and said.role is Role.OFFER
            and key not in self._replies
            and key not in self._overdue
            and wants_answer(said.known, said.value)
        ]

    def give_up(self, offers: Iterable[Said]) -> None:
        """Take note that these were not answered in time: they wait no longer."""
        self._overdue.update(said.key for said in offers)

    def settled(self, name: str) -> str | None:
        """Give what was agreed of a negotiated key; None where nothing was."""
        offer = self.offer(name)
        if offer is None:
            return None
        answer = self.answer(name)
        return settle(KEYS[name], offer.value, None if answer is None else answer.value)

    def last(self, name: str) -> Said | None:
        """Give the last word on a negotiated key."""
        return self.answer(name) or self.offer(name)

    def keys(self, by: End) -> set[str]:
        """List the keys that an end has offered, declared or answered."""
        return {key for end, key in self._first if end is by}

    def hear(
        self, by: End, pairs: Iterable[tuple[str, str]], note: Note, *, stage: int | None = None
    ) -> tuple[Said, ...]:
        """Take the next text of an end, and tell what each pair is."""
        said = self.latest[by] = tuple([self._take(by, key, value, note, stage) for key, value in pairs])
        return said

    def _take(self, by: End, key: str, value: str, note: Note, stage: int | None) -> Said:
        known = KEYS.get(key)
        mine, theirs = self.said(by, key), self.said(by.other, key)
        declared = known is not None and known.kind is Kind.DECLARED
        role, to = Role.DECLARATION, mine
        if declared and value in NOT_OFFERED:
            role, to = (Role.LOOSE, None) if theirs is None else (Role.REFUSAL, theirs)
            if (by, key) in self._refusals:
                role = Role.REPEAT
        elif mine is not None and key not in REPEATABLE:
            role = Role.REPEAT
        elif not declared and theirs is not None and theirs.role is Role.OFFER:
            role, to = Role.ANSWER, theirs
        elif not declared:
            role, to = (Role.LOOSE, None) if value in NOT_OFFERED else (Role.OFFER, None)
        said = Said(by=by, key=key, value=value, role=role, note=note, known=known, stage=stage, to=to)
        self._keep(said)
        return said

    def _keep(self, said: Said) -> None:
        if len(self._first) + len(self._refusals) >= _MOST:
            self.full = True
            return
        place = said.by, said.key
        if said.role is Role.REFUSAL:
            self._refusals.add(place)
        elif said.role is not Role.REPEAT:
            self._first.setdefault(place, said)
            if said.role is Role.ANSWER:
                self._replies.setdefault(said.key, said)
