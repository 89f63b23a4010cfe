"""How long a data segment may be, and what fills its last word (RFC 7143 11.1, 11.7.7, 13.12).

MaxRecvDataSegmentLength is declared, not agreed on: from the PDU that declares it its sender can take that much, and by
the end of the exchange the other end has to keep to it. Between the two, and behind an exchange that failed, the larger
value is let pass.
"""

from __future__ import annotations

from collections import deque

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, FROM_INITIATOR, FROM_TARGET, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import DEFAULT_TERMS
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.responses import rejected_header
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode, sender_of
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_LOGIN = frozenset({Opcode.LOGIN_REQUEST, Opcode.LOGIN_RESPONSE})
_TEXTS = _LOGIN | {Opcode.TEXT_REQUEST, Opcode.TEXT_RESPONSE}
_KEY = b"MaxRecvDataSegmentLength="
#: Answers by which a declaration may be turned down (RFC 7143 6.2)
_REFUSALS = tuple(_KEY + word for word in (b"Reject", b"Irrelevant", b"NotUnderstood"))
#: What both ends take until they declare something else, and during login; the least that may be declared (13.12)
_DEFAULT = DEFAULT_TERMS.target_mrdsl
_LEAST = 512
#: How many exchanges of text are remembered: more than can be on the wire at a time
_KEPT = 8


class _Declared:
    """What is known of MaxRecvDataSegmentLength beyond the terms: of the end that is sent data, in bytes.

    `before` has what held before each of the last exchanges, and the PDU that ended it; up to `unsure` may still hold,
    because an exchange failed. `note` is the last PDU that declared it.
    """

    def __init__(self) -> None:
        self.note: Note | None = None
        self.before: deque[tuple[Note, int]] = deque(maxlen=_KEPT)
        self.unsure = 0


def _fits_initiator(moment: Moment) -> Outcome:
    """T-005: see that the initiator can take the data segment."""
    length, terms = moment["DataSegmentLength"], moment.conn.terms
    if length <= terms.initiator_mrdsl and terms.known and moment.opcode not in _LOGIN:
        return FINE
    return _fits(moment, length, End.INITIATOR)


def _fits_target(moment: Moment) -> Outcome:
    """I-003: see that the target can take the data segment."""
    length, terms = moment["DataSegmentLength"], moment.conn.terms
    if length <= terms.target_mrdsl and terms.known and moment.opcode not in _LOGIN:
        return FINE
    return _fits(moment, length, End.TARGET)


def _fits(moment: Moment, length: int, receiver: End) -> Outcome:
    if moment.opcode in _LOGIN:
        if length <= _DEFAULT:
            return FINE
        return Breach(
            text=f"a data segment of {length} bytes, and during login {_DEFAULT} is the most",
            clause="RFC 7143 6.3, RFC 7143 13.12",
        )
    conn = moment.conn
    if not (moment.full_feature and conn.terms.known and conn.complete):
        return None
    limit = conn.terms.mrdsl(receiver)
    if limit < _LEAST or length <= _latest(moment, receiver):
        return None
    known = conn.recall(_Declared)
    if length <= known.unsure:
        return None
    if any(length <= earlier and not _knows(moment, note) for note, earlier in known.before):
        return None
    proof = () if known.note is None else (known.note,)
    return Breach(
        text=f"a data segment of {length} bytes, and {limit} is the most that the {receiver} takes", proof=proof
    )


def _latest(moment: Moment, receiver: End) -> int:
    """Give what the receiver declared last, also in an exchange that has not ended."""
    known = moment.scene.tracker.connection(moment.conn.number)
    return 0 if known is None else known.negotiation.max_recv_data_segment_length(receiver)


def _knows(moment: Moment, note: Note) -> bool:
    """Tell whether the judged end knew of a Text Response: it sent it, or had read it when it made this PDU.

    What an initiator had read its ExpStatSN tells: data may have waited long in its buffers.
    """
    if moment.scene.end is End.TARGET or lt(note["StatSN"], moment["ExpStatSN"]):
        return True
    return moment.at - note.at > moment.scene.limits.slow


def _listen(moment: Moment) -> None:
    """Keep what was declared, and what held before."""
    conn, receiver = moment.conn, moment.scene.end.other
    known = conn.recall(_Declared)
    limit = conn.terms.mrdsl(receiver)
    opcode = moment.opcode
    if opcode == Opcode.REJECT:
        header = rejected_header(moment.pdu)
        if header is not None and header.opcode == Opcode.TEXT_REQUEST:
            known.unsure = max(known.unsure, limit)
        return
    if opcode == Opcode.TEXT_REQUEST and moment["TTT"] == NO_TAG:
        if any(task.opcode == opcode for task in moment.session.live(conn.number)):
            known.unsure = max(known.unsure, limit)  # the exchange before this one is given up
    elif opcode == Opcode.TEXT_RESPONSE:
        known.before.append((moment.note, limit))
    data = moment.pdu.data
    if sender_of(opcode) is receiver:
        if _KEY in data:
            known.note = moment.note
    elif any(word in data for word in _REFUSALS):
        known.unsure = max(known.unsure, limit)


def _has_no_data(moment: Moment) -> Outcome:
    """T-004: see that a PDU without a data segment has none."""
    if moment.opcode == Opcode.NOP_IN and moment["ITT"] != NO_TAG:
        return None
    length = moment["DataSegmentLength"]
    return Breach(text=f"a data segment of {length} bytes in a PDU that has none") if length else FINE


def _is_padded_with_zeros(moment: Moment) -> Outcome:
    """T-006: see that what fills up the last word is 0."""
    pad = moment.pdu.pad
    if not pad:
        return None
    return Breach(text=f"{len(pad)} bytes of padding are {pad.hex()}, not 0") if any(pad) else FINE


def _fills_words(moment: Moment) -> Outcome:
    """T-029, I-026: see that only the last PDU of a sequence ends inside a word."""
    if moment["F"]:
        return None
    length = moment["DataSegmentLength"]
    if length & 3:
        return Breach(text=f"{length} bytes are no multiple of 4, and F=0: more of the sequence follows")
    return FINE


FAMILY = Family(
    name="lengths",
    title="Lengths of data segments, and their padding",
    rules=(
        Rule(
            id="T-004",
            title="R2T, Task Management and Logout Responses and a target's own NOP-In have no data segment",
            severity=Severity.MUST,
            clause="RFC 7143 11.6, RFC 7143 11.8, RFC 7143 11.15, RFC 7143 11.19",
            check=_has_no_data,
            sent=frozenset({Opcode.R2T, Opcode.TMF_RESPONSE, Opcode.LOGOUT_RESPONSE, Opcode.NOP_IN}),
            why="An initiator has no buffer for it, and may take it for the next header.",
        ),
        Rule(
            id="T-005",
            title="A data segment is no longer than the initiator's MaxRecvDataSegmentLength",
            severity=Severity.MUST,
            clause="RFC 7143 13.12",
            check=_fits_initiator,
            sent=FROM_TARGET,
            why="An initiator drops the connection, or writes past its buffer.",
        ),
        Rule(
            id="T-006",
            title="Padding is 0",
            severity=Severity.SHOULD,
            clause="RFC 7143 11.1",
            check=_is_padded_with_zeros,
            sent=FROM_TARGET,
            why="Bytes of old buffers leave the target.",
        ),
        Rule(
            id="T-029",
            title="A Data-In without F carries a multiple of 4 bytes",
            severity=Severity.SHOULD,
            clause="RFC 7143 11.7.7",
            check=_fills_words,
            sent=frozenset({Opcode.DATA_IN}),
            why="Receivers that move words have to shift everything behind it.",
        ),
        Rule(
            id="I-003",
            title="A data segment is no longer than the target's MaxRecvDataSegmentLength",
            severity=Severity.MUST,
            clause="RFC 7143 13.12",
            check=_fits_target,
            sent=FROM_INITIATOR,
            why="A target drops the connection, or writes past its buffer.",
        ),
        Rule(
            id="I-026",
            title="A Data-Out without F carries a multiple of 4 bytes",
            severity=Severity.SHOULD,
            clause="RFC 7143 11.7.7",
            check=_fills_words,
            sent=frozenset({Opcode.DATA_OUT}),
            why="Receivers that move words have to shift everything behind it.",
        ),
    ),
    observers=tuple(
        Observer(end=end, update=_listen, sent=_TEXTS | {Opcode.REJECT}, given=_TEXTS | {Opcode.REJECT}) for end in End
    ),
)
