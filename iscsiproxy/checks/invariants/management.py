"""Task management: what a request has to name, and what has to be answered (RFC 7143 11.5, 11.6, 7.11; RFC 7144 5, 6).

What a target finds under a tag is only sure where nothing can have crossed on the wire: where it could have been this
or that, either answer is right. TASK REASSIGN is in `reassignment`.
"""

from __future__ import annotations

from dataclasses import dataclass

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, Breach, Family, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.tasks import Task
from iscsiproxy.wire import codes
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import Opcode
from iscsiproxy.wire.serial import le, lt

__all__ = ["FAMILY"]

_REQUEST = frozenset({Opcode.TMF_REQUEST})
_RESPONSE = frozenset({Opcode.TMF_RESPONSE})
_ABORT_TASK, _TASK_REASSIGN, _QUERY_TASK = 1, 8, 9
#: Functions that name one task, those on one logical unit, those of RFC 7144 (RFC 7143 11.5.1, RFC 7144 6.3)
_OF_A_TASK = frozenset({_ABORT_TASK, _TASK_REASSIGN, _QUERY_TASK})
_LEVEL_2 = frozenset({9, 10, 11, 12})
_COMPLETE, _NO_TASK, _SUCCEEDED = 0, 1, 7
#: How many requests that are not answered yet are remembered
_OPEN = 256
#: So long an initiator may take to give a connection up whose task it aborts from another one, in seconds
_GIVEN_UP = 1.0


# --- responses --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aim:
    """An ABORT TASK as the target was given it: the task it names, and the command window at that time."""

    named: Task | None
    live: bool  #: the task was there, and certainly received
    gone: bool  #: the task was certainly not there any more, or never
    expected: int | None  #: the highest ExpCmdSN that the target had told
    missing: int | None  #: the lowest CmdSN that it had not been given
    maximum: int | None  #: the highest MaxCmdSN that it had told


class _Aims:
    """The ABORT TASKs of a session that are not answered yet, by their own Initiator Task Tag."""

    def __init__(self) -> None:
        self.open: dict[int, _Aim] = {}

    def keep(self, itt: int, aim: _Aim) -> None:
        """Note one more."""
        self.open[itt] = aim
        if len(self.open) > _OPEN:
            del self.open[next(iter(self.open))]


def _is_true(moment: Moment) -> Outcome:
    """T-049: a response is one of the standard's, and that to ABORT TASK is right."""
    if not moment.full_feature:
        return None
    if not moment.sent:
        if moment["Function"] == _ABORT_TASK and moment.task is None:
            moment.session.recall(_Aims).keep(moment["ITT"], _aim(moment))
        return None
    response, request = moment["Response"], moment.own
    if response not in codes.TMF_RESPONSE:
        return Breach(text=f"Response {response} is reserved")
    if response == _SUCCEEDED:
        if not moment.terms.known:
            return None
        if moment.terms.protocol_level < 2:
            text = f"Response 7, function succeeded, with iSCSIProtocolLevel={moment.terms.protocol_level}"
            return Breach(text=text, clause="RFC 7144 6.3")
    aim = None if request is None else moment.session.recall(_Aims).open.pop(request.itt, None)
    if aim is None or request is None or request.values["Function"] != _ABORT_TASK:
        return FINE
    return _held_against(moment, aim, request)


def _aim(moment: Moment) -> _Aim:
    session, named = moment.session, moment.session.find(moment["RefTaskTag"])
    live = gone = False
    missing = session.book.lowest_missing
    if named is None:
        gone = session.complete
    elif named.is_scsi and not named.doubtful and not named.ignored:
        here = named.conn == moment.conn.number and named.lun == moment["LUN"]
        live = named.live and here and session.delivered(named)
        gone = (named.terminal or named.aborted) is not None
    return _Aim(named=named, live=live, gone=gone, expected=session.exp_cmd, missing=missing, maximum=session.max_cmd)


def _held_against(moment: Moment, aim: _Aim, request: Task) -> Outcome:
    """Hold the response to ABORT TASK against RFC 7143 11.6.1 a to c, and 7.11."""
    response, named, number = moment["Response"], aim.named, request.values["RefCmdSN"]
    what = f"ABORT TASK of ITT={request.values['RefTaskTag']:#x}, RefCmdSN={number}"
    proof = (request.note,) if named is None else (request.note, named.note)
    if response not in (_COMPLETE, _NO_TASK):
        return FINE
    if aim.live and named is not None:
        if response == _NO_TASK and named.live:
            # Its status may be on its way already: then there was nothing left to abort (7.11).
            text = f"{what} was answered 'task does not exist', and the task it names did not end"
            moment.owe(named.serial, text, within=moment.scene.limits.slow, proof=proof, still=lambda: named.live)
            return None
        return FINE
    if not aim.gone:
        return FINE
    known = named is not None and named.terminal is not None
    if _surely_outside(moment, aim, number) and response == _COMPLETE:
        state = "was answered before" if known else "never was"
        text = f"{what}, outside the command window: 'function complete' for a task that {state}"
        if known and named is not None and named.terminal is not None:
            return Breach(text=text, proof=(*proof, named.terminal), clause="RFC 7143 7.11, RFC 7143 11.6.1")
        return Breach(text=text, proof=proof)
    if _surely_inside(aim, number, request) and response == _NO_TASK:
        text = f"{what}, which has not been received: 'task does not exist' instead of 'function complete'"
        return Breach(text=text, proof=proof, clause="RFC 7143 7.11, RFC 7143 11.6.1")
    return FINE


def _surely_outside(moment: Moment, aim: _Aim, number: int) -> bool:
    """Tell whether RefCmdSN was outside the window, whatever the target knew: both of its ends only ever rise."""
    return (aim.expected is not None and lt(number, aim.expected)) or lt(moment["MaxCmdSN"], number)


def _surely_inside(aim: _Aim, number: int, request: Task) -> bool:
    """Tell whether RefCmdSN was inside the window, and before the request: only an immediate one can be past a gap."""
    if not request.immediate or aim.missing is None or aim.maximum is None:
        return False
    return le(aim.missing, number) and le(number, aim.maximum) and lt(number, request.cmd_sn)


# --- requests ---------------------------------------------------------------------------------------------------------


def _names_its_task(moment: Moment) -> Outcome:
    """I-031: a request has no data, and the tag, number and LUN of the task that it is about."""
    if not moment.full_feature or moment.task is not None:
        return None
    function, tag = moment["Function"], moment["RefTaskTag"]
    if function not in codes.TMF_FUNCTION:
        return Breach(text=f"Function {function} is not assigned", clause="RFC 7143 11.5.1")
    if moment["TotalAHSLength"] or moment.length:
        text = f"TotalAHSLength {moment['TotalAHSLength']}, DataSegmentLength {moment.length}: both have to be 0"
        return Breach(text=text, clause="RFC 7143 11.5.2")
    name = codes.TMF_FUNCTION.text(function)
    if (tag == NO_TAG) is (function in _OF_A_TASK):
        return Breach(text=f"{name} with RefTaskTag={tag:#x}", clause="RFC 7143 11.5.4")
    named = moment.session.find(tag)
    if function not in (_ABORT_TASK, _QUERY_TASK) or named is None or named.doubtful or named.ignored:
        return FINE
    if named.is_scsi and moment["LUN"] != named.lun:
        text = f"{name} with LUN={moment['LUN']:#x} of a task with LUN={named.lun:#x}"
        return Breach(text=text, proof=(named.note,), clause="RFC 7143 4.2.5.3, RFC 7143 11.5.3")
    due = moment["CmdSN"] if named.immediate else named.cmd_sn
    if named.opcode != Opcode.TEXT_REQUEST and moment["RefCmdSN"] != due:
        why = "an immediate task" if named.immediate else "its task"
        text = f"{name} with RefCmdSN={moment['RefCmdSN']}: for {why} it is {due}"
        return Breach(text=text, proof=(named.note,), clause="RFC 7143 11.5.5")
    return FINE


def _stays_with_its_task(moment: Moment) -> Outcome:
    """I-032: ABORT TASK goes where its task belongs, as long as that connection is used."""
    if not moment.full_feature or moment["Function"] != _ABORT_TASK or moment.task is not None:
        return None
    named = moment.session.tasks.get(moment["RefTaskTag"])
    if named is None or named.ignored or not named.conn:
        return None
    if named.conn == moment.conn.number:
        return FINE
    other = moment.scene.conns.get(named.conn)
    if other is None or not _in_use(other):
        return None
    home = named.conn
    text = f"ABORT TASK for a task of connection {home}, which was not given up"
    moment.owe(
        named.serial,
        text,
        within=_GIVEN_UP,
        proof=(named.note,),
        still=lambda: _in_use(other) and named.conn == home and other.number in moment.scene.conns,
    )
    return None


def _in_use(conn: Conn) -> bool:
    return not conn.ended and conn.logout is None


def _is_agreed_on(moment: Moment) -> Outcome:
    """I-034: the functions of RFC 7144, and priorities, only with iSCSIProtocolLevel=2."""
    command = moment.opcode == Opcode.SCSI_COMMAND
    if (command and not moment.values["PRI"]) or not moment.terms.known or not moment.full_feature:
        return None
    level = moment.terms.protocol_level
    if command:
        if level < 2:
            return Breach(text=f"PRI={moment['PRI']} with iSCSIProtocolLevel={level}", clause="RFC 7144 5.1.1")
        return FINE
    function = moment["Function"]
    if function in _LEVEL_2 and level < 2:
        text = f"{codes.TMF_FUNCTION.text(function)} with iSCSIProtocolLevel={level}"
        return Breach(text=text)
    return FINE


FAMILY = Family(
    name="management",
    title="Task management",
    rules=(
        Rule(
            id="T-049",
            title="A task management response is defined, and that to ABORT TASK tells whether the task was there",
            severity=Severity.MUST,
            clause="RFC 7143 11.6.1",
            check=_is_true,
            sent=_RESPONSE,
            given=_REQUEST,
            why="An initiator that is told that a task has ended uses its buffer and its tag again.",
        ),
        Rule(
            id="I-031",
            title="A task management request has no data, and names its task by tag, CmdSN and LUN",
            severity=Severity.MUST,
            clause="RFC 7143 11.5",
            check=_names_its_task,
            sent=_REQUEST,
            why="By RefCmdSN a target fills the place of a command that was lost; with a wrong one it waits for ever.",
        ),
        Rule(
            id="I-032",
            title="ABORT TASK is sent on the connection of its task",
            severity=Severity.MUST,
            clause="RFC 7143 11.5.1",
            check=_stays_with_its_task,
            sent=_REQUEST,
            why="On another connection it may overtake the command that it is to end.",
        ),
        Rule(
            id="I-034",
            title="Functions 9 to 12 and command priorities are used with iSCSIProtocolLevel=2 only",
            severity=Severity.MUST,
            clause="RFC 7144 6.3",
            check=_is_agreed_on,
            sent=_REQUEST | {Opcode.SCSI_COMMAND},
            why="A target of RFC 7143 rejects the function, and takes the priority for a reserved field.",
        ),
    ),
)
