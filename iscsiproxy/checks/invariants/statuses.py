"""How reads end: with all data, its F bit, its count, and a status that may ride on it (RFC 7143 11.4, 11.7)."""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["FAMILY"]

_RESPONSE = frozenset({Opcode.SCSI_RESPONSE})
_STATUS = frozenset({Opcode.SCSI_RESPONSE, Opcode.DATA_IN})
_GOOD = codes.SCSI_STATUS.value("GOOD")
#: The statuses of a command that was completed without an error (RFC 7143 11.7.3)
_WITHOUT_ERROR = frozenset(
    codes.SCSI_STATUS.value(name) for name in ("GOOD", "CONDITION_MET", "INTERMEDIATE", "INTERMEDIATE_CONDITION_MET")
)
#: RFC 3720 10.4.8 counts R2Ts in ExpDataSN too.
_WITH_R2TS = frozenset({Profile.RFC3720, Profile.RFC5048})


def _has_final_data(moment: Moment) -> Outcome:
    """T-027: see that the last Data-In before the status had F."""
    if moment.opcode == Opcode.DATA_IN:
        return FINE if moment["S"] and moment["F"] else None
    task = moment.own
    if task is None or task.data_in is None or task.terminal is not None or task.resends is not None:
        return None
    if moment["Response"] or moment["Status"] not in _WITHOUT_ERROR:
        return None  # what ended early has no last Data-In
    if task.in_final:
        return FINE
    text = f"status behind DataSN {task.data_in['DataSN']}, which has F=0"
    return Breach(text=text, proof=(task.data_in, task.note))


def _may_ride(moment: Moment) -> Outcome:
    """T-028: see that a status in a Data-In is one that may be there."""
    if not moment["S"]:
        return None
    if not moment["F"]:
        return Breach(text="S=1 with F=0")
    status = moment["Status"]
    if status not in _WITHOUT_ERROR:
        return Breach(text=f"status {codes.SCSI_STATUS.text(status)} in a Data-In")
    task = moment.own
    if task is not None and task.bidirectional:
        return Breach(text="S=1 for a bidirectional command", proof=(task.note,))
    return FINE


def _has_all_data(moment: Moment) -> Outcome:
    """T-032: see that a read which is GOOD has brought what was expected, but for what U says."""
    if moment["Status"] != _GOOD or (moment.opcode == Opcode.DATA_IN and not moment["S"]):
        return None
    task = moment.own
    if task is None or not task.values["R"] or task.terminal is not None or moment.values.get("Response"):
        return None
    expected, missing = task.values["EDTL"], moment["ResidualCount"] if moment["U"] else 0
    if task.writes:
        assert task.note.pdu is not None
        if not task.note.pdu.ahs or moment.opcode == Opcode.DATA_IN:
            return None
        expected, missing = task.read_edtl, moment["BidirectionalReadResidualCount"] if moment["u"] else 0
    moved = _moved(moment, task)
    if moved is None or task.in_extents.end > expected:
        return None
    if moved + missing == expected:
        return FINE
    told = f"a residual of {missing} was told" if missing else "no residual was told"
    proof = (task.note,) if task.data_in is None else (task.data_in, task.note)
    return Breach(text=f"GOOD behind {moved} of {expected} bytes, and {told}", proof=proof)


def _moved(moment: Moment, task: Task) -> int | None:
    """Count the bytes that came, this PDU's with them; None if it repeats some."""
    if moment.opcode != Opcode.DATA_IN:
        return task.in_extents.total
    offset, length = moment["BufferOffset"], moment.length
    if task.in_extents.overlaps(offset, length) or offset + length > task.values["EDTL"]:
        return None
    return task.in_extents.total + length


def _fails_plainly(moment: Moment) -> Outcome:
    """T-036: see that a target which failed says nothing of what was moved."""
    response = moment["Response"]
    if not response:
        return None
    task = moment.task
    proof = () if task is None else (task.note,)
    flags = [flag for flag in "ouOU" if moment[flag]]
    if flags:
        return Breach(text=f"{', '.join(flags)} set with Response {response:#04x}", proof=proof)
    if moment["ExpDataSN"]:
        text = f"ExpDataSN {moment['ExpDataSN']} with Response {response:#04x}"
        return Breach(text=text, proof=proof, clause="RFC 7143 11.4.8")
    return FINE


def _counts_data(moment: Moment) -> Outcome:
    """T-037: see that ExpDataSN counts the Data-In PDUs of the command."""
    task = moment.own
    if task is None or moment["Response"] or task.terminal is not None:
        return None
    told, count = moment["ExpDataSN"], task.in_pdus
    if task.resends is not None:
        if task.writes or task.resends.afresh is not None:
            return None  # it may have been cut anew
        count = task.next_sn
    elif count and moment.profile in _WITH_R2TS:
        count += len(task.r2ts)
    if told == count:
        return FINE
    proof = (task.note,) if task.data_in is None else (task.data_in, task.note)
    what = "Data-In and R2T PDUs" if moment.profile in _WITH_R2TS and task.writes else "Data-In PDUs"
    return Breach(text=f"ExpDataSN {told}: {count} {what} were sent", proof=proof)


FAMILY = Family(
    name="statuses",
    title="Status behind data",
    rules=(
        Rule(
            id="T-027",
            title="The last Data-In of a read has F=1",
            severity=Severity.MUST,
            clause="RFC 7143 11.7.1",
            check=_has_final_data,
            sent=_STATUS,
            why="An initiator that waits for the end of the sequence waits for ever.",
        ),
        Rule(
            id="T-028",
            title="A Data-In with status has F=1, a status without error, and is not of a bidirectional command",
            severity=Severity.MUST,
            clause="RFC 7143 11.7.3",
            check=_may_ride,
            sent=frozenset({Opcode.DATA_IN}),
            why="There is no room for sense data: an error that rides on Data-In has lost its cause.",
        ),
        Rule(
            id="T-032",
            title="A read is GOOD only with all its data: what came and the residual are what was expected",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.5.1, RFC 7143 11.4.5.2",
            check=_has_all_data,
            sent=_STATUS,
            why="The host takes what was in its buffer before for what is on the disk.",
        ),
        Rule(
            id="T-036",
            title="With a Response other than command completed, o, u, O, U and ExpDataSN are 0",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.1, RFC 7143 11.4.8",
            check=_fails_plainly,
            sent=_RESPONSE,
            why="An initiator that takes these numbers for true keeps data of a command that failed.",
        ),
        Rule(
            id="T-037",
            title="ExpDataSN is the number of Data-In PDUs that were sent",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.8",
            check=_counts_data,
            sent=_RESPONSE,
            why="By this number the initiator knows whether data was lost on the way.",
        ),
    ),
)
