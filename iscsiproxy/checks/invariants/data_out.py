"""Data-Out: what an initiator sends for a write, and that it is all that R2Ts ask for (RFC 7143 11.7, 11.8, 4.2.5.2).

A *burst* is a sequence of Data-Out that ends with F: the unsolicited ones of a command, or the answer to one R2T. How
much may come unsolicited is for another family.
"""

from __future__ import annotations

from collections.abc import Callable

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.profiles import Profile
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.tasks import R2T, Burst, Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode

__all__ = ["FAMILY"]

_DATA_OUT = frozenset({Opcode.DATA_OUT})
_R2T = frozenset({Opcode.R2T})
_TMF = frozenset({Opcode.TMF_REQUEST})
_SNACK = frozenset({Opcode.SNACK})
_LENGTH = "DesiredDataTransferLength"
#: An empty Data-Out with F that ends a burst comes at once or not at all, in seconds.
_AT_ONCE = 1.0
#: Task management functions that have an initiator answer R2Ts until they are done (RFC 3720 10.6.2, RFC 7143 4.2.3.3)
_GOES_ON_3720 = frozenset({"ABORT_TASK_SET", "CLEAR_TASK_SET"})
_GOES_ON = _GOES_ON_3720 | {"LUN_RESET", "TARGET_WARM_RESET", "TARGET_COLD_RESET"}
#: Those that name a task, and its LUN (RFC 7143 11.5.3)
_NAMES = frozenset({"ABORT_TASK", "QUERY_TASK"})


class _Valid:
    """The R2Ts of a task that an initiator has to answer: what they are in the order of all."""

    def __init__(self) -> None:
        self.orders: set[int] = set()


def _write_of(moment: Moment) -> Task | None:
    """Give the live write that a PDU belongs to; what belongs to no such task is for I-027."""
    task = moment.task
    return task if task is not None and task.is_scsi and task.writes and task.ended is None else None


def _burst_of(task: Task, ttt: int) -> tuple[Burst, R2T | None] | None:
    """Give the burst that goes on, with its R2T; None where there is none, which is for I-021 to say."""
    if ttt == NO_TAG:
        return task.unsolicited, None
    r2t = task.r2ts_open.get(ttt)
    return None if r2t is None else (r2t.burst, r2t)


def _ends(moment: Moment, r2t: R2T) -> bool:
    """Tell whether a Data-Out is the last that an R2T gets."""
    return bool(moment["F"]) or r2t.burst.bytes + moment.length >= r2t.length


# --- where it belongs ------------------------------------------------------------------------------------------------


def _is_asked_for(moment: Moment) -> Outcome:
    """I-021: see that a Data-Out answers an R2T of its task, on the connection of the task."""
    task = _write_of(moment)
    if task is None:
        return None
    if task.conn not in (0, moment.conn.number):
        text = f"the task ITT={task.itt:#x} belongs to connection {task.conn}"
        return Breach(text=text, clause="RFC 7143 4.2.5.1", proof=(task.note,))
    ttt = moment["TTT"]
    if ttt == NO_TAG:
        return None
    if ttt in task.r2ts_open:
        return FINE
    r2t = task.asked_by(ttt)
    if r2t is None:
        return Breach(text=f"TTT={ttt:#x} is that of no R2T of ITT={task.itt:#x}", proof=(task.note,))
    burst = r2t.burst
    if burst.final is None and not moment.length and moment["F"]:
        return FINE  # all data has gone, this is but the end of it
    again = burst.last is not burst.final
    if moment["DataSN"] == burst.next_sn and (again or burst.bytes < r2t.length):
        return None  # it goes on in a second answer, or behind an F that came too soon, as I-023 has said
    text = f"the R2T with TTT={ttt:#x} was answered before"
    return Breach(text=text, proof=(r2t.note,) if burst.last is None else (r2t.note, burst.last))


def _is_for_a_write(moment: Moment) -> Outcome:
    """I-027: see that the task is a write, and has not ended."""
    task = moment.task
    if task is None:
        if not moment.session.complete:
            return None
        return Breach(text=f"there is no task with ITT={moment['ITT']:#x}")
    if not task.is_scsi:
        assert task.note.pdu is not None
        return Breach(text=f"ITT={task.itt:#x} is that of a {task.note.pdu.label}", proof=(task.note,))
    if not task.writes:
        return Breach(text=f"the command ITT={task.itt:#x} has no W", proof=(task.note,))
    if task.ended is not None:
        # A long burst may have been under way for some time: what counts is that the initiator knows.
        late = moment.at - task.ended.at > moment.scene.limits.slow and moment.conn.slowed is None
        if not late and not moment.acknowledges(task.ended):
            return None
        return Breach(text=f"the task ITT={task.itt:#x} has ended", proof=(task.note, task.ended))
    if task.aborting is not None and _must_stop(moment, task.aborting):
        text = f"the task ITT={task.itt:#x} is being aborted, with TaskReporting=FastAbort"
        return Breach(text=text, clause="RFC 7143 4.2.3.4", proof=(task.note, task.aborting))
    return FINE


def _must_stop(moment: Moment, aborting: Note) -> bool:
    """Tell whether a task management function forbids further Data-Out on its connection (RFC 7143 4.2.3.4)."""
    if moment.terms.task_reporting != "FastAbort" or aborting.conn != moment.conn.number:
        return False
    return _function(aborting) in _GOES_ON


def _function(note: Note) -> str:
    """Name the task management function of a request; nothing for another PDU."""
    if note.pdu is None or note.pdu.opcode != Opcode.TMF_REQUEST:
        return ""
    return codes.TMF_FUNCTION.text(note["Function"])


def _keeps_lun(moment: Moment) -> Outcome:
    """I-060: see that what belongs to a task has its LUN, where it has one."""
    opcode = moment.opcode
    if opcode == Opcode.DATA_OUT:
        task = _write_of(moment)
        if task is None or moment["TTT"] == NO_TAG:
            return None
        if moment["LUN"] == task.lun:
            return FINE
        r2t = task.asked_by(moment["TTT"])
        copied = None if r2t is None else r2t.note
    elif opcode == Opcode.TMF_REQUEST:
        task = moment.session.find(moment["RefTaskTag"])
        if task is None or not task.is_scsi or codes.TMF_FUNCTION.text(moment["Function"]) not in _NAMES:
            return None
        copied = None
    else:
        task = moment.conn.ack_tags.get(moment["TTT"])
        if task is None or codes.SNACK_TYPE.text(moment["Type"]) != "DATA_ACK":
            return None
        copied = task.data_in
    if moment["LUN"] == task.lun:
        return FINE
    if copied is not None and moment["LUN"] == copied["LUN"]:
        return None  # it is copied from what a fault, or the target, has got wrong
    text = f"LUN={moment['LUN']:#x}, the command has {task.lun:#x}"
    return Breach(text=text, proof=(task.note,) if copied is None else (task.note, copied))


# --- its place in the burst ------------------------------------------------------------------------------------------


def _is_counted(moment: Moment) -> Outcome:
    """I-022: see that DataSN begins with 0 in each burst and goes up by one."""
    task = _write_of(moment)
    found = None if task is None else _burst_of(task, moment["TTT"])
    if task is None or found is None:
        return None
    burst, r2t = found
    if moment["DataSN"] == burst.next_sn:
        return FINE
    if burst.final is not None:
        return None  # I-023 says that it is one too many
    text = f"DataSN is {moment['DataSN']}, {burst.next_sn} comes next"
    return Breach(text=text, proof=(burst.last or (task.note if r2t is None else r2t.note),))


def _fits(moment: Moment) -> Outcome:
    """I-023: see that a burst is what the R2T asks for, piece by piece, and ends with F."""
    task = _write_of(moment)
    found = None if task is None else _burst_of(task, moment["TTT"])
    if task is None or found is None:
        return None if task is None else _is_only_the_end(moment, task)
    burst, r2t = found
    key = task.serial, -1 if r2t is None else r2t.order
    if moment["F"]:
        moment.settle(key)
    offset, length = moment["BufferOffset"], moment.length
    proof = burst.last or (task.note if r2t is None else r2t.note)
    if r2t is None:
        if burst.final is not None:
            return Breach(text="an unsolicited Data-Out behind the last one (F)", proof=(task.note, burst.final))
        start = task.immediate_length
        all_of_it = min(moment.terms.first_burst, task.edtl) - start
    else:
        start, all_of_it = r2t.offset, r2t.length
        if offset < start or offset + length > start + all_of_it:
            text = f"{length} bytes from {offset}, the R2T asks for {all_of_it} from {start}"
            return Breach(text=text, proof=(r2t.note,))
        if offset + length > task.edtl:
            text = f"{length} bytes from {offset}, the command has {task.edtl}"
            return Breach(text=text, severity=Severity.SHOULD, clause="RFC 7143 11.7.6", proof=(task.note, r2t.note))
    if moment.terms.known and moment.terms.data_pdu_in_order and length:
        expected = start if burst.end is None else burst.end
        if offset != expected:
            return Breach(text=f"BufferOffset is {offset}, {expected} comes next", proof=(proof,))
    return _is_ended(moment, task, r2t, burst.bytes + length, all_of_it, key)


def _is_only_the_end(moment: Moment, task: Task) -> Outcome:
    """Take an empty Data-Out behind all the data of a burst: the F that was missing."""
    r2t = task.asked_by(moment["TTT"])
    if r2t is None or moment.length or not moment["F"]:
        return None
    return FINE if moment.settle((task.serial, r2t.order)) else None


def _is_ended(moment: Moment, task: Task, r2t: R2T | None, done: int, all_of_it: int, key: tuple[int, int]) -> Outcome:
    """Hold F against how much there is of a burst."""
    if moment["F"]:
        # Of what is being aborted the rest need not come (RFC 7143 11.5.1); of the unsolicited data I-019 says it.
        if r2t is None or done >= all_of_it or task.aborting is not None:
            return FINE
        return Breach(text=f"F after {done} bytes of the {all_of_it} that the R2T asks for", proof=(r2t.note,))
    if done >= all_of_it and (r2t is not None or moment.terms.known):
        text = f"the last Data-Out of the burst has no F, and none with F came behind its {done} bytes"
        moment.owe(key, text, within=_AT_ONCE, still=_alive(task))
    return FINE


def _alive(task: Task) -> Callable[[], bool]:
    return lambda: task.aborting is None and task.aborted is None


# --- R2Ts and their answers ------------------------------------------------------------------------------------------


def _in_turn(moment: Moment) -> Outcome:
    """I-024: see that the R2T whose answer is complete is the oldest one."""
    task, ttt = _write_of(moment), moment["TTT"]
    if task is None or ttt == NO_TAG or len(task.r2ts_open) < 2:
        return None
    r2t = task.r2ts_open.get(ttt)
    if r2t is None or not _ends(moment, r2t) or task.aborting is not None:
        return None
    valid = task.recall(_Valid).orders
    for other in task.r2ts_open.values():
        if other.order < r2t.order and other.order in valid:
            text = f"R2TSN {r2t.note['R2TSN']} is answered, R2TSN {other.note['R2TSN']} is not yet"
            return Breach(text=text, proof=(other.note, r2t.note))
    return FINE


def _is_answered(moment: Moment) -> Outcome:
    """I-025: see that an R2T gets all that it asks for; its time begins when those before it have their answers."""
    task = _write_of(moment)
    if task is None:
        return None
    if moment.opcode == Opcode.R2T:
        if _is_valid(moment, task):
            valid = task.recall(_Valid).orders
            first = not any(one.order in valid for one in task.r2ts_open.values())
            order = len(task.r2ts)
            valid.add(order)
            if first:
                text = _unanswered(task, moment["TTT"], moment[_LENGTH])
                moment.owe((task.serial, order), text, proof=(task.note,), still=_awaited(moment, task))
        return None
    r2t = task.r2ts_open.get(moment["TTT"])
    if r2t is None or not _ends(moment, r2t):
        return None
    valid = task.recall(_Valid).orders
    settled = moment.settle((task.serial, r2t.order))
    if settled:
        after = next((one for one in task.r2ts_open.values() if one is not r2t and one.order in valid), None)
        if after is not None:
            text = _unanswered(task, after.ttt, after.length)
            proof = after.note, task.note
            moment.owe((task.serial, after.order), text, proof=proof, still=_awaited(moment, task))
    return FINE if r2t.order in valid else None


def _unanswered(task: Task, ttt: int, length: int) -> str:
    return f"the R2T with TTT={ttt:#x} for {length} bytes of ITT={task.itt:#x} was not answered in full"


def _is_valid(moment: Moment, task: Task) -> bool:
    """Tell whether an R2T has to be honoured: it is in its place, and asks for what it may (RFC 7143 4.2.5.2, 11.8)."""
    terms, length = moment.terms, moment[_LENGTH]
    return (
        terms.known
        and task.conn == moment.conn.number
        and moment["R2TSN"] == task.next_sn
        and moment["TTT"] != NO_TAG
        and moment["TTT"] not in task.r2ts_open
        and moment["LUN"] == task.lun
        and 0 < length <= terms.max_burst
        and moment["BufferOffset"] + length <= task.edtl
        and len(task.r2ts_open) < terms.max_outstanding_r2t
        and not _is_free(moment.profile, moment.conn, task)
    )


def _is_free(profile: Profile, conn: Conn, task: Task) -> bool:
    """Tell whether an initiator need not answer the R2Ts of a task any more: it is about to end."""
    if conn.logout is not None or conn.notice is not None:
        return True
    if task.aborting is None:
        return False
    go_on = _GOES_ON_3720 if profile is Profile.RFC3720 else _GOES_ON
    return conn.terms.task_reporting == "FastAbort" or _function(task.aborting) not in go_on


def _awaited(moment: Moment, task: Task) -> Callable[[], bool]:
    profile, conn = moment.profile, moment.conn
    return lambda: task.ended is None and task.conn == conn.number and not _is_free(profile, conn, task)


FAMILY = Family(
    name="data_out",
    title="Data-Out",
    rules=(
        Rule(
            id="I-021",
            title="A Data-Out goes out on the connection of its task, with the tag of an R2T that waits for it",
            severity=Severity.MUST,
            clause="RFC 7143 11.7.4, RFC 7143 7.9",
            check=_is_asked_for,
            sent=_DATA_OUT,
            why="Data with a tag that names nothing is rejected, or written where it does not belong.",
        ),
        Rule(
            id="I-022",
            title="DataSN begins with 0 in each sequence of Data-Out and goes up by one",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.4, RFC 7143 11.7.5",
            check=_is_counted,
            sent=_DATA_OUT,
            why="To the target a gap means that a Data-Out was lost: it fails the write, or asks for its data again.",
        ),
        Rule(
            id="I-023",
            title="The answer to an R2T is its range in one piece, in order, with F on the last Data-Out and no other",
            severity=Severity.MUST,
            clause="RFC 7143 11.8, RFC 7143 11.7.1",
            check=_fits,
            sent=_DATA_OUT,
            why="A target that goes by F takes the write for complete, or waits for ever.",
        ),
        Rule(
            id="I-024",
            title="R2Ts of a task are fulfilled in the order in which they came",
            severity=Severity.MUST,
            clause="RFC 7143 11.8",
            check=_in_turn,
            sent=_DATA_OUT,
            why="A target that streams data to its medium has no place for what comes too early.",
        ),
        Rule(
            id="I-025",
            title="An R2T is answered with all that it asks for",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.5.2",
            check=_is_answered,
            sent=_DATA_OUT,
            given=_R2T,
            why="The target waits, with its buffers, until its own timer ends the connection.",
        ),
        Rule(
            id="I-027",
            title="Data-Out come only for a write that has not ended",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.5.3",
            check=_is_for_a_write,
            sent=_DATA_OUT,
            why="By then the tag may be that of another command, whose data this would become.",
        ),
        Rule(
            id="I-060",
            title="What belongs to a task has the LUN of its command",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.5.3",
            check=_keeps_lun,
            sent=_DATA_OUT | _TMF | _SNACK,
            why="A target that finds its task by LUN and tag does not find it, or finds another one.",
        ),
    ),
)
