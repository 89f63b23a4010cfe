"""REPORT LUNS and REQUEST SENSE: what is there, and what a nexus has not been told yet (SPC-4 6.33, 6.39)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi.attention import LUNS_CHANGED
from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.handler import Commands, Handler, Reach
from iscsiproxy.wire.fields import lun_value
from iscsiproxy.wire.sense import SenseCode, encode_sense

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS", "REPORT_LUNS", "lun_list"]

REPORT_LUNS = 0xA0
_REQUEST_SENSE = 0x03

#: SELECT REPORT: without well known logical units, only those, all; there are none of those (SPC-4 table 295)
_LOGICAL_UNITS, _WELL_KNOWN, _ALL = 0x00, 0x01, 0x02
#: The least ALLOCATION LENGTH of REPORT LUNS (SPC-4 6.33)
_LEAST = 16

_INVALID_FIELD = (0x5, 0x24, 0x00)
_NO_SENSE = SenseCode(0x0, 0x00, 0x00)


def lun_list(luns: Sequence[int], cdb: bytes) -> bytes:
    """Give the answer to REPORT LUNS. Raises CheckCondition for a CDB that SPC-4 6.33 does not allow."""
    allocation = int.from_bytes(cdb[6:10], "big")
    if allocation < _LEAST or cdb[2] not in (_LOGICAL_UNITS, _WELL_KNOWN, _ALL):
        raise CheckCondition(*_INVALID_FIELD)
    entries = b"" if cdb[2] == _WELL_KNOWN else b"".join(lun_value(lun).to_bytes(8, "big") for lun in luns)
    return (len(entries).to_bytes(4, "big") + bytes(4) + entries)[:allocation]


def _report_luns_wants(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    lun_list(unit.luns, cdb)
    return 0


def _report_luns(unit: LogicalUnit, nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    unit.attentions.clear(nexus, LUNS_CHANGED)
    return lun_list(unit.luns, cdb)


def _request_sense_wants(_unit: LogicalUnit, _nexus: Nexus, _cdb: bytes) -> int:
    return 0


def _request_sense(unit: LogicalUnit, nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    """Give a pending unit attention, which is cleared by it; there is no other sense to report."""
    code = unit.attentions.take(nexus) or _NO_SENSE
    return encode_sense(code, descriptor=bool(cdb[1] & 0x01))[: cdb[4]]


COMMANDS: Commands = {
    (REPORT_LUNS, None): Handler(
        name="REPORT LUNS",
        wants=_report_luns_wants,
        perform=_report_luns,
        reach=Reach(always=True),
        ignores_attention=True,
    ),
    (_REQUEST_SENSE, None): Handler(
        name="REQUEST SENSE",
        wants=_request_sense_wants,
        perform=_request_sense,
        reach=Reach(always=True),
        ignores_attention=True,
    ),
}
