"""What the records of a run show, one by one: looks at PDUs and events, the state of both legs, and captures.

The state is rebuilt by the trackers that the proxy has, one a leg, each told of what came in on its leg and of what
was delivered there. A pattern reads it as it was before the PDU. Captures are bound as the `Bound` events say, to the
very event they name; what the other leg saw of the same PDU is another face of the capture.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from iscsiproxy.engine.captures import REQUESTS
from iscsiproxy.engine.facts import Captured, Look, Rng
from iscsiproxy.journal import Record
from iscsiproxy.runs.faces import Faces
from iscsiproxy.runs.verdicts import Evidence
from iscsiproxy.session.events import (
    Bound,
    Closed,
    Connected,
    ConnectFailed,
    Decided,
    Delivered,
    Event,
    Fired,
    FullFeature,
    IoDone,
    Pinged,
    Received,
    Refused,
)
from iscsiproxy.session.snapshot import Phase, Snapshot
from iscsiproxy.session.tracker import Tracker
from iscsiproxy.wire.describe import summary
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["DIGITS", "Scene", "evidence_of", "evidence_of_name", "told"]

Victim = Literal["initiator", "target", "both"]

#: Times have the precision of a journal, so that a file is judged as the run was.
DIGITS: Final = 6
#: How many events are remembered for a `Bound` that names them.
_REMEMBERED = 4096
#: Asynchronous events by which a target lets a connection or a session go (RFC 7143 11.9.1).
_ESCALATIONS = frozenset({1, 2, 3})
_CLOSERS = {"peer": "closed by the {leg}", "proxy": "closed by the proxy", "fault": "closed by a fault"}


@dataclass(slots=True)
class _Seen:
    """One event as it was looked at, and the PDUs that went out under its number."""

    look: Look
    went: list[tuple[End, Pdu]] = field(default_factory=list)


class Scene:
    """Everything that the records so far have shown.

    For each event: `looks` gives what patterns may look at, with the state before it; then `pass_on` takes note of it.
    """

    def __init__(self, victim: Victim, rng: Rng) -> None:
        self.victim = victim
        self.trackers = {end: Tracker(end) for end in End}
        self.book = Faces()
        self.now = 0.0
        #: The connections that no end of has been seen, in the order in which they came.
        self.living: dict[int, None] = {}
        self._rng = rng
        self._seen: OrderedDict[int, _Seen] = OrderedDict()
        self._ends: dict[tuple[int, End], Closed] = {}  #: the first end of each leg
        self._sides: dict[tuple[int, End], set[str]] = {}
        self._first: dict[int, Closed] = {}  #: the first end of each connection
        self._logged_out: set[int] = set()

    def __repr__(self) -> str:
        return f"<Scene at {self.now:.3f} s, {len(self.living)} connections, {len(self.book)} captures>"

    def recount(self) -> None:
        """Count connections from 1 again: what has been so far was only a preparation."""
        for tracker in self.trackers.values():
            tracker.recount()

    # --- looking -----------------------------------------------------------------------------------------------------

    def looks(self, event: Event, at: float) -> tuple[Look, ...]:
        """Give what patterns may look at, `at` that time: a PDU, an event, or both for an Async that escalates."""
        self.now = at
        if isinstance(event, Received | Delivered):
            return self._pdu(event)
        looks = tuple(self._events(event))
        for look in looks[:1]:
            self._remember(event.n, look)
        if isinstance(event, Closed):
            self.living.pop(event.conn, None)
        return looks

    def _pdu(self, event: Received | Delivered) -> tuple[Look, ...]:
        delivered = isinstance(event, Delivered)
        if isinstance(event, Delivered):
            if event.of is not None:
                self._went(event.of, event)
            if event.sent != -1:
                return ()  # what was cut has not come whole; what went in two parts is seen with the last
        look = self._look(event, event.leg, pdu=event.pdu)
        look.by_proxy = isinstance(event, Delivered) and (event.author != 0 or event.of is None)
        # To `both` a PDU is shown once, where its sender sent it; the proxy's own has only one leg.
        look.arrival = not delivered or (look.by_proxy and self.victim == "both")
        look.view  # noqa: B018 - read now: it is the state before this PDU
        if event.pdu.opcode in REQUESTS and not look.by_proxy:
            self.book.request(look)
        self._remember(event.n, look)
        if isinstance(event, Delivered) and event.of is not None and (came := self._seen.get(event.of)) is not None:
            self._seen[event.n].went.append((came.look.leg, came.look.pdu or event.pdu))
        if delivered or not self._is_victim(event.leg) or event.pdu.opcode != Opcode.ASYNC:
            return (look,)
        escalates = event.pdu["AsyncEvent"] in _ESCALATIONS
        return (look, self._look(event, event.leg, name="escalation")) if escalates else (look,)

    def _events(self, event: Event) -> Iterator[Look]:
        match event:
            case Connected() | ConnectFailed() | Refused():
                yield self._look(event, End.INITIATOR, name="connect")
            case IoDone():
                yield self._look(event, End.INITIATOR, name=f"io-{event.what}")
            case FullFeature():
                look = self._look(event, event.leg, name="full-feature")
                # On the initiator's leg this is told before the response that brings it has gone.
                view = look.view
                conn = replace(view.conn, phase=Phase.FULL_FEATURE)
                look._view = replace(view, conn=conn, keys=dict(event.keys))
                yield look
            case Closed():
                look = self._look(event, event.leg, name="close")
                look.how, look.by_proxy = event.how, event.by != "peer"
                yield look
                if self.ended_by_victim(event) and event.conn not in self._logged_out:
                    yield self._look(event, event.leg, name="escalation")
            case _:
                pass

    def _look(self, event: Event, leg: End, *, pdu: Pdu | None = None, name: str = "") -> Look:
        return Look(
            event.conn, self.now, leg, self._state, self._rng, self.book, pdu, event.n, arrival=True, event=name
        )

    def _state(self, conn: int, leg: End, pdu: Pdu | None) -> Snapshot:
        return self.trackers[leg].snapshot(conn, pdu, self.now)

    # --- captures ----------------------------------------------------------------------------------------------------

    def bind(self, event: Bound, *, connection: bool) -> bool:
        """Bind a name as a `Bound` says, to a PDU or to its `connection`; tell whether it is known what it names."""
        seen = self._seen.get(event.of)
        if seen is None:
            return False
        look = seen.look
        if connection and look.pdu is not None:
            look = Look(look.conn, look.at, look.leg, self._state, self._rng, self.book, n=look.n, event="connect")
        self.book.bind(event.name, look, each=event.each, made=event.made)
        if not event.made:
            for leg, pdu in seen.went:
                self.book.delivered(event.of, leg, pdu)
        return True

    def capture(self, name: str, look: Look, *, each: bool) -> None:
        """Bind a name to what an expectation has looked at, with the face that the other leg saw."""
        self.book.bind(name, look, each=each)
        seen = self._seen.get(look.n) if look.n is not None else None
        for leg, pdu in seen.went if seen is not None else ():
            self.book.show(name, leg, pdu)

    def _remember(self, n: int, look: Look) -> None:
        self._seen[n] = _Seen(look)
        if len(self._seen) > _REMEMBERED:
            self._seen.popitem(last=False)

    def _went(self, of: int, event: Delivered) -> None:
        """Take note of how a PDU that came in was delivered."""
        came = self._seen.get(of)
        if came is not None and came.look.pdu is not None:
            came.went.append((event.leg, event.pdu))
            if not event.rules:
                self.book.moved(came.look, event.pdu)
        self.book.delivered(of, event.leg, event.pdu)

    # --- what has passed ---------------------------------------------------------------------------------------------

    def pass_on(self, event: Event) -> None:
        """Take note of an event, for the looks of those that follow."""
        match event:
            case Received():
                self._passed(event.conn, event.leg, event.pdu)
            case Delivered():
                if not event.start:
                    self._passed(event.conn, event.leg, event.pdu)
            case Connected():
                for tracker in self.trackers.values():
                    tracker.open(event.conn, self.now)
                self.living[event.conn] = None
            case Closed():
                self._closed(event)
            case _:
                pass

    def lost(self) -> None:
        """Take note that records are missing: numbers and tasks are not known until they are told again."""
        for conn in self.living:
            for tracker in self.trackers.values():
                tracker.lost(conn)

    def _passed(self, conn: int, leg: End, pdu: Pdu) -> None:
        if conn not in self._first:
            self.living.setdefault(conn, None)
        if pdu.opcode == Opcode.LOGOUT_RESPONSE and pdu["Response"] == 0 and self._is_victim(leg):
            self._logged_out.update(self._closed_by_logout(conn, leg, pdu))
        self.trackers[leg].observe(conn, pdu, self.now)

    def _closed_by_logout(self, conn: int, leg: End, response: Pdu) -> Iterator[int]:
        """Name the connections that a Logout that was granted brings to an orderly end (RFC 7143 11.14.1)."""
        view = self._state(conn, leg, response)
        command = None if view.task is None else view.task.command
        reason = 1 if command is None else command["ReasonCode"]
        if command is None or view.session is None:
            yield conn
            return
        for other in self.living:
            there = self._state(other, leg, None)
            if there.session is None or there.session.id != view.session.id:
                continue
            if reason == 0 or (reason == 1 and command["CID"] == there.conn.CID):
                yield other

    def _closed(self, event: Closed) -> None:
        conn, key = event.conn, (event.conn, event.leg)
        self._ends.setdefault(key, event)
        self._first.setdefault(conn, event)
        sides = self._sides.setdefault(key, set())
        sides |= {"peer", "proxy"} if event.how != "fin" else {"peer" if event.by == "peer" else "proxy"}
        if all(len(self._sides.get((conn, leg), ())) > 1 for leg in End):
            for tracker in self.trackers.values():
                tracker.close(conn, self.now)

    # --- ends --------------------------------------------------------------------------------------------------------

    def ended_by_victim(self, event: Closed) -> bool:
        """Tell whether a close is the victim's own: nobody had closed its leg before."""
        return (
            event.by == "peer"
            and self._is_victim(event.leg)
            and self._ends.get((event.conn, event.leg))
            in (
                None,
                event,
            )
        )

    def who_ended(self, conn: int) -> Literal["", "victim", "logout", "fault", "other"]:
        """Tell who was the first to end a connection; `other` is the victim's peer, or the end of the run."""
        first = self._first.get(conn)
        if first is None:
            return ""
        if conn in self._logged_out:
            return "logout"
        if first.by == "peer" and self._is_victim(first.leg):
            return "victim"
        return "fault" if first.by == "fault" else "other"

    def _is_victim(self, leg: End) -> bool:
        return self.victim in ("both", leg.value)


def evidence_of(event: Event, record: Record | None = None) -> Evidence:
    """Give an event as evidence; that of a PDU needs its record, to be the same live and of a file."""
    leg = event.leg if isinstance(event, Received | Delivered | FullFeature | Closed) else None
    return Evidence(n=event.n, at=round(event.at, DIGITS), conn=event.conn, leg=leg, text=told(event, record))


def evidence_of_name(name: str, captured: Captured) -> Evidence | None:
    """Give what a name is bound to, the last of a collection, as evidence; None for what is no PDU."""
    look = captured.members[-1].look
    if look.pdu is None or not look.n:
        return None
    text = f"{name} is {_summary(look.pdu, None)}"
    return Evidence(n=look.n, at=round(look.at, DIGITS), conn=look.conn, leg=look.leg, text=text)


def told(event: Event, record: Record | None = None) -> str:
    """Tell an event in one line."""
    match event:
        case Received():
            return f"{_summary(event.pdu, record)}, sent by the {event.leg}"
        case Delivered():
            by = ", authored by the proxy" if event.author or event.of is None else ""
            changed = f" ({', '.join(map(str, event.changes))})" if event.changes else ""
            return f"{_summary(event.pdu, record)}, received by the {event.leg}{by}{changed}"
        case Closed():
            return f"{_CLOSERS[event.by].format(leg=event.leg)} ({event.how})"
        case Connected() | ConnectFailed() | Refused():
            return f"connect from {event.initiator}"
        case FullFeature():
            return "full feature phase"
        case IoDone():
            return f"I/O {event.what}: {event.text}"
        case Pinged():
            return f"barrier {event.barrier} {event.what}" + (f" by #{event.of}" if event.of is not None else "")
        case Bound():
            return f"{event.name} is #{event.of}"
        case Fired():
            on = f" on {event.label}" if event.label else ""
            return f"{event.act} by rule {event.rule}{on}: {event.text}"
        case Decided():
            return f"{event.what}: {event.text}"
        case _:
            text = getattr(event, "text", "")
            return f"{type(event).__name__}{f': {text}' if text else ''}"


def _summary(pdu: Pdu, record: Record | None) -> str:
    """Describe a PDU by what its record knows: a journal does not keep all data, but its length and its digests."""
    length = pdu["DataSegmentLength"] if record is None else record.data_length
    data = pdu.data if len(pdu.data) == length else bytes(length)
    text = summary(Pdu(pdu.bhs, pdu.ahs, b"", data))
    if record is not None and record.header_digest_ok is False:
        text += " header-digest=wrong"
    if record is not None and record.data_digest_ok is False:
        text += " data-digest=wrong"
    return text
