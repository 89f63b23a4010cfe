"""PERSISTENT RESERVE IN: what is registered and reserved (SPC-4 6.15)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi.handler import Commands, Handler, Reach
from iscsiproxy.peers.scsi.persistent import ReservationType
from iscsiproxy.peers.scsi.reservations import ReservationConflict

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS"]

_OPCODE = 0x5E
#: Service actions (SPC-4 table 213)
_READ_KEYS, _READ_RESERVATION, _REPORT_CAPABILITIES, _READ_FULL_STATUS = range(4)
#: SCOPE of the whole logical unit, the only one there is (SPC-4 table 215)
_LU_SCOPE = 0x0
#: TMV: the type mask is valid; nothing else is supported, see `reserve_out` (SPC-4 6.15.4)
_TMV = 0x80
#: R_HOLDER of a full status descriptor (SPC-4 6.15.5)
_R_HOLDER = 0x01
#: TransportID of an iSCSI initiator port: format 01b, protocol identifier 5h (SPC-4 7.6.4.6)
_ISCSI_PORT = 0x45
#: The shortest name field of a TransportID
_LEAST_NAME = 20


def transport_id(nexus: Nexus) -> bytes:
    """Give the TransportID of the initiator port: its name and ISID, null-terminated and padded (SPC-4 7.6.4.6)."""
    name = str(nexus).encode() + b"\0"
    name = (name + bytes(-len(name) % 4)).ljust(_LEAST_NAME, b"\0")
    return bytes([_ISCSI_PORT, 0]) + len(name).to_bytes(2, "big") + name


def _list(unit: LogicalUnit, entries: bytes) -> bytes:
    return unit.persistent.generation.to_bytes(4, "big") + len(entries).to_bytes(4, "big") + entries


def _keys(unit: LogicalUnit) -> bytes:
    return _list(unit, b"".join(key.to_bytes(8, "big") for key in unit.persistent.registered.values()))


def _reservation(unit: LogicalUnit) -> bytes:
    persistent = unit.persistent
    if persistent.type is None:
        return _list(unit, b"")
    kind = bytes([_LU_SCOPE << 4 | persistent.type])
    return _list(unit, persistent.holder_key.to_bytes(8, "big") + bytes(5) + kind + bytes(2))


def _capabilities(_unit: LogicalUnit) -> bytes:
    mask = sum(1 << kind for kind in ReservationType)
    # The lower types come first: type 0 is bit 0 of the first byte, type 8 bit 0 of the second.
    return bytes([0, 8, 0, _TMV]) + mask.to_bytes(2, "little") + bytes(2)


def _full_status(unit: LogicalUnit) -> bytes:
    persistent = unit.persistent
    entries = []
    for nexus, key in persistent.registered.items():
        port = transport_id(nexus)
        held = persistent.type is not None and persistent.holds(nexus)
        entries.append(
            key.to_bytes(8, "big")
            + bytes(4)
            + bytes([_R_HOLDER if held else 0, _LU_SCOPE << 4 | (persistent.type or 0) if held else 0])
            + bytes(4)
            + nexus.portal_group.to_bytes(2, "big")
            + len(port).to_bytes(4, "big")
            + port
        )
    return _list(unit, b"".join(entries))


def _wants(unit: LogicalUnit, _nexus: Nexus, _cdb: bytes) -> int:
    if unit.reservations.holder is not None:
        raise ReservationConflict
    return 0


def _answers(name: str, build: Callable[[LogicalUnit], bytes]) -> Handler:
    def perform(unit: LogicalUnit, _nexus: Nexus, cdb: bytes, _data: memoryview) -> bytes:
        return build(unit)[: int.from_bytes(cdb[7:9], "big")]

    return Handler(
        name=f"PERSISTENT RESERVE IN, {name}",
        wants=_wants,
        perform=perform,
        reach=Reach(always=True),
    )


COMMANDS: Commands = {
    (_OPCODE, _READ_KEYS): _answers("READ KEYS", _keys),
    (_OPCODE, _READ_RESERVATION): _answers("READ RESERVATION", _reservation),
    (_OPCODE, _REPORT_CAPABILITIES): _answers("REPORT CAPABILITIES", _capabilities),
    (_OPCODE, _READ_FULL_STATUS): _answers("READ FULL STATUS", _full_status),
}
