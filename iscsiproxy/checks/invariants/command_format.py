"""The SCSI Command: its flags, its lengths, its AHS (RFC 7143 11.2.2, 11.3)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, FROM_INITIATOR, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.wire import codes
from iscsiproxy.wire.ahs import Ahs, AhsType, split_ahs
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["FAMILY"]

_SCSI_COMMAND = frozenset({Opcode.SCSI_COMMAND})
#: AHSLength of a Bidirectional Read EDTL, and the least of an Extended CDB: a reserved byte and one of the CDB
_BIDI_LENGTH = 5
_LEAST_CDB = 2
#: How much of a CDB is in the header (RFC 7143 11.3.5)
_IN_HEADER = 16
#: A variable length CDB, where it tells its length, and what that leaves out (SPC)
_VARIABLE = 0x7F
_VARIABLE_LENGTH = 7
_VARIABLE_PREFIX = 8
#: The length of a CDB by the highest three bits of its opcode (SAM); of the others it is not laid down
_GROUP_LENGTHS = {0: 6, 1: 10, 2: 10, 4: 16, 5: 12}


def _asks_sensibly(moment: Moment) -> Outcome:
    """I-015: see that the flags of a command agree with each other and with its lengths."""
    values = moment.values
    reads, writes, edtl = values["R"], values["W"], values["EDTL"]
    if not values["F"] and not writes:
        return Breach(text="F and W are both 0: there is nothing that could follow", clause="RFC 7143 11.3.1")
    if values["ATTR"] not in codes.ATTR:
        return Breach(text=f"ATTR={values['ATTR']}, which is reserved", clause="RFC 7143 11.3.1")
    if edtl and not reads and not writes:
        return Breach(text=f"EDTL={edtl}, and R and W are both 0", clause="RFC 7143 11.3.4")
    if values["TotalAHSLength"] or (reads and writes):
        return _reads_beside(moment)
    return FINE


def _reads_beside(moment: Moment) -> Outcome:
    """See that a bidirectional command says how much it reads, and none that moves no data does."""
    reads, writes = moment["R"], moment["W"]
    if len(moment.pdu.ahs) != 4 * moment["TotalAHSLength"]:
        return None  # the journal does not have it
    lengths = [one.read_edtl for one in split_ahs(moment.pdu.ahs)[0] if one.type == AhsType.BIDIRECTIONAL_READ_EDTL]
    if reads and writes and not lengths:
        return Breach(text="R and W are both 1, and no AHS tells the length of the read", clause="RFC 7143 11.3.4")
    if any(lengths) and not reads and not writes:
        return Breach(text=f"a read of {max(filter(None, lengths))} bytes, and R and W are both 0")
    return FINE


def _says_that_no_more_comes(moment: Moment) -> Outcome:
    """I-016: see that F is 1 where all data is in the command."""
    values = moment.values
    if not values["W"] or values["DataSegmentLength"] != values["EDTL"]:
        return None
    if values["F"]:
        return FINE
    return Breach(text=f"all {values['EDTL']} bytes are immediate data, and F=0")


def _has_right_ahs(moment: Moment) -> Outcome:
    """I-062: see that an AHS is where there may be one, and is what it has to be."""
    words = moment["TotalAHSLength"]
    if moment.opcode != Opcode.SCSI_COMMAND:
        return (
            Breach(text=f"TotalAHSLength={words} in a {moment.pdu.label}", clause="RFC 7143 11.2.1.5")
            if words
            else FINE
        )
    pdu = moment.pdu
    if len(pdu.ahs) != 4 * words:
        return None  # the journal does not have it
    segments, rest = split_ahs(pdu.ahs)
    if rest:
        return Breach(
            text=f"{len(rest)} bytes of the AHS are no segment: an AHSLength is wrong", clause="RFC 7143 11.2.2.2"
        )
    extended = None
    for segment in segments:
        wrong = _wrong_segment(segment)
        if wrong:
            return Breach(text=wrong, clause="RFC 7143 11.2.2")
        if segment.type == AhsType.EXTENDED_CDB:
            extended = segment
    wrong = _wrong_cdb(pdu.cdb, extended)
    return Breach(text=wrong) if wrong else FINE


def _wrong_segment(segment: Ahs) -> str:
    if segment.raw[2] != segment.type:
        return f"{segment.label} AHS with reserved bits in its type"
    if segment.type == AhsType.BIDIRECTIONAL_READ_EDTL and segment.length != _BIDI_LENGTH:
        return f"{segment.label} AHS with AHSLength={segment.length}, not {_BIDI_LENGTH}"
    if segment.type == AhsType.EXTENDED_CDB and segment.length < _LEAST_CDB:
        return f"{segment.label} AHS with AHSLength={segment.length}: the CDB has no more than {_IN_HEADER} bytes"
    if segment.type not in (AhsType.EXTENDED_CDB, AhsType.BIDIRECTIONAL_READ_EDTL):
        return f"AHSType={segment.type}, which is reserved"
    return f"{segment.label} AHS whose reserved byte is {segment.specific[0]:#04x}" if segment.specific[0] else ""


def _wrong_cdb(cdb: bytes, extended: Ahs | None) -> str:
    """Tell what is wrong with where a CDB is: `cdb` is all of it."""
    variable = cdb[0] == _VARIABLE
    length = _VARIABLE_PREFIX + cdb[_VARIABLE_LENGTH] if variable else _GROUP_LENGTHS.get(cdb[0] >> 5)
    if length is None:
        return ""
    if extended is None:
        return f"a CDB of {length} bytes without an Extended CDB AHS" if length > _IN_HEADER else ""
    if length <= _IN_HEADER:
        return f"an Extended CDB AHS for a CDB of {length} bytes (opcode {cdb[0]:#04x})"
    if len(cdb) != length:
        return f"AHSLength={extended.length} for a CDB of {length} bytes, not {length - _IN_HEADER + 1}"
    return ""


FAMILY = Family(
    name="command_format",
    title="The flags, lengths and additional header segments of a SCSI Command",
    rules=(
        Rule(
            id="I-015",
            title="The flags of a SCSI Command agree with each other, with its lengths, and ATTR is assigned",
            severity=Severity.MUST,
            clause="RFC 7143 11.3.1, RFC 7143 11.3.4",
            check=_asks_sensibly,
            sent=_SCSI_COMMAND,
            why="A target cannot know whether data goes or comes, and how much of it.",
        ),
        Rule(
            id="I-016",
            title="A write whose data is all in the command has F=1",
            severity=Severity.MUST,
            clause="RFC 7143 11.3.4",
            check=_says_that_no_more_comes,
            sent=_SCSI_COMMAND,
            why="The target waits for data that does not come.",
        ),
        Rule(
            id="I-062",
            title="Only a SCSI Command has AHS; an extended CDB is longer than 16 bytes",
            severity=Severity.MUST,
            clause="RFC 7143 11.2.1.5, RFC 7143 11.2.2.3",
            check=_has_right_ahs,
            sent=FROM_INITIATOR,
            why="A target that expects none takes the AHS for data, and loses its place in the stream.",
        ),
    ),
)
