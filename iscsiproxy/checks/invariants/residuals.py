"""Residual counts: what was not moved, and why (RFC 7143 11.4.5)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_STATUS = frozenset({Opcode.SCSI_RESPONSE, Opcode.DATA_IN})
_GOOD = codes.SCSI_STATUS.value("GOOD")
#: Commands that move whole blocks, and nothing else
_READS = frozenset({"READ(6)", "READ(10)", "READ(12)", "READ(16)"})
_WRITES = frozenset({"WRITE(6)", "WRITE(10)", "WRITE(12)", "WRITE(16)"})
#: By what a READ CAPACITY answers: how long that is at least, and where the block length is (SBC)
_CAPACITIES = {"READ CAPACITY(10)": (8, 4), "READ CAPACITY(16)": (12, 8)}
_LONGEST_CAPACITY = 32
#: Commands behind which blocks may have another length
_REFORMATS = frozenset({"FORMAT UNIT", "MODE SELECT(6)", "MODE SELECT(10)", "SANITIZE"})
_BLOCK_LENGTH = 4
#: READ(6) and WRITE(6)
_SIX = frozenset({0x08, 0x0A})
#: RDPROTECT or WRPROTECT, in byte 1 of all but the shortest: protection information goes with the blocks (SBC)
_PROTECT = 0xE0


class _Blocks:
    """How long the blocks of logical units are, as they have said themselves: by target and LUN."""

    def __init__(self) -> None:
        self.known: dict[tuple[str | None, int], tuple[int, Note]] = {}


def _learn(moment: Moment) -> None:
    """Take note of the block length in what READ CAPACITY answers."""
    if moment.length > _LONGEST_CAPACITY:
        return
    task, data = moment.own, moment.data
    if task is None or task.cdb is None or data is None or moment["BufferOffset"]:
        return
    length, place = _CAPACITIES.get(task.cdb.name, (len(data) + 1, 0))
    size = int.from_bytes(data[place : place + _BLOCK_LENGTH], "big")
    if len(data) >= length and size:
        moment.scene.recall(_Blocks).known[moment.session.target_name, task.lun] = size, moment.note


def _flags_are_right(moment: Moment) -> Outcome:
    """T-034: see that no residual is both over and under, and that there is none without a flag."""
    if moment.opcode == Opcode.DATA_IN and not moment["S"]:
        return None
    pairs = (("O", "U"), ("o", "u")) if moment.opcode == Opcode.SCSI_RESPONSE else (("O", "U"),)
    for over, under in pairs:
        if moment[over] and moment[under]:
            return Breach(text=f"{over} and {under} are both set")
    if moment["ResidualCount"] and not (moment["O"] or moment["U"]):
        text = f"Residual Count {moment['ResidualCount']} with neither O nor U"
        return Breach(text=text, severity=Severity.SHOULD, clause="RFC 7143 11.4.5.1")
    return FINE


def _is_derived(moment: Moment) -> Outcome:
    """T-035: see that the residual of reads and writes is what CDB, block length and expected length make it."""
    if moment.opcode == Opcode.DATA_IN and not moment["S"]:
        return None
    blocks = moment.scene.known(_Blocks)
    task = moment.own
    if blocks is None or task is None or task.cdb is None or task.terminal is not None:
        return None
    key = moment.session.target_name, task.lun
    if task.cdb.name in _REFORMATS:
        blocks.known.pop(key, None)
        return None
    if moment["Status"] != _GOOD or moment.values.get("Response") or key not in blocks.known:
        return None
    size, capacity = blocks.known[key]
    length = _transfer(task, size)
    if length is None:
        return None
    residual = length - task.values["EDTL"]
    flag = "O" if residual > 0 else "U" if residual < 0 else ""
    told = moment["ResidualCount"] if moment["O"] or moment["U"] else 0
    if told == abs(residual) and (not flag or moment[flag]):
        return FINE
    said = "".join(one for one in "OU" if moment[one])
    due = f"{flag} {abs(residual)} is due" if flag else "no residual is due"
    what = f"{task.cdb.name} of {length} bytes with EDTL {task.values['EDTL']}"
    return Breach(text=f"{said or 'residual'} {told} for a {what}: {due}", proof=(task.note, capacity))


def _transfer(task: Task, size: int) -> int | None:
    """Count the bytes that a command moves; None if that does not follow from its blocks alone."""
    cdb = task.cdb
    if cdb is None or cdb.blocks is None:
        return None
    if not ((cdb.name in _READS and task.reads) or (cdb.name in _WRITES and task.writes)) or task.bidirectional:
        return None
    assert task.note.pdu is not None
    if cdb.opcode not in _SIX and task.note.pdu.cdb[1] & _PROTECT:
        return None
    return cdb.blocks * size


FAMILY = Family(
    name="residuals",
    title="Residual counts",
    rules=(
        Rule(
            id="T-034",
            title="Overflow and underflow exclude each other, and there is no residual without one of them",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.1",
            check=_flags_are_right,
            sent=_STATUS,
            why="With both set nobody can tell how much data there is.",
        ),
        Rule(
            id="T-035",
            title="The residual of a read or write is what its blocks and the Expected Data Transfer Length make it",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.5.2",
            check=_is_derived,
            sent=_STATUS,
            why="The host takes a short transfer for a whole one, or a whole one for an error.",
        ),
    ),
    observers=(Observer(end=End.TARGET, update=_learn, sent=frozenset({Opcode.DATA_IN})),),
)
