"""What a target's answers tell of a disk: how a command ended, the block size, how it may reorder (SAM, SPC, SBC)."""

from __future__ import annotations

from enum import Enum
from struct import Struct

from iscsiproxy.checks.disk.commands import Action, Effect
from iscsiproxy.errors import ScsiError
from iscsiproxy.wire.cdb import decode_cdb
from iscsiproxy.wire.codes import SCSI_STATUS
from iscsiproxy.wire.sense import SENSE_KEY, Sense

__all__ = ["Outcome", "block_size_of", "outcome_of", "restricted_of"]


class Outcome(Enum):
    """How a command ended, as far as the disk is concerned."""

    #: It was done.
    GOOD = "good"
    #: The target said that it was not begun.
    VOID = "void"
    #: It is over, and was done, in part, or not at all.
    MAYBE = "maybe"
    #: No answer will come, and it may yet be done, until its session is gone.
    LOST = "lost"


_STATUS = {name: value for value, name in SCSI_STATUS.items()}
_GOOD = frozenset(_STATUS[name] for name in ("GOOD", "CONDITION_MET", "INTERMEDIATE", "INTERMEDIATE_CONDITION_MET"))
#: The task never entered the task set, or was not enabled (SAM-5 5.3.1)
_VOID = frozenset(_STATUS[name] for name in ("BUSY", "RESERVATION_CONFLICT", "TASK_SET_FULL", "ACA_ACTIVE"))
_CHECK_CONDITION = _STATUS["CHECK_CONDITION"]

_KEY = {name: value for value, name in SENSE_KEY.items()}
#: The command was looked at and refused, or something had to be told first (SPC-4 4.5.6; SAM-5 5.14)
_REFUSING = frozenset({_KEY["ILLEGAL_REQUEST"], _KEY["UNIT_ATTENTION"]})
_WRITE_PROTECTED = 0x27
#: WRITE PROTECTED with this qualifier is no space left, which shows when part of the data is written (SBC-3 4.7.3.6)
_NO_SPACE = 0x07
_NOT_READY, _NO_MEDIUM = 0x04, 0x3A
#: NOT READY for a cause that shows before a command begins: becoming ready, a command is needed, format or operation in
#: progress, the port's access state (SPC-4 D.2). "Cause not reportable" may be a device that went away at work.
_NEVER_BEGUN = frozenset({0x01, 0x02, 0x03, 0x04, 0x07, 0x09, 0x0A, 0x0B, 0x0C, 0x1B})


def outcome_of(effect: Effect, status: int, *, response: int = 0, sense: Sense | None = None) -> Outcome:
    """Say how a command ended that was answered: by Response and Status of its SCSI Response, and its sense data.

    In doubt it is MAYBE. A *deferred* error tells that the command was not begun, and that an earlier one which was
    answered GOOD was not done (SPC-4 4.5.7): then `Disk.gap` has to be called as well.
    """
    if response:
        return Outcome.MAYBE
    if status in _GOOD:
        return Outcome.GOOD
    if status in _VOID:
        return Outcome.VOID
    if status != _CHECK_CONDITION or sense is None:
        return Outcome.MAYBE
    if sense.deferred or sense.key in _REFUSING:
        return Outcome.VOID
    if sense.key == _KEY["RECOVERED_ERROR"]:
        return Outcome.GOOD
    if sense.key == _KEY["MISCOMPARE"] and effect.action is Action.COMPARE_AND_WRITE:
        return Outcome.VOID
    return Outcome.VOID if _never_begun(sense) else Outcome.MAYBE


def _never_begun(sense: Sense) -> bool:
    if sense.key == _KEY["DATA_PROTECT"]:
        return sense.asc == _WRITE_PROTECTED and sense.ascq != _NO_SPACE
    if sense.key == _KEY["NOT_READY"]:
        return sense.asc == _NO_MEDIUM or (sense.asc == _NOT_READY and sense.ascq in _NEVER_BEGUN)
    return False


#: READ CAPACITY(10) and (16) parameter data: the address of the last block, its length (SBC)
_CAPACITY_10 = Struct(">II")
_CAPACITY_16 = Struct(">QI")


def block_size_of(cdb: bytes, data: bytes) -> int | None:
    """Read the logical block size off the answer to READ CAPACITY(10) or (16); None if this is none."""
    try:
        name = decode_cdb(cdb).name
    except ScsiError:
        return None
    shape = {"READ CAPACITY(10)": _CAPACITY_10, "READ CAPACITY(16)": _CAPACITY_16}.get(name)
    if shape is None or len(data) < shape.size:
        return None
    size: int = shape.unpack_from(data)[1]
    return size or None


#: Mode parameter headers: their length, and where the length of the block descriptors is (SPC)
_MODE_6, _MODE_10 = (4, Struct(">3xB")), (8, Struct(">6xH"))
#: PAGE CODE and SPF of a mode page; the Control page, its least length, and QUEUE ALGORITHM MODIFIER in it (SPC)
_PAGE_CODE, _SPF, _CONTROL, _CONTROL_NEEDED = 0x3F, 0x40, 0x0A, 4
_PAGE_CONTROL = 0xC0


def restricted_of(cdb: bytes, data: bytes) -> bool | None:
    """Read off an answer to MODE SENSE whether SIMPLE commands are reordered in a restricted way only.

    True for QUEUE ALGORITHM MODIFIER 0, False for others (SPC-4 7.5.8); None if there are no current values of the
    Control mode page.
    """
    try:
        name = decode_cdb(cdb).name
    except ScsiError:
        return None
    shape = {"MODE SENSE(6)": _MODE_6, "MODE SENSE(10)": _MODE_10}.get(name)
    if shape is None or cdb[2] & _PAGE_CONTROL:
        return None
    header, descriptors = shape
    if len(data) < header:
        return None
    at: int = header + descriptors.unpack_from(data)[0]
    while at + _CONTROL_NEEDED <= len(data):
        if data[at] & _SPF:
            at += 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        elif data[at] & _PAGE_CODE == _CONTROL:
            return data[at + 3] >> 4 == 0
        else:
            at += 2 + data[at + 1]
    return None
