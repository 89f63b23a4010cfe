"""What is said in one login, and what is said instead (RFC 7143 6.2, 6.3).

An edit works on the text of one PDU. It knows what has been said before on both legs, and so which answer belongs to
which offer, which offer has no answer yet, and which answer the initiator must never see.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from iscsiproxy.engine.editing import Strainer, shown
from iscsiproxy.engine.facts import Look
from iscsiproxy.errors import TextError
from iscsiproxy.session.events import Change
from iscsiproxy.session.params import KEYS, Key, Kind, Stage, Use, normal, settle
from iscsiproxy.wire.opcodes import End
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.text import RESERVED_VALUES, TextJoiner, inspect_text

__all__ = ["FULL_FEATURE", "REFUSALS", "Edit", "Exchange", "Requests", "Responses", "Teller", "admissible", "same"]

#: Stages: CSG and NSG (RFC 7143 11.12.3)
_STAGES = {Stage.SECURITY: 0, Stage.OPERATIONAL: 1}
_OPERATIONAL, FULL_FEATURE = 1, 3
#: What answers without a value (RFC 7143 6.2)
REFUSALS = frozenset(RESERVED_VALUES) - {"None"}
#: Kinds whose outcome is computed of both values (RFC 7143 6.2.2)
_COMPUTED = (Kind.AND, Kind.OR, Kind.MIN, Kind.MAX)


@dataclass(slots=True, eq=False)
class Exchange:
    """One login on both its legs: what was said, and what was said instead."""

    joining: bool  #: a session that there is: its keys are settled (RFC 7143 6.3.1)
    discovery: bool = False
    offered: dict[str, str] = field(default_factory=dict)  #: by the initiator
    told: dict[str, str] = field(default_factory=dict)  #: to the target, of the keys in question
    added: set[str] = field(default_factory=set)  #: what of it was told without an offer
    owed: set[str] = field(default_factory=set)  #: what was offered when it had been told already
    answered: dict[str, str] = field(default_factory=dict)  #: by the target
    said: dict[str, str] = field(default_factory=dict)  #: to the initiator, of the keys in question
    absent: set[tuple[End, str]] = field(default_factory=set)  #: values that could not be computed
    heard: dict[End, TextJoiner] = field(default_factory=lambda: {end: TextJoiner() for end in End})
    strainers: dict[End, Strainer] = field(default_factory=dict)
    begun: bool = False  #: the first whole text of the initiator has passed
    changed: bool = False
    over: bool = False
    settled: bool = False
    differs: bool = False  #: once it is settled
    ended: set[End] = field(default_factory=set)

    def hear(self, by: End, pdu: Pdu) -> None:
        """Take note of the keys of a text that has become whole."""
        try:
            whole = self.heard[by].add(pdu.data, more=bool(pdu["C"]))
        except TextError:
            return
        for key, value in inspect_text(whole)[0] if whole else ():
            if by is End.TARGET:
                self.answered[key] = value
            elif value not in REFUSALS:
                self.offered.setdefault(key, value)
        self.discovery = self.discovery or self.offered.get("SessionType") == "Discovery"

    def concerns(self, name: str) -> bool:
        """Tell whether a key means anything in this login (RFC 7143 13)."""
        key = KEYS.get(name)
        if key is None:
            return True
        return (key.discovery or not self.discovery) and not (self.joining and key.use is Use.LEADING)


class Teller(Protocol):
    """Who knows what each end is to be told."""

    def keys(self, end: End) -> tuple[str, ...]:
        """Give the keys of which an end is to be told something."""

    def value(self, end: End, key: str, look: Look, offer: str | None, answer: str | None) -> str | None:
        """Compute what an end is to be told; None where something in it is absent."""

    def told(self, login: Exchange, end: End, key: str, look: Look, answer: str | None = None) -> str | None:
        """Give what an end is told now; None if that cannot be computed."""


class Edit(ABC):
    """The editing of the text in one PDU."""

    def __init__(self, owner: Teller, login: Exchange, look: Look) -> None:
        self.changes: list[Change] = []
        self.owner = owner
        self.login = login
        self.look = look

    @abstractmethod
    def keys(self) -> frozenset[str]:
        """Give the keys whose pairs may change."""

    @abstractmethod
    def instead(self, key: str, value: str) -> str | None:
        """Give what stands in the place of a pair."""

    @abstractmethod
    def more(self, pdu: Pdu) -> Iterator[str]:
        """Give what stands at the end of the text besides."""

    def changed(self, key: str, old: str, new: str | None) -> str | None:
        """Take note of a new value, None for none; give the pair."""
        if old != new:
            self.changes.append(
                Change(what=f"text.{key}", old=shown(old), new="removed" if new is None else shown(new))
            )
        return None if new is None else f"{key}={new}"

    def added(self, key: str, value: str) -> str:
        """Take note of a pair that nobody has said; give it."""
        self.changes.append(Change(what=f"text.{key}", old="absent", new=shown(value)))
        return f"{key}={value}"


class Requests(Edit):
    """What the initiator says, on its way to the target."""

    def keys(self) -> frozenset[str]:
        """Give the keys whose pairs may change."""
        return frozenset(key for key in self.owner.keys(End.TARGET) if self.login.concerns(key))

    def instead(self, key: str, value: str) -> str | None:
        """Give what stands in the place of a pair."""
        login = self.login
        if value in REFUSALS:
            return f"{key}={value}"  # that answers the target
        if key in login.added:
            login.owed.add(key)
            return self.changed(key, value, None)  # no key may be offered twice (RFC 7143 6.3)
        login.offered.setdefault(key, value)
        return self.changed(key, value, self.owner.told(login, End.TARGET, key, self.look) or value)

    def more(self, pdu: Pdu) -> Iterator[str]:
        """Give what stands at the end of the text besides."""
        login = self.login
        first, login.begun = not login.begun, True
        for key in self.owner.keys(End.TARGET):
            said = key in login.offered or key in login.told or not login.concerns(key)
            if not said and self._has_its_turn(KEYS.get(key), pdu, first=first):
                value = self.owner.told(login, End.TARGET, key, self.look)
                if value is not None:
                    login.added.add(key)
                    yield self.added(key, value)

    @staticmethod
    def _has_its_turn(key: Key | None, pdu: Pdu, *, first: bool) -> bool:
        """Tell whether a key has to be said now: before its stage ends, names at once (RFC 7143 6.3, 13)."""
        if key is not None and End.INITIATOR not in key.senders:
            return False
        stage = Stage.OPERATIONAL if key is None else key.stage
        return first if stage is Stage.ANY else bool(pdu["T"]) and pdu["CSG"] == _STAGES[stage]


class Responses(Edit):
    """What the target says, on its way to the initiator."""

    def keys(self) -> frozenset[str]:
        """Give the keys whose pairs may change."""
        login = self.login
        asked = {
            key
            for key in self.owner.keys(End.INITIATOR)
            if login.concerns(key) and (key in login.offered or _is_said_by_target(key))
        }
        return frozenset({*asked, *login.added, *(key for key in login.told if self._told_otherwise(key))})

    def instead(self, key: str, value: str) -> str | None:
        """Give what stands in the place of a pair."""
        login = self.login
        own = _is_said_by_target(key) and value not in REFUSALS
        if not own and key not in login.offered:
            # What only the proxy has offered is answered to the proxy.
            return self.changed(key, value, None) if key in login.added else f"{key}={value}"
        login.owed.discard(key)
        return self.changed(key, value, self._answer(key, value))

    def more(self, pdu: Pdu) -> Iterator[str]:
        """Give what stands at the end of the text besides."""
        login = self.login
        for key, offer in login.offered.items():
            answer = login.answered.get(key)
            if key in login.owed and answer is not None:
                login.owed.discard(key)
                answer = self._answer(key, answer)
                yield self.added(key, answer)
            elif pdu["T"] and answer is None and (answer := self._unanswered(key, offer)) is not None:
                yield self.added(key, answer)
        if pdu["T"] and pdu["NSG"] == FULL_FEATURE:
            for key in self.owner.keys(End.INITIATOR):
                if login.concerns(key) and key not in login.answered and self._declares(key, pdu):
                    value = self.owner.told(login, End.INITIATOR, key, self.look)
                    if value is not None:
                        yield self.added(key, value)

    @staticmethod
    def _declares(key: str, pdu: Pdu) -> bool:
        """Tell whether a target may say this of itself in this stage."""
        return _is_said_by_target(key) and (pdu["CSG"] == _OPERATIONAL or KEYS[key].stage is Stage.ANY)

    def _told_otherwise(self, key: str) -> bool:
        offer = self.login.offered.get(key)
        # What each end says of itself answers nothing that the other one has said.
        return not _is_said_by_target(key) and offer is not None and self.login.told.get(key, offer) != offer

    def _answer(self, key: str, answer: str) -> str:
        """Give what the initiator is told in the place of an answer of the target."""
        login = self.login
        if key in self.owner.keys(End.INITIATOR):
            value = self.owner.told(login, End.INITIATOR, key, self.look, answer)
            if value is not None:
                return value
        return admissible(KEYS.get(key), login.offered[key], answer) if self._told_otherwise(key) else answer

    def _unanswered(self, name: str, offer: str) -> str | None:
        """Give the answer to an offer that the target leaves open; None if there need be none (RFC 7143 6.2.2)."""
        key, told = KEYS.get(name), self.login.told.get(name, offer)
        if key is None or key.kind is Kind.DECLARED or not self.login.concerns(name):
            return None
        decided = settle(key, offer, None)
        if name in self.owner.keys(End.INITIATOR):
            value = self.owner.value(End.INITIATOR, name, self.look, offer, None)
            if value is not None and value == decided:
                return None
            return self.owner.told(self.login, End.INITIATOR, name, self.look)
        outcome = settle(key, told, None)
        return None if outcome is None or decided is not None else settle(key, offer, outcome)


def _is_said_by_target(name: str) -> bool:
    """Tell whether a target says this of itself, without being asked."""
    key = KEYS.get(name)
    return key is not None and key.kind is Kind.DECLARED and End.TARGET in key.senders


def admissible(key: Key | None, offer: str, answer: str) -> str:
    """Give the answer to an offer that is nearest to one that was given to another offer (RFC 7143 6.2.1, 6.2.2)."""
    if key is None or answer in REFUSALS:
        return answer
    if key.kind in _COMPUTED:
        return settle(key, offer, answer) or answer
    choices = offer.split(",")
    return answer if answer in choices else "None" if "None" in choices else choices[0]


def same(key: Key | None, one: str, other: str | None) -> bool:
    """Tell whether two values of a key mean the same, however they are written (RFC 7143 6.1)."""
    if key is None or other is None:
        return one == other
    return normal(key, one) == normal(key, other)
