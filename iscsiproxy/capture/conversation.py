"""One TCP connection of a capture: is it iSCSI, and what was said.

A connection is iSCSI if it begins with a Login Request; one that was captured from its middle on, if PDUs are found in
it (`sync`). The latter has no Connected, as in a journal that begins in the middle. What is not understood yet waits,
and holds back all that was captured later.

Behind a gap PDUs are searched for again. A gap before the full feature phase leaves unknown what was negotiated: what
follows is told as another connection, captured from its middle on.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from iscsiproxy.capture.flow import Data, Fin, Gap, Reset
from iscsiproxy.capture.likeness import is_login, looks_exact
from iscsiproxy.capture.marks import closing_of, garbage_of
from iscsiproxy.capture.order import Order
from iscsiproxy.capture.side import Cut, Lapse, Mode, Side, Trust
from iscsiproxy.capture.survey import Trail
from iscsiproxy.capture.sync import Digests, Found
from iscsiproxy.capture.telling import By, Came, Conn, Crossed, Ended, Garbage, Keys, Missing, Opened, Said, Tale, Went
from iscsiproxy.capture.tshark import ACK, FIN, RST, Segment
from iscsiproxy.capture.waiting import Entry, Waiting
from iscsiproxy.session.events import How
from iscsiproxy.session.tracker import DigestsOn, FullFeatureReached, Tracker
from iscsiproxy.wire.fields import BHS_LENGTH
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Conversation", "Desk"]

#: How many bytes of one direction are searched for PDUs: where nothing speaks for iSCSI, and where something does
_SEARCH, _LONG_SEARCH = 1 << 20, 1 << 23
_LOGIN = (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE)


class Desk(Protocol):
    """What all conversations of a capture share."""

    order: Order[Tale]
    gaps: int

    def tracker(self, leg: End | None) -> Tracker:
        """Give the state of the connections of a leg; there is one state if the capture was made at one point."""

    def begin(self, trail: Trail, initiator: int) -> Conn:
        """Give the connection that a stream is, or a leg of; `initiator` is the number of the initiator's way."""

    def begin_again(self, conn: Conn) -> Conn:
        """Give the connection that is told in the place of `conn` from now on."""

    def cut_short(self) -> None:
        """Take note of a PDU of which only the header was captured."""

    def refused(self) -> None:
        """Take note of a connection that is something else."""

    def joined_late(self, conn: Conn) -> None:
        """Take note of a connection that was captured from its middle on."""


class Conversation:
    """One TCP connection; `take` it its segments, and `finish` it.

    `iscsi` is None as long as it is not known. `leg` names the leg of the proxy, in one of our own captures; `trusted`
    tells that the port speaks for iSCSI.
    """

    def __init__(self, desk: Desk, trail: Trail, *, leg: End | None = None, trusted: bool = False) -> None:
        self.iscsi: bool | None = None
        self._desk = desk
        self._trail = trail
        self._leg = leg
        self._trusted = trusted or leg is not None
        self._sides = tuple(Side(number, way) for number, way in enumerate(trail.ways))
        self._conn: Conn | None = None
        self._waiting = Waiting(desk.order, self)
        self._unsaid = False  # something is missing, but there was no connection yet to tell it of
        self._began: tuple[int, float] | None = None  # the packet that opened it
        self._full_feature = False
        self._suspicious = False
        self._closed = False
        client = trail.client
        self._from_start = False
        if client is not None:
            self._know(client)
            way = trail.ways[client]
            self._from_start = way.opened and not (way.missing and way.missing[0][0] == 0)
        self._digests: Digests = (False, False) if self._from_start else (None, None)

    def __repr__(self) -> str:
        state = {None: "undecided", True: "iSCSI", False: "something else"}[self.iscsi]
        return f"<Conversation {self._trail.stream} {state}, {len(self._waiting)} pieces wait>"

    @property
    def over(self) -> bool:
        """Tell whether nothing more comes of it."""
        return self._closed or self.iscsi is False

    @property
    def conn(self) -> Conn | None:
        """The connection that is told of; None as long as there is none."""
        while self._conn is not None and self._conn.successor is not None:
            self._conn = self._conn.successor
        return self._conn

    # --- what comes --------------------------------------------------------------------------------------------------

    def take(self, segment: Segment) -> None:
        """Take the next segment, in the order of the file."""
        if self.over:
            return
        frame, at = segment.frame, segment.at
        if self._began is None:
            self._begin(frame, at)
        number = 0 if segment.source == self._trail.ways[0].source else 1
        if segment.comments and not segment.length and not segment.flags & (FIN | RST):
            self._remark(segment)
        other = self._sides[1 - number]
        if segment.flags & ACK and other.flow.at_gap:
            # What is missing was there before its answer.
            for gap in other.flow.heard(segment.ack):
                self._arrived(Entry(frame, at, other.number, gap))
        if segment.flags & RST:
            self._rest(frame, at)
        for piece in self._sides[number].flow.take(segment):
            self._arrived(Entry(frame, at, number, piece))

    def decide(self) -> None:
        """Make the best of what is there: nothing more can be kept."""
        if self._waiting:
            self._look(final=True)
        else:
            self._began = None  # nothing has been said yet; it will begin with what is said first

    def finish(self, frame: int, at: float) -> None:
        """Take note that nothing more comes; the packet given is the last of the file."""
        if not self.over:
            self._rest(frame, at)
            self._look(final=True)
            if self.iscsi is None:
                self._refuse()
        self._waiting.take()

    def _rest(self, frame: int, at: float) -> None:
        """Take note of what is missing at the end of both directions."""
        for side in self._sides:
            for gap in side.flow.rest():
                self._arrived(Entry(frame, at, side.number, gap))

    def _begin(self, frame: int, at: float) -> None:
        self._began = (frame, at)
        if not self._from_start or self._trail.client is None:
            return
        if self._leg is not None:
            self._accept(self._trail.client)
        elif self._trail.ways[self._trail.client].bytes:
            self._desk.order.hold(self, frame)

    def _remark(self, segment: Segment) -> None:
        """Take the comments of a packet that carries nothing else."""
        conn = self.conn
        if conn is None or self._leg is None:
            return
        reason = garbage_of(segment.comments)
        if reason is None:
            self._put(segment.frame, Said(conn, segment.at, segment.comments))
        else:
            self._put(segment.frame, Garbage(conn, segment.at, self._leg, reason))

    def _arrived(self, entry: Entry) -> None:
        if isinstance(entry.piece, Reset) and self._waiting:
            self._look(final=True)
        if not self._waits(entry):
            self._handle(entry)
        if self._waiting:
            self._look()

    def _waits(self, entry: Entry) -> bool:
        """Keep a piece that cannot be understood yet."""
        mode = self._sides[entry.side].mode
        if self.iscsi and mode is not Mode.SEARCHING:
            return False
        if mode is Mode.LOST and isinstance(entry.piece, Data):
            return True
        self._waiting.add(entry, entry.frame if self.iscsi or not self._began else self._began[0])
        return True

    def _replay(self) -> None:
        """Go on with what waited for what is known now."""
        for entry in self._waiting.take():
            if not self._waits(entry):
                self._handle(entry)

    # --- what it is --------------------------------------------------------------------------------------------------

    def _look(self, *, final: bool = False) -> None:
        """See what can be made of what waits; something has to be if it is `final`."""
        changed = True
        while changed and self._waiting and not self.over:
            if self.iscsi is None and (self._from_start or self._begins_here()):
                changed = self._look_at_start(final=final)
            else:
                # What one direction proves saves the other one from a guess.
                changed = self._search_all(final=False) or (final and self._search_all(final=True))
            if changed and self.iscsi:
                self._replay()

    def _search_all(self, *, final: bool) -> bool:
        changed = False
        for side in self._sides:
            if side.mode is Mode.SEARCHING and not self.over:
                changed = self._search(side, final=final) or changed
        return changed

    def _begins_here(self) -> bool:
        """Tell whether a connection whose opening was not captured begins with its login all the same."""
        for side in self._sides:
            if self._trail.client in (None, side.number) and is_login(self._waiting.head(side.number, BHS_LENGTH)):
                self._know(side.number)
                self._from_start = self._suspicious = True
                entry = self._waiting.first(side.number)
                self._began = entry and (entry.frame, entry.at)
                return True
        return False

    def _look_at_start(self, *, final: bool) -> bool:
        """Decide by the first bytes of the initiator to be."""
        client, server = sorted(self._sides, key=lambda side: side.sender is not End.INITIATOR)
        head = self._waiting.head(client.number, BHS_LENGTH)
        # No target speaks first.
        hopeless = self._waiting.ends or not (head or self._trusted or not self._waiting.head(server.number, 1))
        if len(head) < BHS_LENGTH and not final and not hopeless:
            return False
        if is_login(head) or (self._trusted and looks_exact(head, End.INITIATOR)):
            self._accept(client.number)
        else:
            self._refuse()
        return True

    def _search(self, side: Side, *, final: bool) -> bool:
        """Search a side for PDUs; tell whether anything came of it."""
        pieces, behind = self._waiting.stretch(side.number)
        size = sum(len(piece.data) for piece in pieces)
        if not size and behind is None:
            return False
        known = bool(self.iscsi) or self._trusted
        enough = size >= (_LONG_SEARCH if known else _SEARCH)
        final = final or enough or behind is not None
        if not final and 2 * size < 3 * side.looked:
            return False  # what little has come since will not do
        found = side.search(pieces, self._digests, trusted=known, final=final)
        if found is None:
            return final and self._give_up(side, behind, garbage=enough)
        if not found.login:
            data_digest = self._digests[1] if found.data_digest is None else found.data_digest
            self._digests = (found.header_digest, data_digest)
            if data_digest is None and not final:
                return False  # PDUs of the other direction, or one with data, will tell
        self._found(side, found)
        return True

    def _found(self, side: Side, found: Found) -> None:
        """Take note that a side has PDUs, and cut them."""
        assert side.sender is not None
        self._know(side.number if side.sender is End.INITIATOR else 1 - side.number)
        self._suspicious = True
        first = self._waiting.first(side.number)
        if side.aligned and found.offset and first is not None:
            self._missed(first.frame, first.at)
        if found.login:
            side.start(found.offset, False, False, Trust.LOGIN)
        else:
            header_digest, data_digest = map(bool, self._digests)
            side.start(found.offset, header_digest, data_digest, Trust.LITTLE)
            self._enter()
            self._sides[1 - side.number].looked = 0  # with the digests known, less has to be seen
        if self.iscsi is None:
            self.iscsi = True
            self._conn = self._desk.begin(self._trail, self._initiator)
            self._desk.joined_late(self._conn)
            if self._unsaid and first is not None:
                self._missed(first.frame, first.at)

    def _give_up(self, side: Side, behind: Entry | None, *, garbage: bool) -> bool:
        """Take note that there is no PDU before the piece `behind`, or none at all; True: something has changed."""
        if behind is not None and isinstance(behind.piece, Gap):
            self._waiting.drop_stretch(side.number)
            side.stop(Mode.SEARCHING)
            self._missed(behind.frame, behind.at)
            return True
        first = self._waiting.first(side.number)
        if garbage and first is not None and self.conn is not None and side.sender is not None:
            reason = f"no PDU was found in {side.looked} bytes"
            self._put(first.frame, Garbage(self.conn, first.at, side.sender, reason))
        side.stop(Mode.LOST)
        self._waiting.drop_data(side.number)
        if self.iscsi is None and all(one.mode is Mode.LOST for one in self._sides):
            self._refuse()
        return True

    def _know(self, initiator: int) -> None:
        """Take note of which side is the initiator's."""
        self._sides[initiator].sender, self._sides[1 - initiator].sender = End.INITIATOR, End.TARGET

    @property
    def _initiator(self) -> int:
        return 0 if self._sides[0].sender is End.INITIATOR else 1

    def _accept(self, initiator: int) -> None:
        """Take it for iSCSI that was captured from its beginning."""
        self.iscsi = True
        conn = self._conn = self._desk.begin(self._trail, initiator)
        for side in self._sides:
            side.start(0, False, False, Trust.LOGIN if self._suspicious else Trust.WHOLE)
            side.framer.strict = True
        assert self._began is not None
        frame, at = self._began
        self._desk.tracker(self._leg).open(conn.key, at)
        if self._unsaid:
            self._missed(frame, at)
        if not conn.opened:
            conn.opened = True
            self._put(frame, Opened(conn, at))

    def _refuse(self) -> None:
        """Take it for something else."""
        self.iscsi = False
        self._waiting.take()
        self._desk.refused()

    # --- what is said ------------------------------------------------------------------------------------------------

    def _put(self, frame: int, tale: Tale, size: int = 0) -> None:
        self._desk.order.put(frame, tale, size)

    def _handle(self, entry: Entry) -> None:
        """Take a piece of a side that does not search."""
        side, piece = self._sides[entry.side], entry.piece
        if self._closed:
            return
        match piece:
            case Data():
                if side.mode is Mode.CUTTING:
                    self._understood(side, side.cut(piece), entry)
            case Gap():
                if side.mode is Mode.CUTTING and self._full_feature:
                    self._understood(side, side.miss(piece.length), entry)
                elif side.mode is Mode.CUTTING:
                    self._lapsed(side, Lapse(b""), entry)
            case Fin() | Reset():
                self._ended(side, piece, entry)

    def _understood(self, side: Side, found: Iterable[Cut | Lapse], entry: Entry) -> None:
        for one in found:
            if isinstance(one, Cut):
                self._pdu(side, one, entry)
            else:
                self._lapsed(side, one, entry)

    def _pdu(self, side: Side, cut: Cut, entry: Entry) -> None:
        conn, sender, pdu, at = self.conn, side.sender, cut.pdu, entry.at
        assert conn is not None
        assert sender is not None
        in_login = not self._full_feature and not self._suspicious
        if in_login and pdu.opcode not in _LOGIN and self._sides[1 - side.number].flow.at_gap:
            # The end of the login is missing, and with it, whether this PDU has digests.
            self._lapsed(side, Lapse(pdu.raw + side.framer.take_rest()), entry)
            return
        keys = None if self._full_feature else self._login(conn, pdu, at)
        if cut.partial:
            self._desk.cut_short()
        tale: Tale
        if self._leg is None:
            tale = Crossed(conn, at, sender, pdu, cut.partial, keys)
        else:
            comments, side.comments = tuple(side.comments), []
            kind = Came if sender is self._leg else Went
            tale = kind(conn, at, self._leg, pdu, cut.partial, keys, comments)
        self._put(entry.frame, tale, len(pdu.data))

    def _login(self, conn: Conn, pdu: Pdu, at: float) -> Keys | None:
        """Follow the login; give the settled keys when it is over."""
        keys = None
        if pdu.opcode in _LOGIN:
            for fact in self._desk.tracker(self._leg).observe(conn.key, pdu, at):
                if isinstance(fact, DigestsOn) and not self._suspicious:
                    self._digests = (fact.header, fact.data)
                    for side in self._sides:
                        side.framer.header_digest, side.framer.data_digest = fact.header, fact.data
                elif isinstance(fact, FullFeatureReached) and self._from_start:
                    keys = tuple(fact.keys.items())
        if keys is not None or (self._suspicious and pdu.opcode not in _LOGIN):
            self._enter()
        return keys

    def _enter(self) -> None:
        """Take note that the login is over."""
        self._full_feature = True
        for side in self._sides:
            side.framer.strict = False

    def _lapsed(self, side: Side, lapse: Lapse, entry: Entry) -> None:
        """Take note that a side makes no sense any more."""
        conn = self.conn
        assert conn is not None
        assert side.sender is not None
        if lapse.reason:
            self._put(entry.frame, Garbage(conn, entry.at, side.sender, lapse.reason))
            side.stop(Mode.LOST)
            return
        if lapse.turn:
            self._enter()
            self._search_again(side, lapse.rest, entry, aligned=True)
            return
        self._missed(entry.frame, entry.at)
        self._search_again(side, lapse.rest, entry)
        if lapse.rest:
            self._digests = (None, None)  # nothing was missing: what was taken for known was not right
        if self._full_feature:
            return
        # The other direction cannot be cut any longer either: nobody knows which digests come of this login.
        self._desk.tracker(self._leg).close(conn.key, entry.at)
        conn.successor = self._desk.begin_again(conn)
        self._digests = (None, None)
        self._from_start = False
        other = self._sides[1 - side.number]
        if other.mode is Mode.CUTTING:
            self._search_again(other, other.framer.take_rest(), entry, aligned=True)

    def _search_again(self, side: Side, rest: bytes, entry: Entry, *, aligned: bool = False) -> None:
        side.stop(Mode.SEARCHING, aligned=aligned)
        self._suspicious = True
        if rest:
            self._waits(Entry(entry.frame, entry.at, side.number, Data(rest, whole=False)))

    def _missed(self, frame: int, at: float) -> None:
        conn = self.conn
        if conn is None:
            self._unsaid = True
            return
        self._desk.gaps += 1
        self._put(frame, Missing(conn, at))

    def _ended(self, side: Side, piece: Fin | Reset, entry: Entry) -> None:
        """Tell of a FIN or RST as the proxy does: what comes in on one leg goes out on the other."""
        conn, sender, at = self.conn, side.sender, entry.at
        assert conn is not None
        assert sender is not None
        reset = isinstance(piece, Reset)
        how: How = "rst" if reset else "fin"
        if side.over and not reset:
            return
        side.over = True
        if self._leg is None:
            self._put(entry.frame, Ended(conn, at, sender, how, "peer"))
            self._put(entry.frame, Ended(conn, at, sender.other, how, "proxy"))
        else:
            known = closing_of(piece.comments)
            by: By = "peer" if sender is self._leg or known.timeout else "fault" if known.fault else "proxy"
            self._put(entry.frame, Ended(conn, at, self._leg, "timeout" if known.timeout else how, by))
        if reset or all(one.over for one in self._sides):
            self._closed = True
            self._desk.tracker(self._leg).close(conn.key, at)
