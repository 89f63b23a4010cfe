"""ExpStatSN: how an initiator acknowledges statuses (RFC 7143 4.2.2.2, 11.3.3, 7.9).

It is the number of the status that comes next, and so acknowledges all before it. Only PDUs that carry a status count:
an R2T, and a NOP-In that answers nothing, have the number of the next one and do not use it up.
"""

from __future__ import annotations

from typing import Final

from iscsiproxy.checks.moment import Moment, advances_stat_sn
from iscsiproxy.checks.rules import FINE, FROM_INITIATOR, FROM_TARGET, Breach, Family, Observer, Outcome, Rule, Severity
from iscsiproxy.checks.scene.connections import Conn
from iscsiproxy.checks.scene.notes import Note
from iscsiproxy.wire.fields import NO_TAG
from iscsiproxy.wire.opcodes import End, Opcode
from iscsiproxy.wire.serial import add, lt

__all__ = ["FAMILY"]

#: How many statuses behind a gap are remembered
_KEPT: Final = 256
#: How far below the next StatSN one is old; what is further away is ahead, at any distance (RFC 7143 4.2.2.2)
_OLD: Final = 1 << 16


def _is_old(number: int, following: int) -> bool:
    """Tell whether a number lies below the next one."""
    return 0 < (following - number) & 0xFFFFFFFF <= _OLD


class _Heard:
    """The statuses that an initiator was given on a connection, and what it said of them.

    `upto` is the number behind the last one without a gap, `top` behind the highest of all; `ahead` are those behind a
    gap. `told` is the last PDU that only told which number is next, if no status came since. It is `adrift` when it
    has followed a number from far away: where it goes on, the next status shows.
    """

    __slots__ = ("adrift", "ahead", "last", "late", "over", "said", "said_note", "told", "top", "upto")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: statuses have gone by unseen."""
        self.adrift = False
        self.upto: int | None = None
        self.top = 0
        self.ahead: dict[int, Note] = {}
        self.last: Note | None = None
        self.told: Note | None = None
        self.said: int | None = None
        self.said_note: Note | None = None
        self.over: int | None = None  #: the ExpStatSN that was found too high last
        self.late: int | None = None  #: the StatSN whose acknowledgement was found missing last

    def take(self, number: int, note: Note) -> None:
        """Note a status."""
        self.last, self.told, self.adrift = note, None, False
        if self.upto is None:
            self.upto = self.top = add(number, 1)
            return
        if _is_old(number, self.upto):
            return
        if not _is_old(number, self.top):
            self.top = add(number, 1)
        if number == self.upto:
            self.upto = add(number, 1)
            while self.ahead and self.ahead.pop(self.upto, None) is not None:
                self.upto = add(self.upto, 1)
        elif len(self.ahead) < _KEPT:
            self.ahead[number] = note

    def tell(self, number: int, note: Note) -> None:
        """Note which number is next."""
        self.told = note
        if self.upto is None and not self.adrift:
            self.upto = self.top = number

    def skip(self, number: int) -> None:
        """Take everything below a number as settled: the initiator does."""
        if self.upto is not None and (number - self.upto) & 0xFFFFFFFF > _OLD:
            self.forget()
            self.adrift = True
            return
        self.upto = number
        self.ahead = {one: note for one, note in self.ahead.items() if not lt(one, number)}
        while self.ahead.pop(self.upto, None) is not None:
            self.upto = add(self.upto, 1)


def _heard(conn: Conn) -> _Heard | None:
    """Give what is known of a connection; None if statuses may have gone by unseen."""
    known = conn.known(_Heard)
    return known if known is not None and known.upto is not None and conn.next_stat is not None else None


# --- the rules -------------------------------------------------------------------------------------------------------


def _is_no_higher(moment: Moment) -> Outcome:
    """I-011: see that nothing is acknowledged that was not given."""
    known = _heard(moment.conn)
    if known is None or known.upto is None:
        return None
    number = moment["ExpStatSN"]
    if number == known.upto or not lt(known.top, number):
        known.over = None
        return FINE
    told = known.told
    if told is not None and not lt(told["StatSN"], number):
        return None  # what it was told is missing: I-014
    if known.over == number:
        return None  # it was said before
    known.over = number
    what = f"ExpStatSN {number} acknowledges StatSN {add(number, -1)}, which was not given yet"
    if told is None or told.pdu is None:
        return Breach(text=f"{what}: the last was {add(known.top, -1)}", proof=_proof(known.last))
    clause = "RFC 7143 11.8.3" if told.pdu.opcode == Opcode.R2T else "RFC 7143 11.19.2"
    return Breach(
        text=f"{what}: the {told.pdu.label} with StatSN {told['StatSN']} tells the next number and does not use it up",
        proof=(told, *_proof(known.last)),
        clause=f"RFC 7143 4.2.2.2, {clause}",
    )


def _proof(note: Note | None) -> tuple[Note, ...]:
    return () if note is None else (note,)


def _never_goes_back(moment: Moment) -> Outcome:
    """I-012: see that an acknowledgement is not taken back."""
    known = _heard(moment.conn)
    if known is None or known.said is None or known.said_note is None:
        return None
    number = moment["ExpStatSN"]
    if number == known.said or not lt(number, known.said):
        return FINE
    if number == known.top:
        return None  # it follows what it was given: I-014
    if moment.task is not None and moment.values.get("CmdSN") == moment.task.cmd_sn and not moment["I"]:
        return None  # a retry may be what was sent before, byte for byte
    return Breach(text=f"ExpStatSN went back from {known.said} to {number}", proof=(known.said_note,))


def _acknowledges(moment: Moment) -> Outcome:
    """I-013: see that what was given long ago is acknowledged, when the initiator sends something anyway."""
    conn = moment.conn
    known = _heard(conn)
    if known is None or known.upto is None or not moment.full_feature:
        return None
    number = moment["ExpStatSN"]
    if number == known.upto:
        return FINE
    if not lt(number, known.upto) or known.late == number:
        return None
    status = conn.statuses.get(number)
    if status is None or moment.at - status.at <= moment.scene.limits.answer:
        return None
    if status.changed or status.forged or conn.slowed is not None or not moment.framed:
        return None  # what it made of that is not known
    if moment.terms.error_recovery_level and conn.status_runs.note is not None:
        return None  # it may wait for data that belongs to it (RFC 7143 7.9)
    known.late = number
    text = f"ExpStatSN is {number}: StatSN {number} was given {moment.at - status.at:.0f} s ago"
    return Breach(text=text, proof=(status,))


def _skips_nothing(moment: Moment) -> Outcome:
    """I-014: see that a status which is missing is not acknowledged with those behind it."""
    conn = moment.conn
    known = _heard(conn)
    if known is None or known.upto is None or not moment.full_feature:
        return None
    missing, number = known.upto, moment["ExpStatSN"]
    told = known.told
    if not known.ahead and (told is None or not lt(missing, told["StatSN"])):
        return None
    if number == missing or _is_old(number, missing):
        return FINE
    highest = told["StatSN"] if told is not None and lt(known.top, told["StatSN"]) else known.top
    if lt(highest, number):
        return None  # I-011
    behind = min(known.ahead.values(), key=lambda note: note.n, default=told)
    known.skip(number)
    if moment.opcode == Opcode.LOGOUT_REQUEST or conn.logout is not None:
        return None  # that is how it recovers
    level = moment.terms.error_recovery_level
    return Breach(
        text=f"ExpStatSN {number} acknowledges StatSN {missing}, which is missing, at ErrorRecoveryLevel {level}",
        proof=_proof(behind),
        severity=Severity.MUST if level else Severity.SHOULD,
    )


# --- what is kept ----------------------------------------------------------------------------------------------------


def _listen(moment: Moment) -> None:
    """Keep what was given."""
    opcode, values, conn = moment.opcode, moment.values, moment.conn
    if opcode == Opcode.DATA_IN and not values["S"]:
        return
    if opcode == Opcode.LOGIN_RESPONSE:
        if not values["Status-Class"]:
            known = conn.recall(_Heard)
            known.upto = None  # a login takes the numbers as they come
            known.take(values["StatSN"], moment.note)
        return
    if not moment.full_feature:
        return
    known = conn.recall(_Heard)
    if conn.next_stat is None:
        known.forget()
    if advances_stat_sn(opcode, values):
        known.take(values["StatSN"], moment.note)
    elif opcode == Opcode.R2T or (opcode == Opcode.NOP_IN and values["ITT"] == NO_TAG):
        known.tell(values["StatSN"], moment.note)


def _remember(moment: Moment) -> None:
    """Keep what was said."""
    known, number = _heard(moment.conn), moment["ExpStatSN"]
    if known is not None and number != known.said:
        known.said, known.said_note = number, moment.note


FAMILY = Family(
    name="acknowledgements",
    title="ExpStatSN",
    rules=(
        Rule(
            id="I-011",
            title="ExpStatSN is at most one more than the StatSN of the last status that was given",
            severity=Severity.MUST,
            clause="RFC 7143 4.2.2.2",
            check=_is_no_higher,
            sent=FROM_INITIATOR,
            why="The target may forget a status that is lost on its way: nobody can ask for it again.",
        ),
        Rule(
            id="I-012",
            title="ExpStatSN never goes back",
            severity=Severity.HEURISTIC,
            clause="RFC 7143 11.3.3",
            check=_never_goes_back,
            sent=FROM_INITIATOR,
            why="It acknowledges all before it for good: what it takes back, the target has forgotten.",
        ),
        Rule(
            id="I-013",
            title="A status is acknowledged by the PDUs that the initiator sends long after it was given",
            severity=Severity.SHOULD,
            clause="RFC 7143 4.2.2.2",
            check=_acknowledges,
            sent=FROM_INITIATOR,
            why="The target keeps every answer until then, and takes the connection for failed.",
        ),
        Rule(
            id="I-014",
            title="ExpStatSN does not go past a status that is missing",
            severity=Severity.MUST,
            clause="RFC 7143 7.9",
            check=_skips_nothing,
            sent=FROM_INITIATOR,
            why="The task whose status was lost never ends, and its data may be incomplete.",
        ),
    ),
    observers=(
        Observer(end=End.INITIATOR, update=_listen, given=FROM_TARGET),
        Observer(end=End.INITIATOR, update=_remember, sent=FROM_INITIATOR),
    ),
)
