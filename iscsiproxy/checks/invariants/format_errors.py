"""PDUs that cannot be right, and what an initiator has to do when it is given one (RFC 7143 7.7).

It must end the connection at once. The standard names a few such PDUs: for them it must, whatever else it does. Of
others it says elsewhere that nobody has to look for every error of the other end (RFC 7143 7.10), so that to go on in
spite of them weighs less, and saying nothing weighs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from iscsiproxy.checks.moment import Moment, advances_stat_sn
from iscsiproxy.checks.profiles import SINCE_5048
from iscsiproxy.checks.rules import FINE, FROM_INITIATOR, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.session.snapshot import Phase
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_CHECK_CONDITION = codes.SCSI_STATUS.value("CHECK_CONDITION")
#: How long an end may take that has to do something immediately, in seconds
_AT_ONCE = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _FormatError:
    """What is wrong with a PDU; `named` where RFC 7143 7.7 gives it as an example."""

    text: str
    named: bool


class _Given:
    """The first PDU with a format error that the initiator was given on a connection."""

    def __init__(self) -> None:
        self.note: Note | None = None
        self.error = _FormatError(text="", named=False)
        self.told = False


def _error_of(moment: Moment) -> _FormatError | None:
    """Find what is wrong with the contents of a target's PDU, taken by itself."""
    values, opcode = moment.values, moment.opcode
    if opcode == Opcode.DATA_IN:
        if values["S"] and not values["F"]:
            return _FormatError(text="Data-In with S=1 and F=0", named=False)
        if values["S"] and values["O"] and values["U"]:
            return _FormatError(text="Data-In with O=1 and U=1", named=False)
    elif opcode == Opcode.NOP_IN:
        if values["ITT"] != NO_TAG and values["TTT"] != NO_TAG:
            return _FormatError(text="NOP-In with a valid ITT and a valid TTT", named=True)
    elif opcode == Opcode.R2T:
        if values["TTT"] == NO_TAG:
            return _FormatError(text="R2T without a Target Transfer Tag", named=False)
        if not values["DesiredDataTransferLength"]:
            return _FormatError(text="R2T for 0 bytes", named=False)
    elif not values["Response"] and values["Status"] == _CHECK_CONDITION and not moment.length:
        return _FormatError(text="CHECK CONDITION without a data segment", named=True)
    elif (values["O"] and values["U"]) or (values["o"] and values["u"]):
        return _FormatError(text="SCSI Response with both an overflow and an underflow", named=False)
    return None


def _drops(moment: Moment) -> Outcome:
    """I-059: see that the connection on which a format error came is ended at once."""
    conn = moment.conn
    if moment.closed is not None:
        given = conn.known(_Given)
        ended = given is not None and given.note is not None and not given.told and moment.sent
        return FINE if ended and moment.settle(conn.number) else None
    if moment.sent:
        given = conn.known(_Given)
        return None if given is None else _goes_on(moment, given)
    error = _error_of(moment)
    if error is None or conn.phase is not Phase.FULL_FEATURE:
        return None
    given = conn.recall(_Given)
    if given.note is not None:
        return None
    given.note, given.error = moment.note, error
    if error.named:
        text = f"the connection was not ended after {error.text}"
        moment.owe(conn.number, text, within=moment.scene.limits.close)
    return None


def _has_read(moment: Moment, note: Note) -> bool:
    """Tell whether the initiator had surely read a PDU when it made this one, which may have waited in its buffers."""
    assert note.pdu is not None
    values = {name: note[name] for name in ("ITT", "S", "StatSN") if name in note.pdu.fields}
    acknowledged = advances_stat_sn(note.pdu.opcode, values) and lt(note["StatSN"], moment["ExpStatSN"])
    return acknowledged or moment.at - note.at > moment.scene.limits.slow


def _goes_on(moment: Moment, given: _Given) -> Outcome:
    """See what an initiator sends that had to end the connection."""
    note = given.note
    if note is None or given.told or moment.conn.slowed is not None or moment.at - note.at < _AT_ONCE:
        return None
    if not _has_read(moment, note):
        return None
    given.told = True
    if given.error.named and not moment.forgive(moment.conn.number):
        return None  # its time is up, and that was said
    return Breach(
        text=f"{moment.pdu.label} {moment.at - note.at:.1f} s after {given.error.text}: the connection had to be ended",
        proof=(note,),
        severity=None if given.error.named else Severity.SHOULD,
    )


FAMILY = Family(
    name="format_errors",
    title="Format errors end a session",
    rules=(
        Rule(
            id="I-059",
            title="An initiator ends the connection when it is given a PDU with a format error",
            severity=Severity.MUST,
            clause="RFC 7143 7.7",
            check=_drops,
            sent=FROM_INITIATOR,
            given=frozenset({Opcode.NOP_IN, Opcode.SCSI_RESPONSE, Opcode.DATA_IN, Opcode.R2T}),
            closed=True,
            profiles=SINCE_5048,
            why="A target that makes such PDUs is broken, and data that goes on with it may be wrong.",
        ),
    ),
)
