"""R2T: what a target asks for, in which order, and how much at a time (RFC 7143 11.8, 4.2.5.2, 13.17, 13.19).

A *recovery R2T* takes the next R2TSN and asks again for a range, or a part of one, whose data did not come as it should
(RFC 7143 11.8, 7.1.4.1). An R2T that is sent again with its own R2TSN asks for nothing new (RFC 7143 7.9).
"""

from __future__ import annotations

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.responses import rejected_header
from iscsiproxy.checks.scene.tasks import R2T, Task
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_R2T = frozenset({Opcode.R2T})
_DATA_OUT = frozenset({Opcode.DATA_OUT})
_REJECT = frozenset({Opcode.REJECT})
_LENGTH = "DesiredDataTransferLength"
#: How many tags of a connection are kept before those that are free are forgotten
_TAGS = 1024
#: How many R2Ts are named as proof
_NAMED = 4


class _Asked:
    """How far the R2Ts of a task have come.

    `last` is where the last one began that asked for something new, `end` what lies behind it. `unsure`: not all the
    data came as it should, so that the target may not have what is known here. `spoiled` are the tags of Data-Out whose
    digest was wrong: whether they had F is for the target to know.
    """

    def __init__(self) -> None:
        self.last = 0
        self.end = 0
        self.unsure = False
        self.spoiled: set[int] = set()


class _Tags:
    """Who uses which Target Transfer Tag on a connection."""

    def __init__(self) -> None:
        self.tasks: dict[int, Task] = {}

    def keep(self, ttt: int, task: Task) -> None:
        self.tasks[ttt] = task
        if len(self.tasks) > _TAGS:
            self.tasks = {tag: one for tag, one in self.tasks.items() if one.live and tag in one.r2ts_open}


def _write_of(moment: Moment) -> Task | None:
    """Give the write that an R2T belongs to; None where it is another rule's, or not known for sure."""
    task = moment.task
    if task is None or not task.is_scsi or not task.writes or task.ended is not None:
        return None
    return None if task.ignored or task.doubtful else task


def _range(offset: int, length: int) -> str:
    return f"bytes {offset} to {offset + length - 1}"


def _moved(task: Task) -> bool:
    """Tell whether a task was reassigned: what was not answered on the old connection is asked for afresh."""
    return task.conn != task.note.conn


def _overlap(one: R2T, offset: int, length: int) -> bool:
    return one.offset < offset + length and offset < one.offset + one.length


# --- the rules -------------------------------------------------------------------------------------------------------


def _is_in_bounds(moment: Moment) -> Outcome:
    """T-040: see that an R2T has a tag, and asks for what the command has."""
    task = _write_of(moment)
    if task is None:
        return None
    offset, length = moment["BufferOffset"], moment[_LENGTH]
    if moment["TTT"] == NO_TAG:
        return Breach(text="TTT is 0xffffffff, which is reserved", clause="RFC 7143 11.8.5", proof=(task.note,))
    if not length:
        return Breach(text="the R2T asks for 0 bytes", clause="RFC 7143 11.8.4", proof=(task.note,))
    terms = moment.terms
    if terms.known and length > terms.max_burst:
        text = f"the R2T asks for {length} bytes, MaxBurstLength is {terms.max_burst}"
        return Breach(text=text, clause="RFC 7143 11.8.4", proof=(task.note,))
    if offset + length > task.edtl:
        text = f"the R2T asks for {_range(offset, length)}, the command has {task.edtl}"
        return Breach(text=text, clause="RFC 7143 4.2.5.2", proof=(task.note,))
    if moment["LUN"] != task.lun:
        text = f"LUN={moment['LUN']:#x} in the R2T, {task.lun:#x} in the command"
        return Breach(text=text, clause="RFC 7143 4.2.5.3", proof=(task.note,))
    return FINE


def _is_counted(moment: Moment) -> Outcome:
    """T-041: see that R2TSN begins with 0 and goes up by one."""
    task = _write_of(moment)
    if task is None:
        return None
    number = moment["R2TSN"]
    if number == task.next_sn:
        return FINE
    if _moved(task):
        return None
    before = tuple(one.note for one in task.r2ts[-1:]) or (task.note,)
    if not lt(number, task.next_sn):
        return Breach(text=f"R2TSN is {number}, {task.next_sn} comes next", proof=before)
    old = task.was_asked(moment.values)
    if old is None:
        return Breach(text=f"R2TSN {number} was used before, {task.next_sn} comes next", proof=before)
    if moment.terms.error_recovery_level or not moment.terms.known:
        return FINE
    text = f"R2TSN {number} was sent again at ErrorRecoveryLevel 0"
    return Breach(text=text, severity=Severity.HEURISTIC, clause="RFC 7143 7.1.4.1", proof=(old.note,))


def _is_within_limit(moment: Moment) -> Outcome:
    """T-042: see that no more R2Ts are outstanding than MaxOutstandingR2T allows.

    One is until its last Data-Out, or until the target has waited long enough for that (RFC 7143 13.17).
    """
    task, limit = _write_of(moment), moment.terms.max_outstanding_r2t
    if task is None or not moment.terms.known:
        return None
    if len(task.r2ts_open) < limit:
        return FINE
    if task.was_asked(moment.values):
        return None
    asked = task.recall(_Asked)
    offset, length, patience = moment["BufferOffset"], moment[_LENGTH], moment.scene.limits.slow
    pending = [
        one
        for one in task.r2ts_open.values()
        if one.ttt not in asked.spoiled
        and moment.at - one.note.at < patience
        and not _overlap(one, offset, length)
        and not any(_overlap(one, later.offset, later.length) for later in task.r2ts[one.order + 1 :])
    ]
    if len(pending) < limit:
        return FINE
    text = f"the R2T is one of {len(pending) + 1} that are outstanding, MaxOutstandingR2T is {limit}"
    return Breach(text=text, proof=tuple(one.note for one in pending[:_NAMED]))


def _is_in_order(moment: Moment) -> Outcome:
    """T-043: see that an R2T goes on where the one before ended, or recovers what was lost."""
    task, terms = _write_of(moment), moment.terms
    if task is None or not terms.known or not terms.data_sequence_in_order:
        return None
    asked = task.known(_Asked)
    if asked is None or not task.r2ts:
        return None
    offset, length = moment["BufferOffset"], moment[_LENGTH]
    if offset == asked.end:
        return FINE
    if _moved(task) or task.was_asked(moment.values):
        return None
    before = (task.r2ts[-1].note,)
    if offset > asked.end:
        text = f"the R2T asks for {_range(offset, length)}, {asked.end} comes next"
        return Breach(text=text, proof=before)
    if offset + length <= asked.end:
        if terms.error_recovery_level:
            # What came unasked may be recovered too: the rules count it as the answer to an R2T that was implied.
            if offset >= asked.last or not _solicited(task, offset, length):
                return FINE
            text = f"the R2T recovers {_range(offset, length)}, the last began at {asked.last}"
            return Breach(text=text, clause="RFC 7143 13.19", proof=before)
        if not _has_all(moment, task):
            return None
    elif asked.unsure:
        return None
    text = f"the R2T asks again for {_range(offset, min(length, asked.end - offset))}"
    return Breach(text=text, proof=before)


def _solicited(task: Task, offset: int, length: int) -> bool:
    return any(_overlap(one, offset, length) for one in task.r2ts)


def _has_all(moment: Moment, task: Task) -> bool:
    """Tell whether the target has all that it asks for, as it should be."""
    asked = task.known(_Asked)
    whole = task.out_extents.covers(moment["BufferOffset"], moment[_LENGTH])
    return whole and (asked is None or not asked.unsure)


def _is_news(moment: Moment) -> Outcome:
    """T-044: see that the target does not ask for what it has, or what comes without being asked for."""
    task, terms = _write_of(moment), moment.terms
    if task is None or not terms.known or _moved(task):
        return None
    offset, length = moment["BufferOffset"], moment[_LENGTH]
    due = _due(moment, task)
    if offset >= due and not task.out_extents.overlaps(offset, length):
        return FINE
    asked, disturbed = task.known(_Asked), moment.conn.disturbed
    if (asked is not None and asked.unsure) or (disturbed is not None and disturbed.n >= task.note.n):
        return None
    again = asked is not None and bool(task.r2ts) and offset < asked.end
    if task.was_asked(moment.values) or (again and terms.data_sequence_in_order and not terms.error_recovery_level):
        return None  # T-043 says it
    if offset < due:
        text = f"the R2T asks for {_range(offset, length)}, those below {due} come unsolicited"
    else:
        text = f"the R2T asks for {_range(offset, length)}, of which some have come"
    return Breach(text=text, proof=(task.unsolicited.last or task.note,))


def _due(moment: Moment, task: Task) -> int:
    """Give where what is still to come unsolicited ends; 0 if nothing is (RFC 7143 4.2.5.2)."""
    if task.values["F"] or moment.terms.initial_r2t or task.unsolicited.final is not None:
        return 0
    if moment.at - task.note.at > moment.scene.limits.slow:
        return 0
    return min(moment.terms.first_burst, task.edtl)


def _has_own_tag(moment: Moment) -> Outcome:
    """T-045: see that no other R2T that waits for data has the same tag."""
    task = _write_of(moment)
    if task is None:
        return None
    tags = moment.conn.known(_Tags)
    ttt = moment["TTT"]
    other = None if tags is None else tags.tasks.get(ttt)
    if other is None or other.ended is not None or other.lun != task.lun:
        return FINE
    old = other.r2ts_open.get(ttt)
    if old is None:
        return FINE
    if other is task and (
        task.was_asked(moment.values) is not None or _overlap(old, moment["BufferOffset"], moment[_LENGTH])
    ):
        return None
    return Breach(text=f"TTT={ttt:#x} is that of an R2T which is not answered yet", proof=(old.note,))


# --- what they know --------------------------------------------------------------------------------------------------


def _asks(moment: Moment) -> None:
    task = moment.task
    if task is None or not task.is_scsi:
        return
    asked = task.recall(_Asked)
    end = moment["BufferOffset"] + moment[_LENGTH]
    if end > asked.end:
        asked.last, asked.end = moment["BufferOffset"], end
    moment.conn.recall(_Tags).keep(moment["TTT"], task)


def _comes(moment: Moment) -> None:
    """Take note of data that does not come as it should, and of tags that are free."""
    task, values = moment.task, moment.values
    if task is None or not task.is_scsi:
        return
    ttt = values["TTT"]
    if ttt == NO_TAG:
        burst = task.unsolicited
    else:
        r2t = task.r2ts_open.get(ttt)
        if r2t is None:
            task.recall(_Asked).unsure = True
            return
        burst = r2t.burst
        if values["F"]:
            moment.conn.recall(_Tags).tasks.pop(ttt, None)
    astray = values["DataSN"] != burst.next_sn or (burst.end is not None and values["BufferOffset"] != burst.end)
    if astray or moment.note.forged or moment.note.changed:
        task.recall(_Asked).unsure = True


def _comes_spoiled(moment: Moment) -> None:
    task = moment.task
    if task is not None and task.is_scsi:
        asked = task.recall(_Asked)
        asked.unsure = True
        asked.spoiled.add(moment["TTT"])


def _rejects(moment: Moment) -> None:
    """Take note of a Reject of data: what is asked for again is not discarded silently."""
    header = rejected_header(moment.pdu)
    if header is not None and header.opcode == Opcode.DATA_OUT and moment.task is not None:
        moment.task.recall(_Asked).unsure = True


FAMILY = Family(
    name="r2ts",
    title="Ready To Transfer",
    rules=(
        Rule(
            id="T-040",
            title="An R2T has a tag, and asks for 1 to MaxBurstLength bytes of the command and its LUN",
            severity=Severity.MUST,
            clause="RFC 7143 11.8.4, RFC 7143 11.8.5, RFC 7143 4.2.5.3",
            check=_is_in_bounds,
            sent=_R2T,
            why="What an initiator does with such an R2T is not specified: it may read behind its buffer.",
        ),
        Rule(
            id="T-041",
            title="R2TSN begins with 0 and goes up by one with each R2T of a task",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.4, RFC 7143 11.8.2",
            check=_is_counted,
            sent=_R2T,
            why="An initiator takes a gap for a lost R2T, and a number that was used for a repetition to be ignored.",
        ),
        Rule(
            id="T-042",
            title="No more R2Ts of a task are outstanding than MaxOutstandingR2T",
            severity=Severity.MUST,
            clause="RFC 7143 11.8, RFC 7143 13.17",
            check=_is_within_limit,
            sent=_R2T,
            why="An initiator has room for as many as it agreed to; what comes on top is lost, or ends the connection.",
        ),
        Rule(
            id="T-043",
            title="With DataSequenceInOrder=Yes R2Ts ask for one range behind the other",
            severity=Severity.MUST,
            clause="RFC 7143 11.8",
            check=_is_in_order,
            sent=_R2T,
            why="An initiator that streams its data cannot go back, or forth.",
        ),
        Rule(
            id="T-044",
            title="An R2T does not ask for data that the target has, or that comes unsolicited",
            severity=Severity.SHOULD,
            clause="RFC 7143 4.2.5.2",
            check=_is_news,
            sent=_R2T,
            why="Data that is silently discarded and asked for again crosses the network twice.",
        ),
        Rule(
            id="T-045",
            title="The tag of an R2T is not used again before the R2T is answered",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 4.2.5.3",
            check=_has_own_tag,
            sent=_R2T,
            why="A target that goes by the tag writes the data of one command over that of another.",
        ),
    ),
    observers=(
        Observer(end=End.TARGET, update=_asks, sent=_R2T),
        Observer(end=End.TARGET, update=_comes, given=_DATA_OUT),
        Observer(end=End.TARGET, update=_comes_spoiled, spoiled=_DATA_OUT),
        Observer(end=End.TARGET, update=_rejects, sent=_REJECT),
    ),
)
