"""StatSN: the numbers of a target's statuses (RFC 7143 4.2.2.2, 11.4.9, 11.16).

Every status takes the next number of its connection, an R2T and a NOP-In that answers nothing only tell which one that
is. A number that comes twice is a status that was sent again, or one whose number had been given away already.
"""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import Moment
from iscsiproxy.checks.rules import FINE, FROM_TARGET, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode

__all__ = ["FAMILY"]

_REJECT_OR_ASYNC: Final = frozenset({Opcode.REJECT, Opcode.ASYNC})
_LENGTH: Final = "DataSegmentLength"
#: What may differ in a copy, and the length, which is looked at last
_ASIDE: Final = frozenset({"ExpCmdSN", "MaxCmdSN", "ExpDataSN", "SNACKTag", _LENGTH})


class _Numbers:
    """What only told the next number of a connection since its last status: the last of them, and how many."""

    __slots__ = ("times", "told")

    def __init__(self) -> None:
        self.told: Note | None = None
        self.times = 0


def _silent(moment: Moment) -> bool:
    """Tell whether a PDU has no StatSN to judge: most Data-In have none, and come in great numbers."""
    return (moment.opcode == Opcode.DATA_IN and not moment.values["S"]) or not moment.full_feature


def _advances(moment: Moment) -> bool:
    """Tell whether this PDU takes a StatSN that is known to mean something."""
    if moment.opcode == Opcode.LOGIN_RESPONSE:
        return not moment["Status-Class"]
    return not _silent(moment) and moment.advances


def _used_up(moment: Moment) -> Note | None:
    """Give the Reject or Async whose StatSN, the last that was used, this PDU has too."""
    last = moment.conn.status_note
    if last is None or last.pdu is None or last.pdu.opcode not in _REJECT_OR_ASYNC:
        return None
    return last if last["StatSN"] == moment["StatSN"] and not _copies(moment, last) else None


def _copies(moment: Moment, first: Note) -> bool:
    """Tell whether a PDU is an earlier one sent again: it answers the same request, or was one for which none asked."""
    pdu = first.pdu
    if pdu is None or first["ITT"] != moment["ITT"]:
        return False
    if pdu.opcode != moment.opcode:
        return _afresh(moment)
    return moment.opcode not in _REJECT_OR_ASYNC or not _differs(moment, first)


def _differs(moment: Moment, first: Note) -> str:
    """Name what is not as it was the first time; empty if it is the same status."""
    pdu = first.pdu
    assert pdu is not None
    names = (name for name in moment.values if name not in _ASIDE)
    for name in names:
        if moment[name] != pdu[name]:
            return name
    if moment[_LENGTH] != pdu[_LENGTH]:
        return _LENGTH
    data = moment.data
    if data is not None and len(pdu.data) == first.length and data != pdu.data:
        return "the data"
    return ""


def _afresh(moment: Moment) -> bool:
    """Tell whether an R-Data SNACK let the target build the status anew (RFC 7143 11.16.3)."""
    task = moment.task
    return task is not None and task.resends is not None and task.resends.afresh is not None


def _may_repeat(moment: Moment) -> bool:
    """Tell whether a status may be sent again: with recovery, or when a SNACK or a retry asked for it."""
    if moment.terms.error_recovery_level > 0 or not moment.terms.known or moment.conn.status_runs.note is not None:
        return True
    task = moment.task
    return task is not None and (task.resends is not None or bool(task.retries))


def _is_next(moment: Moment) -> Outcome:
    """T-007: see that each status has the number behind that of the last one."""
    conn = moment.conn
    if conn.next_stat is None or not _advances(moment):
        return None
    number, expected = moment["StatSN"], conn.next_stat
    if number == expected:
        return FINE
    first = conn.statuses.get(number)
    if first is not None:
        if _used_up(moment) is not None:
            return None  # T-009
        if _copies(moment, first) and _may_repeat(moment):
            return None  # T-010
        return Breach(text=f"StatSN {number} was used before; the next is {expected}", proof=(first,))
    if _counted(moment) is not None:
        return None  # T-008
    last = conn.status_note
    return Breach(text=f"StatSN {number}, expected {expected}", proof=() if last is None else (last,))


def _counted(moment: Moment) -> Note | None:
    """Give the last R2T or NOP-In behind a status, if they make up for what is too much in this StatSN."""
    expected = moment.conn.next_stat
    known = moment.conn.known(_Numbers)
    if expected is None or known is None or known.told is None:
        return None
    return known.told if 0 < (moment["StatSN"] - expected) & 0xFFFFFFFF <= known.times else None


def _tells_the_next(moment: Moment) -> Outcome:
    """T-008: see that an R2T, or a NOP-In that answers nothing, has the StatSN that is next, and leaves it free."""
    expected = moment.conn.next_stat
    if expected is None or _silent(moment):
        return None
    number = moment["StatSN"]
    if moment.advances:
        told = _counted(moment)
        if told is None:
            known = moment.conn.known(_Numbers)
            return FINE if known is not None and known.told is not None and number == expected else None
        label = "an R2T" if told.pdu is not None and told.pdu.opcode == Opcode.R2T else "a NOP-In"
        return Breach(text=f"StatSN {number}, expected {expected}: {label} was counted as a status", proof=(told,))
    if not _only_tells(moment) or _used_up(moment) is not None:
        return None
    if number == expected:
        return FINE
    last = moment.conn.status_note
    return Breach(
        text=f"{moment.pdu.label} has StatSN {number}, the next is {expected}", proof=() if last is None else (last,)
    )


def _only_tells(moment: Moment) -> bool:
    return moment.opcode == Opcode.R2T or (moment.opcode == Opcode.NOP_IN and moment["ITT"] == NO_TAG)


def _takes_a_number(moment: Moment) -> Outcome:
    """T-009: see that an Async or a Reject has no task, and that its StatSN is not used again."""
    opcode = moment.opcode
    if _silent(moment):
        return None
    if opcode in _REJECT_OR_ASYNC and moment["ITT"] != NO_TAG:
        return Breach(text=f"{moment.pdu.label} has ITT={moment['ITT']:#x}, not 0xffffffff", clause=_CLAUSES[opcode])
    last = moment.conn.status_note
    if last is None or last.pdu is None or last.pdu.opcode not in _REJECT_OR_ASYNC:
        return None
    if not (moment.advances or _only_tells(moment)):
        return None
    if _used_up(moment) is None:
        return FINE
    return Breach(
        text=f"StatSN {moment['StatSN']} was that of the {last.pdu.label} before; the next is {moment.conn.next_stat}",
        proof=(last,),
        clause=_CLAUSES[last.pdu.opcode],
    )


_CLAUSES: Final = {int(Opcode.REJECT): "RFC 7143 11.17.3", int(Opcode.ASYNC): "RFC 7143 11.9"}


def _is_a_true_copy(moment: Moment) -> Outcome:
    """T-010: see that a status that is sent again is the same, number and all."""
    if _silent(moment) or not moment.advances:
        return None
    first = moment.conn.statuses.get(moment["StatSN"])
    if first is None:
        return _is_new(moment)
    if not _copies(moment, first) or not _may_repeat(moment):
        return None
    different = "" if _afresh(moment) and moment["ITT"] != NO_TAG else _differs(moment, first)
    if not different:
        return FINE
    what = f"StatSN {moment['StatSN']} was sent again"
    if different in moment.values and first.pdu is not None:
        text = f"{what} with {different}={moment[different]:#x}, it was {first.pdu[different]:#x}"
        return Breach(text=text, proof=(first,))
    return Breach(text=f"{what} with {different} changed", proof=(first,))


def _is_new(moment: Moment) -> Outcome:
    """See that it is no old status under a new number."""
    task, runs = moment.task, moment.conn.status_runs
    first = None if task is None else task.terminal
    if task is None or first is None or task.live or runs.note is None or runs.note.n < first.n:
        return None
    if first.conn != moment.conn.number or not runs.cover(first["StatSN"]) or not _copies(moment, first):
        return None
    text = f"a status was sent again with StatSN {moment['StatSN']}, it was {first['StatSN']}"
    return Breach(text=text, proof=(first, runs.note))


def _follow(moment: Moment) -> None:
    """Keep what told a number."""
    if _silent(moment):
        return
    known = moment.conn.recall(_Numbers)
    if moment.advances:
        known.told, known.times = None, 0
    elif _only_tells(moment):
        known.told, known.times = moment.note, known.times + 1


FAMILY = Family(
    name="status_numbers",
    title="StatSN",
    rules=(
        Rule(
            id="T-007",
            title="Each PDU that carries a status has the StatSN that follows the last one",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.2, RFC 7143 11.4.9",
            check=_is_next,
            sent=FROM_TARGET,
            why="An initiator takes a gap for lost responses, and drops the session or asks for what never was.",
        ),
        Rule(
            id="T-008",
            title="An R2T, and a NOP-In that answers nothing, carry the next StatSN and do not use it up",
            severity=Severity.MUST,
            clause="RFC 7143 11.8.3, RFC 7143 11.19.2",
            check=_tells_the_next,
            sent=FROM_TARGET,
            why="The next status then seems to be missing, or to have come before.",
        ),
        Rule(
            id="T-009",
            title="An Async and a Reject use up a StatSN, and have an Initiator Task Tag of 0xffffffff",
            severity=Severity.MUST,
            clause="RFC 7143 11.9, RFC 7143 11.17.3",
            check=_takes_a_number,
            sent=FROM_TARGET,
            why="A status that has the number of a Reject is taken for an old one, and its task never ends.",
        ),
        Rule(
            id="T-010",
            title="A status that is sent again keeps its StatSN and its content",
            severity=Severity.MUST,
            clause="RFC 7143 11.4.9, RFC 7143 11.16",
            check=_is_a_true_copy,
            sent=FROM_TARGET,
            why="An initiator that asked for a lost status takes what comes for another one, or believes a wrong one.",
        ),
    ),
    observers=(Observer(end=End.TARGET, update=_follow, sent=FROM_TARGET),),
)
