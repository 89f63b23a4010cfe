"""PERSISTENT RESERVE OUT: registering, reserving, preempting (SPC-4 6.16).

Not supported, and reported so by REPORT CAPABILITIES: registering other ports (SPEC_I_PT, ALL_TG_PT, REGISTER AND
MOVE), and state that survives a power loss (APTPL).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from iscsiproxy.peers.scsi.command import CheckCondition
from iscsiproxy.peers.scsi.handler import Commands, Handler, Reach
from iscsiproxy.peers.scsi.persistent import Notices, ReservationType
from iscsiproxy.peers.scsi.reservations import ReservationConflict

if TYPE_CHECKING:
    from iscsiproxy.peers.scsi.command import Nexus
    from iscsiproxy.peers.scsi.unit import LogicalUnit

__all__ = ["COMMANDS"]

_OPCODE = 0x5F
#: Service actions (SPC-4 table 223)
_REGISTER, _RESERVE, _RELEASE, _CLEAR, _PREEMPT, _PREEMPT_AND_ABORT, _REGISTER_AND_IGNORE = range(7)
#: Length of the parameter list without TransportIDs (SPC-4 6.16.3)
_LENGTH = 24
#: SPEC_I_PT, ALL_TG_PT and APTPL in byte 20 of the parameter list; only registering looks at them (SPC-4 table 225)
_UNSUPPORTED = 0x08 | 0x04 | 0x01

_INVALID_FIELD = (0x5, 0x24, 0x00)
_BAD_LENGTH = (0x5, 0x1A, 0x00)
_BAD_PARAMETER = (0x5, 0x26, 0x00)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Order:
    """What a PERSISTENT RESERVE OUT command asks for: SCOPE and TYPE, the two keys, and the flags of byte 20."""

    scope: int
    type: int
    key: int
    action_key: int
    flags: int

    @property
    def kind(self) -> ReservationType | None:
        """The type, of a reservation of the whole logical unit; None is one that there is not."""
        return ReservationType(self.type) if not self.scope and self.type in list(ReservationType) else None


def _wants(unit: LogicalUnit, _nexus: Nexus, cdb: bytes) -> int:
    if unit.reservations.holder is not None:
        raise ReservationConflict
    if int.from_bytes(cdb[5:9], "big") != _LENGTH:
        raise CheckCondition(*_BAD_LENGTH)
    return _LENGTH


def _register(unit: LogicalUnit, nexus: Nexus, order: _Order) -> Notices:
    if order.flags & _UNSUPPORTED:
        raise CheckCondition(*_BAD_PARAMETER)
    return unit.persistent.register(nexus, order.key, order.action_key, ignore=False)


def _register_and_ignore(unit: LogicalUnit, nexus: Nexus, order: _Order) -> Notices:
    if order.flags & _UNSUPPORTED:
        raise CheckCondition(*_BAD_PARAMETER)
    return unit.persistent.register(nexus, order.key, order.action_key, ignore=True)


def _reserve(unit: LogicalUnit, nexus: Nexus, order: _Order) -> Notices:
    if order.kind is None:
        raise CheckCondition(*_INVALID_FIELD)
    unit.persistent.reserve(nexus, order.key, order.kind)
    return []


def _release(unit: LogicalUnit, nexus: Nexus, order: _Order) -> Notices:
    return unit.persistent.release(nexus, order.key, order.kind)


def _clear(unit: LogicalUnit, nexus: Nexus, order: _Order) -> Notices:
    return unit.persistent.clear(nexus, order.key)


def _preempt(unit: LogicalUnit, nexus: Nexus, order: _Order) -> Notices:
    return unit.persistent.preempt(nexus, order.key, order.action_key, order.kind)[1]


def _preempt_and_abort(unit: LogicalUnit, nexus: Nexus, order: _Order) -> Notices:
    victims, notices = unit.persistent.preempt(nexus, order.key, order.action_key, order.kind)
    unit.cancel(nexus, victims.__contains__)
    return notices


def _does(name: str, act: Callable[[LogicalUnit, Nexus, _Order], Notices]) -> Handler:
    def perform(unit: LogicalUnit, nexus: Nexus, cdb: bytes, data: memoryview) -> bytes:
        if len(data) < _LENGTH:
            raise CheckCondition(*_BAD_LENGTH)
        order = _Order(
            scope=cdb[2] >> 4,
            type=cdb[2] & 0x0F,
            key=int.from_bytes(data[0:8], "big"),
            action_key=int.from_bytes(data[8:16], "big"),
            flags=data[20],
        )
        for other, code in act(unit, nexus, order):
            unit.attentions.post(other, code)
        return b""

    return Handler(
        name=f"PERSISTENT RESERVE OUT, {name}",
        wants=_wants,
        perform=perform,
        reach=Reach(writes=True, always=True),
    )


COMMANDS: Commands = {
    (_OPCODE, _REGISTER): _does("REGISTER", _register),
    (_OPCODE, _RESERVE): _does("RESERVE", _reserve),
    (_OPCODE, _RELEASE): _does("RELEASE", _release),
    (_OPCODE, _CLEAR): _does("CLEAR", _clear),
    (_OPCODE, _PREEMPT): _does("PREEMPT", _preempt),
    (_OPCODE, _PREEMPT_AND_ABORT): _does("PREEMPT AND ABORT", _preempt_and_abort),
    (_OPCODE, _REGISTER_AND_IGNORE): _does("REGISTER AND IGNORE EXISTING KEY", _register_and_ignore),
}
