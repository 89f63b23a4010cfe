"""SCSI sense data, and where iSCSI puts it (SPC; RFC 7143 11.4.7, 11.9.4).

A `SenseCode` is the part people talk about: key, ASC and ASCQ, written `B/0C/0D`. A `Sense` is a whole block of sense
data, of which the code and a little more are read and the bytes kept.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from iscsiproxy.errors import ScsiError
from iscsiproxy.wire.codes import CodeTable

__all__ = [
    "ASC_NAMES",
    "SENSE_KEY",
    "Sense",
    "SenseCode",
    "decode_sense",
    "encode_sense",
    "parse_sense_text",
    "sense_of_segment",
]

#: Sense keys (SPC)
SENSE_KEY = CodeTable(
    "SenseKey",
    "SPC-4 4.5.6",
    {
        0x0: "NO_SENSE",
        0x1: "RECOVERED_ERROR",
        0x2: "NOT_READY",
        0x3: "MEDIUM_ERROR",
        0x4: "HARDWARE_ERROR",
        0x5: "ILLEGAL_REQUEST",
        0x6: "UNIT_ATTENTION",
        0x7: "DATA_PROTECT",
        0x8: "BLANK_CHECK",
        0x9: "VENDOR_SPECIFIC",
        0xA: "COPY_ABORTED",
        0xB: "ABORTED_COMMAND",
        0xD: "VOLUME_OVERFLOW",
        0xE: "MISCOMPARE",
        0xF: "COMPLETED",
    },
    digits=1,
)

#: Additional sense codes and qualifiers that iSCSI and block devices use (SPC; RFC 7143 11.4.7.2)
ASC_NAMES: Mapping[tuple[int, int], str] = {
    (0x00, 0x00): "no additional sense information",
    (0x04, 0x00): "logical unit not ready, cause not reportable",
    (0x04, 0x01): "logical unit is in process of becoming ready",
    (0x04, 0x02): "logical unit not ready, initializing command required",
    (0x04, 0x03): "logical unit not ready, manual intervention required",
    (0x04, 0x0A): "logical unit not accessible, asymmetric access state transition",
    (0x04, 0x0B): "logical unit not accessible, target port in standby state",
    (0x04, 0x0C): "logical unit not accessible, target port in unavailable state",
    (0x08, 0x00): "logical unit communication failure",
    (0x0C, 0x00): "write error",
    (0x0C, 0x0C): "write error, unexpected unsolicited data",
    (0x0C, 0x0D): "write error, not enough unsolicited data",
    (0x0E, 0x03): "invalid field in command information unit",
    (0x10, 0x00): "ID CRC or ECC error",
    (0x10, 0x01): "logical block guard check failed",
    (0x10, 0x02): "logical block application tag check failed",
    (0x10, 0x03): "logical block reference tag check failed",
    (0x11, 0x00): "unrecovered read error",
    (0x11, 0x13): "read error, failed retransmission request",
    (0x1A, 0x00): "parameter list length error",
    (0x1D, 0x00): "miscompare during verify operation",
    (0x20, 0x00): "invalid command operation code",
    (0x21, 0x00): "logical block address out of range",
    (0x24, 0x00): "invalid field in CDB",
    (0x25, 0x00): "logical unit not supported",
    (0x26, 0x00): "invalid field in parameter list",
    (0x27, 0x00): "write protected",
    (0x27, 0x07): "space allocation failed, write protect",
    (0x28, 0x00): "not ready to ready change, medium may have changed",
    (0x29, 0x00): "power on, reset, or bus device reset occurred",
    (0x29, 0x01): "power on occurred",
    (0x29, 0x02): "SCSI bus reset occurred",
    (0x29, 0x03): "bus device reset function occurred",
    (0x29, 0x04): "device internal reset",
    (0x29, 0x07): "I_T nexus loss occurred",
    (0x2A, 0x01): "mode parameters changed",
    (0x2A, 0x03): "reservations preempted",
    (0x2A, 0x04): "reservations released",
    (0x2A, 0x05): "registrations preempted",
    (0x2A, 0x06): "asymmetric access state changed",
    (0x2A, 0x09): "capacity data has changed",
    (0x2C, 0x00): "command sequence error",
    (0x2C, 0x07): "previous busy status",
    (0x2C, 0x08): "previous task set full status",
    (0x2C, 0x09): "previous reservation conflict status",
    (0x2F, 0x00): "commands cleared by another initiator",
    (0x2F, 0x02): "commands cleared by device server",
    (0x38, 0x07): "thin provisioning soft threshold reached",
    (0x3A, 0x00): "medium not present",
    (0x3F, 0x00): "target operating conditions have changed",
    (0x3F, 0x03): "inquiry data has changed",
    (0x3F, 0x0E): "reported LUNs data has changed",
    (0x44, 0x00): "internal target failure",
    (0x45, 0x00): "select or reselect failure",
    (0x47, 0x00): "SCSI parity error",
    (0x47, 0x03): "information unit iuCRC error detected",
    (0x47, 0x05): "protocol service CRC error",
    (0x47, 0x7F): "some commands cleared by iSCSI protocol event",
    (0x48, 0x00): "initiator detected error message received",
    (0x49, 0x00): "invalid message error",
    (0x4B, 0x00): "data phase error",
    (0x4B, 0x02): "too much write data",
    (0x4E, 0x00): "overlapped commands attempted",
    (0x53, 0x02): "medium removal prevented",
    (0x55, 0x03): "insufficient resources",
    (0x55, 0x04): "insufficient registration resources",
}

_TEXT = re.compile(r"([0-9A-Fa-f])/([0-9A-Fa-f]{2})/([0-9A-Fa-f]{2})", re.ASCII)
#: The seven bits of byte 0 that are the response code (SPC)
_RESPONSE_CODE = 0x7F
#: Response code -> descriptor format, deferred error (SPC)
_FORMATS = {0x70: (False, False), 0x71: (False, True), 0x72: (True, False), 0x73: (True, True)}
#: How many bytes hold key, ASC and ASCQ: in descriptor format, in fixed format (SPC)
_DESCRIPTOR_NEEDED = 4
_FIXED_NEEDED = 14
#: SenseLength, before the sense data in a data segment (RFC 7143 11.4.7)
_PREFIX = 2


class SenseCode(NamedTuple):
    """Sense key, additional sense code and its qualifier."""

    key: int
    asc: int
    ascq: int

    def __str__(self) -> str:
        return f"{self.key:X}/{self.asc:02X}/{self.ascq:02X}"

    @property
    def label(self) -> str:
        """Say what the code means, as far as it is known."""
        name = ASC_NAMES.get((self.asc, self.ascq))
        return SENSE_KEY.text(self.key) + (f", {name}" if name else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sense:
    """One block of sense data; `str()` is its code, `B/0C/0D`.

    `descriptor` tells the format, `deferred` that the error belongs to an earlier command, `raw` is every byte.
    """

    key: int
    asc: int
    ascq: int
    deferred: bool
    descriptor: bool
    raw: bytes

    def __str__(self) -> str:
        return str(self.code)

    @property
    def code(self) -> SenseCode:
        """Key, ASC and ASCQ."""
        return SenseCode(self.key, self.asc, self.ascq)

    @property
    def label(self) -> str:
        """Say what the sense means, as far as it is known."""
        return self.code.label + (", deferred" if self.deferred else "")


def parse_sense_text(text: str) -> SenseCode:
    """Read `B/0C/0D`: one, two and two hexadecimal digits. Raises ValueError for anything else."""
    match = _TEXT.fullmatch(text)
    if not match:
        raise ValueError(f"expected sense as key/ASC/ASCQ like B/0C/0D, got {text!r}")
    key, asc, ascq = (int(part, 16) for part in match.groups())
    return SenseCode(key, asc, ascq)


def decode_sense(sense: bytes) -> Sense:
    """Read sense data of either format.

    Raises ScsiError for an unknown response code, and where key, ASC and ASCQ are not all there.
    """
    if not sense:
        raise ScsiError("sense data: expected a response code, got no bytes")
    response = sense[0] & _RESPONSE_CODE
    if response not in _FORMATS:
        raise ScsiError(f"sense data: expected a response code of 70h..73h, got {response:02x}h")
    descriptor, deferred = _FORMATS[response]
    needed = _DESCRIPTOR_NEEDED if descriptor else _FIXED_NEEDED
    if len(sense) < needed:
        raise ScsiError(f"sense data of format {response:02x}h: expected at least {needed} bytes, got {len(sense)}")
    key, asc, ascq = sense[1:4] if descriptor else (sense[2], sense[12], sense[13])
    return Sense(key=key & 0x0F, asc=asc, ascq=ascq, deferred=deferred, descriptor=descriptor, raw=sense)


def sense_of_segment(data: bytes) -> Sense | None:
    """Read the sense data that begins the data segment of a SCSI Response or an Asynchronous Message.

    None if the segment is empty or its SenseLength 0. Raises ScsiError if SenseLength does not fit the segment, and as
    `decode_sense` does.
    """
    if not data:
        return None
    if len(data) < _PREFIX:
        raise ScsiError(f"SenseLength: expected {_PREFIX} bytes, got {len(data)}")
    length = int.from_bytes(data[:_PREFIX], "big")
    if length > len(data) - _PREFIX:
        raise ScsiError(f"SenseLength {length}: expected as many bytes of sense data, got {len(data) - _PREFIX}")
    return decode_sense(data[_PREFIX : _PREFIX + length]) if length else None


def encode_sense(code: SenseCode, *, descriptor: bool = False, information: int | None = None) -> bytes:
    """Make sense data for a current error: 18 bytes in fixed format, 8 or 20 in descriptor format (SPC-4 4.5).

    `information` goes into the INFORMATION field; a number that the fixed format cannot hold is left out there.
    """
    if descriptor:
        head = bytes([0x72, code.key, code.asc, code.ascq, 0, 0, 0])
        if information is None:
            return head + b"\0"
        return head + bytes([12]) + bytes([0x00, 0x0A, 0x80, 0]) + information.to_bytes(8, "big")
    sense = bytearray(18)
    sense[0] = 0x70
    sense[2], sense[7], sense[12], sense[13] = code.key, 10, code.asc, code.ascq
    if information is not None and information < 1 << 32:
        sense[0] |= 0x80
        sense[3:7] = information.to_bytes(4, "big")
    return bytes(sense)
