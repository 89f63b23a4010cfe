"""What patterns and expressions look at: one PDU or event, the state around it, and captures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from iscsiproxy.session.events import Change
from iscsiproxy.session.snapshot import Snapshot
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Captured", "Change", "Look", "Reader", "Rng", "fresh_name", "fresh_tag"]

#: Draws before a tag is taken although some task has it.
_FRESH_TRIES = 64
#: The first byte of an ISID whose next three are random (RFC 7143 11.12.5)
_RANDOM_ISID = 0x80 << 40

#: `state(conn, leg, pdu)`: what has been said on that leg before `pdu` (None: up to now).
Reader = Callable[[int, End, "Pdu | None"], Snapshot]


class Rng(Protocol):
    """The part of `random.Random` that is used: a seeded generator comes from outside."""

    def random(self) -> float:
        """Draw from [0, 1)."""

    def randint(self, a: int, b: int) -> int:
        """Draw an integer from a to b, both included."""

    def uniform(self, a: float, b: float) -> float:
        """Draw a number from a to b."""

    def sample(self, population: range, k: int) -> list[int]:
        """Draw `k` different members."""


@dataclass(slots=True, eq=False)
class Look:
    """One PDU or event as a pattern sees it.

    `leg` is where it was seen; `arrival` tells a PDU that came in from one that was delivered. `event` is empty for a
    PDU, else `connect`, `full-feature`, `close`, `escalation` or one of the `io-` events. `offer` and `answer` are the
    values of the one key that a negotiation is about to change.
    """

    conn: int
    at: float
    leg: End
    state: Reader
    rng: Rng
    captures: Mapping[str, Captured]
    pdu: Pdu | None = None
    n: int | None = None
    arrival: bool = True
    event: str = ""
    how: str = ""
    by_proxy: bool = False
    _view: Snapshot | None = None
    _session: int | None = None
    offer: str | None = None
    answer: str | None = None

    @property
    def view(self) -> Snapshot:
        """The state on this leg before the PDU; read once."""
        if self._view is None:
            self._view = self.state(self.conn, self.leg, self.pdu)
        return self._view

    @property
    def session(self) -> int:
        """Which session this belongs to, the same on both legs; 0 before there is one. Read once."""
        if self._session is None:
            here = self.leg is End.INITIATOR
            session = (self.view if here else self.state(self.conn, End.INITIATOR, None)).session
            self._session = session.id if session is not None else 0
        return self._session

    def negotiating(self, offer: str | None, answer: str | None) -> Look:
        """Give the same look with the values of a key."""
        look = self._like(self.pdu, self.captures)
        look.offer, look.answer = offer, answer
        return look

    def see(self, view: Snapshot | None) -> None:
        """Take the state as it was read before, if it was."""
        self._view = view

    def within(self, captures: Mapping[str, Captured]) -> Look:
        """Give the same look among the captures of one scenario."""
        return self if captures is self.captures else self._like(self.pdu, captures)

    def of(self, pdu: Pdu) -> Look:
        """Give the same look at another PDU in the place of this one."""
        self.view  # noqa: B018 - the state is that of this PDU, and read now
        return self._like(pdu, self.captures)

    def _like(self, pdu: Pdu | None, captures: Mapping[str, Captured]) -> Look:
        same = (self.n, self.arrival, self.event, self.how, self.by_proxy, self._view, self._session)
        return Look(self.conn, self.at, self.leg, self.state, self.rng, captures, pdu, *same)


@dataclass(slots=True, eq=False)
class Captured:
    """What `as NAME` keeps: the PDU or event as it was, and whether its ITT has been given to another task since.

    `command` is the header of the request that began its task. `faces` holds what a leg saw where that was another PDU
    than the one that arrived; one that is `guessed` it would have seen, had the PDU gone there.
    """

    look: Look
    session: int
    members: list[Captured]
    command: Pdu | None = None
    count: int = 1
    superseded: bool = False
    faces: dict[End, Pdu] = field(default_factory=dict)
    guessed: bool = False

    @property
    def pdu(self) -> Pdu | None:
        """The PDU as it arrived, None for an event."""
        return self.look.pdu

    def face(self, leg: End) -> Pdu | None:
        """Give the PDU as that leg saw it."""
        return self.faces.get(leg, self.look.pdu) if self.faces else self.look.pdu

    def seen_on(self, leg: End) -> bool:
        """Tell whether that leg has seen it."""
        return leg is self.look.leg or (leg in self.faces and not self.guessed)


def fresh_tag(look: Look) -> int:
    """Draw a tag that no task of this session has on either leg."""
    tag = NO_TAG
    for _ in range(_FRESH_TRIES):
        tag = look.rng.randint(0, NO_TAG - 1)
        if look.pdu is not None and tag in (look.pdu.get("ITT"), look.pdu.get("TTT")):
            continue
        probe = Pdu.build(Opcode.NOP_IN).with_fields({"ITT": tag, "TTT": NO_TAG})
        if all(look.state(look.conn, leg, probe).task is None for leg in End):
            break
    return tag


def fresh_name(look: Look, field: str) -> int:
    """Draw a CID, a TSIH or an ISID that is neither that of the PDU in hand nor that of its connection or session.

    A TSIH is never 0, which asks for a new session; an ISID is of the random kind (RFC 7143 11.12.5, 11.12.6).
    """
    taken = {None if look.pdu is None else look.pdu.get(field)}
    for leg in End:
        view = look.state(look.conn, leg, None)
        taken.add(view.conn.CID if field == "CID" else getattr(view.session, field, None))
    while True:
        value = look.rng.randint(1, 0xFFFF)
        if field == "ISID":
            value |= _RANDOM_ISID | look.rng.randint(0, 0xFFFFFF) << 16
        if value not in taken:
            return value
