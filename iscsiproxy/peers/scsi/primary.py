"""The small commands that a disk has and that touch no block (SPC-4 6, SBC-3 5).

The unit is always ready and its medium stays where it is. What asks for less, a stop or a prevented removal, is
granted and changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi import access
from iscsiproxy.peers.scsi.handler import Handler, Reach

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.handler import Commands
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS"]

#: START STOP UNIT: POWER CONDITIONs that there are, LOEJ (SBC-3 5.25)
_POWER_CONDITIONS = frozenset({0x0, 0x1, 0x2, 0x3, 0x7, 0xA, 0xB})
_START, _LOEJ = 0x01, 0x02
#: PREVENT of PREVENT ALLOW MEDIUM REMOVAL; its upper bit is obsolete (SPC-4 6.14)
_PREVENT_OBSOLETE = 0x02
#: REQ_PLIST, REQ_GLIST and DEFECT LIST FORMAT of READ DEFECT DATA (SBC-3 5.19)
_DEFECT_LIST = 0x1F
#: SELF-TEST CODE and SELFTEST of SEND DIAGNOSTIC (SPC-4 6.42)
_SELF_TEST_CODE = 0xE0
#: PCV of RECEIVE DIAGNOSTIC RESULTS (SPC-4 6.28)
_PCV = 0x01
#: PARAMETER DATA FORMAT of REPORT TARGET PORT GROUPS: header only as long as the length, or extended (SPC-4 6.37)
_PLAIN, _EXTENDED = 0, 1
#: Active/optimized, and that no other state is supported: AO_SUP
_ACTIVE_OPTIMIZED, _AO_SUP = 0x0, 0x01


def _nothing(_unit: LogicalUnit, _nexus: Nexus, _cdb: bytes) -> int:
    return 0


def _done(_unit: LogicalUnit, _nexus: Nexus, _cdb: bytes, _data: memoryview) -> bytes:
    return b""


def _want_start_stop(_unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    if cdb[4] >> 4 not in _POWER_CONDITIONS or (not cdb[4] >> 4 and cdb[4] & _LOEJ):
        access.invalid_field()
    return 0


def _start_stop(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    if not cdb[4] & _START:
        unit.medium.flush()
    return b""


def _want_prevent(_unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    if cdb[4] & _PREVENT_OBSOLETE:
        access.invalid_field()
    return 0


def _read_defects_10(_unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    return bytes([0, cdb[2] & _DEFECT_LIST, 0, 0])[: access.number(cdb, 7, 9)]


def _read_defects_12(_unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    return bytes([0, cdb[1] & _DEFECT_LIST, 0, 0, 0, 0, 0, 0])[: access.number(cdb, 6, 10)]


def _want_diagnostic(_unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    # The default self-test is the only one, and there are no pages to send.
    if cdb[1] & _SELF_TEST_CODE or access.number(cdb, 3, 5):
        access.invalid_field()
    return 0


def _receive_diagnostic(_unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    if cdb[1] & _PCV and cdb[2]:
        access.invalid_field()
    # The list of supported pages, which has itself in it.
    return bytes([0, 0, 0, 1, 0])[: access.number(cdb, 3, 5)]


def _report_port_groups(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
    form = cdb[1] >> 5
    if form not in {_PLAIN, _EXTENDED}:
        access.invalid_field()
    group = unit.portal_group.to_bytes(2, "big")
    body = b"" if form == _PLAIN else bytes([_EXTENDED << 4, 0, 0, 0])
    body += bytes([_ACTIVE_OPTIMIZED, _AO_SUP]) + group + bytes([0, 0, 0, 1]) + bytes(2) + group
    return (len(body).to_bytes(4, "big") + body)[: access.number(cdb, 6, 10)]


#: By operation code and service action (SPC-4 6.1, SBC-3 5.1)
COMMANDS: Commands = {
    (0x00, None): Handler(name="TEST UNIT READY", wants=_nothing, perform=_done, reach=Reach()),
    (0x1B, None): Handler(
        name="START STOP UNIT", wants=_want_start_stop, perform=_start_stop, reach=Reach(writes=True)
    ),
    (0x1C, None): Handler(
        name="RECEIVE DIAGNOSTIC RESULTS", wants=_nothing, perform=_receive_diagnostic, reach=Reach(reads=True)
    ),
    (0x1D, None): Handler(name="SEND DIAGNOSTIC", wants=_want_diagnostic, perform=_done, reach=Reach(writes=True)),
    (0x1E, None): Handler(name="PREVENT ALLOW MEDIUM REMOVAL", wants=_want_prevent, perform=_done, reach=Reach()),
    (0x37, None): Handler(
        name="READ DEFECT DATA(10)", wants=_nothing, perform=_read_defects_10, reach=Reach(reads=True)
    ),
    (0xB7, None): Handler(
        name="READ DEFECT DATA(12)", wants=_nothing, perform=_read_defects_12, reach=Reach(reads=True)
    ),
    (0xA3, 0x0A): Handler(name="REPORT TARGET PORT GROUPS", wants=_nothing, perform=_report_port_groups, reach=Reach()),
}
