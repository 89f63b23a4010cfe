"""Commands that may not overtake others: those that move the medium of a tape or a changer (RFC 7143 10.6).

What a LUN is, the initiator was told in standard INQUIRY data: a LUN of which that was not seen is not judged.
"""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_INQUIRY = 0x12
#: EVPD, in byte 1 of an INQUIRY; PERIPHERAL DEVICE TYPE, in byte 0 of its data (SPC)
_EVPD = 0x01
_DEVICE_TYPE = 0x1F
#: Standard INQUIRY data is no longer than this, or was not asked for
_MOST_INQUIRY = 256
#: By device type: its name, and the operation codes that move it or its medium, or depend on where that is (SSC, SMC)
_STATEFUL = {
    0x01: (
        "tape",
        frozenset(
            {0x01, 0x04, 0x08, 0x0A, 0x0B, 0x0F, 0x10, 0x11, 0x13, 0x14, 0x19, 0x1B, 0x2B, 0x80, 0x81, 0x88, 0x8A, 0x8F,
             0x91, 0x92, 0x93}
        ),
    ),
    0x08: ("medium changer", frozenset({0x07, 0x1B, 0x2B, 0x37, 0xA5, 0xA6, 0xA7})),
}  # fmt: skip


class _Devices:
    """The device type of each LUN of a session, and the Data-In that told it."""

    def __init__(self) -> None:
        self.types: dict[int, tuple[int, Note]] = {}


def _keeps_its_place(moment: Moment) -> Outcome:
    """I-061: see that no command that depends on the state of its device is for immediate delivery."""
    devices = moment.session.known(_Devices)
    if devices is None:
        return None
    kind, told = devices.types.get(moment["LUN"], (None, None))
    if kind not in _STATEFUL or told is None:
        return None
    name, codes = _STATEFUL[kind]
    code = moment.pdu.cdb[0]
    if code not in codes:
        return None
    if moment["I"]:
        return Breach(text=f"operation code {code:#04x} for a {name} is marked for immediate delivery", proof=(told,))
    return FINE


def _note_device(moment: Moment) -> None:
    """Keep what a LUN is."""
    if moment.length > _MOST_INQUIRY or moment["BufferOffset"]:
        return
    task, data = moment.task, moment.data
    if task is None or not task.is_scsi or not data:
        return
    assert task.note.pdu is not None
    cdb = task.note.pdu.cdb
    if cdb[0] == _INQUIRY and not cdb[1] & _EVPD:
        kind = data[0]
        if kind <= _DEVICE_TYPE:  # else there is no such device now
            moment.session.recall(_Devices).types[task.lun] = kind, moment.note


FAMILY = Family(
    name="immediate_delivery",
    title="Commands that may not overtake others",
    rules=(
        Rule(
            id="I-061",
            title="A command that depends on the state of a tape or changer is not for immediate delivery",
            severity=Severity.MUST,
            clause="RFC 7143 10.6",
            check=_keeps_its_place,
            sent=frozenset({Opcode.SCSI_COMMAND}),
            why="It overtakes commands before it, and finds the medium in another place than was meant.",
        ),
    ),
    observers=(Observer(end=End.INITIATOR, update=_note_device, given=frozenset({Opcode.DATA_IN})),),
)
