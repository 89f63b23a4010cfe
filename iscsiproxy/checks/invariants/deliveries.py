"""What a target makes of CmdSN: it delivers in that order, acknowledges what it has, and ignores what it must not take.

A command that was rejected was never received, and leaves a gap that only the initiator can fill (RFC 7143 7.3). One
beyond the window may be inside the target's own by then: that it was not is proved by what the target says later, since
the window never goes back.
"""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import ANSWERED, Moment
from iscsiproxy.checks.rules import FINE, FROM_TARGET, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.checks.scene.responses import rejected_header
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.pdu import Pdu
from iscsiproxy.wire.serial import lt

__all__ = ["FAMILY"]

_COMMANDS: Final = frozenset(
    {Opcode.NOP_OUT, Opcode.SCSI_COMMAND, Opcode.TMF_REQUEST, Opcode.TEXT_REQUEST, Opcode.LOGOUT_REQUEST}
)
_ANSWERS: Final = frozenset(ANSWERED) - {Opcode.R2T}
_DATA_DIGEST: Final = codes.REJECT_REASON.value("DATA_DIGEST_ERROR")
_IN_PROGRESS: Final = codes.REJECT_REASON.value("TASK_IN_PROGRESS")
_PLUGS_ALL: Final = frozenset({"TARGET_WARM_RESET", "TARGET_COLD_RESET"})
#: How many numbers of a session are remembered, that were rejected or had to be ignored
_KEPT: Final = 256


class _Rejected:
    """CmdSNs of a session that were rejected, with the Reject: all of them, and those whose place is open."""

    __slots__ = ("all", "open")

    def __init__(self) -> None:
        self.all: dict[int, Note] = {}
        self.open: dict[int, Note] = {}

    def add(self, number: int, note: Note) -> None:
        self.all[number] = note
        if len(self.all) > _KEPT:
            del self.all[next(iter(self.all))]


class _Ignored:
    """Requests that had to be ignored, of which it is not known yet whether they were."""

    __slots__ = ("waiting",)

    def __init__(self) -> None:
        self.waiting: list[Note] = []


def _was_rejected(moment: Moment, number: int) -> bool:
    known = moment.session.known(_Rejected)
    return known is not None and number in known.all


def _given(moment: Moment, number: int) -> list[Note]:
    """Find the non-immediate requests with a CmdSN that this connection was given, those with wrong digests too."""
    return [
        note
        for note in moment.conn.given
        if note.pdu is not None and note.pdu.opcode in _COMMANDS and note["CmdSN"] == number and not note.pdu["I"]
    ]


# --- what came -------------------------------------------------------------------------------------------------------


def _acknowledges_what_came(moment: Moment) -> Outcome:
    """T-014: see that ExpCmdSN is not beyond the first command that is missing."""
    session = moment.session
    if not session.complete or not moment.full_feature:
        return None
    missing = session.book.lowest_missing
    if missing is None:
        return None
    expected = moment["ExpCmdSN"]
    if not lt(missing, expected):
        return FINE
    if _was_rejected(moment, missing):
        return None  # T-053
    spoiled = _given(moment, missing)
    why = "came with a wrong digest, or not whole" if spoiled else "has not come"
    return Breach(
        text=f"ExpCmdSN {expected} acknowledges CmdSN {missing}, whose command {why}", proof=tuple(spoiled[-1:])
    )


def _was_acknowledged(moment: Moment) -> Outcome:
    """T-016: see that what is answered is acknowledged, and that nothing begins in front of what is missing."""
    bare = moment.opcode == Opcode.DATA_IN and not moment.values["S"]
    session = moment.session
    if bare and not session.book.gaps:
        return None
    task = moment.own
    if task is None or task.immediate:
        return None
    number = _number(moment, task)
    if bare:
        missing = session.book.lowest_missing
        if missing is None or not session.complete or not lt(missing, number) or _was_rejected(moment, missing):
            return None
        return Breach(text=f"Data-In of CmdSN {number}, while CmdSN {missing} has not come", proof=(task.note,))
    expected, told = moment["ExpCmdSN"], session.exp_cmd
    if lt(number, expected) or (told is not None and lt(number, told)):
        return FINE
    return Breach(
        text=f"CmdSN {number} was answered before it was acknowledged: ExpCmdSN is {expected}", proof=(task.note,)
    )


def _number(moment: Moment, task: Task) -> int:
    """Give the CmdSN of the request that a PDU answers: a Text exchange has several."""
    last = None if task.last is None or moment.opcode != Opcode.TEXT_RESPONSE else task.last.pdu
    if last is None or last.opcode != Opcode.TEXT_REQUEST or last["I"]:
        return task.cmd_sn
    return last["CmdSN"]


# --- what was rejected -----------------------------------------------------------------------------------------------


def _leaves_a_gap(moment: Moment) -> Outcome:
    """T-053: see that ExpCmdSN does not go past a command that was rejected."""
    session, values = moment.session, moment.values
    if not moment.sent:
        _fill(moment)
        return None
    if moment.opcode == Opcode.REJECT:
        return _rejects(moment)
    known = session.known(_Rejected)
    if known is None or not moment.full_feature:
        return None
    task = moment.task
    if task is not None and task.rejected is not None and moment.opcode in _ANSWERS and moment.advances:
        moment.settle(task.serial)
        known.open.pop(task.cmd_sn, None)  # the task had begun: it is ended by this (RFC 7143 11.17.1)
    for number, reject in known.open.items():
        if lt(number, values["ExpCmdSN"]):
            del known.open[number]
            text = f"ExpCmdSN {values['ExpCmdSN']} goes past CmdSN {number}, which was rejected"
            return Breach(text=text, proof=(reject, *_given(moment, number)[-1:]))
    return None


def _fill(moment: Moment) -> None:
    """Note what fills the place of a command that was rejected."""
    known, values = moment.session.known(_Rejected), moment.values
    if known is None:
        return
    if not values["I"]:
        known.open.pop(values["CmdSN"], None)
        known.all.pop(values["CmdSN"], None)
    if moment.opcode == Opcode.TMF_REQUEST:
        function = codes.TMF_FUNCTION.text(values["Function"])
        if function == "ABORT_TASK":
            known.open.pop(values["RefCmdSN"], None)
        elif function in _PLUGS_ALL:
            known.open.clear()


def _rejects(moment: Moment) -> Outcome:
    header, task, session = rejected_header(moment.pdu), moment.task, moment.session
    if header is None or header.opcode not in _COMMANDS or header["I"] or not moment.full_feature:
        return None
    number, expected = header["CmdSN"], moment["ExpCmdSN"]
    given = _given(moment, number)
    if len(given) != 1 or (session.max_cmd is not None and lt(session.max_cmd, number)):
        return None
    instance = task if task is not None and task.cmd_sn == number and task.opcode == header.opcode else None
    if instance is None and session.book.used(number) is not False:
        return None
    if instance is not None and (instance.ignored or instance.retries):
        return None
    known = session.recall(_Rejected)
    known.add(number, moment.note)
    if not lt(number, expected):
        known.open[number] = moment.note
        return FINE
    text = f"ExpCmdSN {expected} acknowledges CmdSN {number}, which is rejected"
    taken = moment["Reason"] == _IN_PROGRESS  # its tag was: it cannot have begun
    if instance is None or not instance.is_scsi or instance.terminal is not None or taken:
        return Breach(text=text, proof=(given[0],))
    begun = instance
    moment.owe(begun.serial, f"{text}, and no response came", proof=(given[0],), still=lambda: _unanswered(begun))
    return None


def _unanswered(task: Task) -> bool:
    return task.terminal is None and task.aborted is None and task.aborting is None


# --- what has to be ignored ------------------------------------------------------------------------------------------


def _stays_silent(moment: Moment) -> Outcome:
    """T-081: see that a duplicate, and what is outside the window, have no answer of any kind."""
    if not moment.full_feature:
        return None
    if not moment.sent:
        _expect_silence(moment)
        return None
    task = moment.task
    if moment.opcode == Opcode.REJECT:
        breach = _rejects_what_it_ignores(moment)
    elif task is not None and (task.ignored or task.retries) and ANSWERED.get(moment.opcode) == task.opcode:
        breach = _answers_what_it_ignores(moment, task)
    else:
        breach = None
    if breach is not None:
        return breach
    known = moment.session.known(_Ignored)
    if known is None or not known.waiting or moment.at - known.waiting[0].at <= moment.scene.limits.slack:
        return None
    del known.waiting[0]
    return FINE


def _expect_silence(moment: Moment) -> None:
    session, number = moment.session, moment["CmdSN"]
    if moment["I"]:
        return
    if session.book.used(number) or (session.max_cmd is not None and lt(session.max_cmd, number)):
        waiting = session.recall(_Ignored).waiting
        waiting.append(moment.note)
        del waiting[:-_KEPT]


def _highest(moment: Moment) -> int:
    """Give the MaxCmdSN that the target has now."""
    told, now = moment.session.max_cmd, moment["MaxCmdSN"]
    return told if told is not None and lt(now, told) else now


def _answers_what_it_ignores(moment: Moment, task: Task) -> Breach | None:
    name = f"{moment.pdu.label} ITT={task.itt:#x}"
    if moment.advances and moment["StatSN"] in moment.conn.statuses:
        return None  # an old status that was asked for again
    if task.ignored == "window":
        highest = _highest(moment)
        if not lt(highest, task.cmd_sn):
            return None
        return Breach(text=f"{name} for CmdSN {task.cmd_sn}, beyond MaxCmdSN {highest}", proof=(task.note,))
    if task.ignored:
        if task.doubtful:
            return None
        text = f"{name} for a duplicate: CmdSN {task.cmd_sn} had been used before"
        first = [note for note in _given(moment, task.cmd_sn) if note.n < task.note.n]
        return Breach(text=text, proof=(task.note, *first[:1]))
    if task.immediate or task.terminal is None or task.resends is not None or task.doubtful:
        return None
    if not moment.advances and moment.terms.error_recovery_level:
        return None  # data may be sent again
    text = f"{name}, though the command had been answered: its copy with CmdSN {task.cmd_sn} is a duplicate"
    return Breach(text=text, proof=(task.retries[-1], task.note, task.terminal))


def _rejects_what_it_ignores(moment: Moment) -> Breach | None:
    header, task = rejected_header(moment.pdu), moment.task
    if header is None or header.opcode not in _COMMANDS or header["I"] or moment["Reason"] == _DATA_DIGEST:
        return None
    number, highest = header["CmdSN"], _highest(moment)
    name = f"{header.label} ITT={header['ITT']:#x}"
    if lt(highest, number):
        text = f"{name} was rejected, not ignored: its CmdSN {number} is beyond MaxCmdSN {highest}"
        return Breach(text=text, proof=tuple(_given(moment, number)[-1:]))
    if task is None or task.cmd_sn != number or task.immediate or task.doubtful:
        return None
    if task.ignored != "duplicate" and not _is_copy(moment, header, task):
        return None
    text = f"{name} was rejected, not ignored: its CmdSN {number} is a duplicate"
    return Breach(text=text, proof=tuple(reversed(_given(moment, number)[-2:])))


def _is_copy(moment: Moment, header: Pdu, task: Task) -> bool:
    """Tell whether of a command that came twice it is the second that is rejected, and not the first."""
    if not task.retries or task.opcode != header.opcode:
        return False
    over = task.terminal is not None and task.terminal.n < task.retries[0].n
    return over or moment["Reason"] == _IN_PROGRESS


FAMILY = Family(
    name="deliveries",
    title="Commands in the order of CmdSN",
    rules=(
        Rule(
            id="T-014",
            title="ExpCmdSN acknowledges only commands that came, with no gap before them",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1",
            check=_acknowledges_what_came,
            sent=FROM_TARGET,
            why="The initiator forgets a command that the target never had: it hangs, or is lost.",
        ),
        Rule(
            id="T-016",
            title="A command is acknowledged no later than it is answered, and answered behind those before it",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1",
            check=_was_acknowledged,
            sent=_ANSWERS,
            why="An answer in front of a missing command shows that commands are not executed in their order.",
        ),
        Rule(
            id="T-053",
            title="ExpCmdSN does not go past a rejected command before the initiator has filled its place",
            severity=Severity.MUST,
            clause="RFC 7143 7.3",
            check=_leaves_a_gap,
            sent=FROM_TARGET,
            given=_COMMANDS,
            why="The initiator fills the gap that it has to assume: such a target ignores that for a duplicate.",
        ),
        Rule(
            id="T-081",
            title="A command outside the window, or a duplicate, is ignored without any answer",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.1",
            check=_stays_silent,
            sent=FROM_TARGET,
            given=_COMMANDS,
            why="A copy that is executed writes old data again; one that is rejected fails the command it copies.",
        ),
    ),
)
