"""One direction of a conversation: from the bytes of its stream to PDUs.

A side either searches for the place where a PDU begins, or cuts PDUs from there on, or has given up. It cuts as the
proxy does. Where it began in the middle, or behind a gap, it stays suspicious: what looks like no header makes it
search again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import NamedTuple

from iscsiproxy.capture.flow import Data, Flow
from iscsiproxy.capture.likeness import looks_alike
from iscsiproxy.capture.marks import delivery_of
from iscsiproxy.capture.survey import Way
from iscsiproxy.capture.sync import Digests, Found, find, header_length, pdu_length
from iscsiproxy.wire.digest import DIGEST_LENGTH
from iscsiproxy.wire.fields import BHS_LENGTH
from iscsiproxy.wire.framing import EVERYTHING, NEED_DATA, Framer, Interest, Run, Unframeable
from iscsiproxy.wire.opcodes import LABELS, End, Opcode, sender_of
from iscsiproxy.wire.pdu import Pdu

__all__ = ["Cut", "Lapse", "Mode", "Side", "Trust"]

#: A PDU cannot be longer (RFC 7143 11.2.1.6)
_MAX_PDU = (1 << 24) + 2048
_LIKELY = {
    end: tuple(
        Interest.WHOLE if opcode in LABELS and sender_of(opcode) is end else Interest.HEADER for opcode in range(64)
    )
    for end in End
}
#: What is a PDU as long as nobody knows which digests the login will come to
_LOGIN = tuple(
    Interest.WHOLE if opcode in (Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE) else Interest.HEADER
    for opcode in range(64)
)


class Mode(Enum):
    """What a side is doing."""

    SEARCHING = "searching"
    CUTTING = "cutting"
    LOST = "lost"


class Trust(Enum):
    """What is taken for a PDU."""

    WHOLE = "everything"
    LOGIN = "Login PDUs"  #: with the next other PDU there may be digests
    LITTLE = "what looks like one"


class Cut(NamedTuple):
    """A PDU; a partial one is only a header, the rest of it is missing in the capture."""

    pdu: Pdu
    partial: bool = False


class Lapse(NamedTuple):
    """What follows cannot be cut: `rest` is to be searched again. If there is a `reason`, it makes no sense at all.

    `turn` tells that nothing is wrong: the login is over.
    """

    rest: bytes
    reason: str = ""
    turn: bool = False


class Side:
    """One direction; `sender` is who sends this way, None as long as that is not known."""

    def __init__(self, number: int, way: Way) -> None:
        self.number = number
        self.flow = Flow(way)
        self.sender: End | None = None
        self.mode = Mode.SEARCHING
        self.framer = Framer(interest=EVERYTHING, max_pdu=_MAX_PDU)
        self.looked = 0  #: so many bytes were searched in vain
        self.comments: list[str] = []  #: of the packets since the last PDU
        self.over = False
        self.aligned = False  #: what is searched begins with a PDU
        self._skip = 0  # so many bytes are not to be cut: they belong to a PDU known in part, or to none
        self._partial: Pdu | None = None
        self._trust = Trust.WHOLE
        self._begun = b""  # the header of the PDU that is not complete yet, as far as it is there
        self._short = 0  # the PDU at hand was sent up to this byte, and no further

    def __repr__(self) -> str:
        return f"<Side of the {self.sender or 'unknown'} {self.mode.value} {self.flow!r}>"

    # --- searching ---------------------------------------------------------------------------------------------------

    def search(self, pieces: Sequence[Data], digests: Digests, *, trusted: bool, final: bool) -> Found | None:
        """Look for the place where PDUs begin; `sender` is known if that was found."""
        starts, at = [], 0
        for piece in pieces:
            if piece.whole:
                starts.append(at)
            at += len(piece.data)
        data = b"".join(piece.data for piece in pieces)
        self.looked = len(data)
        for sender in (self.sender,) if self.sender else End:
            found = find(
                data,
                sender,
                starts=starts,
                digests=digests,
                aligned=self.aligned,
                trusted=trusted,
                final=final,
            )
            if found is not None:
                self.sender = sender
                return found
        return None

    def start(self, offset: int, header_digest: bool, data_digest: bool, trust: Trust) -> None:
        """Begin to cut at `offset` of what waits."""
        assert self.sender is not None
        self.stop(Mode.CUTTING)
        self.comments = []
        self._skip = offset
        self._begun = b""
        self._trust = trust
        interest = {Trust.WHOLE: EVERYTHING, Trust.LOGIN: _LOGIN, Trust.LITTLE: _LIKELY[self.sender]}[trust]
        self.framer = Framer(interest=interest, max_pdu=_MAX_PDU)
        self.framer.header_digest, self.framer.data_digest = header_digest, data_digest

    def stop(self, mode: Mode, *, aligned: bool = False) -> None:
        """Cut no more. `aligned` tells that a PDU begins here, of which only the digests are not known."""
        self.mode = mode
        self.aligned = aligned
        self.looked = 0
        self._skip, self._partial = 0, None

    # --- cutting -----------------------------------------------------------------------------------------------------

    def cut(self, piece: Data) -> Iterator[Cut | Lapse]:
        """Give the PDUs that end in a piece; nothing comes behind a lapse."""
        data: bytes | memoryview = piece.data
        if self._short and self.framer.pending >= self._short:
            self._go_on(piece)
        if piece.comments:
            self.comments += piece.comments
            self._note_piece(piece)
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = memoryview(data)[skipped:]
            if not self._skip and self._partial is not None:
                yield self._known_in_part()
        framer = self.framer
        begun = self._begun
        framer.receive_data(data)
        while (event := framer.next_event()) is not NEED_DATA:
            if isinstance(event, Pdu):
                if self._trust is not Trust.WHOLE and not self._is_likely(event):
                    yield Lapse(event.raw + framer.take_rest())
                    return
                begun = b""
                yield Cut(event)
            elif isinstance(event, Unframeable):
                yield Lapse(b"", event.reason)
                return
            elif not isinstance(event, Run):
                yield Lapse(framer.take_rest(), turn=self._trust is Trust.LOGIN)
                return
        if self._trust is Trust.WHOLE:
            return
        # Who waits for the end of a PDU shall not wait on the word of a length that is none.
        if framer.pending and len(begun) < BHS_LENGTH:
            begun = (begun + bytes(data[-framer.pending :][:BHS_LENGTH]))[:BHS_LENGTH]
            if len(begun) == BHS_LENGTH and not self._is_likely(Pdu(begun)):
                yield Lapse(framer.take_rest())
        self._begun = begun

    def miss(self, length: int) -> Iterator[Cut | Lapse]:
        """Pass over bytes that are missing: inside the data of a PDU only that is lost, anywhere else the place too."""
        if self._skip:
            if length > self._skip:
                yield Lapse(b"")
                return
            self._skip -= length
        else:
            rest = self.framer.take_rest()
            self._begun = b""
            known = self._header(rest)
            left = pdu_length(rest, self.framer.header_digest, self.framer.data_digest) - len(rest) if known else 0
            if known is None or length > left:
                yield Lapse(b"")
                return
            self._partial = known
            self._skip = left - length
        if not self._skip and self._partial is not None:
            yield self._known_in_part()

    def _note_piece(self, piece: Data) -> None:
        """Take note of a PDU of which the proxy sent a part."""
        known = delivery_of(piece.comments).piece
        self._short = known[1] if known is not None and known[1] < known[2] else 0

    def _go_on(self, piece: Data) -> None:
        """Drop a PDU that a fault has cut short, unless this is the rest of it."""
        known = delivery_of(piece.comments).piece
        if known is None or known[0] != self._short:
            self.framer.take_rest()
            self.comments = []
        self._short = 0

    def _header(self, rest: bytes) -> Pdu | None:
        """Give the header of a PDU that is not all there; None if that is not there or looks odd."""
        if len(rest) < BHS_LENGTH or len(rest) < (end := header_length(rest, header_digest=False)):
            return None
        header_digest = rest[end : end + DIGEST_LENGTH] if self.framer.header_digest else b""
        pdu = Pdu(
            rest[:BHS_LENGTH], rest[BHS_LENGTH:end], header_digest if len(header_digest) == DIGEST_LENGTH else b""
        )
        return pdu if self._is_likely(pdu) else None

    def _known_in_part(self) -> Cut:
        pdu, self._partial = self._partial, None
        assert pdu is not None
        return Cut(pdu, partial=True)

    def _is_likely(self, pdu: Pdu) -> bool:
        return self.sender is not None and looks_alike(pdu.bhs, self.sender)
